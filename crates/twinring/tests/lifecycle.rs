//! Either side starts first, closes, is killed and comes back; both are told, once and in order.

mod common;

use std::thread;
use std::time::{Duration, SystemTime};

use common::{
    Child, LIMIT, Log, Parent, Place, Random, Side, Watchdog, check, connected, message, peers,
    rounds, text, until,
};
use twinring::{ErrorKind, Link, Status, User, Wait};

peers!(comer, talker, sender, claimer, knocker, quiet);

/// A call that is expected to fail.
type Call = fn(&Link) -> twinring::Result<()>;

/// Opens and closes the link whenever it is told to, and exchanges one message in between.
fn comer(parent: &'static Parent) {
    loop {
        parent.expect("open");
        let link = parent.builder().open().unwrap();
        connected(&link);
        assert_eq!(link.generation(), 1, "each opened link counts for itself");
        link.send(b"from the child").unwrap();
        assert_eq!(link.recv().unwrap(), b"from the test");
        parent.say("met");
        match parent.next_line().as_str() {
            "close" => link.close(),
            "wait" => assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::Closed),
            other => panic!("{other}"),
        }
        drop(link);
        parent.say("closed");
    }
}

#[test]
fn either_side_may_be_first_and_either_may_close_first() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("comer", side.opposite());
        let mut random = Random::new(1);
        for round in 0..rounds(60, 30) {
            let open = || place.builder(side).open().unwrap();
            // Only this side, if it is first, is sure to have been alone for a while; over the
            // rounds the child is as well.
            let link = match round % 3 {
                0 => {
                    let link = open();
                    assert_eq!(link.status(), Status::Waiting);
                    assert_eq!(link.peer(), None);
                    child.say("open");
                    link
                }
                1 => {
                    child.say("open");
                    thread::sleep(Duration::from_millis(random.below(10) as u64));
                    open()
                }
                _ => {
                    child.say("open");
                    open()
                }
            };
            connected(&link);
            assert_eq!(link.peer().unwrap().pid, child.pid());
            link.send(b"from the test").unwrap();
            assert_eq!(link.recv().unwrap(), b"from the child");
            child.expect("met");
            if random.one_in(2) {
                child.say("close");
                assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::Closed);
                child.expect("closed");
            } else {
                child.say("wait");
                link.close();
                child.expect("closed");
            }
        }
        drop(child.kill());
    }
}

