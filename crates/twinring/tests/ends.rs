//! What each side is told of every end, in calls, in status and in errors: two processes, both sides.

mod common;

use std::io::{Read, Write};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use common::{LIMIT, Parent, Place, Side, Watchdog, connected, peers, rounds, until};
use twinring::{By, Connection, End, Error, ErrorKind, Link, Status, Timeout};

peers!(acts, floods);

/// Connects, sends "one" and "two" (and takes nothing, unless told), and does what it is told.
fn acts(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let mut conn = Some(connected(&link));
    let mut stream = None;
    let mut view = None;
    loop {
        let line = parent.next_line();
        let words: Vec<&str> = line.split(' ').collect();
        let here = || conn.as_ref().unwrap();
        match words[0] {
            "send" => here().send(words[1].as_bytes()).unwrap(),
            "recv" => parent.say(match here().recv() {
                Ok(Some(message)) => String::from_utf8(message).unwrap(),
                Ok(None) => "nothing more".to_owned(),
                Err(e) => format!("{:?}", e.end()),
            }),
            "keep" => view = here().recv_in_place().unwrap(),
            "unkeep" => drop(view.take()),
            "finish" => here().finish().unwrap(),
            "close" => here().close(7, "all is said"),
            "stop" => here().stop(8, "too much"),
            "begin" => {
                let mut begun = here().send_stream().unwrap();
                begun.write_all(&[7; 100_000]).unwrap();
                begun.flush().unwrap();
                stream = Some(begun);
            }
            "abort" => stream.take().unwrap().abort(9, "no more rows"),
            "unstream" => drop(stream.take()),
            "drop" => drop(conn.take()),
            "panic" => {
                let conn = conn.take();
                let panicked = std::thread::spawn(move || {
                    let _conn = conn;
                    panic!("as it was told");
                });
                assert!(panicked.join().is_err());
            }
            "exit" => std::process::exit(3),
            "return" => return,
            other => panic!("{other}"),
        }
        parent.say("done");
    }
}

fn told(child: &mut common::Child, what: &str) {
    child.say(what);
    child.expect("done");
}

fn end(result: Result<impl std::fmt::Debug, Error>) -> End {
    let e = result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Ended, "{e:?}");
    e.end().unwrap().clone()
}

fn closed_by_peer(end: &End) -> bool {
    matches!(end, End::Closed { by: By::Peer, code: 7, reason, .. } if reason == "all is said")
}

fn abandoned(end: &End) -> bool {
    matches!(end, End::Abandoned { by: By::Peer, .. })
}

/// What each call says after an end, ever after; everything that had arrived comes first.
fn check(conn: &Connection, receiving: impl Fn(&End) -> bool, sending: impl Fn(&End) -> bool) {
    assert_eq!(conn.recv().unwrap().unwrap(), b"one");
    assert_eq!(conn.recv().unwrap().unwrap(), b"two");
    for _ in 0..3 {
        let end = end(conn.recv());
        assert!(receiving(&end), "{end:?}");
    }
    until("sending fails", || conn.within(LIMIT).send(b"x").is_err());
    let ending = end(conn.send(b"x"));
    assert!(sending(&ending), "{ending:?}");
    until("the end is known", || conn.end().is_some());
}

/// The ends that one side makes, as the other sees them in its calls.
#[test]
fn every_end_has_its_meaning() {
    let _watchdog = Watchdog::new(300);
    type Judge = fn(&End) -> bool;
    let crashed: Judge = |end| *end == End::Crashed;
    let cases: [(&str, Judge, Judge); 6] = [
        ("close", closed_by_peer, closed_by_peer),
        ("drop", abandoned, abandoned),
        ("panic", abandoned, abandoned),
        ("exit", crashed, crashed),
        ("kill", crashed, crashed),
        // Out of main: its handles are dropped.
        ("return", abandoned, abandoned),
    ];
    for side in Side::BOTH {
        for (how, receiving, sending) in cases {
            let place = Place::new();
            let link = place.builder(side).open().unwrap();
            let mut child = place.start("acts", side.opposite());
            let conn = connected(&link);
            told(&mut child, "send one");
            told(&mut child, "send two");
            match how {
                "kill" => drop(child.kill()),
                "exit" | "return" => child.say(how),
                _ => told(&mut child, how),
            }
            println!("{side}: {how}");
            check(&conn, receiving, sending);
        }
    }
}

/// One direction ends and the other goes on; both finished is the good end.
#[test]
fn finishing() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("acts", side.opposite());
        let conn = connected(&link);
        told(&mut child, "send one");
        told(&mut child, "finish");
        assert_eq!(conn.recv().unwrap().unwrap(), b"one");
        for _ in 0..3 {
            assert_eq!(conn.recv().unwrap(), None);
        }
        assert_eq!(conn.end(), None);
        conn.send(b"still").unwrap();
        child.say("recv");
        child.expect("still");
        child.expect("done");
        conn.finish().unwrap();
        conn.finish().unwrap();
        let e = conn.send(b"x").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Closed);
        child.say("recv");
        child.expect("nothing more");
        child.expect("done");
        until("the end", || conn.end() == Some(End::Finished));
        assert_eq!(conn.recv().unwrap(), None);
        conn.flush().unwrap();
        // A crash changes nothing any more.
        child.kill();
        assert_eq!(conn.end(), Some(End::Finished));
        assert_eq!(conn.take_unread().unwrap().count(), 0);
    }
}

