//! `twinring send` and `twinring recv`.

#[path = "transfer/attributes.rs"]
mod attributes;
#[path = "transfer/changes.rs"]
mod changes;
mod common;
#[path = "transfer/failures.rs"]
mod failures;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use common::{Place, Running, is_long, noise, until};
use twinring::{By, Connection, End, Link};

const MIB: usize = 1 << 20;

#[track_caller]
fn same(a: &Path, b: &Path) {
    // Not assert_eq, which would print megabytes.
    assert!(
        fs::read(a).unwrap() == fs::read(b).unwrap(),
        "{b:?} differs"
    );
}

#[test]
fn files_of_many_sizes_arrive_in_either_order_of_start() {
    let place = Place::new();
    let sizes = [0, 1, MIB - 1, MIB, MIB + 1, 50 * MIB];
    let names: Vec<_> = sizes
        .iter()
        .map(|size| format!("file {size}.bin"))
        .collect();
    for (name, size) in names.iter().zip(sizes) {
        place.file(name, &noise(size, size as u64));
    }
    let args: Vec<_> = names.iter().map(String::as_str).collect();
    for (directory, recv_first) in [("in 1", true), ("in 2", false)] {
        let inbox = place.directory(directory);
        let recv = || place.start("recv", &["-o", directory]);
        let send = || place.start("send", &args);
        let (recv, send) = if recv_first {
            let recv = recv();
            (recv, send())
        } else {
            let send = send();
            std::thread::sleep(Duration::from_millis(100));
            (recv(), send)
        };
        send.finish()
            .code(0)
            .says("sent 6 files")
            .says("verified by the receiver");
        let received = recv.finish().code(0);
        assert_eq!(received.text().lines().count(), 6);
        for name in &names {
            same(&place.path(name), &inbox.join(name));
            let time = |path: &Path| {
                let modified = fs::metadata(path).unwrap().modified().unwrap();
                modified.duration_since(UNIX_EPOCH).unwrap().as_millis()
            };
            assert_eq!(time(&place.path(name)), time(&inbox.join(name)));
        }
        assert_eq!(Place::names(&inbox).len(), 6);
    }
}

#[test]
fn standard_input_under_a_name() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in", "-q"]);
    let mut send = place.start("send", &["-", "--name", "x.bin", "-q"]);
    let contents = noise(3 * MIB + 7, 1);
    send.feed(contents.clone());
    let sent = send.wait().code(0);
    assert_eq!(sent.stderr, "");
    let received = recv.finish().code(0);
    assert_eq!(received.stderr, "");
    let path = Path::new("in").join("x.bin");
    assert_eq!(received.text(), format!("{}\n", path.display()));
    assert!(fs::read(inbox.join("x.bin")).unwrap() == contents);
}

#[test]
fn existing_files_are_refused_without_force() {
    let place = Place::new();
    let inbox = place.directory("in");
    fs::write(inbox.join("a"), "old").unwrap();
    place.file("a", b"new");
    place.file("b", b"other");
    let recv = place.start("recv", &["-o", "in"]);
    place
        .start("send", &["a", "b"])
        .finish()
        .code(6)
        .says("a was not sent: the receiver says: a file of this name exists")
        .says("1 of 2 files failed");
    recv.finish().code(6).says("\"a\" was not received");
    assert_eq!(fs::read(inbox.join("a")).unwrap(), b"old");
    assert_eq!(fs::read(inbox.join("b")).unwrap(), b"other");

    let recv = place.start("recv", &["-o", "in", "--force", "--sync"]);
    place.start("send", &["a", "b"]).finish().code(0);
    recv.finish().code(0);
    assert_eq!(fs::read(inbox.join("a")).unwrap(), b"new");
    assert_eq!(Place::names(&inbox), ["a", "b"]);
}

#[test]
fn unreadable_sources_do_not_stop_the_others() {
    let place = Place::new();
    let inbox = place.directory("in");
    place.directory("folder");
    place.file("good", b"good");
    let recv = place.start("recv", &["-o", "in"]);
    place
        .start("send", &["none", "folder", "good"])
        .finish()
        .code(6)
        .says("none was not sent")
        .says("folder was not sent: it is a directory; pack it")
        .says("2 of 3 files failed");
    recv.finish()
        .code(6)
        .says("\"none\" was not received: the sender says: ")
        .says("\"folder\" was not received: the sender says: it is a directory")
        .says("2 of 3 files failed");
    assert_eq!(Place::names(&inbox), ["good"]);
}

