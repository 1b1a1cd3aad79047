//! Messages sent while they are made and received while they come: of any length in little memory,
//! complete or told to be not.

mod common;

use std::io::{self, Read, Write};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use common::{
    ABANDONED, CLOSED, CLOSED_HERE, CRASHED, Child, LIMIT, Parent, Place, Random, STOPPED, Side,
    Watchdog, check, connected, ended, kind, message, of_io, peers, rounds, stream_ended, until,
};
use twinring::{Connection, ErrorKind, Result, Timeout};

peers!(pours, drinks, obeys, floods, keeps);

const RING: u64 = 64 * 1024;
const CHUNK: usize = RING as usize / 4 - 8;
const SHORT: Duration = Duration::from_millis(20);

#[track_caller]
fn recv(conn: &Connection) -> Vec<u8> {
    conn.recv().unwrap().expect("there is more")
}

/// After so many bytes a pattern begins anew: no multiple of what any chunk may have.
const PERIOD: usize = 65_521;

/// Bytes that tell their place, as a reader in pieces of any length.
struct Pattern {
    at: u64,
    end: u64,
    pieces: Random,
}

impl Pattern {
    fn new(end: u64) -> Pattern {
        Pattern {
            at: 0,
            end,
            pieces: Random::new(end),
        }
    }

    /// The next bytes that are together in the table, at most so many.
    fn next(&mut self, most: usize) -> &'static [u8] {
        static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| message(0, 0, PERIOD));
        let rest = &TABLE[(self.at % PERIOD as u64) as usize..];
        let next = &rest[..most.min(rest.len())];
        self.at += next.len() as u64;
        next
    }

    fn fill(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let next = self.next(to.len());
            to[..next.len()].copy_from_slice(next);
            to = &mut to[next.len()..];
        }
    }

    /// Whether these are the next bytes.
    #[track_caller]
    fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.at;
            let next = self.next(bytes.len());
            assert!(bytes[..next.len()] == *next, "wrong bytes from {at} on");
            bytes = &bytes[next.len()..];
        }
    }
}

impl Read for Pattern {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let piece = 1 + self.pieces.below(100_000) as u64;
        let len = (to.len() as u64).min(piece).min(self.end - self.at) as usize;
        self.fill(&mut to[..len]);
        Ok(len)
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Says by how much the memory grew from before to now.
fn say_growth(parent: &Parent, before: u64) {
    parent.say(format!("grew {}", peak() - before));
}

fn long() -> u64 {
    rounds(300, 60) as u64 * 1024 * 1024 + 13
}

/// The child's end.
fn connect(parent: &'static Parent) -> Connection {
    connected(&parent.builder().ring_capacity(RING).open().unwrap())
}

/// Sends a long message in each way, and says what memory that took.
fn pours(parent: &'static Parent) {
    let conn = connect(parent);
    conn.send_stream().unwrap().finish().unwrap();
    let before = peak();
    for len in [long(), long() / 10] {
        let mut stream = conn.send_stream().unwrap();
        let mut pattern = Pattern::new(len);
        assert_eq!(io::copy(&mut pattern, &mut stream).unwrap(), len);
        assert_eq!(stream.len(), len);
        stream.finish().unwrap();
    }
    say_growth(parent, before);
    conn.finish().unwrap();
}

/// Receives what [`pours`] sends.
fn drinks(parent: &'static Parent) {
    let conn = connect(parent);
    let mut nothing = conn.recv_stream().unwrap().unwrap();
    assert_eq!(nothing.read(&mut [0]).unwrap(), 0);
    drop(nothing);
    let before = peak();
    let mut pattern = Pattern::new(long());
    let mut stream = conn.recv_stream().unwrap().unwrap();
    let mut buffer = vec![0; 50_000];
    let mut pieces = Random::new(1);
    while pattern.at < long() {
        if pieces.one_in(3) {
            let chunk = stream.next_chunk().unwrap().expect("there is more");
            pattern.check(&chunk);
        } else {
            let most = 1 + pieces.below(buffer.len());
            let len = stream.read(&mut buffer[..most]).unwrap();
            assert!(len > 0, "there is more");
            pattern.check(&buffer[..len]);
        }
    }
    // Whichever comes last, it may have nothing in it.
    while let Some(chunk) = stream.next_chunk().unwrap() {
        assert!(chunk.is_empty());
    }
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
    drop(stream);
    let mut stream = conn.within(LIMIT).recv_stream().unwrap().unwrap();
    let mut pattern = Pattern::new(long() / 10);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            len => pattern.check(&buffer[..len]),
        }
    }
    assert_eq!(pattern.at, long() / 10);
    drop(stream);
    assert!(conn.recv_stream().unwrap().is_none());
    say_growth(parent, before);
}

