//! Closing: every waiting call is woken, whichever side closes and however many wait at once.

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::{
    ABANDONED, ABANDONED_HERE, CLOSED, CLOSED_HERE, CRASHED, Child, LIMIT, Log, Parent, Place,
    Random, Side, Watchdog, amount, check, connected, end_text, ended, kind, message, peers,
    rounds, text,
};
use twinring::{By, Connection, End, ErrorKind, Link, Result, Status, Timeout};

peers!(talker, visitor, closer, canceller);

/// A call that is expected to fail, on a connection or on a link.
type Call<T> = fn(&T) -> Result<()>;

/// Opens the link and reports its statuses; never reads.
fn talker(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_status(|status| parent.say(text(status)))
        .open()
        .unwrap();
    let _conn = connected(&link);
    parent.wait_for_the_end();
}

/// Closes each connection when it gets a message.
fn canceller(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    for conn in link.connections() {
        conn.recv().unwrap();
        conn.close(1, "cancelled");
    }
}

/// The peer's end was told by `send` before the driver has noticed it: a `close` after it does not replace it.
#[test]
fn a_close_after_the_peer_s() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let _child = place.start("canceller", side.opposite());
        for round in 0..rounds(amount(100, 1000), 30) {
            let conn = connected(&link);
            let told = loop {
                if let Err(e) = conn.send(b"cancel") {
                    break e;
                }
            };
            conn.close(4, "mine");
            let cancelled = |end: Option<&End>| matches!(end, Some(End::Closed { by: By::Peer, code: 1, reason, .. }) if reason == "cancelled");
            assert!(cancelled(told.end()), "{side}, round {round}: {told}");
            assert!(
                cancelled(conn.end().as_ref()),
                "{side}, round {round}: {:?}",
                conn.end()
            );
            assert!(
                cancelled(conn.recv().unwrap_err().end()),
                "{side}, round {round}"
            );
        }
    }
}

/// Connects, and closes when it is told to.
fn visitor(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let _conn = connected(&link);
    parent.say("connected");
    parent.expect("close");
    link.close(0, "");
}