#[test]
fn one_sender_after_the_other() {
    let place = Place::new();
    let inbox = place.directory("in");
    let mut recv = place.start("recv", &["-o", "in", "--keep"]);
    for round in 0..3 {
        let name = format!("file{round}");
        place.file(&name, &noise(100_000, round));
        place.start("send", &[&name]).finish().code(0);
        place.start("send", &[&name]).finish().code(6);
    }
    // Two at once: the second waits until the first has gone.
    place.file("x", &noise(5 * MIB, 1));
    place.file("y", &noise(5 * MIB, 2));
    let (x, y) = (place.start("send", &["x"]), place.start("send", &["y"]));
    x.finish().code(0);
    y.finish().code(0);
    assert!(recv.is_running());
    recv.kill();
    assert_eq!(Place::names(&inbox), ["file0", "file1", "file2", "x", "y"]);
    same(&place.path("y"), &inbox.join("y"));
}

/// A transfer of which more than a block has arrived, and which goes on.
fn half_way(place: &Place, inbox: &Path) -> (Running, Running) {
    let recv = place.start("recv", &["-o", "in"]);
    let mut send = place.start("send", &["-", "--name", "x"]);
    send.write(&noise(5 * MIB / 2, 3));
    until("some of the file arrives", || {
        let mut files = fs::read_dir(inbox).unwrap();
        files.any(|entry| {
            let len = entry.unwrap().metadata().map_or(0, |there| there.len());
            len >= MIB as u64
        })
    });
    (recv, send)
}

#[test]
fn a_receiver_killed_half_way() {
    let place = Place::new();
    let inbox = place.directory("in");
    let (mut recv, send) = half_way(&place, &inbox);
    let begin = Instant::now();
    recv.kill();
    // Its input is still open, and has nothing to say.
    send.wait_for(Duration::from_secs(30)).code(5);
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(!inbox.join("x").exists());
}

#[test]
fn a_sender_killed_half_way() {
    let place = Place::new();
    let inbox = place.directory("in");
    let (recv, mut send) = half_way(&place, &inbox);
    send.kill();
    recv.wait().code(5);
    assert!(Place::names(&inbox).is_empty(), "a partial file remains");
}

#[test]
fn an_interrupted_receiver_cleans_up() {
    if cfg!(windows) {
        return; // There is no Ctrl-C for a single process there.
    }
    let place = Place::new();
    let inbox = place.directory("in");
    let (recv, send) = half_way(&place, &inbox);
    let pid = recv.child.id().to_string();
    let kill = Command::new("sh")
        .args(["-c", "kill -INT $0", &pid])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(recv.wait().code, None, "it dies by the signal");
    send.wait().code(5).says("the receiver left");
    assert!(Place::names(&inbox).is_empty(), "a partial file remains");
}

#[test]
fn a_write_that_fails_half_way_is_told_to_both() {
    if cfg!(windows) {
        return; // There is no limit to set there.
    }
    let place = Place::new();
    let inbox = place.directory("in");
    place.file("big", &noise(20 * MIB, 4));
    place.file("small", b"small");
    // As good as a full disk: files may have 2 MiB (4096 blocks of 512 bytes) and no more, shared
    // memory included.
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\" -o in --ring-capacity 64K";
    let program = env!("CARGO_BIN_EXE_twinring");
    let args = ["-c", script, program, "recv", &place.name];
    let recv = Running::start(place.prepared(Command::new("sh"), args));
    place
        .start("send", &["big", "small"])
        .finish()
        .code(6)
        .says("big was not sent: the receiver says: cannot write after 3.00 MiB")
        .says("1 of 2 files failed");
    recv.finish().code(6).says("\"big\" was not received");
    assert_eq!(Place::names(&inbox), ["small"]);
}

/// A sender that does not keep to the rules.
struct Hostile(Connection);

impl Hostile {
    fn connect(place: &Place) -> Hostile {
        let link = Link::guest(&place.name).directory(place.runtime()).open();
        let conn = link.unwrap().within(common::LIMIT).next().unwrap();
        Hostile(conn.within(common::LIMIT))
    }

    fn send(&self, message: &[u8]) {
        self.0.send(message).unwrap();
    }

    fn greet(&self, files: u64) {
        self.send(&[b"\x01TWFILES\0\x01\0\0\0", &files.to_le_bytes()[..]].concat());
        assert_eq!(self.receive(), b"\x81\x01\0\0\0");
    }

    /// The first and only file, as far as its contents.
    fn begin(&self, name: &[u8]) {
        self.greet(1);
        self.name(name);
        assert_eq!(self.receive(), b"\x82");
    }

    fn name(&self, name: &[u8]) {
        self.file(u64::MAX, 0, 0, name);
    }

    /// A file of this size, with these flags and this mode.
    fn file(&self, size: u64, flags: u8, mode: u32, name: &[u8]) {
        let head = [&[2], &size.to_le_bytes()[..], &[flags], &[0; 12]].concat();
        self.send(&[&head, &mode.to_le_bytes()[..], name].concat());
    }

    fn end(&self, contents: &[u8]) {
        let length = contents.len() as u64;
        let hash = xxhash_rust::xxh3::xxh3_128(contents);
        self.send(&[&[4], &length.to_le_bytes()[..], &hash.to_le_bytes()].concat());
    }

