//! Exit code 0 means that everything was delivered, and came to its own end: whoever leaves too early, both say so.

mod common;

use std::io::Read;

use common::{LIMIT, Place, Running, noise};
use twinring::Link;

const MUCH: usize = 20 << 20;

/// Sends more than the rings hold to a receiver that ends before it has taken it.
#[track_caller]
fn sender_beside(place: &Place, receiver: Running) -> Running {
    let mut sender = place.start("connect", &["-f", "raw"]);
    sender.feed(noise(MUCH, 1));
    sender.wait().code(5);
    receiver
}

#[test]
fn the_receiver_has_its_count() {
    let place = Place::new();
    let receiver = place.start("listen", &["-f", "raw", "--count", "1"]);
    // That is what it was asked for.
    sender_beside(&place, receiver).wait().code(0);
}

#[test]
fn nobody_reads_the_receiver_s_output() {
    let place = Place::new();
    let mut child = place
        .command(["listen", &place.name, "-f", "raw"])
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let receiver = Running::of(child, "listen".into());
    let reader = std::thread::spawn(move || stdout.read_exact(&mut [0; 10]).unwrap());
    sender_beside(&place, receiver).wait().code(1);
    reader.join().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn the_receiver_s_disk_is_full() {
    let place = Place::new();
    let mut command = place.command(["listen", &place.name, "-f", "raw"]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let receiver = Running::start({
        command.stdout(full);
        command
    });
    sender_beside(&place, receiver)
        .wait()
        .code(1)
        .says("cannot write to standard output");
}

/// It reads something first: input that is only to come when the peer leaves does not count.
#[test]
#[cfg(unix)]
fn the_receiver_s_program_ends() {
    let place = Place::new();
    let args = ["-f", "raw", "--exec", "head", "-c", "10"];
    let receiver = place.start("listen", &args);
    sender_beside(&place, receiver).wait().code(0);
}

/// It goes on, and nobody takes what it does not read.
#[test]
#[cfg(unix)]
fn the_receiver_s_program_reads_no_more() {
    let place = Place::new();
    let args = ["-f", "raw", "--exec", "sh", "-c"];
    let receiver = place.start(
        "listen",
        &[&args[..], &["head -c 10; exec <&-; sleep 1"]].concat(),
    );
    sender_beside(&place, receiver).wait().code(0);
}

#[test]
fn the_receiver_never_reads() {
    let place = Place::new();
    let host = Link::host(&place.name)
        .directory(place.runtime())
        .open()
        .unwrap();
    let mut sender = place.start("connect", &["-q", "0"]);
    sender.feed(b"one\ntwo\n".to_vec());
    let conn = host.within(LIMIT).next().unwrap();
    // Both lines are there.
    while conn.within(LIMIT).recv().unwrap() != Some(b"one".to_vec()) {}
    std::thread::sleep(std::time::Duration::from_millis(200));
    conn.close(0, "");
    sender.wait().code(5).says("it had not taken 1 message");
}

/// The end of the input ends nothing but the input.
#[test]
fn short_input_beside_long_input() {
    let place = Place::new();
    for (short, long) in [("listen", "connect"), ("connect", "listen")] {
        let bytes = noise(5_000_000, 2);
        let mut short = place.start(short, &["-N", "-f", "raw"]);
        short.feed(b"short".to_vec());
        let mut long = place.start(long, &["-N", "-f", "raw"]);
        long.feed(bytes.clone());
        assert!(short.wait().code(0).stdout == bytes);
        assert_eq!(long.wait().code(0).stdout, b"short");
    }
}

/// What a peer had not taken when it was killed is for the next one.
#[test]
#[cfg(unix)]
fn what_was_not_taken_is_for_the_next() {
    let place = Place::new();
    let mut shipper = place.start("connect", &["--keep"]);
    let mut first = place.start("listen", &[]);
    first.says("connected to");
    shipper.says("connected to");
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &first.child.id().to_string()])
        .status();
    assert!(stopped.unwrap().success());
    let lines: String = (0..1000).map(|i| format!("line {i}\n")).collect();
    shipper.write(lines.as_bytes());
    // They are in the ring by then; if not, they are read later.
    std::thread::sleep(std::time::Duration::from_secs(1));
    first.kill();
    shipper.says("messages that this one had not taken");
    let mut second = place.start("listen", &[]);
    second.shows("line 999\n");
    shipper.write(b"the last\n");
    second.shows("the last\n");
    second.end_input();
    shipper.end_input();
    let got = second.wait().code(0).text();
    assert_eq!(got, format!("{lines}the last\n"));
}

/// Memory is bounded by what the peer takes, and what does not fit is an error.
#[test]
#[cfg(unix)]
fn a_line_without_end() {
    let place = Place::new();
    let listen = place.start("listen", &["--max-message", "64K"]);
    let mut command = place.command(["connect", &place.name]);
    command.stdin(std::fs::File::open("/dev/zero").unwrap());
    let connect = Running::start(command);
    connect
        .wait()
        .code(1)
        .says("the peer takes at most 65536 bytes");
    listen.wait().code(5);
    // Without memory for it, with a limit that the command itself fits into.
    let listen = place.start("listen", &["--max-message", "100G"]);
    let program = env!("CARGO_BIN_EXE_twinring");
    let script = format!(
        "ulimit -v 400000; exec '{program}' connect '{}' < /dev/zero",
        place.name
    );
    let sh = place.prepared(std::process::Command::new("sh"), ["-c", &script]);
    Running::start(sh).wait().code(1).says("no memory");
    listen.wait().code(5);
}
