//! Callbacks may do anything: send, close, panic, be slow, let go of the link.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{
    ABANDONED, ABANDONED_HERE, CLOSED_HERE, CRASHED, LIMIT, Log, Parent, Place, Side, Watchdog,
    connected, end_text, ended, kind, labelled, message, peers, read_label, text, until,
};
use twinring::{Connection, ErrorKind, Link, Status};

peers!(echo, leaver, caller, giver_up, listener, asker);

/// How a side closes that is called out of a callback.
const FAREWELL: &str = r#"Closed { by: Peer, code: 1, reason: "farewell" }"#;
const FAREWELL_HERE: &str = r#"Closed { by: Local, code: 1, reason: "farewell" }"#;

/// Sends back what it gets, out of its callback.
fn echo(parent: &'static Parent) {
    let log = Log::new();
    let _link = parent
        .builder()
        .on_message(|conn, message| conn.send(message).unwrap())
        .on_status(log.statuses())
        .open()
        .unwrap();
    parent.say("ready");
    until("a connection has come and gone", || log.lines().len() >= 4);
    parent.say(&log.lines()[2]);
}

/// Both sides answer each message out of their callbacks, with full rings as well.
#[test]
fn callbacks_send() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("echo", side.opposite());
        child.expect("ready");
        let (done, finished) = mpsc::channel();
        let link = place
            .builder(side)
            .on_status(|status| {
                if let Status::Connected(conn) = status {
                    // The first statuses come before any message, and may already be answered.
                    conn.send(&labelled(0, 0, 0)).unwrap();
                }
            })
            .on_message(move |conn, bytes| {
                let (_, sequence) = read_label(bytes).unwrap();
                if sequence == 1000 {
                    return done.send(()).unwrap();
                }
                let more = if sequence % 100 == 0 { 3_000_000 } else { 300 };
                conn.send(&labelled(0, sequence + 1, more)).unwrap();
            })
            .open()
            .unwrap();
        finished
            .recv_timeout(LIMIT)
            .expect("a thousand messages went back and forth");
        link.close(1, "farewell");
        child.expect(&format!("disconnected {FAREWELL}"));
        child.finish();
    }
}

/// Sends, finishes, and lets go at once. Of one connection: between the two drops another one might begin.
fn leaver(parent: &'static Parent) {
    let link = parent.builder().one_connection().open().unwrap();
    let conn = connected(&link);
    for i in 0..3 {
        conn.send(&labelled(0, i, 10)).unwrap();
    }
    conn.finish().unwrap();
}

/// Who has said all, and left, is told apart from who has not.
#[test]
fn a_peer_that_finishes_and_leaves() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let link = place
        .host()
        .on_message(|_, _| {})
        .on_status(log.statuses())
        .open()
        .unwrap();
    for round in 1..=10 {
        place.start("leaver", Side::Guest).finish();
        until("it has left", || {
            let lines = log.lines();
            let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
            let left = count("disconnected") == round;
            assert!(!left || count("has finished") == round, "{lines:?}");
            left
        });
    }
    drop(link);
}

/// Connects, sends up to five messages, and then says what comes, to the end of the connection.
fn caller(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    // The name may be another process's by now; only this connection counts.
    drop(link);
    conn.send(&message(1, 0, 100)).unwrap();
    // The peer may have closed the link when it got the first.
    let more = (1..5).take_while(|i| conn.send(&message(1, *i, 100)).is_ok());
    let sent = 1 + more.count() as u64;
    parent.say("sent");
    loop {
        match conn.recv() {
            Ok(bytes) => parent.say(String::from_utf8(bytes.unwrap()).unwrap()),
            end => break parent.say(ended(end)),
        }
    }
    // What was not taken comes back, in order.
    let unread: Vec<_> = conn.take_unread().unwrap().collect();
    let taken = sent - unread.len() as u64;
    for (bytes, i) in unread.iter().zip(taken..) {
        common::check(bytes, 1, i, 100);
    }
    parent.say(format!("{taken} taken"));
}

