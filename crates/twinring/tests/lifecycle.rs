//! Either side starts first, closes, is killed and comes back; both are told, once and in order.

mod common;

use std::thread;
use std::time::{Duration, SystemTime};

use common::{
    ABANDONED, CLOSED, CRASHED, Child, LIMIT, Log, Parent, Place, Random, STOPPED, Side, Watchdog,
    check, connected, ended, kind, message, peers, rounds, text, until,
};
use twinring::{Connection, ErrorKind, Status, Timeout, User, Wait};

peers!(comer, talker, sender, claimer, knocker, quiet);

#[track_caller]
fn recv(conn: &Connection) -> Vec<u8> {
    conn.recv().unwrap().expect("there is more")
}

/// Opens the link whenever it is told to, exchanges one message, and ends in one of all ways.
fn comer(parent: &'static Parent) {
    loop {
        parent.expect("open");
        let link = parent.builder().open().unwrap();
        let conn = connected(&link);
        conn.send(b"from the child").unwrap();
        assert_eq!(recv(&conn), b"from the test");
        parent.say("met");
        match parent.next_line().as_str() {
            "close" => link.close(0, ""),
            "drop" => {}
            "finish" => {
                conn.finish().unwrap();
                assert_eq!(conn.recv().unwrap(), None);
            }
            "wait" => assert_eq!(ended(conn.recv()), CLOSED),
            other => panic!("{other}"),
        }
        // Before the test opens another one.
        drop((conn, link));
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
        let mut ids = Vec::new();
        for round in 0..rounds(60, 30) {
            let open = || place.builder(side).open().unwrap();
            // Only this side, if it is first, is sure to have been alone for a while; over the
            // rounds the child is as well.
            let link = match round % 3 {
                0 => {
                    let link = open();
                    assert!(matches!(link.status(), Status::Waiting));
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
            let conn = connected(&link);
            assert_eq!(conn.peer().pid, child.pid());
            assert!(!ids.contains(&conn.id()), "each has its own");
            ids.push(conn.id());
            conn.send(b"from the test").unwrap();
            assert_eq!(recv(&conn), b"from the child");
            child.expect("met");
            match random.below(4) {
                0 => {
                    child.say("close");
                    assert_eq!(ended(conn.recv()), CLOSED);
                }
                1 => {
                    child.say("drop");
                    assert_eq!(ended(conn.recv()), ABANDONED);
                }
                2 => {
                    child.say("finish");
                    assert_eq!(conn.recv().unwrap(), None);
                    conn.finish().unwrap();
                }
                _ => {
                    child.say("wait");
                    link.close(0, "");
                }
            }
            child.expect("closed");
        }
        drop(child.kill());
    }
}

/// Reports its statuses and does what it is told.
fn talker(parent: &'static Parent) {
    let open = || {
        parent
            .builder()
            .on_status(|status| parent.say(text(status)))
            .open()
            .unwrap()
    };
    // What was taken is kept.
    let mut link = None;
    let mut conns = Vec::new();
    loop {
        match parent.next_line().as_str() {
            "open" => {
                let opened = open();
                conns.push(connected(&opened));
                link = Some(opened);
            }
            "close" => link.take().unwrap().close(0, ""),
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

        // A connection that is closed by the peer.
        let us = std::process::id();
        let mut first = place.start("talker", side.opposite());
        first.say("open");
        first.expect("waiting");
        first.expect(&format!("connected to {us}"));
        log.wait_for(2);
        first.say("close");
        first.expect("closed");
        log.wait_for(4);

        // Another one, with the same process, which is killed.
        first.say("open");
        first.expect("waiting");
        first.expect(&format!("connected to {us}"));
        log.wait_for(5);
        assert_eq!(first.kill(), [""; 0]);
        log.wait_for(7);

        // And one that this side closes.
        let mut second = place.start("talker", side.opposite());
        second.say("open");
        second.expect("waiting");
        second.expect(&format!("connected to {us}"));
        log.wait_for(8);
        assert!(link.status().is_connected());
        link.close(0, "");
        assert!(matches!(link.status(), Status::Closed));
        second.expect(&format!("disconnected {CLOSED}"));
        second.expect("waiting");
        assert_eq!(
            log.wait_for_last("closed"),
            [
                "waiting".to_owned(),
                format!("connected to {}", first.pid()),
                format!("disconnected {CLOSED}"),
                "waiting".to_owned(),
                format!("connected to {}", first.pid()),
                format!("disconnected {CRASHED}"),
                "waiting".to_owned(),
                format!("connected to {}", second.pid()),
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
        let conn = connected(&link);
        let peer = conn.peer();
        assert_eq!(peer.pid, child.pid());
        assert_eq!(peer.user, User::current().unwrap());
        // Told to a second or so by Linux.
        let slack = Duration::from_secs(3);
        let started = peer
            .started
            .expect("the system tells when a process was started");
        assert!(started > before - slack && started < SystemTime::now() + slack);
        let executable = peer.executable.as_ref().expect("and which program it is");
        let own = std::env::current_exe().unwrap();
        assert_eq!(executable.file_name(), own.file_name());
        assert_eq!(peer.integrity.is_some(), cfg!(windows));
        assert_eq!(peer.elevated.is_some(), cfg!(windows));
        match link.status() {
            Status::Connected(told) => assert_eq!((told.peer(), told.id()), (peer, conn.id())),
            other => panic!("{other}"),
        }
        // It stays who it was.
        child.kill();
        assert_eq!(ended(conn.recv()), CRASHED);
        assert_eq!(conn.peer().pid, child.pid());
    }
}

/// Sends as many messages as it is told, then does as it is told; knows nothing of its peer.
fn sender(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    let count: u64 = parent.next_as();
    for i in 0..count {
        conn.send(&message(1, i, len_of(i))).unwrap();
    }
    parent.say("sent");
    match parent.next_line().as_str() {
        "close" => conn.close(0, ""),
        "finish" => conn.finish().unwrap(),
        "drop" => {}
        other => panic!("{other}"),
    }
    drop(conn);
    parent.say("closed");
    parent.wait_for_the_end();
}

fn len_of(i: u64) -> usize {
    Random::new(i).len(500, 20, 100_000)
}

/// The ways in which a sender may end, and what the receiver is told after the last message.
const ENDS: [(&str, Option<&str>); 4] = [
    ("kill", Some(CRASHED)),
    ("close", Some(CLOSED)),
    ("drop", Some(ABANDONED)),
    ("finish", None),
];

/// Lets a [`sender`] send so many and end.
fn send_and_end(child: &mut Child, count: u64, how: &str) {
    child.say(count);
    child.expect("sent");
    if how == "kill" {
        child.kill();
    } else {
        child.say(how);
        child.expect("closed");
    }
}

/// What was committed before the end is delivered, however late it is read, and each time it is asked, the end.
#[test]
fn what_was_sent_before_the_end_is_received() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for (how, end) in ENDS {
            let place = Place::new();
            // The host's capacity counts.
            let host = |builder: twinring::Builder| builder.ring_capacity(1 << 20);
            let link = host(place.builder(side)).open().unwrap();
            let mut conns = Vec::new();
            for count in [100, 0, 50] {
                let mut child = place.start("sender", side.opposite());
                let conn = connected(&link);
                send_and_end(&mut child, count, how);
                until("the end is noticed", || conn.end().is_some());
                conns.push((conn, count));
            }
            // Three connections have come and gone; only now is anything read.
            for (conn, count) in conns {
                for i in 0..count {
                    check(&recv(&conn), 1, i, len_of(i));
                }
                for _ in 0..2 {
                    match end {
                        Some(end) => assert_eq!(ended(conn.recv()), end),
                        None => assert_eq!(conn.recv().unwrap(), None),
                    }
                }
            }
        }
    }
}

/// Nor is anything lost if the program takes the connections late as well.
#[test]
fn connections_wait_until_they_are_taken() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for (how, end) in ENDS {
            let place = Place::new();
            let host = |builder: twinring::Builder| builder.ring_capacity(1 << 20);
            let link = host(place.builder(side)).open().unwrap();
            for count in [100, 50] {
                let mut child = place.start("sender", side.opposite());
                until("it is connected", || link.status().is_connected());
                send_and_end(&mut child, count, how);
                until("the end is noticed", || !link.status().is_connected());
            }
            let short = link.within(Duration::from_millis(20));
            let mut counts = Vec::new();
            for conn in short.connections() {
                let mut count = 0;
                let over = loop {
                    match conn.recv() {
                        Ok(Some(bytes)) => check(&bytes, 1, count, len_of(count)),
                        over => break over,
                    }
                    count += 1;
                };
                match end {
                    Some(end) => assert_eq!(ended(over), end),
                    None => assert_eq!(over.unwrap(), None),
                }
                counts.push(count);
            }
            assert_eq!(counts, [100, 50]);
        }
    }
}

/// With callbacks the statuses stand in their places among the messages.
#[test]
fn callbacks_get_the_messages_before_the_end() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for (how, end) in ENDS {
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
            for _ in 0..3 {
                let mut child = place.start("sender", side.opposite());
                until("it is connected", || link.status().is_connected());
                send_and_end(&mut child, 100, how);
                expected.push(format!("connected to {}", child.pid()));
                expected.extend((0..100).map(|_| "message".to_owned()));
                match end {
                    Some(end) => expected.push(format!("disconnected {end}")),
                    None => {
                        // This side has not finished, but nobody is there who would take anything.
                        expected.push(format!("{} has finished", child.pid()));
                        expected.push(format!("disconnected {STOPPED}"));
                    }
                }
                expected.push("waiting".to_owned());
                until("the end is noticed", || !link.status().is_connected());
            }
            // A peer that was gone before this side had read to the end is not told to have finished.
            let without = |lines: &[String]| -> Vec<String> {
                let finished = |line: &&String| !line.ends_with("finished");
                lines.iter().filter(finished).cloned().collect()
            };
            let expected = without(&expected);
            until("all is told", || {
                without(&log.lines()).len() >= expected.len()
            });
            let lines = log.lines();
            assert_eq!(without(&lines), expected);
        }
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
    host.close(0, "");
    let again = place.host().open().unwrap();
    again.close(0, "");
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
            host.close(0, "");
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
    let _conn = connected(&host);
}