/// A receiver that waits is woken by the other's `finish`, and a sender that waits by its `stop`.
#[test]
fn waiting_calls_are_woken() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("acts", side.opposite());
        let conn = connected(&link);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| conn.recv());
            std::thread::sleep(Duration::from_millis(50));
            told(&mut child, "finish");
            assert_eq!(waiting.join().unwrap().unwrap(), None);
            let waiting = scope.spawn(|| {
                loop {
                    if let Err(e) = conn.send(&[0; 10_000]) {
                        return e;
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(50));
            told(&mut child, "stop");
            let e = waiting.join().unwrap();
            let stopped = matches!(e.end(), Some(End::Stopped { code: 8, reason, .. }) if reason == "too much");
            assert!(stopped, "{e:?}");
        });
        // And what waits in the same process.
        let (one, other) = Link::pair().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| one.recv());
            std::thread::sleep(Duration::from_millis(50));
            one.stop(1, "");
            let e = waiting.join().unwrap().unwrap_err();
            assert!(
                matches!(e.end(), Some(End::Stopped { code: 1, .. })),
                "{e:?}"
            );
            let waiting = scope.spawn(|| other.recv());
            std::thread::sleep(Duration::from_millis(50));
            other.close(2, "");
            let e = waiting.join().unwrap().unwrap_err();
            let closed = matches!(
                e.end(),
                Some(End::Closed {
                    by: By::Local,
                    code: 2,
                    ..
                })
            );
            assert!(closed, "{e:?}");
        });
    }
}

/// Dropped after it has finished: a good end if it had taken everything.
#[test]
fn dropped_after_finishing() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("acts", side.opposite());
        let conn = connected(&link);
        told(&mut child, "send one");
        told(&mut child, "finish");
        told(&mut child, "drop");
        assert_eq!(conn.recv().unwrap().unwrap(), b"one");
        assert_eq!(conn.recv().unwrap(), None);
        until("sending fails", || conn.send(b"x").is_err());
        assert!(matches!(end(conn.send(b"x")), End::Stopped { code: 0, .. }));
        assert_eq!(conn.recv().unwrap(), None);
    }
}

/// After a peer that has finished and left: to finish is an error only if it has not taken everything.
#[test]
fn finish_after_a_peer_that_has_left() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        for untaken in [false, true] {
            let place = Place::new();
            let link = place.builder(side).open().unwrap();
            let mut child = place.start("acts", side.opposite());
            let conn = connected(&link);
            if untaken {
                conn.send(b"x").unwrap();
            }
            told(&mut child, "finish");
            told(&mut child, "drop");
            assert_eq!(conn.recv().unwrap(), None);
            until("it has ended", || conn.end().is_some());
            match untaken {
                false => conn.finish().unwrap(),
                true => assert!(matches!(end(conn.finish()), End::Stopped { .. })),
            }
        }
    }
}

/// Each direction's last words are told once the other has read all.
#[test]
fn callbacks_are_told() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        for (how, last) in [
            (
                "close",
                "the peer closed the connection, code 7: all is said",
            ),
            ("drop", "the peer gave up without finishing"),
            (
                "kill",
                "the peer has gone without a word: its process ended, or its link failed",
            ),
            ("finish", "finished"),
        ] {
            let place = Place::new();
            let (tell, log) = mpsc::channel();
            let say = tell.clone();
            let link = place
                .builder(side)
                .on_message(move |_, message| {
                    say.send(String::from_utf8(message.to_vec()).unwrap())
                        .unwrap();
                })
                .on_status(move |status| {
                    let _ = tell.send(match status {
                        Status::Connected(_) => "connected".to_owned(),
                        Status::PeerFinished(conn) => {
                            conn.finish().unwrap();
                            "peer finished".to_owned()
                        }
                        other => other.to_string(),
                    });
                })
                .open()
                .unwrap();
            let mut child = place.start("acts", side.opposite());
            let next = || log.recv_timeout(LIMIT).unwrap();
            assert_eq!(next(), "waiting");
            assert_eq!(next(), "connected");
            told(&mut child, "send one");
            told(&mut child, "send two");
            match how {
                "kill" => drop(child.kill()),
                _ => told(&mut child, how),
            }
            assert_eq!(next(), "one");
            assert_eq!(next(), "two");
            if how == "finish" {
                assert_eq!(next(), "peer finished");
                child.say("recv");
                child.expect("nothing more");
            }
            assert_eq!(next(), format!("disconnected: {last}"));
            assert_eq!(next(), "waiting");
            link.close(0, "");
            // The child's link may have connected again meanwhile.
            while next() != "closed" {}
        }
    }
}