#[test]
fn far_longer_than_the_ring_in_little_memory() {
    let _watchdog = Watchdog::new(240);
    for side in Side::BOTH {
        let place = Place::new();
        let mut from = place.start("pours", side);
        let mut to = place.start("drinks", side.opposite());
        for child in [&mut to, &mut from] {
            let said = child.next_line();
            let grown: u64 = said.strip_prefix("grew ").unwrap().parse().unwrap();
            assert!(grown < 4 * 1024 * 1024, "{said}");
        }
        from.finish();
        to.finish();
    }
}

/// What overtakes a stream is kept up to so many bytes.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// So many of the longest messages that overtake are as much, with where they are: the last of them goes
/// beyond it.
const KEPT: usize = MOST_KEPT.div_ceil(CHUNK + size_of::<(Vec<u8>, Option<(u64, u64)>)>());
const FLOOD: usize = KEPT + 500;

/// Sends two streams, between whose chunks come more messages than the peer keeps.
fn floods(parent: &'static Parent) {
    let conn = connect(parent);
    for number in 1..=2 {
        let mut pattern = Pattern::new(2 * CHUNK as u64);
        let mut chunk = vec![0; CHUNK];
        let mut stream = conn.send_stream().unwrap();
        pattern.fill(&mut chunk);
        stream.write_all(&chunk).unwrap();
        for at in 0..FLOOD as u64 {
            conn.send(&message(number, at, CHUNK)).unwrap();
        }
        pattern.fill(&mut chunk);
        let written = of_io(stream.write_all(&chunk));
        if number == 1 {
            written.unwrap();
            stream.finish().unwrap();
        } else {
            assert_eq!(stream_ended(written), STOPPED);
        }
    }
    conn.finish().unwrap();
}

/// Reads nothing but the streams that [`floods`] sends, until it cannot.
fn keeps(parent: &'static Parent) {
    let conn = connect(parent);
    let before = peak();
    let mut bytes = vec![0; CHUNK];
    let mut pattern = Pattern::new(2 * CHUNK as u64);
    let mut stream = conn.recv_stream().unwrap().unwrap();
    stream.read_exact(&mut bytes).unwrap();
    pattern.check(&bytes);
    // As often as it is asked: nothing more is kept.
    for _ in 0..3 {
        assert_eq!(kind(of_io(stream.read(&mut bytes))), ErrorKind::Held);
        assert_eq!(kind(stream.next_chunk()), ErrorKind::Held);
    }
    say_growth(parent, before);
    // With one less it goes on, to the next.
    check(&recv(&conn), 1, 0, CHUNK);
    assert_eq!(kind(of_io(stream.read(&mut bytes))), ErrorKind::Held);
    let mut next = 1;
    loop {
        match conn.recv() {
            Ok(overtaking) => check(&overtaking.unwrap(), 1, next, CHUNK),
            // It would wait for its own stream.
            Err(e) => break assert_eq!(e.kind(), ErrorKind::Held, "{e}"),
        }
        next += 1;
    }
    assert_eq!(next, KEPT as u64 + 1);
    // The rest of them is no more than can be kept, so that the end of the stream can be reached.
    stream.read_exact(&mut bytes).unwrap();
    pattern.check(&bytes);
    assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    drop(stream);
    for at in next..FLOOD as u64 {
        check(&recv(&conn), 1, at, CHUNK);
    }
    // Left when it can keep no more: the next receiver gets what was kept, then what was not.
    let mut stream = conn.recv_stream().unwrap().unwrap();
    stream.read_exact(&mut bytes).unwrap();
    Pattern::new(0).check(&bytes);
    assert_eq!(kind(of_io(stream.read(&mut bytes))), ErrorKind::Held);
    drop(stream);
    for at in 0..FLOOD as u64 {
        check(&recv(&conn), 2, at, CHUNK);
    }
    parent.say("all");
    assert_eq!(conn.recv().unwrap(), None);
}