/// A guest that tells whether it was let in, and then its errors and statuses.
fn knocker(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_error(|e| parent.say(format!("error {:?}", e.kind())))
        .open()
        .unwrap();
    parent.expect("wait");
    let e = link.within(Duration::from_secs(1)).next().unwrap_err();
    parent.say(format!("failed {:?}", e.kind()));
    parent.expect("wait");
    let conn = connected(&link);
    conn.send(b"I am in").unwrap();
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
        let conn = connected(&host);

        let mut second = place.start("knocker", Side::Guest);
        second.expect("error Busy");
        // Once, however often it tries: nothing else comes before the answer.
        second.say("wait");
        second.expect("failed Busy");
        assert_eq!(conn.peer().pid, first.pid());
        assert_eq!(conn.end(), None, "the first is undisturbed");

        second.say("wait");
        if kill {
            first.kill();
        } else {
            first.say("close");
        }
        second.expect("connected");
        assert_eq!(ended(conn.recv()), if kill { CRASHED } else { CLOSED });
        let next = connected(&host);
        assert_eq!(recv(&next), b"I am in");
        assert_eq!(next.peer().pid, second.pid());
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
    let mut before: Option<(Child, Connection)> = None;
    for _ in 0..rounds(40, 10) {
        // Started first, so that only its connecting comes after the kill.
        let mut next = place.start("quiet", Side::Guest);
        next.expect("ready");
        if let Some((mut before, conn)) = before.take() {
            // Not reaped: a zombie is dead too.
            before.kill_unreaped();
            next.say("go");
            next.expect("connected");
            assert_eq!(ended(conn.recv()), CRASHED);
        } else {
            next.say("go");
            next.expect("connected");
        }
        before = Some((next, connected(&host)));
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
            let conn = connected(&link);
            child.kill_unreaped();
            assert_eq!(ended(conn.recv()), CRASHED);
            assert_eq!(ended(conn.send(b"?")), CRASHED);
            // Or that it was gone when a guest, who knew already, knocked again.
            let e = link.within(Timeout::Now).next().unwrap_err();
            let gone = e.kind() == ErrorKind::NotConnected;
            assert!(gone || e.is_timeout(), "{e:?}");
        }
    }
}

