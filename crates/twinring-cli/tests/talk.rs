//! `twinring listen` and `twinring connect`.

mod common;

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, LIMIT, Place, Running, noise};
use twinring::{By, Connection, End, Link};

const MIB: usize = 1 << 20;

/// Sends from one side until its input ends; what the other side printed.
#[track_caller]
fn one_way(place: &Place, from: &str, to: &str, args: &[&str], input: Vec<u8>) -> Vec<u8> {
    let receiver = place.start(to, args);
    let mut all = args.to_vec();
    all.extend(["-q", "0"]);
    let mut sender = place.start(from, &all);
    sender.feed(input);
    sender.wait().code(0);
    // The receiver's own input is open all the time: it ends because the peer has left, and well.
    receiver.wait().code(0).stdout
}

fn with_lengths(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for message in messages {
        all.extend_from_slice(&(message.len() as u64).to_le_bytes());
        all.extend_from_slice(message);
    }
    all
}

const BOTH_WAYS: [(&str, &str); 2] = [("listen", "connect"), ("connect", "listen")];

/// The option reaches the link: the directory of one that is for others, too, is open to them.
#[test]
#[cfg(unix)]
fn a_link_for_others() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    for (access, mode) in [
        ("same", 0o700),
        ("service", 0o755),
        ("0,4711", 0o755),
        ("nobody", 0o755),
    ] {
        let path = place.path(access);
        let args = ["--access", access, "--directory", path.to_str().unwrap()];
        let listen = place.start("listen", &args);
        listen.says("waiting for a guest on link");
        let made = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(made & 0o7777, mode, "{access}");
    }
}

#[test]
fn a_conversation_of_lines() {
    let place = Place::new();
    let mut listen = place.start("listen", &[]);
    let mut connect = place.start("connect", &["-q", "0"]);
    connect.write(b"one\n\nthree\n");
    listen.shows("one\n\nthree\n");
    listen.write(b"four\n");
    connect.shows("four\n");
    // The last line has no newline; it gets one.
    connect.write(b"last");
    connect.end_input();
    let connected = connect.wait().code(0);
    assert_eq!(connected.stdout, b"four\n");
    let listened = listen.wait().code(0);
    assert_eq!(listened.stdout, b"one\n\nthree\nlast\n");
    listened
        .says("waiting for a guest on link")
        .says("connected to process")
        .says("disconnected: ");
}

#[test]
fn lines_of_any_length_and_bytes() {
    let place = Place::new();
    let mut lines = b"\xff\x00\xfe\n\n".to_vec();
    for (i, length) in [1, 4095, 4096, 65_537, 3 * MIB].into_iter().enumerate() {
        let mut line = noise(length, i as u64);
        line.iter_mut()
            .filter(|byte| **byte == b'\n')
            .for_each(|byte| *byte = b'\r');
        lines.extend_from_slice(&line);
        lines.push(b'\n');
    }
    for (from, to) in BOTH_WAYS {
        assert!(one_way(&place, from, to, &[], lines.clone()) == lines);
    }
}

#[test]
fn raw_bytes() {
    let place = Place::new();
    let bytes = noise(20 * MIB + 3, 1);
    for (from, to) in BOTH_WAYS {
        assert!(one_way(&place, from, to, &["-f", "raw"], bytes.clone()) == bytes);
    }
}

#[test]
fn length_framing_keeps_messages_of_any_bytes() {
    let place = Place::new();
    let messages: Vec<_> = [0, 1, 7, 4096, 65_536, 2 * MIB, 0, 3]
        .iter()
        .enumerate()
        .map(|(i, length)| noise(*length, i as u64))
        .collect();
    let stream = with_lengths(&messages);
    for (from, to) in BOTH_WAYS {
        let args = ["--framing", "length", "--wait", "sleep"];
        assert!(one_way(&place, from, to, &args, stream.clone()) == stream);
    }
    // Each was one message of the link.
    let mut listen = place.start(
        "listen",
        &["-f", "length", "-q", "0", "--ring-capacity", "4K"],
    );
    let link = Link::guest(&place.name)
        .directory(place.runtime())
        .open()
        .unwrap();
    let conn = link.within(LIMIT).next().unwrap().within(LIMIT);
    listen.feed(stream);
    for message in messages {
        assert!(conn.recv().unwrap() == Some(message));
    }
    assert_eq!(conn.recv().unwrap(), None);
    listen.wait().code(0);
}

#[test]
fn input_that_ends_inside_a_message() {
    let place = Place::new();
    let listen = place.start("listen", &["-f", "length"]);
    let mut connect = place.start("connect", &["-f", "length"]);
    connect.feed(b"\x05\0\0\0\0\0\0\0four".to_vec());
    connect
        .wait()
        .code(1)
        .says("cannot read standard input: the input ended inside a message");
    // And the other side does not take what it has got for everything.
    let listened = listen.wait().code(5);
    assert_eq!(listened.stdout, b"");
    listened.says("code 1: cannot read standard input");
}