/// Who reads a stream only is told when too much has overtaken it, can go on, and loses nothing.
#[test]
fn more_overtakes_than_is_kept() {
    let _watchdog = Watchdog::new(240);
    for side in Side::BOTH {
        let place = Place::new();
        let from = place.start("floods", side);
        let mut to = place.start("keeps", side.opposite());
        let said = to.next_line();
        let grown: usize = said.strip_prefix("grew ").unwrap().parse().unwrap();
        assert!(grown < MOST_KEPT + 4 * 1024 * 1024, "{said}");
        to.expect("all");
        from.finish();
        to.finish();
    }
}

/// A peer that has enough of a large message may say so before all of it is sent.
fn unless_unwanted(sent: Result<()>) {
    if sent.is_err() {
        assert_eq!(stream_ended(sent), STOPPED);
    }
}

/// Does what it is told, a line at a time.
fn obeys(parent: &'static Parent) {
    let builder = parent.builder().ring_capacity(RING);
    let conn = connected(&builder.max_message(10_000_000).open().unwrap());
    let mut sequence = 0;
    let mut send = |len| {
        unless_unwanted(conn.send(&message(1, sequence, len)));
        sequence += 1;
    };
    loop {
        let line = parent.next_line();
        let (order, len) = line.split_once(' ').unwrap_or((&line, "0"));
        let len: usize = len.parse().unwrap();
        match order {
            // The next message.
            "send" => send(len),
            // A stream of so many bytes that is given up: with a reason, or without one.
            "abort" | "drop" => {
                let mut stream = conn.send_stream().unwrap();
                unless_unwanted(of_io(stream.write_all(&vec![7; len])));
                match order {
                    "abort" => stream.abort(3, "as the test wants it"),
                    _ => drop(stream),
                }
            }
            // A stream without end; says how it ended.
            "pour" => {
                let mut stream = conn.send_stream().unwrap();
                let e = loop {
                    if let Err(e) = stream.write_all(&[7; 1000]) {
                        break e;
                    }
                };
                parent.say(stream_ended(of_io(Err::<(), _>(e))));
                // Each time.
                assert_eq!(kind(stream.finish()), ErrorKind::StreamEnded);
            }
            // So many messages between the chunks of a stream, by another thread.
            "overtake" => {
                let mut pattern = Pattern::new(10 * CHUNK as u64 + 5);
                let mut stream = conn.send_stream().unwrap();
                let mut chunk = vec![0; CHUNK];
                for _ in 0..10 {
                    pattern.fill(&mut chunk);
                    stream.write_all(&chunk).unwrap();
                    for _ in 0..len / 10 {
                        send(100);
                    }
                }
                pattern.fill(&mut chunk[..5]);
                stream.write_all(&chunk[..5]).unwrap();
                stream.finish().unwrap();
            }
            // Half of a stream, and two messages that overtake it; the rest when it is told to.
            "half" => {
                let mut pattern = Pattern::new(2 * CHUNK as u64);
                let mut chunk = vec![0; CHUNK];
                let mut stream = conn.send_stream().unwrap();
                pattern.fill(&mut chunk);
                stream.write_all(&chunk).unwrap();
                send(100);
                send(200);
                parent.say("half");
                match parent.next_line().as_str() {
                    "rest" => {
                        pattern.fill(&mut chunk);
                        stream.write_all(&chunk).unwrap();
                        stream.finish().unwrap();
                    }
                    "close" => {
                        conn.close(0, "");
                        return assert_eq!(ended(stream.finish()), CLOSED_HERE);
                    }
                    "finish" => {
                        // Only once the stream is over.
                        conn.finish().unwrap();
                        drop(stream);
                        return;
                    }
                    other => panic!("what is {other:?}?"),
                }
            }
            // Receives so many bytes of a stream, and no more.
            "read" | "stop" => {
                let mut stream = conn.recv_stream().unwrap().unwrap();
                let mut bytes = vec![0; len];
                stream.read_exact(&mut bytes).unwrap();
                Pattern::new(0).check(&bytes);
                match order {
                    "stop" => stream.stop(4, "that is enough"),
                    _ => drop(stream),
                }
                parent.say("read");
            }
            "recv" => parent.say(match conn.recv() {
                Ok(bytes) => format!("{}", bytes.unwrap().len()),
                Err(e) if e.kind() == ErrorKind::StreamEnded => stream_ended(Err::<(), _>(e)),
                Err(e) => format!("{:?}", e.kind()),
            }),
            "end" => return conn.finish().unwrap(),
            other => panic!("what is {other:?}?"),
        }
    }
}

