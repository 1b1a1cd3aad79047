use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Hub, Watched};
use crate::os::event::{Alarm, Deadline};

const KEYS: u64 = 200;

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

fn late() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// The keys reported until there are this many, sorted. A wait may end for nothing.
fn reported(hub: &Hub, count: usize) -> Vec<u64> {
    let deadline = late();
    let mut ready = Vec::new();
    while ready.len() < count {
        assert!(!deadline.passed(), "only {ready:?} within the deadline");
        hub.wait(deadline, &mut ready).unwrap();
    }
    ready.sort_unstable();
    ready
}

fn nothing_more(hub: &Hub) {
    let mut ready = Vec::new();
    hub.wait(soon(), &mut ready).unwrap();
    assert_eq!(ready, []);
}

#[test]
fn each_key_is_reported_once_and_once_more_when_asked() {
    let hub = Hub::new().unwrap();
    let alarms: Vec<Arc<Alarm>> = (0..KEYS).map(|_| Arc::new(Alarm::new().unwrap())).collect();
    let watched: Vec<Watched<Alarm>> = (0..KEYS)
        .map(|key| {
            hub.watch(&alarms[key as usize], Alarm::source, key)
                .unwrap()
        })
        .collect();
    nothing_more(&hub);
    for key in [3, 70, KEYS - 1] {
        alarms[key as usize].set();
    }
    assert_eq!(reported(&hub, 3), [3, 70, KEYS - 1]);
    nothing_more(&hub);
    // It is still set.
    watched[70].again().unwrap();
    assert_eq!(reported(&hub, 1), [70]);
    alarms[3].clear();
    watched[3].again().unwrap();
    nothing_more(&hub);
    alarms[3].set();
    assert_eq!(reported(&hub, 1), [3]);
}

#[test]
fn what_is_not_watched_any_more_is_not_reported() {
    let hub = Hub::new().unwrap();
    let alarm = Arc::new(Alarm::new().unwrap());
    drop(hub.watch(&alarm, Alarm::source, 1).unwrap());
    alarm.set();
    nothing_more(&hub);
    let _watched = hub.watch(&alarm, Alarm::source, 2).unwrap();
    assert_eq!(reported(&hub, 1), [2]);
}

#[test]
fn a_wake_ends_the_wait() {
    let hub = Hub::new().unwrap();
    let mut ready = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            hub.wake();
        });
        hub.wait(Deadline::Never, &mut ready).unwrap();
    });
    // Also one that came before.
    hub.wake();
    hub.wait(Deadline::Never, &mut ready).unwrap();
    assert_eq!(ready, []);
    let deadline = soon();
    while !deadline.passed() {
        hub.wait(deadline, &mut ready).unwrap();
    }
}

/// What becomes ready while it begins to be watched, or right before, is reported all the same.
#[test]
fn nothing_is_missed_at_the_beginning() {
    let hub = Hub::new().unwrap();
    for key in 0..300 {
        let alarm = Arc::new(Alarm::new().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| alarm.set());
            let _watched = hub.watch(&alarm, Alarm::source, key).unwrap();
            assert_eq!(reported(&hub, 1), [key]);
        });
    }
}