#[test]
fn end_of_input_is_not_the_end_of_receiving() {
    let place = Place::new();
    let mut listen = place.start("listen", &[]);
    let mut connect = place.start("connect", &[]);
    connect.write(b"question\n");
    connect.end_input();
    listen.shows("question\n");
    listen.write(b"answer\n");
    connect.shows("answer\n");
    assert!(connect.is_running());
    // A crash is told apart from a goodbye.
    listen.killed();
    connect
        .wait()
        .code(5)
        .says("the peer has gone without a word");
}

#[test]
fn both_have_finished() {
    let place = Place::new();
    for (first, second) in BOTH_WAYS {
        let mut asks = place.start(first, &[]);
        asks.write(b"question\n");
        asks.end_input();
        let mut answers = place.start(second, &[]);
        answers.shows("question\n");
        answers.write(b"answer\n");
        answers.end_input();
        answers.wait().code(0).says("disconnected: finished");
        let asked = asks.wait().code(0).says("disconnected: finished");
        assert_eq!(asked.stdout, b"answer\n");
    }
}

/// How a peer ends is told apart by the exit code, and said.
#[test]
fn ends_of_a_library_s_peer() {
    let place = Place::new();
    type Leave = fn(Connection);
    let ends: [(i32, &str, Leave); 5] = [
        (0, "disconnected: ", |conn| conn.finish().unwrap()),
        (0, "goodbye", |conn| conn.close(0, "goodbye")),
        (5, "code 3: no more paper", |conn| {
            conn.close(3, "no more paper")
        }),
        (5, "without finishing", drop),
        (0, "disconnected: ", |conn| {
            conn.finish().unwrap();
            assert_eq!(conn.recv().unwrap(), None);
        }),
    ];
    for (code, text, leave) in ends {
        let mut listen = place.start("listen", &[]);
        let link = Link::guest(&place.name)
            .directory(place.runtime())
            .open()
            .unwrap();
        let conn = link.within(LIMIT).next().unwrap();
        drop(link);
        conn.send(b"first").unwrap();
        listen.shows("first\n");
        listen.end_input();
        leave(conn);
        let listened = listen.wait().code(code).says(text);
        assert_eq!(listened.stdout, b"first\n");
    }
}

#[test]
fn a_question_and_its_answer() {
    let place = Place::new();
    let mut listen = place.start("listen", &["--quiet"]);
    let mut connect = place.start("connect", &["--count", "1", "--quiet"]);
    connect.write(b"question\n");
    connect.end_input();
    listen.shows("question\n");
    listen.write(b"answer\nno more of interest\n");
    let connected = connect.wait().code(0);
    assert_eq!(connected.stdout, b"answer\n");
    assert_eq!(connected.stderr, "");
    // The peer did not take the second line.
    let listened = listen.wait().code(5).says("the peer has left too early");
    assert_eq!(listened.stdout, b"question\n");
}

#[test]
fn one_peer_after_the_other() {
    let place = Place::new();
    let mut listen = place.start("listen", &["--keep"]);
    for round in 0..3 {
        let mut connect = place.start("connect", &["-q", "0"]);
        connect.feed(format!("round {round}\n").into_bytes());
        connect.wait().code(0);
        // One that crashes does not matter to the next.
        let mut crashes = place.start("connect", &[]);
        crashes.write(format!("crash {round}\n").as_bytes());
        listen.shows(&format!("round {round}\ncrash {round}\n"));
        listen.write(format!("to {round}\n").as_bytes());
        crashes.shows(&format!("to {round}\n"));
        crashes.killed();
        listen.says_times("connected to process", 2 * round + 2);
        // What is sent before that goes to the dead.
        listen.says_times("gone without a word", round + 1);
    }
    assert!(listen.is_running());
    // What is read while nobody is there is for the next.
    listen.write(b"for the last\n");
    let last = place.start("connect", &["--count", "1"]);
    assert_eq!(last.wait().code(0).stdout, b"for the last\n");
    listen.killed().says("the peer has gone without a word");
}

#[test]
fn a_guest_that_keeps_on() {
    let place = Place::new();
    let mut connect = place.start("connect", &["--keep"]);
    for round in 0..3 {
        let mut listen = place.start("listen", &["-q", "0"]);
        listen.write(format!("round {round}\n").as_bytes());
        connect.shows(&format!("round {round}\n"));
        connect.write(b"back\n");
        listen.shows("back\n");
        listen.end_input();
        listen.wait().code(0);
    }
    assert!(connect.is_running());
}