/// Reports its statuses and does what it is told.
fn talker(parent: &'static Parent) {
    let open = || {
        parent
            .builder()
            .on_status(|_, status| parent.say(text(status)))
            .open()
            .unwrap()
    };
    let mut link = None;
    loop {
        match parent.next_line().as_str() {
            "open" => link = Some(open()),
            "close" => link.take().unwrap().close(),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn both_sides_get_each_status_once_and_in_order() {
    let _watchdog = Watchdog::new(120);
    for (side, with_messages) in [
        (Side::Host, false),
        (Side::Host, true),
        (Side::Guest, false),
        (Side::Guest, true),
    ] {
        let place = Place::new();
        let log = Log::new();
        let builder = place.builder(side).on_status(log.statuses());
        let builder = if with_messages {
            builder.on_message(|_, _| {})
        } else {
            builder
        };
        let link = builder.open().unwrap();
        assert_eq!(log.wait_for(1), ["waiting"]);
        assert_eq!(link.generation(), 0, "before the first connection");

        // Connection 1, closed by the peer.
        let us = std::process::id();
        let mut first = place.start("talker", side.opposite());
        first.say("open");
        first.expect("waiting");
        first.expect(&format!("connected 1 to {us}"));
        connected(&link);
        assert_eq!(link.generation(), 1);
        first.say("close");
        first.expect("closed");
        log.wait_for(4);

        // Connection 2, with the same process, which is killed.
        first.say("open");
        first.expect("waiting");
        first.expect(&format!("connected 1 to {us}"));
        log.wait_for(5);
        assert_eq!(link.generation(), 2);
        assert_eq!(first.kill(), [""; 0]);
        log.wait_for(7);

        // Connection 3, which this side closes.
        let mut second = place.start("talker", side.opposite());
        second.say("open");
        second.expect("waiting");
        second.expect(&format!("connected 1 to {us}"));
        log.wait_for(8);
        assert!(link.status().is_connected());
        link.close();
        assert_eq!(link.status(), Status::Closed);
        assert_eq!(link.generation(), 3);
        second.expect("disconnected 1 Closed");
        second.expect("waiting");
        assert_eq!(
            log.wait_for_last("closed"),
            [
                "waiting".to_owned(),
                format!("connected 1 to {}", first.pid()),
                "disconnected 1 Closed".to_owned(),
                "waiting".to_owned(),
                format!("connected 2 to {}", first.pid()),
                "disconnected 2 Crashed".to_owned(),
                "waiting".to_owned(),
                format!("connected 3 to {}", second.pid()),
                "closed".to_owned(),
            ],
            "statuses of the {side}, with on_message: {with_messages}"
        );
        assert_eq!(second.kill(), [""; 0], "nothing follows");
    }
}

#[test]
fn the_peer_is_who_it_is() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let before = SystemTime::now();
        let mut child = place.start("talker", side.opposite());
        child.say("open");
        let peer = link.wait_connected(LIMIT).unwrap();
        assert_eq!(peer.pid, child.pid());
        assert_eq!(peer.user, User::current().unwrap());
        // Told to a second or so by Linux.
        let slack = Duration::from_secs(3);
        let started = peer
            .started
            .expect("the system tells when a process was started");
        assert!(started > before - slack && started < SystemTime::now() + slack);
        assert_eq!(link.peer(), Some(peer.clone()));
        match link.status() {
            Status::Connected { peer: told, .. } => assert_eq!(told, peer),
            other => panic!("{other}"),
        }
    }
}

/// Sends as many messages as it is told, then does as it is told; knows nothing of its peer.
fn sender(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    let count: u64 = parent.next_as();
    for i in 0..count {
        link.send(&message(1, i, len_of(i))).unwrap();
    }
    parent.say("sent");
    parent.expect("close");
    link.close();
    parent.say("closed");
}

fn len_of(i: u64) -> usize {
    Random::new(i).len(500, 20, 100_000)
}

/// What was committed before a close or a kill is delivered, however late it is read.
#[test]
fn what_was_sent_before_the_end_is_received() {
    let _watchdog = Watchdog::new(120);
    for (side, kill) in [
        (Side::Host, false),
        (Side::Host, true),
        (Side::Guest, false),
        (Side::Guest, true),
    ] {
        let place = Place::new();
        // The host's capacity counts.
        let host = |builder: twinring::Builder| builder.ring_capacity(1 << 20);
        let link = host(place.builder(side)).open().unwrap();
        let mut ends = Vec::new();
        for count in [100, 0, 50] {
            let mut child = place.start("sender", side.opposite());
            connected(&link);
            child.say(count);
            child.expect("sent");
            if kill {
                child.kill();
            } else {
                child.say("close");
                child.expect("closed");
            }
            until("the end is noticed", || !link.status().is_connected());
            ends.push(count);
        }
        // Three connections have come and gone; only now is anything read.
        for count in ends {
            for i in 0..count {
                check(&link.recv().unwrap(), 1, i, len_of(i));
            }
            // One that brought nothing may have been dropped to make room, but not yet.
            let e = link.recv().unwrap_err();
            let expected = if kill {
                ErrorKind::PeerGone
            } else {
                ErrorKind::Closed
            };
            assert_eq!(e.kind(), expected, "{e}");
            assert!(e.is_disconnect());
        }
        assert_eq!(link.try_recv().unwrap(), None, "each end is told once");
    }
}

/// With callbacks the statuses stand in their places among the messages.
#[test]
fn callbacks_get_the_messages_before_the_end() {
    let _watchdog = Watchdog::new(120);
    for (side, kill) in [
        (Side::Host, false),
        (Side::Host, true),
        (Side::Guest, false),
        (Side::Guest, true),
    ] {
        let place = Place::new();
        let log = Log::new();
        let seen = log.clone();
        let mut next = 0;
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(move |_, bytes| {
                // Slower than the sender, so that it has long gone when the last one is read.
                thread::sleep(Duration::from_micros(200));
                check(bytes, 1, next % 100, len_of(next % 100));
                seen.push("message");
                next += 1;
            })
            .open()
            .unwrap();
        let mut expected = vec!["waiting".to_owned()];
        for generation in 1..=3 {
            let mut child = place.start("sender", side.opposite());
            connected(&link);
            child.say(100);
            child.expect("sent");
            let end = if kill {
                child.kill();
                "Crashed"
            } else {
                child.say("close");
                child.expect("closed");
                "Closed"
            };
            expected.push(format!("connected {generation} to {}", child.pid()));
            expected.extend((0..100).map(|_| "message".to_owned()));
            expected.push(format!("disconnected {generation} {end}"));
            expected.push("waiting".to_owned());
            until("the end is noticed", || {
                link.generation() == generation && !link.status().is_connected()
            });
        }
        assert_eq!(log.wait_for(expected.len()), expected);
    }
}

/// Tries to host the name and tells what came of it.
fn claimer(parent: &'static Parent) {
    parent.say("ready");
    parent.expect("go");
    match parent.builder().open() {
        Ok(_link) => {
            parent.say("host");
            parent.wait_for_the_end();
        }
        Err(e) => {
            assert_eq!(e.link(), Some(parent.place.name()));
            parent.say(format!("{:?} {e}", e.kind()));
        }
    }
}

#[test]
fn a_second_host_is_told_that_the_name_is_in_use() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let host = place.host().open().unwrap();
    let e = place.host().open().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NameInUse, "{e}");

    let mut child = place.start("claimer", Side::Host);
    child.expect("ready");
    child.say("go");
    let told = child.next_line();
    assert!(told.starts_with("NameInUse "), "{told}");
    if cfg!(target_os = "linux") {
        let us = format!("process {}", std::process::id());
        assert!(told.contains(&us), "{told}");
    }
    child.finish();

    // Another name is another link, and this one is free again once it is closed.
    let other = Place::new().host().open().unwrap();
    host.close();
    let again = place.host().open().unwrap();
    again.close();
    place.host().open().unwrap();
    drop(other);
}