    fn receive(&self) -> Vec<u8> {
        self.0.recv().unwrap().unwrap()
    }
}

#[test]
fn hostile_names_write_nothing() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in", "--force"]);
    let sender = Hostile::connect(&place);
    sender.greet(9);
    let absolute = place.path("evil");
    let absolute = absolute.to_str().unwrap();
    let names = [
        "../evil", "..", ".", "", "in/evil", "..\\evil", absolute, "a\0b", "\x1b[2J",
    ];
    for name in names {
        sender.name(name.as_bytes());
        let answer = sender.receive();
        assert_eq!(answer[..2], *b"\x84\x02", "{name:?}: {answer:?}");
    }
    sender.send(b"\x06");
    let ended = recv.finish().code(6);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    assert!(Place::names(&inbox).is_empty());
    assert!(!place.path("evil").exists());
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in"]);
    let sender = Hostile::connect(&place);
    sender.begin(b"x");
    sender.send(b"\x03data");
    let mut end = b"\x04\x04\0\0\0\0\0\0\0".to_vec();
    end.extend_from_slice(&[7; 16]);
    sender.send(&end);
    assert_eq!(sender.receive()[..2], *b"\x84\x04");
    sender.send(b"\x06");
    recv.finish().code(6).says("checksum wrong");
    assert!(Place::names(&inbox).is_empty());
}

/// What one sender is told is not told to the next, whatever the first one does.
#[test]
fn hostile_senders_do_not_disturb_the_next_one() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in", "--keep"]);
    place.file("good", &noise(MIB, 1));
    let leaves_after_end = |sender: Hostile| {
        sender.greet(1);
        sender.name(b"x");
        assert_eq!(sender.receive(), b"\x82");
        sender.send(b"\x03data");
        let mut end = b"\x04\x04\0\0\0\0\0\0\0".to_vec();
        end.extend_from_slice(&[7; 16]);
        sender.send(&end);
        // The answer is due; it belongs to this connection only.
    };
    let sends_too_much = |sender: Hostile| {
        sender.greet(1);
        let mut stream = sender.0.send_stream().unwrap();
        let sent = stream.write_all(&vec![3; 3 * MIB]);
        assert!(sent.is_err() || stream.finish().is_err());
        let error = sender.0.recv().unwrap_err();
        let code = match error.end() {
            Some(End::Closed {
                by: By::Peer, code, ..
            }) => *code,
            end => panic!("{end:?}"),
        };
        assert_eq!(code, 1);
    };
    let takes_nothing = || {
        let link = Link::guest(&place.name)
            .directory(place.runtime())
            .max_message(0)
            .open();
        let conn = link.unwrap().within(common::LIMIT).next().unwrap();
        let sender = Hostile(conn.within(common::LIMIT));
        sender.send(b"\x01TWFILES\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
        assert!(sender.0.recv().is_err());
    };
    for round in 0..5 {
        let next = |name: &str| {
            place
                .start("send", &["good", "--name", name, "-q"])
                .finish()
                .code(0);
            same(&place.path("good"), &inbox.join(name));
        };
        leaves_after_end(Hostile::connect(&place));
        next(&format!("a{round}"));
        sends_too_much(Hostile::connect(&place));
        next(&format!("b{round}"));
        takes_nothing();
        next(&format!("c{round}"));
    }
    assert_eq!(Place::names(&inbox).len(), 15);
    recv.killed()
        .says("the sender left before everything had arrived");
}

#[test]
fn what_is_no_sender_is_told_so() {
    let place = Place::new();
    let inbox = place.directory("in");
    for message in [&b"hello"[..], b"\x03data", b"\x06"] {
        let recv = place.start("recv", &["-o", "in"]);
        let stranger = Hostile::connect(&place);
        stranger.send(message);
        let ended = recv.finish().code(1);
        assert!(ended.stderr.contains("protocol"), "{}", ended.stderr);
        let error = stranger.0.recv().unwrap_err();
        assert!(error.to_string().contains("protocol"), "{error}");
    }
    // In the middle of a file, too; nothing of it remains.
    let recv = place.start("recv", &["-o", "in"]);
    let stranger = Hostile::connect(&place);
    stranger.greet(1);
    stranger.name(b"x");
    assert_eq!(stranger.receive(), b"\x82");
    stranger.send(b"\x03data");
    stranger.send(b"nonsense");
    recv.finish()
        .code(1)
        .says("the peer is not the file protocol");
    assert!(Place::names(&inbox).is_empty());
}

/// Only in the long form: the greeting's limit is 10 s.
#[test]
fn what_is_no_receiver_is_told_by_its_silence() {
    if !is_long() {
        return println!("skipped: only TWINRING_LONG=1 asks for it");
    }
    let place = Place::new();
    let listen = place.start("listen", &[]);
    place.file("a", b"");
    place
        .start("send", &["a"])
        .finish()
        .code(1)
        .says("the peer is no `twinring recv`");
    listen.wait().code(5);
}
