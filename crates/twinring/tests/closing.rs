//! Closing: every waiting call is woken, whichever side closes and however many wait at once.

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Log, Parent, Place, Random, Side, Watchdog, check, connected, message, peers, rounds,
    text, until,
};
use twinring::{ErrorKind, Link, Status};

peers!(talker, closer);

/// A call that is expected to fail.
type Call = fn(&Link) -> twinring::Result<()>;

/// Opens the link and reports its statuses; never reads.
fn talker(parent: &'static Parent) {
    let _link = parent
        .builder()
        .on_status(|_, status| parent.say(text(status)))
        .open()
        .unwrap();
    parent.wait_for_the_end();
}

/// All calls that can wait, each in a thread of its own, return `ClosedHere` when the link is
/// closed. `calls` are made while the peer reads nothing.
fn close_wakes(link: &Link, calls: &[Call]) {
    let started = Barrier::new(calls.len() + 1);
    thread::scope(|scope| {
        let waiting: Vec<_> = calls
            .iter()
            .map(|call| {
                scope.spawn(|| {
                    started.wait();
                    call(link)
                })
            })
            .collect();
        started.wait();
        // Whether they wait by now or only then begin to makes no difference to what they return.
        thread::sleep(Duration::from_millis(30));
        assert!(
            waiting.iter().all(|thread| !thread.is_finished()),
            "a call did not wait"
        );
        link.close();
        for thread in waiting {
            let e = thread.join().unwrap().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ClosedHere, "{e}");
        }
    });
}

const RECEIVES: [Call; 4] = [
    |link| link.recv().map(drop),
    |link| link.recv_timeout(LIMIT).map(drop),
    |link| link.recv_into(&mut Vec::new()).map(drop),
    |link| match link.messages().next() {
        // The iterator ends; said here as the error that the other calls give.
        None => link.recv().map(drop),
        Some(other) => panic!("{other:?}"),
    },
];

#[test]
fn close_wakes_everyone_who_waits_for_a_peer() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let calls: Vec<_> = RECEIVES
            .into_iter()
            .chain([|link: &Link| link.wait_connected(LIMIT).map(drop)] as [Call; 1])
            .collect();
        close_wakes(&link, &calls);
    }
}

#[test]
fn close_wakes_everyone_who_waits_for_the_peer() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("talker", side.opposite());
        child.expect("waiting");
        child.next_line();
        // The peer never reads.
        connected(&link);
        while link.try_send(&[0; 1000]).is_ok() {}
        while link.try_send(&[]).is_ok() {}
        let calls: Vec<_> = RECEIVES
            .into_iter()
            .chain([
                |link: &Link| link.send(&[0; 1000]),
                |link: &Link| link.send(&[0; 100_000_000]),
                |link: &Link| link.send_timeout(&[0; 100_000_000], LIMIT),
                |link: &Link| link.send_timeout(&[0; 10], LIMIT),
            ] as [Call; 4])
            .collect();
        close_wakes(&link, &calls);
        child.expect("disconnected 1 Closed");

        // Closing again does nothing, and every call says what has happened.
        link.close();
        assert_eq!(link.send(b"?").unwrap_err().kind(), ErrorKind::ClosedHere);
        assert_eq!(
            link.try_send(b"?").unwrap_err().kind(),
            ErrorKind::ClosedHere
        );
        assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::ClosedHere);
        assert_eq!(link.try_recv().unwrap_err().kind(), ErrorKind::ClosedHere);
        assert_eq!(
            link.wait_connected(LIMIT).unwrap_err().kind(),
            ErrorKind::ClosedHere
        );
        assert!(link.messages().next().is_none());
        assert_eq!(link.status(), Status::Closed);
        assert_eq!(link.peer(), None);
    }
}

#[test]
fn many_threads_may_close_at_once() {
    let _watchdog = Watchdog::new(60);
    for round in 0..rounds(30, 10) {
        let place = Place::new();
        let log = Log::new();
        let host = place.host().on_status(log.statuses()).open().unwrap();
        let guest = place.guest().open().unwrap();
        if round % 2 == 0 {
            connected(&guest);
        }
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| host.close());
                scope.spawn(|| guest.close());
            }
        });
        check_one_life(&log.wait_for_last("closed"));
    }
}

/// Checks the statuses of a link that had one connection at most, which nobody was killed in.
fn check_one_life(statuses: &[String]) {
    let words: Vec<&str> = statuses
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let allowed: [&[&str]; 3] = [
        &["waiting", "closed"],
        &["waiting", "connected", "closed"],
        &["waiting", "connected", "disconnected", "waiting", "closed"],
    ];
    assert!(allowed.contains(&&words[..]), "{statuses:?}");
    if words.contains(&"disconnected") {
        assert_eq!(statuses[2], "disconnected 1 Closed");
    }
}

/// A handle that is dropped leaves the link open for those who wait with another; the last one
/// closes it.
#[test]
fn the_last_handle_closes_the_link() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("talker", side.opposite());
        child.expect("waiting");
        child.next_line();
        connected(&link);

        let clone = link.clone();
        let (send_half, recv_half) = link.split();
        let receiver = thread::spawn(move || recv_half.recv_timeout(Duration::from_millis(300)));
        drop(clone);
        drop(send_half);
        let e = receiver.join().unwrap().unwrap_err();
        assert_eq!(
            e.kind(),
            ErrorKind::TimedOut,
            "it was not closed while somebody waited"
        );
        // The thread had the last handle.
        child.expect("disconnected 1 Closed");
        child.expect("waiting");
    }
}

fn len_of(i: u64) -> usize {
    Random::new(i).len(50, 20, 10_000)
}

/// Both sides close at the same moment, with messages under way.
#[test]
fn both_sides_close_at_random_moments() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("closer", side.opposite());
        let mut random = Random::unrepeatable();
        for _ in 0..rounds(100, 30) {
            let log = Log::new();
            let link = place
                .builder(side)
                .ring_capacity(4096)
                .on_status(log.statuses())
                .open()
                .unwrap();
            child.say(random.below(3000));
            // It may be over already.
            until("there is a connection", || link.generation() == 1);
            let life = Duration::from_micros(random.below(3000) as u64);
            chatter(&link, side, life);
            link.close();
            // The child may have closed first, and then opened nothing new yet.
            check_one_life(&log.wait_for_last("closed"));
            child.expect("fine");
        }
    }
}

fn closer(parent: &'static Parent) {
    loop {
        let life = Duration::from_micros(parent.next_as());
        let link = parent.builder().ring_capacity(4096).open().unwrap();
        // It may be over already.
        until("there is a connection", || link.generation() == 1);
        chatter(&link, parent.side, life);
        link.close();
        parent.say("fine");
    }
}

/// Sends and receives for a while, or until the peer closes.
fn chatter(link: &Link, side: Side, life: Duration) {
    let over = |e: twinring::Error| {
        use ErrorKind::{Closed, ClosedHere, NotConnected};
        assert!(
            matches!(e.kind(), Closed | ClosedHere | NotConnected),
            "{e:?}"
        );
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if let Err(e) = link.send(&message(side as u64, i, len_of(i))) {
                    return over(e);
                }
            }
        });
        scope.spawn(|| {
            for i in 0.. {
                match link.recv() {
                    Ok(bytes) => check(&bytes, side.opposite() as u64, i, len_of(i)),
                    // It closed in the middle of a large message.
                    Err(e) if e.kind() == ErrorKind::Aborted => {
                        return over(link.recv().unwrap_err());
                    }
                    Err(e) => return over(e),
                }
            }
        });
        thread::sleep(life);
        link.close();
    });
}
