//! One process is killed where it matters, and what the other one is told. `tests/kills` kills
//! thousands, at any moment.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    LIMIT, Log, Parent, Place, Random, Side, Times, Watchdog, connected, labelled, peers,
    read_label, rounds, until,
};
use twinring::{ErrorKind, Link, Status};

peers!(flutter, sleeper, stuffed, reader, starter, idler);

/// Opens and closes the link without end.
fn flutter(parent: &'static Parent) {
    parent.say("begins");
    loop {
        let link = parent.builder().open().unwrap();
        connected(&link);
        link.close();
    }
}

/// Killed while it does nothing but connect and disconnect, it leaves no trace in the other side.
#[test]
fn killed_in_the_handshake() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_error({
                let log = log.clone();
                move |_, e| log.push(format!("error {e:?}"))
            })
            .open()
            .unwrap();
        let mut random = Random::unrepeatable();
        for round in 0..rounds(40, 10) {
            let before = link.generation();
            let mut child = place.start("flutter", side.opposite());
            child.expect("begins");
            if round % 2 == 0 {
                until("it connects", || link.generation() > before);
            }
            thread::sleep(Duration::from_micros(random.below(5000) as u64));
            child.kill();
        }
        // The last one may have got so far that it is connected once more, dead as it is.
        let mut child = place.start("reader", side.opposite());
        until("the next one connects", || {
            link.peer().is_some_and(|peer| peer.pid == child.pid())
        });
        let generation = link.generation();
        link.send(&labelled(0, 0, 100_000)).unwrap();
        child.expect("0");
        link.close();

        // Statuses in order, and no error but that a peer was gone in the handshake.
        let mut lines = log.wait_for_last("closed");
        lines.retain(|line| !line.starts_with("error PeerGone "));
        let mut lines = lines.iter().map(String::as_str);
        assert_eq!(lines.next(), Some("waiting"));
        for generation in 1..generation {
            let line = lines.next().unwrap();
            assert!(
                line.starts_with(&format!("connected {generation} to ")),
                "{line}"
            );
            let line = lines.next().unwrap();
            let reason = line.strip_prefix(&format!("disconnected {generation} "));
            assert!(matches!(reason, Some("Closed" | "Crashed")), "{line}");
            assert_eq!(lines.next(), Some("waiting"));
        }
        assert_eq!(
            lines.next(),
            Some(format!("connected {generation} to {}", child.pid())).as_deref()
        );
        assert_eq!(lines.next(), Some("closed"));
    }
}

/// Says the number of each message that it gets.
fn reader(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    for bytes in link.messages() {
        match bytes {
            Ok(bytes) => parent.say(read_label(&bytes).unwrap().1),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Closed),
        }
    }
}

/// Connects and does nothing.
fn sleeper(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A call that is expected to fail.
type Call = fn(&Link) -> twinring::Result<()>;

/// A call that waits for a peer that is killed is told: a sender beside a full ring, in the middle of
/// a large message as well, and a receiver beside an empty one.
#[test]
fn whoever_waits_for_the_dead_is_woken() {
    let _watchdog = Watchdog::new(300);
    let calls: [(&str, Call); 4] = [
        ("send", |link| {
            loop {
                link.send(&[0; 100])?;
            }
        }),
        ("send of a large message", |link| {
            link.send(&vec![0; 10_000_000])
        }),
        ("send_timeout", |link| {
            loop {
                link.send_timeout(&[0; 1000], LIMIT)?;
            }
        }),
        ("recv", |link| link.recv().map(drop)),
    ];
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        for (what, call) in calls {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            let waiting = link.clone();
            let call = thread::spawn(move || call(&waiting));
            // A sender waits once the ring is full; a receiver may as well come too late.
            until("it waits", || what == "recv" || link.try_send(&[]).is_err());
            assert!(!call.is_finished(), "{what} waits");
            child.kill_unreaped();
            let e = call.join().unwrap().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::PeerGone, "{what}: {e}");
            if what != "recv" {
                assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
            }
        }
    }
}

/// Sends whole messages, and then one that is too large for the ring, in the middle of which it
/// stays: nobody reads.
fn stuffed(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    for i in 0..10 {
        link.send(&labelled(1, i, 1000)).unwrap();
    }
    parent.say("sent");
    link.send(&labelled(1, 10, 10_000_000)).unwrap();
    parent.say("wrong: nobody reads");
}

/// A message that its sender did not live to complete is not delivered; those before it are.
#[test]
fn a_torn_message_is_never_delivered() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        for read_part in [false, true] {
            let mut child = place.start("stuffed", side.opposite());
            child.expect("sent");
            if read_part {
                // Takes the whole messages and what there is of the large one out of the ring.
                for i in 0..10 {
                    assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
                }
                let e = link.recv_timeout(Duration::from_micros(1)).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
            } else {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(child.kill(), [""; 0]);
            if !read_part {
                for i in 0..10 {
                    assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
                }
            }
            assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        }
        // The next connection begins anew.
        let mut child = place.start("stuffed", side.opposite());
        child.expect("sent");
        for i in 0..=10 {
            assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
        }
        child.expect("wrong: nobody reads");
    }
}

/// Connects, and starts a program that outlives it.
fn starter(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    common::run_beside("idler");
    parent.say("started");
    parent.wait_for_the_end();
}

/// Does nothing until the test lets go of the pipe that it was started with.
fn idler(parent: &'static Parent) {
    parent.wait_for_the_end();
}

/// A program that the peer started holds nothing of the link: the peer's death is noticed, and
/// the name is free, although it lives on.
#[test]
fn programs_that_the_dead_started_hold_nothing() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("starter", side.opposite());
        child.expect("started");
        // Its output does not end: on Windows the other program has got that from it.
        child.kill_unreaped();
        assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        let mut next = place.start("sleeper", side.opposite());
        next.expect("connected");
    }
}

/// How soon an idle link tells that its peer was killed.
#[test]
fn death_is_noticed() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let (noticed, notices) = mpsc::channel();
        let link = place
            .builder(side)
            .on_status(move |_, status| {
                if let Status::Disconnected { .. } = status {
                    noticed.send(Instant::now()).unwrap();
                }
            })
            .open()
            .unwrap();
        let mut times = Times::default();
        for _ in 0..rounds(100, 10) {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            let killed = Instant::now();
            child.kill_now();
            let noticed = notices.recv_timeout(LIMIT).expect("it is noticed");
            times.push(noticed.duration_since(killed));
            child.kill();
        }
        times.print(&format!("from the kill to the {side}'s on_status"));
    }
}
