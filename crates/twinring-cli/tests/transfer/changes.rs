//! Files that change while they are sent: neither side takes them for verified.

use std::fs::{self, OpenOptions};
use std::thread;
use std::time::Duration;

use twinring::Link;

use crate::common::{self, Place, noise, until};
use crate::{Hostile, MIB};

/// Bytes that take a moment through a small ring.
const LENGTH: u64 = 64 * MIB as u64;

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_sent() {
    for (length, says) in [
        (LENGTH + 1, "more than the 67108864 bytes that it had"),
        (3 * MIB as u64, "fewer than the 67108864 bytes that it had"),
    ] {
        let place = Place::new();
        let inbox = place.directory("in");
        let path = place.file("big", &noise(2 * MIB, 1));
        let big = OpenOptions::new().write(true).open(path).unwrap();
        big.set_len(LENGTH).unwrap();
        place.file("small", b"small");
        let recv = place.start("recv", &["-o", "in", "--ring-capacity", "4K"]);
        let send = place.start("send", &["big", "small"]);
        until("some of the file arrives", || {
            let mut files = fs::read_dir(&inbox).unwrap();
            files.any(|entry| entry.unwrap().metadata().is_ok_and(|there| there.len() > 0))
        });
        big.set_len(length).unwrap();
        send.finish()
            .code(6)
            .says("big was not sent: it has changed while it was sent")
            .says(says)
            .says("1 of 2 files failed");
        recv.finish()
            .code(6)
            .says("\"big\" was not received: the sender says: it has changed")
            .says("1 of 2 files failed");
        assert_eq!(Place::names(&inbox), ["small"]);
    }
}

/// The test is the receiver: between the header and the contents, it changes the file.
#[test]
fn a_file_that_changes_and_keeps_its_length() {
    let place = Place::new();
    let path = place.file("a", b"before");
    let link = Link::host(&place.name).directory(place.runtime()).open();
    let send = place.start("send", &["a"]);
    let conn = link.unwrap().within(common::LIMIT).next().unwrap();
    let conn = conn.within(common::LIMIT);
    let receive = || conn.recv().unwrap().unwrap();
    assert_eq!(receive()[0], 0x01);
    conn.send(b"\x81\x01\0\0\0").unwrap();
    assert_eq!(receive()[0], 0x02);
    // The clock of a file system may be slow.
    thread::sleep(Duration::from_millis(50));
    fs::write(path, b"behind").unwrap();
    conn.send(b"\x82").unwrap();
    assert_eq!(receive(), b"\x03behind");
    let cancel = receive();
    assert_eq!(cancel[0], 0x05, "{cancel:?}");
    conn.send(b"\x84\0").unwrap();
    assert_eq!(receive(), b"\x06");
    send.finish()
        .code(6)
        .says("a was not sent: it has changed while it was sent");
}

#[test]
fn another_length_than_announced_is_refused() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in"]);
    let sender = Hostile::connect(&place);
    sender.greet(3);
    // Fewer bytes, with the right checksum.
    sender.file(5, 0, 0, b"a");
    assert_eq!(sender.receive(), b"\x82");
    sender.send(b"\x03data");
    sender.end(b"data");
    assert_eq!(sender.receive()[..2], *b"\x84\x04");
    // More of them: refused before the end.
    sender.file(3, 0, 0, b"b");
    assert_eq!(sender.receive(), b"\x82");
    sender.send(b"\x03data");
    assert_eq!(sender.receive()[..2], *b"\x84\x04");
    sender.send(b"\x05");
    // As many as were announced.
    sender.file(4, 0, 0, b"c");
    assert_eq!(sender.receive(), b"\x82");
    sender.send(b"\x03data");
    sender.end(b"data");
    assert_eq!(sender.receive(), b"\x83");
    sender.send(b"\x06");
    recv.finish()
        .code(6)
        .says("fewer bytes than the 5 that were announced")
        .says("more bytes than the 3 that were announced")
        .says("2 of 3 files failed");
    assert_eq!(Place::names(&inbox), ["c"]);
}