/// Also while another thread starts programs, which hold copies of all descriptors for a moment.
#[test]
fn a_closed_name_is_free_while_programs_are_started() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    thread::scope(|scope| {
        let starter = scope.spawn(|| {
            for _ in 0..rounds(100, 5) {
                drop(Place::new().start("claimer", Side::Host));
            }
        });
        while !starter.is_finished() {
            let host = place.host().open().expect("the name is free");
            host.close();
        }
    });
}

#[test]
fn of_many_hosts_at_once_one_wins_and_frees_the_name_when_killed() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut children: Vec<Child> = (0..rounds(20, 8))
        .map(|_| place.start("claimer", Side::Host))
        .collect();
    for child in &mut children {
        child.expect("ready");
    }
    for child in &mut children {
        child.say("go");
    }
    let mut winners = Vec::new();
    for mut child in children {
        match child.next_line().as_str() {
            "host" => winners.push(child),
            lost => {
                assert!(lost.starts_with("NameInUse "), "{lost}");
                child.finish();
            }
        }
    }
    assert_eq!(winners.len(), 1, "hosts at the same time");
    winners[0].kill();
    let host = place
        .host()
        .open()
        .expect("a killed host's name is free at once");
    let mut guest = place.start("talker", Side::Guest);
    guest.say("open");
    connected(&host);
}

/// A guest that tells whether it was let in, and then its errors and statuses.
fn knocker(parent: &'static Parent) {
    let log = Log::new();
    let link = parent
        .builder()
        .on_error(|_, e| parent.say(format!("error {:?}", e.kind())))
        .on_status(log.statuses())
        .open()
        .unwrap();
    parent.expect("wait");
    match link.wait_connected(Duration::from_secs(1)) {
        Ok(_) => parent.say("connected"),
        Err(e) => parent.say(format!("failed {:?}", e.kind())),
    }
    parent.expect("wait");
    connected(&link);
    link.send(b"I am in").unwrap();
    parent.say("connected");
    parent.wait_for_the_end();
}