/// Makes all these calls, each in a thread of its own, and closes; returns what they returned. They are made
/// while the peer reads nothing.
fn close_wakes<T: Sync>(on: &T, calls: &[Call<T>], close: impl FnOnce()) -> Vec<Result<()>> {
    let started = Barrier::new(calls.len() + 1);
    thread::scope(|scope| {
        let waiting: Vec<_> = calls
            .iter()
            .map(|call| {
                scope.spawn(|| {
                    started.wait();
                    call(on)
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
        close();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn close_wakes_everyone_who_waits_for_a_peer() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let calls: [Call<Link>; 3] = [
            |link| link.next().map(drop),
            |link| link.within(LIMIT).next().map(drop),
            |link| match link.connections().next() {
                // The iterator ends; said here as the error that the other calls give.
                None => link.next().map(drop),
                Some(other) => panic!("{other:?}"),
            },
        ];
        for woken in close_wakes(&link, &calls, || link.close(0, "")) {
            assert_eq!(kind(woken), ErrorKind::Closed);
        }
    }
}

const WAITS: [Call<Connection>; 11] = [
    |conn| conn.recv().map(drop),
    |conn| conn.within(LIMIT).recv().map(drop),
    |conn| conn.recv_into(&mut Vec::new()).map(drop),
    |conn| conn.recv_in_place().map(drop),
    |conn| conn.recv_batch().map(drop),
    |conn| conn.send(&[0; 1000]),
    |conn| conn.send(&[0; 100_000_000]),
    |conn| conn.within(LIMIT).send(&[0; 100_000_000]),
    |conn| conn.within(LIMIT).send(&[0; 10]),
    |conn| conn.send_batch(&[[0; 10]; 3]).map(drop),
    |conn| conn.flush(),
];

/// A connection to a child, which never reads, with a full ring.
fn full(link: &Link, child: &mut Child) -> Connection {
    child.expect("waiting");
    child.next_line();
    let conn = connected(link);
    let at_once = conn.within(Timeout::Now);
    while at_once.send(&[0; 1000]).is_ok() {}
    while at_once.send(&[]).is_ok() {}
    conn
}

/// Whichever is closed, the connection or its link.
#[test]
fn close_wakes_everyone_who_waits_for_the_peer() {
    let _watchdog = Watchdog::new(60);
    let here = r#"Closed { by: Local, code: 7, reason: "out of paper" }"#;
    let there = r#"disconnected Closed { by: Peer, code: 7, reason: "out of paper" }"#;
    for side in Side::BOTH {
        for closes_link in [false, true] {
            let place = Place::new();
            let link = place.builder(side).open().unwrap();
            let mut child = place.start("talker", side.opposite());
            let conn = full(&link, &mut child);
            let woken = close_wakes(&conn, &WAITS, || match closes_link {
                false => conn.close(7, "out of paper"),
                true => link.close(7, "out of paper"),
            });
            for woken in woken {
                assert_eq!(ended(woken), here);
            }
            child.expect(there);

            // Closing again does nothing, and every call says what has happened.
            conn.close(8, "again");
            assert_eq!(ended(conn.within(Timeout::Now).recv()), here);
            for call in WAITS {
                assert_eq!(ended(call(&conn)), here);
            }
            assert_eq!(ended(conn.finish()), here);
            assert_eq!(end_text(&conn.end().unwrap()), here);

            if closes_link {
                link.close(8, "again");
                assert_eq!(kind(link.next()), ErrorKind::Closed);
                assert!(link.connections().next().is_none());
                assert!(matches!(link.status(), Status::Closed));
                assert_eq!(ended(link.send(b"?")), here, "as long as there is a handle");
                drop(conn);
                assert_eq!(kind(link.send(b"?")), ErrorKind::Closed);
            }
        }
    }
}

/// It would be told as a guest that went away during the handshake.
#[test]
fn a_link_that_closes_looks_for_no_other_connection() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let _host = place
        .host()
        .on_status(|_| {})
        .on_error(log.errors())
        .open()
        .unwrap();
    // A process each: its event loop begins while the link closes.
    for _ in 0..rounds(amount(60, 300), 10) {
        let mut guest = place.start("visitor", Side::Guest);
        guest.expect("connected");
        guest.say("close");
        guest.finish();
    }
    assert_eq!(log.lines(), Vec::<String>::new());
}

/// The library's own threads, which give up the connection then, do it only once it has the reason.
#[test]
fn a_link_with_callbacks_says_why_it_closes() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("talker", side.opposite());
        child.expect("waiting");
        for round in 0..rounds(amount(50, 500), 50) {
            let log = Log::new();
            let builder = place.builder(side).on_message(|_, _| {});
            let link = builder.on_status(log.statuses()).open().unwrap();
            log.wait_for(2);
            child.expect(&format!("connected to {}", std::process::id()));
            link.close(round as u32, "back at noon");
            let told = child.next_line();
            let why = format!("code: {round}, reason: \"back at noon\"");
            assert!(told.contains(&why), "{told} does not say {why}");
            child.expect("waiting");
        }
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
        let _conn = (round % 2 == 0).then(|| connected(&guest));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| host.close(0, ""));
                scope.spawn(|| guest.close(0, ""));
            }
        });
        check_statuses(&log.wait_for_last("closed"));
    }
}

/// Checks the statuses of a link in which nobody was killed. If only the connections are closed, there may be
/// another one before the links are.
fn check_statuses(statuses: &[String]) {
    let ends = [CLOSED, CLOSED_HERE, ABANDONED, ABANDONED_HERE];
    let mut before = "";
    let mut connections = 0;
    for line in statuses {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let follows = match word {
            "waiting" => ["", "disconnected"].contains(&before),
            "connected" => {
                connections += 1;
                before == "waiting"
            }
            "disconnected" => {
                let end = rest.replace(&format!("code: {CODE}"), "code: 0");
                // The peer may have closed its link before its side of another one was there.
                let vanished = end == CRASHED && connections > 1;
                before == "connected" && (vanished || ends.contains(&&*end))
            }
            // The link may be closed just as its connection has ended.
            "closed" => ["waiting", "connected", "disconnected"].contains(&before),
            _ => false,
        };
        assert!(follows, "{line} in {statuses:?}");
        before = word;
    }
    assert_eq!(before, "closed");
}

