//! The command is interrupted: what had arrived is written, programs are asked first, and it dies by the signal. Unix
//! only: there is no signal to a single process on Windows.
#![cfg(unix)]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use common::{Place, Running, until};

fn signal(running: &Running, signal: &str) {
    let id = running.child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.unwrap().success());
}

/// Waits for its end; by which signal it was.
fn died_of(mut running: Running) -> Option<i32> {
    let mut status = None;
    until("it ends", || {
        status = running.child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.signal())
}

#[test]
fn it_dies_by_the_signal() {
    let place = Place::new();
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        for args in [&["--keep"][..], &["--keep", "--exec", "cat"]] {
            let waits = place.start("listen", args);
            waits.says("waiting");
            signal(&waits, name);
            assert_eq!(died_of(waits), Some(number));
            let talks = place.start("listen", args);
            let peer = place.start("connect", &[]);
            peer.says("connected");
            talks.says("connected");
            signal(&talks, name);
            assert_eq!(died_of(talks), Some(number));
            peer.wait().code(5).says("code 130: interrupted");
        }
    }
}

#[test]
fn ignored_signals_stay_ignored() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_twinring");
    let script = format!("trap '' HUP INT; exec '{program}' listen '{}'", place.name);
    let mut listen = Running::start(place.prepared(Command::new("sh"), ["-c", &script]));
    listen.says("waiting");
    for name in ["HUP", "INT", "HUP"] {
        signal(&listen, name);
    }
    let mut peer = place.start("connect", &[]);
    peer.write(b"hello\n");
    listen.shows("hello\n");
    assert!(listen.is_running());
    peer.end_input();
    listen.end_input();
    peer.wait().code(0);
    listen.wait().code(0);
}

/// A collector that is stopped writes what it had been sent, and the sender learns what it was not.
#[test]
fn a_collector_drains() {
    for _ in 0..5 {
        let place = Place::new();
        let collector = place.start("listen", &["--keep"]);
        let mut sender = place.start("connect", &[]);
        let lines: Vec<u8> = (0..2_000_000)
            .flat_map(|i| format!("{i}\n").into_bytes())
            .collect();
        sender.feed(lines);
        collector.shows("1000\n");
        signal(&collector, "TERM");
        let collected = collector.wait();
        assert_eq!(collected.code, None);
        let text = collected.text();
        // Line by line, to a point where both agree.
        let count = text.lines().count();
        assert!(
            text.lines()
                .enumerate()
                .all(|(i, line)| line == i.to_string())
        );
        assert!(text.ends_with('\n') && count > 1000);
        sender.wait().code(5).says("code 130: interrupted");
    }
}

/// One whose output nobody reads says what it could not write; the sender gets that back.
#[test]
fn a_collector_that_cannot_drain() {
    let place = Place::new();
    let mut child = place
        .command(["listen", &place.name, "--keep"])
        .spawn()
        .unwrap();
    let unread = child.stdout.take();
    let collector = Running::of(child, "listen".into());
    let mut sender = place.start("connect", &[]);
    sender.feed(b"0123456789\n".repeat(1_000_000));
    collector.says("connected");
    // Until all is full: the pipe, the batch, the ring.
    std::thread::sleep(Duration::from_millis(500));
    signal(&collector, "TERM");
    let said = collector.wait().stderr;
    let more = said
        .rsplit_once("written, and ")
        .and_then(|(_, text)| text.split_once(' '));
    let more: u64 = more.expect(&said).0.parse().unwrap();
    assert!(more > 10_000, "{said}");
    let told = sender.wait().code(5).stderr;
    let not_taken = told
        .rsplit_once("had not taken ")
        .and_then(|(_, text)| text.split_once(' '));
    let not_taken: u64 = not_taken.expect(&told).0.parse().unwrap();
    assert!(not_taken >= more, "{said} {told}");
    drop(unread);
}

/// A program has the first word.
#[test]
fn a_program_is_asked_first() {
    let place = Place::new();
    let script = "trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";
    let listen = place.start("listen", &["--exec", "sh", "-c", script]);
    let connect = place.start("connect", &[]);
    connect.shows("hello\n");
    signal(&listen, "TERM");
    assert_eq!(died_of(listen), Some(15));
    assert_eq!(connect.wait().code(5).text(), "hello\ngoodbye\n");
}
