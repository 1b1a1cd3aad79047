//! `twinring log --read`, and what is shown of records.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::application::start;
use crate::collector;
use crate::common::{LIMIT, Place, Running};

fn read(place: &Place, args: &[&str]) -> String {
    let all = ["log", "--read", "out"]
        .into_iter()
        .chain(args.iter().copied());
    Running::start(place.command(all)).wait().code(0).text()
}

#[test]
fn what_is_in_a_file() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    start(&place, "levels").wait().code(0);
    collector.killed();
    let all = read(&place, &[]);
    assert_eq!(all.lines().count(), 4, "{all}");
    assert!(
        all.contains("log::application: it failed code=3 request{id=7}\n"),
        "{all}"
    );
    assert!(
        all.contains("DEBUG") && all.contains("detail=[1, 2]"),
        "{all}"
    );
    assert!(!all.contains('\x1b'));
    assert_eq!(read(&place, &["--level", "warn"]).lines().count(), 2);
    assert_eq!(read(&place, &["--level", "ERROR"]).lines().count(), 1);
    assert_eq!(read(&place, &["--grep", "slow"]).lines().count(), 1);
    assert_eq!(read(&place, &["--grep", "request"]).lines().count(), 4);
    assert_eq!(read(&place, &["--process", "nobody"]), "");
    assert!(read(&place, &["--color", "always", "-l", "error"]).contains("\x1b[31mERROR\x1b[0m"));
    let json = read(&place, &["--format", "json", "-l", "error"]);
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["fields"]["code"], 3);
    assert_eq!(record["spans"][0]["id"], 7);
    let process = record["process"].as_str().unwrap();
    assert_eq!(read(&place, &["--process", process]).lines().count(), 4);
}

#[test]
fn a_file_that_grows_and_is_rotated() {
    let place = Place::new();
    let args = ["-o", "out", "--rotate", "64K", "--keep", "3"];
    let collector = collector(&place, &args);
    start(&place, "good 1").wait().code(0);
    let reader = Running::start(place.command(["log", "--read", "out", "--follow"]));
    reader.shows("a good record i=0");
    let count = if cfg!(windows) { 400 } else { 600 };
    start(&place, &format!("good {count}")).wait().code(0);
    reader.shows(&format!("a good record i={}\n", count - 1));
    collector.killed();
    assert!(place.path("out.1").exists());
    let text = reader.killed().text();
    assert_eq!(text.lines().count(), count + 1);
}

#[test]
fn a_file_that_is_no_log() {
    let place = Place::new();
    for (text, code) in [
        (&b"a thesis\n"[..], 6),
        (b"a thesis", 6),
        (b"{\"a\":1}\n{\"b\":2}\n", 6),
        (&[0; 5 << 20], 6),
        // It may become one.
        (b"", 0),
    ] {
        place.file("out", text);
        let read = Running::start(place.command(["log", "--read", "out"]));
        let ended = read.wait().code(code);
        assert_eq!(
            ended.stderr.contains("out is no log"),
            code == 6,
            "{ended:?}"
        );
    }
    place.file("out", b"a thesis\n");
    Running::start(place.command(["log", "--read", "out", "--follow"]))
        .wait()
        .code(6);
}

/// Starts it, reads its first line, and leaves.
fn head(mut command: Command) -> Running {
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let running = Running::of(child, "a command | head -1".into());
    let (left, has_left) = mpsc::channel();
    thread::spawn(move || {
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        left.send(()).unwrap();
    });
    has_left.recv_timeout(LIMIT).expect("it shows nothing");
    running
}

/// As a program that writes to a pipe without knowing better: on Unix by a signal, of which shells say nothing.
#[track_caller]
fn ends_quietly(command: Running) {
    let ended = command.wait();
    let code = if cfg!(windows) { Some(1) } else { None };
    assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
}

#[test]
fn a_reader_that_leaves() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    start(&place, "burst 3000 4000000").wait().code(0);
    start(&place, "levels").wait().code(0);
    ends_quietly(head(place.command(["log", "--read", "out"])));
    let follow = ["log", "--read", "out", "--follow", "--level", "error"];
    let mut follower = head(place.command(follow));
    if cfg!(windows) {
        // It learns of that when it has something to write.
        assert!(follower.is_running());
        start(&place, "levels").wait().code(0);
    }
    ends_quietly(follower);
    collector.killed();
}

#[test]
fn a_reader_of_a_collector_that_leaves() {
    let place = Place::new();
    let application = start(&place, "burst 1 4000000");
    let mut collector = head(place.command(["log", &place.name, "--quiet"]));
    application.wait().code(0);
    if cfg!(windows) {
        assert!(collector.is_running());
        let _second = start(&place, "burst 1 4000000");
        return ends_quietly(collector);
    }
    ends_quietly(collector);
}