#[test]
fn nobody_reads_the_output_any_more() {
    let place = Place::new();
    let mut command = place.command(["listen", &place.name]);
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let listen = Running::of(child, "listen".into());
    let mut connect = place.start("connect", &[]);
    connect.write(b"first\n");
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    drop(stdout);
    connect.write(b"second\n");
    // Not all that was sent was written, and both say so.
    listen
        .wait()
        .code(1)
        .says("cannot write to standard output");
    connect
        .wait()
        .code(5)
        .says("code 1: cannot write to standard output");
}

#[test]
fn messages_that_are_too_long() {
    let place = Place::new();
    let listen = place.start("listen", &["--max-message", "1K"]);
    let mut connect = place.start("connect", &[]);
    connect.write(&[b"x".repeat(1024), b"\n".to_vec()].concat());
    listen.shows(&"x".repeat(1024));
    connect.write(&[b"x".repeat(1025), b"\n".to_vec()].concat());
    connect.wait().code(1).says("the peer takes at most 1024");
    listen.wait().code(5).says("code 1: ");
}

/// Only its own connection ends; what it does not take is for the next one.
#[test]
fn a_peer_that_takes_nothing() {
    let place = Place::new();
    let mut args = vec!["--keep", "--exec"];
    args.extend(match cfg!(windows) {
        true => ["cmd", "/c", "echo line"],
        false => ["sh", "-c", "echo line"],
    });
    for args in [&["--keep"][..], &args] {
        let mut listen = place.start("listen", args);
        for round in 1..=3 {
            let link = Link::guest(&place.name)
                .directory(place.runtime())
                .max_message(0)
                .open()
                .unwrap();
            let conn = link.within(LIMIT).next().unwrap().within(LIMIT);
            drop(link);
            if round == 1 && args.len() == 1 {
                listen.says("connected");
                listen.write(b"line\n");
            }
            let error = conn.recv().unwrap_err();
            assert!(
                matches!(
                    error.end(),
                    Some(End::Closed {
                        by: By::Peer,
                        code: 1,
                        ..
                    })
                ),
                "{error}"
            );
            listen.says_times("the peer takes at most 0", round);
        }
        let connect = place.start("connect", &["--count", "1"]);
        assert_eq!(connect.wait().code(0).text().trim_end(), "line");
        assert!(listen.is_running());
        listen.killed();
    }
}

