//! Callbacks may do anything: send, close, panic, be slow, let go of the link.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Log, Parent, Place, Side, Watchdog, connected, labelled, message, peers, read_label,
    text, until,
};
use twinring::{ErrorKind, Link, Status};

peers!(echo, caller, giver_up, listener);

/// Sends back what it gets, out of its callback.
fn echo(parent: &'static Parent) {
    let log = Log::new();
    let _link = parent
        .builder()
        .on_message(|link, message| link.send(message).unwrap())
        .on_status(log.statuses())
        .open()
        .unwrap();
    parent.say("ready");
    log.wait_for_last("waiting");
    until("a connection has come and gone", || log.lines().len() >= 4);
    parent.say(log.lines().last().unwrap());
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
            .on_status(|link, status| {
                if status.is_connected() {
                    // The first statuses come before any message, and may already be answered.
                    link.send(&labelled(0, 0, 0)).unwrap();
                }
            })
            .on_message(move |link, bytes| {
                let (_, sequence) = read_label(bytes).unwrap();
                if sequence == 1000 {
                    return done.send(()).unwrap();
                }
                let more = if sequence % 100 == 0 { 3_000_000 } else { 300 };
                link.send(&labelled(0, sequence + 1, more)).unwrap();
            })
            .open()
            .unwrap();
        finished
            .recv_timeout(LIMIT)
            .expect("a thousand messages went back and forth");
        link.close();
        child.expect("waiting");
        child.finish();
    }
}

/// Connects, sends up to five messages, and then does as it is told.
fn caller(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    link.send(&message(1, 0, 100)).unwrap();
    for i in 1..5 {
        // The peer may have closed the link when it got the first.
        let _ = link.send(&message(1, i, 100));
    }
    parent.say("sent");
    let e = loop {
        match link.recv() {
            Ok(bytes) => parent.say(String::from_utf8(bytes).unwrap()),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.kind()));
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
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(move |link, _| {
                told.push("message");
                link.send(b"farewell").unwrap();
                link.close();
                assert_eq!(link.send(b"?").unwrap_err().kind(), ErrorKind::ClosedHere);
                assert_eq!(link.status(), Status::Closed);
                told.push("closed it");
            })
            .open()
            .unwrap();
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        child.expect("farewell");
        child.expect("Closed");
        let expected = [
            "waiting".to_owned(),
            format!("connected 1 to {}", child.pid()),
            "message".to_owned(),
            "closed it".to_owned(),
            "closed".to_owned(),
        ];
        assert_eq!(log.wait_for_last("closed"), expected);
        // The rest of the messages were dropped with the link.
        link.close();
        child.finish();
        assert_eq!(log.lines(), expected);
    }
}

/// `close` out of `on_status` and out of `on_error`.
#[test]
fn every_callback_may_close() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let told = log.clone();
    let host = place
        .host()
        .on_status(move |link, status| {
            told.push(text(status));
            if status.is_connected() {
                link.close();
            }
        })
        .open()
        .unwrap();
    let mut child = place.start("caller", Side::Guest);
    log.wait_for_last("closed");
    assert_eq!(host.status(), Status::Closed);
    // It may have been too late to connect or to send anything.
    drop(child.kill());

    let host = place.host().open().unwrap();
    let mut first = place.start("listener", Side::Guest);
    first.expect("connected");
    let log = Log::new();
    let guest = place
        .guest()
        .on_error(|link, e| {
            assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
            link.close();
        })
        .on_status(log.statuses())
        .open()
        .unwrap();
    assert_eq!(log.wait_for_last("closed"), ["waiting", "closed"]);
    assert_eq!(guest.status(), Status::Closed);
    host.close();
    first.expect("Closed");
}

/// Says what it receives, to the end of the connection.
fn listener(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    parent.say("connected");
    let e = loop {
        match link.recv() {
            Ok(bytes) => parent.say(bytes.len()),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.kind()));
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
            .on_status(move |_, status| status_alone(text(status), &status_log))
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
                &format!("connected 1 to {pid}"),
                "message",
                "message",
                "message",
                "message",
                "message",
                "disconnected 1 Crashed",
                "waiting",
            ]
        );
    }
}

#[test]
fn with_on_message_nothing_can_be_received_otherwise() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let link = place.host().on_message(|_, _| {}).open().unwrap();
    let receives: [fn(&Link) -> twinring::Result<()>; 4] = [
        |link| link.recv().map(drop),
        |link| link.recv_timeout(LIMIT).map(drop),
        |link| link.try_recv().map(drop),
        |link| link.recv_into(&mut Vec::new()).map(drop),
    ];
    for receive in receives {
        let e = receive(&link).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        assert!(e.to_string().contains("on_message"), "{e}");
    }
}

/// Begins a large message and gives it up.
fn giver_up(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    parent.expect("go");
    let e = link
        .send_timeout(&[0; 10_000_000], Duration::from_millis(20))
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
    link.send(b"after").unwrap();
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
        let told = log.clone();
        let (proceed, gate) = mpsc::channel();
        let link = place
            .builder(side)
            .ring_capacity(64 * 1024)
            .on_status(move |_, status| {
                if status.is_connected() {
                    // Keeps the ring full until the peer has given up.
                    gate.recv_timeout(LIMIT).unwrap();
                }
            })
            .on_error(log.errors())
            .on_message(move |_, bytes| told.push(String::from_utf8_lossy(bytes)))
            .open()
            .unwrap();
        let mut child = place.start("giver_up", side.opposite());
        connected(&link);
        child.say("go");
        child.expect("sent");
        proceed.send(()).unwrap();
        assert_eq!(log.wait_for(2), ["error Aborted", "after"]);
    }
}

/// A callback that panics ends the link, since nothing would be called any more; the peer is told.
#[test]
fn a_panic_in_a_callback_closes_the_link() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place
            .builder(side)
            .on_message(|_, _| {
                // Without the text of a panic, which nobody should worry about.
                std::panic::resume_unwind(Box::new("on purpose"));
            })
            .open()
            .unwrap();
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        child.expect("Closed");
        child.finish();
        until("the link is closed", || link.status() == Status::Closed);
        assert_eq!(link.send(b"?").unwrap_err().kind(), ErrorKind::ClosedHere);
    }
}

/// The last handle may be dropped anywhere, in a callback as well; the `&Link` that callbacks get
/// does not keep the link open.
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
            .on_message(move |_, _| drop(taken.lock().unwrap().take()))
            .open()
            .unwrap();
        *handle.lock().unwrap() = Some(link);
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        child.expect("Closed");
        child.finish();
        log.wait_for_last("closed");
    }
}

/// A link that is dropped while a callback of it runs is closed at once; the callback is left to
/// its end.
#[test]
fn the_last_handle_is_dropped_beside_a_callback() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let told = log.clone();
        let (running, runs) = mpsc::channel();
        let (proceed, gate) = mpsc::channel();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_message(move |link, _| {
                running.send(()).unwrap();
                gate.recv_timeout(LIMIT).unwrap();
                assert_eq!(link.send(b"?").unwrap_err().kind(), ErrorKind::ClosedHere);
                told.push("message");
            })
            .open()
            .unwrap();
        let mut child = place.start("caller", side.opposite());
        child.expect("sent");
        runs.recv_timeout(LIMIT).unwrap();
        drop(link);
        child.expect("Closed");
        if side == Side::Host {
            // The name is free although the callback has not returned.
            drop(place.host().open().unwrap());
        }
        proceed.send(()).unwrap();
        let lines = log.wait_for_last("closed");
        assert_eq!(lines[2..], ["message", "closed"], "no other message");
    }
}