#[test]
fn a_second_guest_is_told_busy_and_takes_over_when_the_first_has_gone() {
    let _watchdog = Watchdog::new(120);
    for kill in [false, true] {
        let place = Place::new();
        let host = place.host().open().unwrap();
        let mut first = place.start("talker", Side::Guest);
        first.say("open");
        connected(&host);

        let mut second = place.start("knocker", Side::Guest);
        second.expect("error Busy");
        // Once, however often it tries: nothing else comes before the answer.
        second.say("wait");
        second.expect("failed Busy");
        assert_eq!(
            host.peer().unwrap().pid,
            first.pid(),
            "the first is undisturbed"
        );

        second.say("wait");
        if kill {
            first.kill();
        } else {
            first.say("close");
        }
        second.expect("connected");
        let e = host.recv().unwrap_err();
        let expected = if kill {
            ErrorKind::PeerGone
        } else {
            ErrorKind::Closed
        };
        assert_eq!(e.kind(), expected, "{e}");
        assert_eq!(host.recv().unwrap(), b"I am in");
        assert_eq!(host.peer().unwrap().pid, second.pid());
        assert_eq!(second.kill(), [""; 0], "no further error");
    }
}

/// A new guest that comes before the host has noticed the old one's death is let in, not "busy".
#[test]
fn a_dead_guest_does_not_keep_its_place() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let host = place.host().on_error(log.errors()).open().unwrap();
    let mut before: Option<Child> = None;
    for _ in 0..rounds(40, 10) {
        // Started first, so that only its connecting comes after the kill.
        let mut next = place.start("quiet", Side::Guest);
        next.expect("ready");
        if let Some(mut before) = before.take() {
            // Not reaped: a zombie is dead too.
            before.kill_unreaped();
            next.say("go");
            next.expect("connected");
            assert_eq!(host.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        } else {
            next.say("go");
            next.expect("connected");
        }
        before = Some(next);
    }
    assert_eq!(log.lines(), [""; 0]);
}

/// A program that is told by a call that the peer has gone, and then waits for one, waits for the next.
#[test]
fn who_knows_of_the_end_does_not_find_the_old_peer() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        // It spins, so that it is told as early as can be.
        let link = place.builder(side).wait(Wait::Spin).open().unwrap();
        for _ in 0..rounds(40, 5) {
            let mut child = place.start("quiet", side.opposite());
            child.expect("ready");
            child.say("go");
            child.expect("connected");
            connected(&link);
            child.kill_unreaped();
            assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
            // Or that it was gone when a guest, who knew already, knocked again.
            use ErrorKind::{PeerGone, TimedOut};
            let e = link.wait_connected(Duration::ZERO).unwrap_err();
            assert!(matches!(e.kind(), TimedOut | PeerGone), "{e}");
        }
    }
}

/// Opens when told, reports the first error or the connection, and does nothing.
fn quiet(parent: &'static Parent) {
    parent.say("ready");
    parent.expect("go");
    let link = parent
        .builder()
        .on_error(|_, e| parent.say(e))
        .open()
        .unwrap();
    connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

#[test]
fn without_a_peer_nothing_is_sent() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let sends: [Call; 3] = [
            |link| link.send(b"?"),
            |link| link.try_send(b"?"),
            |link| link.send_timeout(&[0; 10_000_000], LIMIT),
        ];
        let check = || {
            for send in sends {
                let e = send(&link).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::NotConnected, "{e}");
                assert_eq!(e.link(), Some(place.name()));
            }
        };
        check();
        let e = link.wait_connected(Duration::from_millis(20)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");

        let mut child = place.start("talker", side.opposite());
        child.say("open");
        connected(&link);
        link.send(b"!").unwrap();
        child.kill();
        until("sends fail", || match link.send(b"?") {
            // Not noticed yet.
            Ok(()) => false,
            Err(e) => {
                use ErrorKind::{NotConnected, PeerGone};
                assert!(matches!(e.kind(), PeerGone | NotConnected), "{e}");
                true
            }
        });
        until("the end is noticed", || !link.status().is_connected());
        check();
    }
}
