//! `--exec`: programs end with their guests, whatever they do, and keep no other guest waiting. Unix only: there are no
//! such programs on Windows.
#![cfg(unix)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Place, Running, noise, until};

fn lives(pid: &str) -> bool {
    Command::new("kill")
        .args(["-0", pid])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// They say their process, and that of a child if they have one.
const PROGRAMS: [&str; 6] = [
    // Reads.
    "echo $$; cat",
    // Waits for something else.
    "echo $$; exec tail -f /dev/null",
    // Only writes.
    "echo $$; exec yes",
    // Does not end when it is asked to.
    "trap '' TERM; echo $$; while :; do sleep 1; done",
    // Its child does as well, and has the output open.
    "sleep 1000 & echo $! $$; wait",
    // Has ended, but its child has the output open.
    "sleep 1000 & echo $!",
];

#[test]
fn programs_end_with_their_guests() {
    for script in PROGRAMS {
        let place = Place::new();
        let listen = place.start("listen", &["--keep", "--exec", "sh", "-c", script]);
        let guest = place.start("connect", &["--count", "1"]);
        let said = guest.wait().code(0).text();
        // The next one does not wait for that, which takes six seconds with one that ignores SIGTERM.
        let began = Instant::now();
        let next = place.start("connect", &["--count", "1"]);
        let next = next.wait().code(0).text();
        if script.starts_with("trap") {
            assert!(began.elapsed() < Duration::from_secs(5), "{script}");
        }
        for pid in said.split_whitespace().chain(next.split_whitespace()) {
            until(&format!("{script}: {pid} has ended"), || !lives(pid));
        }
        drop(listen);
    }
}

#[test]
fn a_program_s_children_do_not_keep_its_guest() {
    let place = Place::new();
    let listen = place.start(
        "listen",
        &["--exec", "sh", "-c", "echo hello; sleep 1000 &"],
    );
    assert_eq!(place.start("connect", &[]).wait().code(0).text(), "hello\n");
    listen.wait().code(0);
}

#[test]
fn the_input_s_end_reaches_a_program() {
    let place = Place::new();
    let listen = place.start("listen", &["--exec", "sort"]);
    let mut connect = place.start("connect", &[]);
    connect.feed(b"b\na\n".to_vec());
    assert_eq!(connect.wait().code(0).text(), "a\nb\n");
    listen.wait().code(0);
}

#[test]
fn a_program_s_exit_code_reaches_the_guest() {
    for (script, code) in [("exit 7", 7), ("exit 0", 0), ("kill -9 $$", 137)] {
        let place = Place::new();
        let listen = place.start("listen", &["--exec", "sh", "-c", script]);
        place.start("connect", &["--exit-status"]).wait().code(code);
        listen.wait().code(code);
    }
}

/// More is under way than both rings and all pipes hold.
#[test]
fn an_echo_of_much_through_little() {
    let place = Place::new();
    let bytes = noise(4 << 20, 5);
    let listen = place.start(
        "listen",
        &["-f", "raw", "--ring-capacity", "4K", "--exec", "cat"],
    );
    let mut connect = place.start("connect", &["-f", "raw", "--quiet"]);
    connect.feed(bytes.clone());
    assert!(connect.wait().code(0).stdout == bytes);
    listen.wait().code(0);
}

/// The name is held for as long as the command runs.
#[test]
fn a_second_host_ends_nobody() {
    let place = Place::new();
    let mut listen = place.start("listen", &["--keep", "--exec", "echo", "hello"]);
    listen.says("waiting");
    for _ in 0..10 {
        let guest = place.start("connect", &["--quiet"]);
        let second = place.start("listen", &[]);
        second.wait().code(4);
        assert_eq!(guest.wait().code(0).text(), "hello\n");
    }
    assert!(listen.is_running());
}

/// What a parent hands on.
#[test]
fn whatever_the_parent_is_like() {
    let program = env!("CARGO_BIN_EXE_twinring");
    for script in [
        // As if it were interested in no child's end, or in none of its pipes.
        "trap '' CHLD; exec '{}' listen '{name}' --exec true",
        "trap '' PIPE; exec '{}' listen '{name}' --exec true",
        "umask 777; exec '{}' listen '{name}' --exec true",
        "exec '{}' listen '{name}' <&-",
        "exec '{}' listen '{name}' >&-",
        "exec '{}' listen '{name}' 2>&-",
        "exec '{}' listen '{name}' <&- >&- 2>&-",
        "exec '{}' listen '{name}' 2> /dev/full",
        "ulimit -n 40; exec '{}' listen '{name}' --exec true",
    ] {
        let place = Place::new();
        let shown = script.replace("{}", program).replace("{name}", &place.name);
        let sh = place.prepared(Command::new("sh"), ["-c", &shown]);
        let mut listen = Running::start(sh);
        listen.end_input();
        let connected = place.start("connect", &[]).finish();
        assert_eq!(connected.code, Some(0), "{script}: {}", connected.stderr);
        let listened = listen.wait();
        assert_eq!(listened.code, Some(0), "{script}: {}", listened.stderr);
    }
}