/// Calls `test` as each side, with a child that obeys.
fn beside_one_that_obeys(mut test: impl FnMut(&Connection, &mut Child)) {
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut child = place.start("obeys", side.opposite());
        test(&connected(&link), &mut child);
    }
}

/// Nothing else has come.
fn end(conn: &Connection, child: &mut Child) {
    child.say("end");
    assert_eq!(conn.recv().unwrap(), None);
    assert_eq!(child.next_line_or_end(), None);
}

/// How a stream ends that is given up with a reason.
const ABORTED: &str = r#"Aborted { code: 3, reason: "as the test wants it" }"#;

/// The receiver of what is given up half-way is told, and the next message is whole. No receiver
/// learns of a stream that was given up before its first chunk.
#[test]
fn given_up() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        let mut next = 0;
        for (order, how) in [("abort", ABORTED), ("drop", ABANDONED)] {
            for len in [0, 100, CHUNK - 1, CHUNK, 3 * CHUNK + 1, 1_000_000] {
                for as_stream in [false, true] {
                    child.say(format!("{order} {len}"));
                    child.say("send 1000");
                    if as_stream {
                        let mut stream = conn.recv_stream().unwrap().unwrap();
                        let mut bytes = Vec::new();
                        let read = of_io(stream.read_to_end(&mut bytes));
                        assert_eq!(stream_ended(read), how);
                        assert_eq!(bytes.len(), len / CHUNK * CHUNK);
                        // And not the end, however often it is asked.
                        assert_eq!(stream_ended(of_io(stream.read(&mut [0]))), how);
                        assert_eq!(stream_ended(stream.next_chunk()), how);
                    } else {
                        assert_eq!(stream_ended(conn.recv()), how);
                    }
                    check(&recv(conn), 1, next, 1000);
                    next += 1;
                }
            }
        }
        end(conn, child);
    });
}

/// What nobody wants to read of a stream is skipped, wherever that begins.
#[test]
fn the_rest_is_skipped() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        let mut next = 0;
        for read in [0, 1, CHUNK, CHUNK + 1, 4 * CHUNK] {
            for len in [100, 3 * CHUNK, 500_000] {
                child.say(format!("send {len}"));
                // As a stream, large, in place, and in a batch.
                for len in [300, 4 * CHUNK, 100, 0] {
                    child.say(format!("send {len}"));
                }
                let mut stream = conn.recv_stream().unwrap().unwrap();
                let mut bytes = vec![0; read.min(len)];
                stream.read_exact(&mut bytes).unwrap();
                assert!(bytes == message(1, next, len)[..bytes.len()]);
                drop(stream);
                let mut stream = conn.recv_stream().unwrap().unwrap();
                check(&stream.next_chunk().unwrap().unwrap(), 1, next + 1, 300);
                drop(stream);
                check(&recv(conn), 1, next + 2, 4 * CHUNK);
                check(&conn.recv_in_place().unwrap().unwrap(), 1, next + 3, 100);
                let mut batch = conn.recv_batch().unwrap().unwrap();
                check(batch.next_message().unwrap(), 1, next + 4, 0);
                assert_eq!(batch.next_message(), None);
                batch.take();
                next += 5;
            }
        }
        end(conn, child);
    });
}

/// A skipped stream that is given up is nobody's concern.
#[test]
fn a_skipped_stream_is_given_up() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        child.say(format!("drop {}", 20 * CHUNK));
        child.say("send 10");
        let mut stream = conn.recv_stream().unwrap().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        drop(stream);
        check(&recv(conn), 1, 0, 10);
        end(conn, child);
    });
}

