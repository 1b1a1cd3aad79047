use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Poller, Watched};
use crate::os::event::{Deadline, LocalEvent};

const TOKENS: u64 = 200;

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

fn late() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// The tokens reported until there are this many, sorted. A wait may end without a reason.
fn reported(poller: &Poller, count: usize) -> Vec<u64> {
    let deadline = late();
    let mut ready = Vec::new();
    while ready.len() < count {
        assert!(!deadline.passed(), "only {ready:?} within the deadline");
        poller.wait(deadline, &mut ready).unwrap();
    }
    ready.sort_unstable();
    ready
}

fn nothing_more(poller: &Poller) {
    let mut ready = Vec::new();
    poller.wait(soon(), &mut ready).unwrap();
    assert_eq!(ready, []);
}

#[test]
fn each_token_is_reported_once_and_once_more_when_asked() {
    let poller = Poller::new().unwrap();
    let events: Vec<Arc<LocalEvent>> = (0..TOKENS)
        .map(|_| Arc::new(LocalEvent::new().unwrap()))
        .collect();
    let watched: Vec<Watched<LocalEvent>> = (0..TOKENS)
        .map(|token| {
            poller
                .watch(&events[token as usize], LocalEvent::source, token)
                .unwrap()
        })
        .collect();
    nothing_more(&poller);
    for token in [3, 70, TOKENS - 1] {
        events[token as usize].set();
    }
    assert_eq!(reported(&poller, 3), [3, 70, TOKENS - 1]);
    nothing_more(&poller);
    // It is still set.
    watched[70].again().unwrap();
    assert_eq!(reported(&poller, 1), [70]);
    events[3].clear();
    watched[3].again().unwrap();
    nothing_more(&poller);
    events[3].set();
    assert_eq!(reported(&poller, 1), [3]);
}

#[test]
fn what_is_not_watched_any_more_is_not_reported() {
    let poller = Poller::new().unwrap();
    let event = Arc::new(LocalEvent::new().unwrap());
    drop(poller.watch(&event, LocalEvent::source, 1).unwrap());
    event.set();
    nothing_more(&poller);
    let _watched = poller.watch(&event, LocalEvent::source, 2).unwrap();
    assert_eq!(reported(&poller, 1), [2]);
}

#[test]
fn a_wake_ends_the_wait() {
    let poller = Poller::new().unwrap();
    let mut ready = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            poller.wake();
        });
        poller.wait(Deadline::Never, &mut ready).unwrap();
    });
    // Also one that came before the wait.
    poller.wake();
    poller.wait(Deadline::Never, &mut ready).unwrap();
    assert_eq!(ready, []);
    let deadline = soon();
    while !deadline.passed() {
        poller.wait(deadline, &mut ready).unwrap();
    }
}

/// A source that becomes ready while the watch begins, or right before, is reported all the same.
#[test]
fn nothing_is_missed_at_the_beginning() {
    let poller = Poller::new().unwrap();
    for token in 0..300 {
        let event = Arc::new(LocalEvent::new().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| event.set());
            let _watched = poller.watch(&event, LocalEvent::source, token).unwrap();
            assert_eq!(reported(&poller, 1), [token]);
        });
    }
}