/// `close` out of a callback: the peer is told, what was sent before it arrives, and the callback
/// that is told `Closed` is the last.
#[test]
fn callbacks_close() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let told = log.clone();
        let handle: Arc<Mutex<Option<Link>>> = Arc::default();
        let its_link = handle.clone();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(move |conn, _| {
                told.push("message");
                conn.send(b"farewell").unwrap();
                let link = its_link.lock().unwrap();
                let link = link.as_ref().unwrap();
                link.close(1, "farewell");
                assert_eq!(ended(conn.send(b"?")), FAREWELL_HERE);
                assert!(matches!(link.status(), Status::Closed));
                told.push("closed it");
            })
            .open()
            .unwrap();
        *handle.lock().unwrap() = Some(link.clone());
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        child.expect("farewell");
        child.expect(FAREWELL);
        let expected = [
            "waiting".to_owned(),
            format!("connected to {}", child.pid()),
            "message".to_owned(),
            "closed it".to_owned(),
            "closed".to_owned(),
        ];
        assert_eq!(log.wait_for_last("closed"), expected);
        // The first message's callback was closed before it returned, so that one goes back as well.
        child.expect("0 taken");
        link.close(0, "again");
        child.finish();
        assert_eq!(log.lines(), expected);
    }
}

/// `close` of the connection out of `on_status`, and of the link out of `on_error`.
#[test]
fn every_callback_may_close() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let told = log.clone();
    let host = place
        .host()
        .on_status(move |status| {
            told.push(text(status));
            if let Status::Connected(conn) = status {
                conn.close(1, "farewell");
            }
        })
        .open()
        .unwrap();
    let mut child = place.start("listener", Side::Guest);
    child.expect("connected");
    child.expect(FAREWELL);
    child.finish();
    let lines = log.wait_for(4);
    assert_eq!(
        lines[2..4],
        [&format!("disconnected {FAREWELL_HERE}"), "waiting"]
    );
    drop(host);

    let host = place.host().open().unwrap();
    let mut first = place.start("listener", Side::Guest);
    first.expect("connected");
    let conn = connected(&host);
    let log = Log::new();
    let handle: Arc<Mutex<Option<Link>>> = Arc::default();
    let its_link = handle.clone();
    let mut link = handle.lock().unwrap();
    let guest = place
        .guest()
        .on_error(move |e| {
            assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
            its_link.lock().unwrap().as_ref().unwrap().close(0, "");
        })
        .on_status(log.statuses())
        .open()
        .unwrap();
    *link = Some(guest.clone());
    drop(link);
    assert_eq!(log.wait_for_last("closed"), ["waiting", "closed"]);
    assert!(matches!(guest.status(), Status::Closed));
    conn.close(1, "farewell");
    first.expect(FAREWELL);
}

/// Says what it receives, to the end of the connection.
fn listener(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    parent.say("connected");
    loop {
        match conn.recv() {
            Ok(bytes) => parent.say(bytes.unwrap().len()),
            end => break parent.say(ended(end)),
        }
    }
}

/// Callbacks of one link run one at a time and in order, however slow they are.
#[test]
fn callbacks_run_one_at_a_time() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let running = Arc::new(AtomicBool::new(false));
        let alone = move |line: String, log: &Log| {
            assert!(
                !running.swap(true, Ordering::SeqCst),
                "another callback runs"
            );
            thread::sleep(Duration::from_millis(5));
            log.push(line);
            running.store(false, Ordering::SeqCst);
        };
        let (status_log, message_log) = (log.clone(), log.clone());
        let status_alone = alone.clone();
        let _link = place
            .builder(side)
            .on_status(move |status| status_alone(text(status), &status_log))
            .on_message(move |_, bytes| {
                common::check(bytes, 1, message_log.lines().len() as u64 - 2, 100);
                alone("message".to_owned(), &message_log);
            })
            .open()
            .unwrap();
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        let pid = child.pid();
        child.kill();
        assert_eq!(
            log.wait_for(9),
            [
                "waiting",
                &format!("connected to {pid}"),
                "message",
                "message",
                "message",
                "message",
                "message",
                &format!("disconnected {CRASHED}"),
                "waiting",
            ]
        );
    }
}