/// Messages that overtake a stream come meanwhile, if somebody asks, and to later receivers, in their order.
#[test]
fn overtaken() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        let mut next = 0;
        for asked in [0, 1, 50, 1000] {
            child.say("overtake 100");
            child.say("send 10");
            let mut stream = conn.recv_stream().unwrap().unwrap();
            let mut pattern = Pattern::new(0);
            let mut buffer = [0; 5000];
            let (end, mut asked) = (next + 100, asked);
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    len => pattern.check(&buffer[..len]),
                }
                if asked > 0 {
                    match conn.recv() {
                        Ok(bytes) => {
                            check(&bytes.unwrap(), 1, next, 100);
                            (next, asked) = (next + 1, asked - 1);
                        }
                        Err(e) => assert_eq!(e.kind(), ErrorKind::Held, "{e}"),
                    }
                }
            }
            assert_eq!(pattern.at, 10 * CHUNK as u64 + 5);
            drop(stream);
            while next < end {
                match next % 4 {
                    0 => check(&recv(conn), 1, next, 100),
                    1 => check(&conn.recv_in_place().unwrap().unwrap(), 1, next, 100),
                    2 => {
                        let mut stream = conn.recv_stream().unwrap().unwrap();
                        let mut bytes = Vec::new();
                        stream.read_to_end(&mut bytes).unwrap();
                        check(&bytes, 1, next, 100);
                    }
                    _ => {
                        // One that is not taken comes again.
                        for take in [false, true] {
                            let mut batch = conn.recv_batch().unwrap().unwrap();
                            check(batch.next_message().unwrap(), 1, next, 100);
                            if take {
                                batch.take();
                            }
                        }
                    }
                }
                next += 1;
            }
            check(&recv(conn), 1, next, 10);
            next += 1;
        }
        end(conn, child);
    });
}

/// What a call that was late has collected becomes the beginning of a stream.
#[test]
fn a_part_is_taken_over() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        for round in 0..2 {
            child.say("half");
            child.expect("half");
            // Two messages have overtaken it; they come first.
            check(&recv(conn), 1, 2 * round, 100);
            check(&recv(conn), 1, 2 * round + 1, 200);
            let short = conn.within(SHORT);
            assert_eq!(kind(short.recv()), ErrorKind::TimedOut);
            let mut stream = short.recv_stream().unwrap().unwrap();
            let mut pattern = Pattern::new(0);
            let mut bytes = vec![0; CHUNK];
            if round == 0 {
                stream.read_exact(&mut bytes[..100]).unwrap();
                pattern.check(&bytes[..100]);
                pattern.check(&stream.next_chunk().unwrap().unwrap());
            } else {
                stream.read_exact(&mut bytes).unwrap();
                pattern.check(&bytes);
            }
            assert_eq!(pattern.at, CHUNK as u64);
            // Late, as often as it likes, and it goes on.
            for _ in 0..3 {
                assert_eq!(kind(of_io(stream.read(&mut [0]))), ErrorKind::TimedOut);
                assert_eq!(kind(stream.next_chunk()), ErrorKind::TimedOut);
            }
            child.say("rest");
            let mut rest = [0; 1000];
            while pattern.at < 2 * CHUNK as u64 {
                match stream.read(&mut rest).map_err(|e| e.kind()) {
                    Ok(len) => pattern.check(&rest[..len]),
                    Err(e) => assert_eq!(e, io::ErrorKind::TimedOut),
                }
            }
            assert_eq!(stream.read(&mut rest).unwrap(), 0);
        }
        end(conn, child);
    });
}

/// The sender goes in the middle of a stream: its reader is told, and what had overtaken it was
/// committed, so it comes.
#[test]
fn the_sender_goes() {
    let _watchdog = Watchdog::new(120);
    for (what, how) in [("die", CRASHED), ("close", CLOSED)] {
        beside_one_that_obeys(|conn, child| {
            child.say("half");
            child.expect("half");
            let mut stream = conn.recv_stream().unwrap().unwrap();
            let mut bytes = vec![0; CHUNK];
            stream.read_exact(&mut bytes).unwrap();
            Pattern::new(0).check(&bytes);
            match what {
                "die" => child.kill_unreaped(),
                other => child.say(other),
            }
            // Each time.
            for _ in 0..2 {
                assert_eq!(ended(of_io(stream.read(&mut [0]))), how);
                assert_eq!(ended(stream.next_chunk()), how);
            }
            check(&recv(conn), 1, 0, 100);
            drop(stream);
            check(&recv(conn), 1, 1, 200);
            assert_eq!(ended(conn.recv()), how);
        });
    }
}