/// A handle that is dropped leaves the connection open for those who wait with another; the last one
/// abandons it, whether or not its link is there.
#[test]
fn the_last_handle_abandons_the_connection() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        for keeps_link in [false, true] {
            let place = Place::new();
            let link = place.builder(side).open().unwrap();
            let mut child = place.start("talker", side.opposite());
            child.expect("waiting");
            child.next_line();
            let conn = connected(&link);
            let _link = keeps_link.then_some(link);

            let clone = conn.clone();
            let short = conn.within(Duration::from_millis(300));
            let receiver = thread::spawn(move || kind(short.recv()));
            drop(clone);
            drop(conn);
            // It was not ended while somebody waited; the thread had the last handle.
            assert_eq!(receiver.join().unwrap(), ErrorKind::TimedOut);
            child.expect(&format!("disconnected {ABANDONED}"));
            child.expect("waiting");
            if keeps_link {
                // And they find each other again.
                child.expect(&format!("connected to {}", std::process::id()));
            }
        }
    }
}

/// A connection that nobody has taken goes with its link; one that somebody has goes on.
#[test]
fn the_last_link_gives_up_what_was_not_taken() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("talker", side.opposite());
        child.expect("waiting");
        child.next_line();
        let other = link.clone();
        drop(link);
        let conn = connected(&other);
        drop(other);
        if side == Side::Host {
            // The name is free.
            drop(place.host().open().unwrap());
        }
        conn.send(b"still there").unwrap();
        assert_eq!(conn.end(), None);
        assert_eq!(child.lines_so_far(), [""; 0]);
        drop(child);

        let link = place.builder(side).open().unwrap();
        let mut child = place.start("talker", side.opposite());
        child.expect("waiting");
        child.next_line();
        drop(link);
        child.expect(&format!("disconnected {ABANDONED}"));
    }
}

/// With which both sides close in the next test.
const CODE: u32 = 3;

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
            let life = Duration::from_micros(random.below(3000) as u64);
            chatter(&connected(&link), side, life);
            link.close(0, "");
            check_statuses(&log.wait_for_last("closed"));
            child.expect("fine");
        }
    }
}

fn closer(parent: &'static Parent) {
    loop {
        let life = Duration::from_micros(parent.next_as());
        let link = parent.builder().ring_capacity(4096).open().unwrap();
        chatter(&connected(&link), parent.side, life);
        link.close(0, "");
        parent.say("fine");
    }
}

/// Sends and receives for a while, or until the peer closes. Each message is taken, or is not: the peer's
/// count says so too.
fn chatter(conn: &Connection, side: Side, life: Duration) {
    let over = |e: twinring::Error| {
        let closed = matches!(e.end(), Some(End::Closed { code: CODE, .. }));
        assert!(e.kind() == ErrorKind::Ended && closed, "{e:?}");
    };
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for i in 0.. {
                if let Err(e) = conn.send(&message(side as u64, i, len_of(i))) {
                    over(e);
                    return i;
                }
            }
            unreachable!()
        });
        scope.spawn(|| {
            for i in 0.. {
                match conn.recv() {
                    Ok(bytes) => check(&bytes.unwrap(), side.opposite() as u64, i, len_of(i)),
                    Err(e) => {
                        // After the end of a message that was given up in the middle.
                        let given_up = e.kind() == ErrorKind::StreamEnded;
                        return over(if given_up {
                            conn.recv().unwrap_err()
                        } else {
                            e
                        });
                    }
                }
            }
        });
        thread::sleep(life);
        conn.close(CODE, "");
        sending.join().unwrap()
    });
    let Some(End::Closed { by, .. }) = conn.end() else {
        panic!("{:?}", conn.end());
    };
    // What comes back is the end of what was sent, in order. The peer reads on only if it was not it that
    // closed first.
    let unread = conn.within(LIMIT).take_unread().unwrap();
    let partial = u64::from(unread.partial());
    let unread: Vec<_> = unread.collect();
    assert!(by == By::Peer || unread.len() as u64 + partial <= sent);
    for (bytes, i) in unread.iter().rev().zip((0..sent).rev()) {
        check(bytes, side as u64, i, len_of(i));
    }
}