/// Nothing can be received otherwise, also with a handle that a callback was given.
#[test]
fn with_on_message_nothing_can_be_received_otherwise() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let (tell, told) = mpsc::channel();
    let link = place
        .host()
        .on_status(move |status| {
            if let Status::Connected(conn) = status {
                tell.send(conn.clone()).unwrap();
            }
        })
        .on_message(|_, _| {})
        .open()
        .unwrap();
    let mut child = place.start("listener", Side::Guest);
    child.expect("connected");
    let conn = told.recv_timeout(LIMIT).unwrap();
    let receives: [fn(&Connection) -> twinring::Result<()>; 6] = [
        |conn| conn.recv().map(drop),
        |conn| conn.within(LIMIT).recv().map(drop),
        |conn| conn.recv_into(&mut Vec::new()).map(drop),
        |conn| conn.recv_in_place().map(drop),
        |conn| conn.recv_batch().map(drop),
        |conn| conn.recv_stream().map(drop),
    ];
    let refused = receives.map(|receive| receive(&conn).unwrap_err());
    for e in refused.into_iter().chain([link.next().unwrap_err()]) {
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        assert!(e.to_string().contains("on_message"), "{e}");
    }
}

/// Asks, says that it has asked all, and gets the answers.
fn asker(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    for i in 0..5 {
        conn.send(&message(1, i, 100)).unwrap();
    }
    conn.finish().unwrap();
    for i in 0..5 {
        common::check(&conn.recv().unwrap().unwrap(), 1, i, 100);
    }
    assert_eq!(conn.recv().unwrap(), None);
    parent.say("all");
}

/// A peer that has finished still gets its answers; once both have, that was a good end.
#[test]
fn both_finish() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let (told, statuses) = (log.clone(), log.clone());
        let link = place
            .builder(side)
            .on_status(move |status| {
                statuses.push(text(status));
                if let Status::PeerFinished(conn) = status {
                    conn.send(&message(1, 4, 100)).unwrap();
                    conn.finish().unwrap();
                }
            })
            .on_message(move |conn, bytes| {
                told.push("message");
                // The last answer comes with the end.
                if bytes != message(1, 4, 100) {
                    conn.send(bytes).unwrap();
                }
            })
            .open()
            .unwrap();
        let mut child = place.start("asker", side.opposite());
        let pid = child.pid();
        child.expect("all");
        child.finish();
        let mut expected = vec!["waiting".to_owned(), format!("connected to {pid}")];
        expected.extend(["message"; 5].map(String::from));
        expected.push(format!("{pid} has finished"));
        expected.extend(["disconnected Finished", "waiting"].map(String::from));
        assert_eq!(log.wait_for(10), expected);
        assert!(!link.status().is_connected());
    }
}

/// Begins a large message and gives it up.
fn giver_up(parent: &'static Parent) {
    let builder = parent.builder().ring_capacity(64 * 1024);
    let conn = connected(&builder.open().unwrap());
    parent.expect("go");
    let late = conn.within(Duration::from_millis(20));
    assert_eq!(kind(late.send(&[0; 10_000_000])), ErrorKind::TimedOut);
    conn.send(b"after").unwrap();
    parent.say("sent");
    parent.wait_for_the_end();
}

