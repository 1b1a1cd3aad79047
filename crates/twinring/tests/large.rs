//! Large messages beside others: what a thread that sends one owes to the threads that send small
//! ones, and to the peer when it gives up.

mod common;

use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use common::{LIMIT, until};
use common::{Parent, Place, Side, Watchdog, connected, peers};
use twinring::{ErrorKind, Link, Wait};

#[cfg(target_os = "linux")]
peers!(large_and_small, gives_up, gives_up_behind_another);
#[cfg(not(target_os = "linux"))]
peers!(gives_up, gives_up_behind_another);

/// A ring for three of the longest frames, and not quite a fourth.
const RING: u64 = 4096;
/// What fills one of them.
const FRAME: usize = 1016;

fn host(place: &Place) -> Link {
    place.host().ring_capacity(RING).open().unwrap()
}

fn guest(parent: &Parent) -> Link {
    let link = parent.builder().wait(Wait::Sleep).open().unwrap();
    connected(&link);
    link
}

/// Begins to send and waits until the thread sleeps in it: for room, or for its turn.
#[cfg(target_os = "linux")]
fn send_until_asleep<'a>(
    scope: &'a thread::Scope<'a, '_>,
    link: &'a Link,
    message: Vec<u8>,
) -> thread::ScopedJoinHandle<'a, ()> {
    let (told, tid) = std::sync::mpsc::channel();
    let sending = scope.spawn(move || {
        told.send(rustix::thread::gettid().as_raw_nonzero())
            .unwrap();
        link.send(&message).unwrap();
    });
    let stat = format!("/proc/self/task/{}/stat", tid.recv().unwrap());
    until("the sender sleeps", || {
        let asleep = || std::fs::read_to_string(&stat).unwrap().contains(") S ");
        // Not only for a moment, in a lock.
        asleep() && {
            thread::sleep(Duration::from_millis(5));
            asleep()
        }
    });
    sending
}

#[cfg(target_os = "linux")]
const ROUNDS: usize = 20;

#[cfg(target_os = "linux")]
fn large_and_small(parent: &'static Parent) {
    let link = guest(parent);
    for _ in 0..ROUNDS {
        link.send(&[1; FRAME]).unwrap();
        thread::scope(|scope| {
            let large = send_until_asleep(scope, &link, vec![2; 4 * FRAME]);
            let small = send_until_asleep(scope, &link, vec![3; FRAME]);
            parent.say("full");
            large.join().unwrap();
            small.join().unwrap();
        });
        parent.expect("next");
    }
}

/// The lane is handed on between two chunks: without that, the thread with the large message takes
/// it again before one that waits has woken up.
#[test]
#[cfg(target_os = "linux")]
fn a_large_message_lets_small_ones_pass() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("large_and_small", Side::Guest);
    connected(&link);
    for _ in 0..ROUNDS {
        child.expect("full");
        // Two chunks are in the ring, the third waits for room with the lane, the small message for
        // the lane. With this read there is room for the third, and not for the fourth.
        assert_eq!(link.recv_timeout(LIMIT).unwrap(), [1; FRAME]);
        assert_eq!(link.recv_timeout(LIMIT).unwrap(), [3; FRAME]);
        assert_eq!(link.recv_timeout(LIMIT).unwrap(), [2; 4 * FRAME]);
        child.say("next");
    }
    child.finish();
}

/// The peer reads on, so it is told at once. Short, because a test that fails waits for all of it.
const TOLD: Duration = Duration::from_secs(10);

fn give_up(link: &Link) {
    let e = link
        .send_timeout(&[2; 100 * FRAME], Duration::from_secs(2))
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut);
}

fn gives_up(parent: &'static Parent) {
    let link = guest(parent);
    give_up(&link);
    parent.say("given up");
    parent.expect("end");
}

/// The one that gives up tells the peer itself, without a further message.
#[test]
fn a_message_given_up_is_told() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("gives_up", Side::Guest);
    child.expect("given up");
    let e = link.recv_timeout(TOLD).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Aborted, "{e}");
    child.say("end");
    child.finish();
}

/// One thread gives up a large message while another holds the lane and waits for room.
fn gives_up_behind_another(parent: &'static Parent) {
    let link = guest(parent);
    link.send(&[1; FRAME]).unwrap();
    thread::scope(|scope| {
        let large = scope.spawn(|| give_up(&link));
        // By now two chunks are in the ring, and the third waits for room. Were they not, the test
        // would only show less.
        thread::sleep(Duration::from_millis(300));
        let other = scope.spawn(|| link.send(&[3; FRAME]).unwrap());
        thread::sleep(Duration::from_millis(300));
        parent.say("full");
        large.join().unwrap();
        parent.say("given up");
        other.join().unwrap();
    });
    parent.expect("end");
}

/// Then the other one has to tell the peer, without a further message.
#[test]
fn a_message_given_up_behind_another_is_told() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("gives_up_behind_another", Side::Guest);
    connected(&link);
    child.expect("full");
    // Room for the third chunk, after which the lane goes to the other thread, which finds none.
    assert_eq!(link.recv().unwrap(), [1; FRAME]);
    child.expect("given up");
    let mut aborted = false;
    let mut other = false;
    while !(aborted && other) {
        match link.recv_timeout(TOLD) {
            Ok(message) => {
                assert_eq!(message, [3; FRAME]);
                other = true;
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Aborted, "{e}");
                aborted = true;
            }
        }
    }
    child.say("end");
    child.finish();
}