/// A callback that panics: the peer is told, and so is this side.
#[test]
fn a_panic_in_a_callback() {
    let _watchdog = Watchdog::new(300);
    let place = Place::new();
    let (tell, log) = mpsc::channel();
    let _link = place
        .host()
        .on_message(|_, _| panic!("as it was told"))
        .on_status(move |status| {
            let _ = tell.send(status.to_string());
        })
        .open()
        .unwrap();
    let mut child = place.start("acts", Side::Guest);
    told(&mut child, "send one");
    child.say("recv");
    let line = child.next_line();
    assert!(line.contains("Abandoned"), "{line}");
    child.expect("done");
    let statuses: Vec<String> = log.iter().collect();
    let last = &statuses[statuses.len() - 2..];
    assert_eq!(
        last,
        [
            "disconnected: this side gave up without finishing",
            "closed"
        ]
    );
}

/// Of two threads that close at once, one is first: both sides are told its code and its text.
#[test]
fn two_threads_close() {
    let _watchdog = Watchdog::new(120);
    for _ in 0..rounds(200, 30) {
        let (one, other) = Link::pair().unwrap();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            for code in [1, 2] {
                let (one, start) = (&one, &start);
                scope.spawn(move || {
                    start.wait();
                    one.close(code, &code.to_string().repeat(255));
                });
            }
        });
        let said = |end: &End, who: By| match end {
            End::Closed {
                by, code, reason, ..
            } if *by == who => (*code, reason.clone()),
            other => panic!("{other:?}"),
        };
        let (code, reason) = said(&one.end().unwrap(), By::Local);
        assert_eq!(reason, code.to_string().repeat(255));
        assert_eq!(said(&end(other.recv()), By::Peer), (code, reason));
    }
}

/// Streams: aborted, abandoned, stopped; the connection goes on.
#[test]
fn streams() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("acts", side.opposite());
        let conn = connected(&link);
        for as_stream in [false, true] {
            for (how, aborted) in [("abort", true), ("unstream", false)] {
                told(&mut child, "begin");
                let e = if as_stream {
                    let mut stream = conn.recv_stream().unwrap().unwrap();
                    stream.read_exact(&mut [0; 100]).unwrap();
                    told(&mut child, how);
                    let e = stream.read_to_end(&mut Vec::new()).unwrap_err();
                    *e.into_inner().unwrap().downcast::<Error>().unwrap()
                } else {
                    told(&mut child, how);
                    conn.recv().unwrap_err()
                };
                assert_eq!(e.kind(), ErrorKind::StreamEnded);
                let right = match e.end() {
                    Some(End::Aborted {
                        code: 9, reason, ..
                    }) => aborted && reason == "no more rows",
                    Some(End::Abandoned { by: By::Peer, .. }) => !aborted,
                    _ => false,
                };
                assert!(right, "{e:?}");
            }
        }
        told(&mut child, "send one");
        assert_eq!(conn.recv().unwrap().unwrap(), b"one");
    }
}

/// Nothing goes out on a connection before the program was told of it; and a link that waits for a
/// connection says so.
#[test]
fn a_links_own_send() {
    let _watchdog = Watchdog::new(300);
    let place = Place::new();
    let link = place.host().open().unwrap();
    assert_eq!(link.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
    let guest = place.guest().one_connection().open().unwrap();
    let there = connected(&guest);
    assert_eq!(
        link.send(b"x").unwrap_err().kind(),
        ErrorKind::NotConnected,
        "it has not been taken"
    );
    let conn = connected(&link);
    link.send(b"one").unwrap();
    assert_eq!(there.recv().unwrap().unwrap(), b"one");
    drop(conn);
    assert_eq!(link.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(matches!(end(there.recv()), End::Abandoned { .. }));
    let late = link.within(Timeout::Now).next();
    assert!(late.is_err());
}

/// Answers each message with more than it takes.
fn floods(parent: &'static Parent) {
    let (link, errors) = flooding(parent.builder());
    parent.say("ready");
    let error = errors.recv().unwrap();
    parent.say(error);
    // The other side may not have been told yet.
    parent.expect("enough");
    drop(link);
}

fn flooding(builder: twinring::Builder) -> (Link, mpsc::Receiver<String>) {
    let (tell, errors) = mpsc::channel();
    let link = builder
        .on_message(|conn, _| while conn.send(&[0; 1000]).is_ok() {})
        .on_error(move |e| {
            let _ = tell.send(e.to_string());
        })
        .open()
        .unwrap();
    (link, errors)
}

/// Both sides send from their callbacks, and neither reads: each is told.
#[test]
fn both_wait_for_room() {
    let _watchdog = Watchdog::new(300);
    let place = Place::new();
    let (link, errors) = flooding(place.host());
    let mut child = place.start("floods", Side::Guest);
    child.expect("ready");
    until("it is connected", || link.send(b"begin").is_ok());
    let error = errors.recv_timeout(LIMIT).unwrap();
    assert!(error.contains("both wait for ever"), "{error}");
    let error = child.next_line();
    assert!(error.contains("both wait for ever"), "{error}");
    child.say("enough");
    link.close(0, "");
}