/// A sender that finishes while a stream is open has finished when the stream is over.
#[test]
fn the_sender_finishes() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        child.say("half");
        child.expect("half");
        let mut stream = conn.recv_stream().unwrap().unwrap();
        let mut bytes = vec![0; CHUNK];
        stream.read_exact(&mut bytes).unwrap();
        child.say("finish");
        assert_eq!(stream_ended(of_io(stream.read(&mut [0]))), ABANDONED);
        drop(stream);
        check(&recv(conn), 1, 0, 100);
        check(&recv(conn), 1, 1, 200);
        assert_eq!(conn.recv().unwrap(), None);
        assert_eq!(child.next_line_or_end(), None);
    });
}

/// The receiver wants no more of a stream, goes, or takes no message so long: its sender is told.
#[test]
fn the_receiver_goes() {
    let _watchdog = Watchdog::new(120);
    let stopped = r#"Stopped { code: 4, reason: "that is enough" }"#;
    beside_one_that_obeys(|conn, child| {
        // Of a stream, and of a message that is sent at once: the connection goes on.
        for (order, how) in [("read", STOPPED), ("stop", stopped)] {
            child.say(format!("{order} 1000000"));
            let mut stream = conn.send_stream().unwrap();
            let mut pattern = Pattern::new(u64::MAX);
            let e = io::copy(&mut pattern, &mut stream).map(drop);
            assert_eq!(stream_ended(of_io(e)), how);
            assert_eq!(stream_ended(stream.finish()), how);
            child.expect("read");

            child.say(format!("{order} 1000000"));
            let mut large = vec![0; 9_000_000];
            Pattern::new(0).fill(&mut large);
            assert_eq!(stream_ended(conn.send(&large)), how);
            child.expect("read");
        }
        conn.send(&[1; 9]).unwrap();
        child.say("recv");
        child.expect("9");

        // One byte more than the peer takes, when it begins to receive it as a message.
        child.say("recv");
        let mut stream = conn.send_stream().unwrap();
        let e = io::copy(&mut Pattern::new(u64::MAX), &mut stream).unwrap_err();
        let said = stream_ended(of_io(Err::<(), _>(e)));
        assert!(
            said.starts_with("Stopped") && said.contains("longer"),
            "{said}"
        );
        drop(stream);
        child.expect("TooLarge");
        conn.send(&[1; 9]).unwrap();
        child.say("recv");
        child.expect("9");

        child.say("read 1000000");
        let mut stream = conn.send_stream().unwrap();
        // Nothing of it waits for room when the child has read so much.
        io::copy(&mut Pattern::new(1_000_000), &mut stream).unwrap();
        stream.flush().unwrap();
        child.expect("read");
        child.kill_unreaped();
        assert_eq!(ended(conn.recv()), CRASHED);
        let e = of_io(stream.write_all(&[1; CHUNK])).unwrap_err();
        // It stopped the stream before it died.
        assert!(
            matches!(e.kind(), ErrorKind::Ended | ErrorKind::StreamEnded),
            "{e}"
        );
        assert!(stream.finish().is_err());
        assert_eq!(ended(conn.send_stream().map(drop)), CRASHED);
    });
}

/// What reads here wants no more: the sender is told why, whatever it was doing.
#[test]
fn a_sender_is_stopped() {
    let _watchdog = Watchdog::new(120);
    let stopped = r#"Stopped { code: 5, reason: "enough" }"#;
    beside_one_that_obeys(|conn, child| {
        for (read, stops) in [(0, true), (1, true), (CHUNK, false), (20 * CHUNK, true)] {
            child.say("pour");
            let mut stream = conn.recv_stream().unwrap().unwrap();
            stream.read_exact(&mut vec![0; read]).unwrap();
            if stops {
                stream.stop(5, "enough");
                child.expect(stopped);
            } else {
                drop(stream);
                child.expect(STOPPED);
            }
        }
        child.say("send 10");
        check(&recv(conn), 1, 0, 10);
        end(conn, child);
    });
}