#[test]
fn interrupted_is_told_as_such() {
    if cfg!(windows) {
        return; // There is no Ctrl-C for a single process there.
    }
    let place = Place::new();
    let listen = place.start("listen", &[]);
    let connect = place.start("connect", &[]);
    connect.says("connected");
    for signal in ["TERM", "INT"] {
        let keep = place.start_named("listen", "other", &["--keep"]);
        keep.says("waiting");
        let script = format!("kill -{signal} {}", keep.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(keep.wait().code, None, "it dies by the signal");
    }
    let script = format!("kill -INT {}", connect.child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(connect.wait().code, None);
    // Whoever interrupts may have had more to say.
    listen.wait().code(5).says("code 130: interrupted");
}

// Who is there, and who is not.

#[test]
fn no_peer_in_time() {
    let place = Place::new();
    place.file("file", b"");
    for (command, args) in [
        ("listen", &[][..]),
        ("connect", &[]),
        ("listen", &["--keep"]),
        ("recv", &[]),
        ("send", &["file"]),
        ("listen", &["--exec", env!("CARGO_BIN_EXE_twinring")]),
    ] {
        let begin = Instant::now();
        let all: Vec<_> = ["--timeout", "300ms"].iter().chain(args).copied().collect();
        let ended = place.start(command, &all).wait().code(3);
        ended.says("no peer appeared in the time given");
        let time = begin.elapsed();
        assert!(time >= Duration::from_millis(300), "{time:?}");
        assert!(time < Duration::from_secs(20), "{time:?}");
    }
}

#[test]
fn a_second_host_is_refused() {
    let place = Place::new();
    let listen = place.start("listen", &[]);
    listen.says("waiting");
    place
        .start("listen", &[])
        .wait()
        .code(4)
        .says("hosts a link of this name");
    place.start("recv", &[]).wait().code(4);
    listen.killed();
    // A dead one is no obstacle.
    place
        .start("listen", &["--timeout", "100ms"])
        .wait()
        .code(3);
}

#[test]
fn a_second_guest_is_told_that_the_host_is_busy() {
    let place = Place::new();
    let listen = place.start("listen", &["--keep"]);
    let first = place.start("connect", &[]);
    first.says("connected");
    place
        .start("connect", &["--timeout", "500ms"])
        .wait()
        .code(4)
        .says("the host is connected to another guest; this one is number 1 in its queue");
    // One that waits longer is connected then.
    let second = place.start("connect", &[]);
    second.says("in its queue");
    first.killed();
    second.says("connected to process");
    listen.killed();
    second.wait().code(5);
}

// Programs.

/// The program and arguments that end with this exit code.
fn exit_with(code: &str) -> Vec<&str> {
    if cfg!(windows) {
        vec!["cmd", "/c", "exit", code]
    } else {
        vec!["sh", "-c", "exit $0", code]
    }
}

#[test]
fn a_program_joined_to_the_link() {
    // guest ⇄ (host, its program: a guest elsewhere) ⇄ host elsewhere
    let place = Place::new();
    let elsewhere = format!("{} elsewhere", place.name);
    let program = env!("CARGO_BIN_EXE_twinring");
    let listen = place.start(
        "listen",
        &["--exec", program, "connect", &elsewhere, "--quiet"],
    );
    let mut far = place.start_named("listen", &elsewhere, &[]);
    let mut near = place.start("connect", &[]);
    near.write(b"there\n");
    far.shows("there\n");
    far.write(b"and back\n");
    near.shows("and back\n");
    // The end passes through all of them: the program's input ends, so it closes and ends.
    far.end_input();
    near.end_input();
    near.wait().code(0);
    listen.wait().code(0);
    far.wait().code(0);
}

#[test]
fn a_program_s_end_is_the_connection_s_end() {
    let place = Place::new();
    for (side, other) in [("listen", "connect"), ("connect", "listen")] {
        let mut args = vec!["--exec"];
        args.extend(exit_with("7"));
        let with_program = place.start(side, &args);
        let peer = place.start(other, &[]);
        with_program.wait().code(7);
        peer.wait().code(5).says("code 7: ");
    }
}

#[test]
fn a_program_for_each_guest() {
    let place = Place::new();
    let mut args = vec!["--keep", "--exec"];
    if cfg!(windows) {
        args.extend(["cmd", "/c", "echo hello"]);
    } else {
        args.extend([
            "sh",
            "-c",
            "echo hello; read line; echo \"you said $line\"; exit 3",
        ]);
    }
    let listen = place.start("listen", &args);
    for round in 0..3 {
        let mut connect = place.start("connect", &["--timeout", "60"]);
        connect.feed(format!("round {round}\n").into_bytes());
        let connected = connect.wait();
        let text = connected.text();
        assert!(text.starts_with("hello"), "{connected:?}");
        if cfg!(unix) {
            assert_eq!(text, format!("hello\nyou said round {round}\n"));
            connected.code(5).says("code 3: sh: exit status: 3");
        } else {
            connected.code(0);
        }
    }
    listen.says_times("waiting for a guest", 4);
    let ended: Ended = listen.killed();
    if cfg!(unix) {
        ended.says("sh: exit status: 3");
    }
}

/// Whoever is connected is served, however quickly guests follow each other, one by one or all at once.
#[test]
fn guests_that_follow_each_other() {
    let place = Place::new();
    let mut args = vec!["--keep", "--exec"];
    if cfg!(windows) {
        args.extend(["cmd", "/c", "echo hello"]);
    } else {
        args.extend(["echo", "hello"]);
    }
    let listen = place.start("listen", &args);
    let guest = || place.start("connect", &["--quiet"]);
    let many = if cfg!(windows) { 6 } else { 20 };
    for _ in 0..many {
        assert_eq!(guest().wait().code(0).text(), "hello\n");
    }
    let at_once: Vec<_> = (0..many).map(|_| guest()).collect();
    for guest in at_once {
        assert_eq!(guest.wait().code(0).text(), "hello\n");
    }
    listen.says_times("connected to", 2 * many);
    assert_eq!(listen.said("connected to"), 2 * many);
}

/// Guests that come and go at once: each is served by a program of its own.
#[test]
fn no_guest_is_sent_away_without_a_program() {
    let place = Place::new();
    let mut args = vec!["--keep", "--quiet", "--exec"];
    args.extend(match cfg!(windows) {
        true => ["cmd", "/c", "echo hello"],
        false => ["sh", "-c", "echo hello"],
    });
    let mut listen = place.start("listen", &args);
    let guest = Link::guest(&place.name)
        .directory(place.runtime())
        .open()
        .unwrap();
    for _ in 0..20 {
        // It connects again at the moment that the last connection ends.
        let conn = guest.within(LIMIT).next().unwrap().within(LIMIT);
        let hello = conn.recv().unwrap().unwrap();
        assert_eq!(hello.trim_ascii_end(), b"hello");
        assert_eq!(conn.recv().unwrap(), None);
    }
    drop(guest);
    assert!(listen.is_running());
}

#[test]
fn a_program_that_cannot_be_run() {
    let place = Place::new();
    // Nobody has to connect for that.
    let listen = place.start(
        "listen",
        &["--keep", "--exec", "no-such-program", "--quiet"],
    );
    listen.wait().code(1).says("cannot run no-such-program");
}
