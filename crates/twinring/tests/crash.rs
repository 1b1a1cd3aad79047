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
use twinring::{By, Connection, End, ErrorKind, Status, Timeout};

peers!(flutter, sleeper, stuffed, reader, starter, idler);

/// Opens and closes the link without end.
fn flutter(parent: &'static Parent) {
    parent.say("begins");
    loop {
        let link = parent.builder().open().unwrap();
        let _conn = connected(&link);
        link.close(7, "again");
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
                move |e| log.push(format!("error {e:?}"))
            })
            .open()
            .unwrap();
        let connections = || {
            let lines = log.lines();
            lines.iter().filter(|l| l.starts_with("connected ")).count()
        };
        let mut random = Random::unrepeatable();
        for round in 0..rounds(40, 10) {
            let before = connections();
            let mut child = place.start("flutter", side.opposite());
            child.expect("begins");
            if round % 2 == 0 {
                until("it connects", || connections() > before);
            }
            thread::sleep(Duration::from_micros(random.below(5000) as u64));
            child.kill();
        }
        // The last one may have got so far that it is connected once more, dead as it is.
        let mut child = place.start("reader", side.opposite());
        let conn = loop {
            let conn = connected(&link);
            if conn.peer().pid == child.pid() {
                break conn;
            }
            // Else it would be this side that ends it.
            conn.recv().unwrap_err();
        };
        conn.send(&labelled(0, 0, 100_000)).unwrap();
        child.expect("0");
        link.close(0, "");

        // Statuses in order, and no error but that a peer was gone in the handshake.
        let closed = r#"Closed { by: Peer, code: 7, reason: "again" }"#;
        let mut lines = log.wait_for_last("closed");
        lines.retain(|line| !line.starts_with("error NotConnected "));
        let mut lines = lines.iter().map(String::as_str);
        assert_eq!(lines.next(), Some("waiting"));
        let the_last = format!("connected to {}", child.pid());
        while let Some(line) = lines.next().filter(|line| **line != the_last) {
            assert!(line.starts_with("connected to "), "{line}");
            let line = lines.next().unwrap();
            let end = line.strip_prefix("disconnected ");
            // It may be killed after it has ended a connection, and before it gives the reason.
            assert!(end == Some(closed) || end == Some("Crashed"), "{line}");
            assert_eq!(lines.next(), Some("waiting"));
        }
        let closed = r#"disconnected Closed { by: Local, code: 0, reason: "" }"#;
        // The end of the last connection may be told too late for a link that has been closed.
        let rest: Vec<&str> = lines.filter(|line| *line != closed).collect();
        assert_eq!(rest, ["closed"]);
        child.finish();
    }
}

/// Says the number of each message that it gets.
fn reader(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let e = loop {
        match conn.recv() {
            Ok(bytes) => parent.say(read_label(&bytes.unwrap()).unwrap().1),
            Err(e) => break e,
        }
    };
    assert!(
        matches!(e.end(), Some(End::Closed { by: By::Peer, .. })),
        "{e}"
    );
}

/// Connects and does nothing.
fn sleeper(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    let _conn = connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A call that is expected to fail.
type Call = fn(&Connection) -> twinring::Result<()>;

/// A call that waits for a peer that is killed is told: a sender beside a full ring, in the middle of
/// a large message as well, and a receiver beside an empty one.
#[test]
fn whoever_waits_for_the_dead_is_woken() {
    let _watchdog = Watchdog::new(300);
    let calls: [(&str, Call); 6] = [
        ("send", |conn| {
            loop {
                conn.send(&[0; 100])?;
            }
        }),
        ("send of a large message", |conn| {
            conn.send(&vec![0; 10_000_000])
        }),
        ("send within a time", |conn| {
            loop {
                conn.within(LIMIT).send(&[0; 1000])?;
            }
        }),
        ("flush", |conn| {
            while conn.within(Timeout::Now).send(&[]).is_ok() {}
            conn.flush()
        }),
        ("recv", |conn| conn.recv().map(drop)),
        ("recv_stream", |conn| conn.recv_stream().map(drop)),
    ];
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        for (what, call) in calls {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            let waiting = conn.clone();
            let call = thread::spawn(move || call(&waiting));
            // A sender waits once the ring is full; a receiver may as well come too late.
            until("it waits", || {
                what.starts_with("recv") || conn.within(Timeout::Now).send(&[]).is_err()
            });
            assert!(!call.is_finished(), "{what} waits");
            child.kill_unreaped();
            let e = call.join().unwrap().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Ended, "{what}: {e}");
            // For good, and on both directions.
            let others = [conn.recv().unwrap_err(), conn.send(&[]).unwrap_err()];
            for e in others.iter().chain([&e]) {
                assert_eq!(e.end(), Some(&End::Crashed), "{what}: {e}");
            }
            assert_eq!(conn.end(), Some(End::Crashed), "{what}");
        }
    }
}

/// Sends whole messages, and then one that is too large for the ring, in the middle of which it
/// stays: nobody reads.
fn stuffed(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    let conn = connected(&link);
    for i in 0..10 {
        conn.send(&labelled(1, i, 1000)).unwrap();
    }
    parent.say("sent");
    conn.send(&labelled(1, 10, 10_000_000)).unwrap();
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
            let conn = connected(&link);
            let label = || read_label(&conn.recv().unwrap().unwrap());
            if read_part {
                // Takes the whole messages and what there is of the large one out of the ring.
                for i in 0..10 {
                    assert_eq!(label(), Ok((1, i)));
                }
                let e = conn.within(Duration::from_micros(1)).recv().unwrap_err();
                assert!(e.is_timeout(), "{e}");
            } else {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(child.kill(), [""; 0]);
            if !read_part {
                for i in 0..10 {
                    assert_eq!(label(), Ok((1, i)));
                }
            }
            for _ in 0..2 {
                assert_eq!(conn.recv().unwrap_err().end(), Some(&End::Crashed));
            }
        }
        // The next connection begins anew.
        let mut child = place.start("stuffed", side.opposite());
        child.expect("sent");
        let conn = connected(&link);
        for i in 0..=10 {
            let bytes = conn.recv().unwrap().unwrap();
            assert_eq!(read_label(&bytes), Ok((1, i)));
        }
        child.expect("wrong: nobody reads");
    }
}

/// Connects, and starts a program that outlives it.
fn starter(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let _conn = connected(&link);
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
        let e = connected(&link).recv().unwrap_err();
        assert_eq!(e.end(), Some(&End::Crashed), "{e}");
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
            .on_status(move |status| {
                if let Status::Disconnected(_, end) = status {
                    noticed.send((Instant::now(), end.clone())).unwrap();
                }
            })
            .open()
            .unwrap();
        let mut times = Times::default();
        for _ in 0..rounds(100, 10) {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            let killed = Instant::now();
            child.kill_now();
            let (noticed, end) = notices.recv_timeout(LIMIT).expect("it is noticed");
            assert_eq!((&end, conn.end()), (&End::Crashed, Some(End::Crashed)));
            times.push(noticed.duration_since(killed));
            child.kill();
        }
        times.print(&format!("from the kill to the {side}'s on_status"));
    }
}