/// A stream that was late has a gap: it cannot be finished, even if there is room again.
#[test]
fn a_late_stream_cannot_be_finished() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        let short = conn.within(SHORT);
        for in_pieces in [false, true] {
            let mut stream = short.send_stream().unwrap();
            let piece = vec![1; if in_pieces { CHUNK / 3 } else { CHUNK }];
            let late = loop {
                if let Err(e) = stream.write_all(&piece) {
                    break Err::<(), _>(e);
                }
            };
            assert_eq!(kind(of_io(late)), ErrorKind::TimedOut);
            child.say("recv");
            // Until there is room again.
            until("it is read", || short.send(&[2; CHUNK]).is_ok());
            if in_pieces {
                let late = of_io(stream.write_all(&[3; CHUNK]));
                assert_eq!(kind(late), ErrorKind::StreamEnded);
            }
            assert_eq!(kind(stream.finish()), ErrorKind::StreamEnded);
            // Whichever comes first.
            let mut said = [child.next_line(), {
                child.say("recv");
                child.next_line()
            }];
            said.sort();
            assert_eq!(said, [CHUNK.to_string(), ABANDONED.to_owned()]);
        }
        end(conn, child);
    });
}

/// A thread that holds a stream gets an error instead of waiting for itself; others wait, or pass.
#[test]
fn what_would_wait_for_itself() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|conn, child| {
        let (at_once, short) = (conn.within(Timeout::Now), conn.within(SHORT));
        let mut stream = conn.send_stream().unwrap();
        stream.write_all(&[1; CHUNK]).unwrap();
        let large = vec![2; 2 * CHUNK];
        let refused: [ErrorKind; 6] = [
            kind(conn.send(&large)),
            kind(short.send(&large)),
            kind(at_once.send(&large)),
            kind(conn.send_vectored(&[io::IoSlice::new(&large)])),
            kind(conn.send_batch(&[&large])),
            kind(conn.send_stream()),
        ];
        assert_eq!(refused, [ErrorKind::Held; 6]);
        // Small ones are no large ones.
        conn.send(b"1").unwrap();
        assert_eq!(conn.send_batch(&[&b"22"[..], &large, b"333"]).unwrap(), 1);
        let mut reservation = conn.reserve(4).unwrap();
        reservation.put(b"4444").unwrap();
        reservation.commit().unwrap();
        for len in [1, 2, 4] {
            child.say("recv");
            child.expect(&len.to_string());
        }
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                conn.send(b"55555").unwrap();
                (kind(short.send(&large)), kind(at_once.send(&large)))
            });
            let expected = (ErrorKind::TimedOut, ErrorKind::TimedOut);
            assert_eq!(other.join().unwrap(), expected);
            let (told, telling) = mpsc::channel();
            let large = &large;
            scope.spawn(move || told.send(conn.send(large)).unwrap());
            thread::sleep(SHORT);
            assert!(telling.try_recv().is_err(), "it waits");
            stream.finish().unwrap();
            for len in [5, CHUNK, 2 * CHUNK] {
                child.say("recv");
                child.expect(&len.to_string());
            }
            telling.recv_timeout(LIMIT).unwrap().unwrap();
        });

        child.say(format!("send {}", 3 * CHUNK));
        child.say("send 100");
        let mut stream = conn.recv_stream().unwrap().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        let refused: [ErrorKind; 6] = [
            kind(conn.recv()),
            kind(short.recv()),
            kind(at_once.recv()),
            kind(conn.recv_in_place()),
            kind(short.recv_stream()),
            kind(conn.recv_batch()),
        ];
        assert_eq!(refused, [ErrorKind::Held; 6]);
        thread::scope(|scope| {
            let other = scope.spawn(|| kind(short.recv()));
            assert_eq!(other.join().unwrap(), ErrorKind::TimedOut);
            let other = scope.spawn(|| recv(conn));
            drop(stream);
            check(&other.join().unwrap(), 1, 1, 100);
        });
        end(conn, child);
    });
}