/// A message that the peer gave up is an error for `on_error`, in its place among the messages.
#[test]
fn on_error_is_told_what_went_wrong() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let (told, errors) = (log.clone(), log.clone());
        let (proceed, gate) = mpsc::channel();
        let link = place
            .builder(side)
            .ring_capacity(64 * 1024)
            .on_status(move |status| {
                if status.is_connected() {
                    // Keeps the ring full until the peer has given up.
                    gate.recv_timeout(LIMIT).unwrap();
                }
            })
            .on_error(move |e| {
                assert_eq!(e.kind(), ErrorKind::StreamEnded, "{e}");
                errors.push(end_text(e.end().unwrap()));
            })
            .on_message(move |_, bytes| told.push(String::from_utf8_lossy(bytes)))
            .open()
            .unwrap();
        let mut child = place.start("giver_up", side.opposite());
        until("there is a connection", || link.status().is_connected());
        child.say("go");
        child.expect("sent");
        proceed.send(()).unwrap();
        assert_eq!(log.wait_for(2), [ABANDONED, "after"]);
    }
}

/// A callback that panics ends the link, since nothing would be called any more; both sides are told that
/// the connection was abandoned, and the message goes back to its sender.
#[test]
fn a_panic_in_a_callback_closes_the_link() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(|_, _| {
                // Without the text of a panic, which nobody should worry about.
                std::panic::resume_unwind(Box::new("on purpose"));
            })
            .open()
            .unwrap();
        let mut child = place.start("caller", side.opposite());
        let pid = child.pid();
        child.expect("sent");
        child.expect(ABANDONED);
        child.expect("0 taken");
        child.finish();
        let expected = [
            "waiting".to_owned(),
            format!("connected to {pid}"),
            format!("disconnected {ABANDONED_HERE}"),
            "closed".to_owned(),
        ];
        assert_eq!(log.wait_for_last("closed"), expected);
        assert!(matches!(link.status(), Status::Closed));
        assert_eq!(kind(link.send(b"?")), ErrorKind::Closed);
    }
}

/// The last handle of the link may be dropped anywhere, in a callback as well.
#[test]
fn the_last_handle_is_dropped_in_a_callback() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let handle: Arc<Mutex<Option<Link>>> = Arc::default();
        let taken = handle.clone();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(move |conn, _| {
                drop(taken.lock().unwrap().take());
                assert_eq!(ended(conn.send(b"?")), ABANDONED_HERE);
            })
            .open()
            .unwrap();
        *handle.lock().unwrap() = Some(link);
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        child.expect(ABANDONED);
        child.expect("0 taken");
        child.finish();
        let lines = log.wait_for_last("closed");
        assert_eq!(lines[2..], ["closed"]);
    }
}

/// A link that is dropped or closed while a callback of it runs is closed at once; the callback is left to
/// its end.
#[test]
fn a_link_goes_beside_a_callback() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for (closes, here, there) in [
            (false, ABANDONED_HERE, ABANDONED),
            (true, CLOSED_HERE, common::CLOSED),
        ] {
            let place = Place::new();
            let log = Log::new();
            let told = log.clone();
            let (running, runs) = mpsc::channel();
            let (proceed, gate) = mpsc::channel();
            let link = place
                .builder(side)
                .on_status(log.statuses())
                .on_message(move |conn, _| {
                    running.send(()).unwrap();
                    gate.recv_timeout(LIMIT).unwrap();
                    assert_eq!(ended(conn.send(b"?")), here);
                    told.push("message");
                })
                .open()
                .unwrap();
            let mut child = place.start("caller", side.opposite());
            child.expect("sent");
            runs.recv_timeout(LIMIT).unwrap();
            match closes {
                true => link.close(0, ""),
                false => drop(link),
            }
            child.expect(there);
            child.expect("0 taken");
            if side == Side::Host {
                // The name is free although the callback has not returned.
                drop(place.host().open().unwrap());
            }
            proceed.send(()).unwrap();
            let lines = log.wait_for_last("closed");
            assert_eq!(lines[2..], ["message", "closed"], "no other message");
        }
    }
}