/// Opens when told, reports the first error or the connection, and does nothing.
fn quiet(parent: &'static Parent) {
    parent.say("ready");
    parent.expect("go");
    let link = parent.builder().on_error(|e| parent.say(e)).open().unwrap();
    let _conn = connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

#[test]
fn without_a_peer_nothing_is_sent() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let check = || {
            for timeout in [Timeout::Never, Timeout::Now, Timeout::After(LIMIT)] {
                for len in [1, 10_000_000] {
                    let e = link.within(timeout).send(&vec![0; len]).unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::NotConnected, "{e}");
                    assert_eq!(e.link(), Some(place.name()));
                }
            }
        };
        check();
        let short = Duration::from_millis(20);
        assert_eq!(kind(link.within(short).next()), ErrorKind::TimedOut);

        let mut child = place.start("talker", side.opposite());
        child.say("open");
        until("it is connected", || link.status().is_connected());
        // Nobody was told of it yet.
        check();
        let conn = connected(&link);
        link.send(b"!").unwrap();
        child.kill();
        // It fails for good once the end is noticed, and so does the link's until the next one.
        until("sends fail", || match conn.send(b"?") {
            Ok(()) => false,
            end => {
                assert_eq!(ended(end), CRASHED);
                true
            }
        });
        assert_eq!(ended(link.send(b"?")), CRASHED);
        drop(conn);
        check();
        link.close(0, "");
        assert_eq!(kind(link.send(b"?")), ErrorKind::Closed);
        assert_eq!(kind(link.next()), ErrorKind::Closed);
    }
}
