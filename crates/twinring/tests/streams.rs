//! Messages sent while they are made and received while they come: of any length in little memory,
//! complete or told to be not.

mod common;

use std::io::{self, Read, Write};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, message, peers, rounds, until,
};
use twinring::{Error, ErrorKind, Link, Result};

peers!(pours, drinks, obeys, floods, keeps);

const RING: u64 = 64 * 1024;
const CHUNK: usize = RING as usize / 4 - 8;
const SHORT: Duration = Duration::from_millis(20);

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

/// The library's error behind one of [`io`].
fn io_kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    let e = result.expect_err("an error");
    e.downcast::<Error>().expect("the library's").kind()
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

/// Sends a long message in each way, and says what memory that took.
fn pours(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    link.send_stream().unwrap().finish().unwrap();
    let before = peak();
    assert_eq!(link.send_from(&mut Pattern::new(long())).unwrap(), long());
    let mut stream = link.send_stream().unwrap();
    let mut pattern = Pattern::new(long() / 10);
    assert_eq!(io::copy(&mut pattern, &mut stream).unwrap(), long() / 10);
    assert_eq!(stream.len(), long() / 10);
    stream.finish().unwrap();
    say_growth(parent, before);
    parent.expect("end");
}

/// Receives what [`pours`] sends.
fn drinks(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    let mut nothing = link.recv_stream().unwrap();
    assert_eq!(nothing.read(&mut [0]).unwrap(), 0);
    drop(nothing);
    let before = peak();
    let mut pattern = Pattern::new(long());
    let mut stream = link.recv_stream().unwrap();
    let mut buffer = vec![0; 50_000];
    let mut pieces = Random::new(1);
    while pattern.at < long() {
        if pieces.one_in(3) {
            let chunk = stream.next_chunk().unwrap().expect("there is more");
            pattern.check(&chunk.to_vec());
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
    let mut stream = link.recv_stream_timeout(LIMIT).unwrap();
    let mut pattern = Pattern::new(long() / 10);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            len => pattern.check(&buffer[..len]),
        }
    }
    assert_eq!(pattern.at, long() / 10);
    drop(stream);
    assert_eq!(link.try_recv().unwrap(), None);
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
        from.say("end");
        from.finish();
        to.finish();
    }
}

/// What overtakes a stream is kept up to so many bytes.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// So many of the longest messages that overtake are as much, with where they are: the last of them goes
/// beyond it.
const KEPT: usize = MOST_KEPT.div_ceil(CHUNK + size_of::<Vec<u8>>());
const FLOOD: usize = KEPT + 500;

/// Sends two streams, between whose chunks come more messages than the peer keeps.
fn floods(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    for stream in 1..=2 {
        let mut pattern = Pattern::new(2 * CHUNK as u64);
        let mut chunk = vec![0; CHUNK];
        let mut sending = link.send_stream().unwrap();
        for last in [false, true] {
            pattern.fill(&mut chunk);
            sending.write_all(&chunk).unwrap();
            for at in (0..FLOOD as u64).take_while(|_| !last) {
                link.send(&message(stream, at, CHUNK)).unwrap();
            }
        }
        sending.finish().unwrap();
    }
    parent.expect("end");
}

/// Reads nothing but the streams that [`floods`] sends, until it cannot.
fn keeps(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    let before = peak();
    let mut bytes = vec![0; CHUNK];
    let mut pattern = Pattern::new(2 * CHUNK as u64);
    let mut stream = link.recv_stream().unwrap();
    stream.read_exact(&mut bytes).unwrap();
    pattern.check(&bytes);
    // As often as it is asked: nothing more is kept.
    for _ in 0..3 {
        assert_eq!(io_kind(stream.read(&mut bytes)), ErrorKind::Full);
        assert_eq!(kind(stream.next_chunk()), ErrorKind::Full);
    }
    say_growth(parent, before);
    // With one less it goes on, to the next.
    check(&stream.overtaking().unwrap(), 1, 0, CHUNK);
    assert_eq!(io_kind(stream.read(&mut bytes)), ErrorKind::Full);
    let mut next = 1;
    while let Some(overtaking) = stream.overtaking() {
        check(&overtaking, 1, next, CHUNK);
        next += 1;
    }
    assert_eq!(next, KEPT as u64 + 1);
    // The rest of them is no more than can be kept, so that the end of the stream can be reached.
    stream.read_exact(&mut bytes).unwrap();
    pattern.check(&bytes);
    assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    drop(stream);
    for at in next..FLOOD as u64 {
        check(&link.recv().unwrap(), 1, at, CHUNK);
    }
    // Left when it can keep no more: the next receiver gets what was kept, then what was not.
    let mut stream = link.recv_stream().unwrap();
    stream.read_exact(&mut bytes).unwrap();
    Pattern::new(0).check(&bytes);
    assert_eq!(io_kind(stream.read(&mut bytes)), ErrorKind::Full);
    drop(stream);
    for at in 0..FLOOD as u64 {
        check(&link.recv().unwrap(), 2, at, CHUNK);
    }
    parent.say("all");
    assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::Closed);
}

/// Who reads a stream only is told when too much has overtaken it, can go on, and loses nothing.
#[test]
fn more_overtakes_than_is_kept() {
    let _watchdog = Watchdog::new(240);
    for side in Side::BOTH {
        let place = Place::new();
        let mut from = place.start("floods", side);
        let mut to = place.start("keeps", side.opposite());
        let said = to.next_line();
        let grown: usize = said.strip_prefix("grew ").unwrap().parse().unwrap();
        assert!(grown < MOST_KEPT + 4 * 1024 * 1024, "{said}");
        to.expect("all");
        from.say("end");
        from.finish();
        to.finish();
    }
}

/// A reader that fails after so many bytes.
struct Failing(Pattern);

impl Read for Failing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 => Err(io::Error::other("as the test wants it")),
            len => Ok(len),
        }
    }
}

/// Does what it is told, a line at a time.
fn obeys(parent: &'static Parent) {
    let builder = parent.builder().ring_capacity(RING);
    let link = builder.max_message(10_000_000).open().unwrap();
    connected(&link);
    let mut sequence = 0;
    let mut send = |len| {
        link.send(&message(1, sequence, len)).unwrap();
        sequence += 1;
    };
    loop {
        let line = parent.next_line();
        let (order, len) = line.split_once(' ').unwrap_or((&line, "0"));
        let len: usize = len.parse().unwrap();
        match order {
            // The next message.
            "send" => send(len),
            // A stream of so many bytes that is given up.
            "fail" => {
                let e = link.send_from(&mut Failing(Pattern::new(len as u64)));
                assert_eq!(kind(e), ErrorKind::Os);
            }
            "drop" => {
                let mut stream = link.send_stream().unwrap();
                stream.write_all(&vec![7; len]).unwrap();
            }
            // So many messages between the chunks of a stream, by another thread.
            "overtake" => {
                let mut pattern = Pattern::new(10 * CHUNK as u64 + 5);
                let mut stream = link.send_stream().unwrap();
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
                let mut stream = link.send_stream().unwrap();
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
                        link.close();
                        assert_eq!(kind(stream.finish()), ErrorKind::ClosedHere);
                        return;
                    }
                    other => panic!("what is {other:?}?"),
                }
            }
            // Receives so many bytes of a stream, and the rest when it is told to.
            "read" => {
                let mut stream = link.recv_stream().unwrap();
                let mut bytes = vec![0; len];
                stream.read_exact(&mut bytes).unwrap();
                Pattern::new(0).check(&bytes);
                drop(stream);
                parent.say("read");
            }
            "recv" => parent.say(match link.recv() {
                Ok(bytes) => format!("{}", bytes.len()),
                Err(e) => format!("{:?}", e.kind()),
            }),
            "end" => return,
            other => panic!("what is {other:?}?"),
        }
    }
}

/// Calls `test` as each side, with a child that obeys.
fn beside_one_that_obeys(mut test: impl FnMut(&Link, &mut common::Child)) {
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut child = place.start("obeys", side.opposite());
        connected(&link);
        test(&link, &mut child);
    }
}

fn end(child: &mut common::Child) {
    child.say("end");
    assert_eq!(child.next_line_or_end(), None);
}

/// The receiver of what is given up half-way is told, and the next message is whole. No receiver
/// learns of a stream that was given up before its first chunk.
#[test]
fn given_up() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        let mut next = 0;
        for order in ["fail", "drop"] {
            for len in [100, CHUNK - 1, CHUNK, 3 * CHUNK + 1, 1_000_000] {
                for as_stream in [false, true] {
                    child.say(format!("{order} {len}"));
                    child.say("send 1000");
                    if len < CHUNK {
                        // Not even its beginning was sent.
                    } else if as_stream {
                        let mut stream = link.recv_stream().unwrap();
                        let mut bytes = Vec::new();
                        assert_eq!(io_kind(stream.read_to_end(&mut bytes)), ErrorKind::Aborted);
                        assert_eq!(bytes.len(), len / CHUNK * CHUNK);
                        // Once.
                        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                        assert!(stream.next_chunk().unwrap().is_none());
                    } else {
                        assert_eq!(kind(link.recv()), ErrorKind::Aborted);
                    }
                    check(&link.recv().unwrap(), 1, next, 1000);
                    next += 1;
                }
            }
        }
        end(child);
    });
}

/// What nobody wants to read of a stream is skipped, wherever that begins.
#[test]
fn the_rest_is_skipped() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        let mut next = 0;
        for read in [0, 1, CHUNK, CHUNK + 1, 4 * CHUNK] {
            for len in [100, 3 * CHUNK, 500_000] {
                child.say(format!("send {len}"));
                // As a stream, large, in place, and in a batch.
                for len in [300, 4 * CHUNK, 100, 0] {
                    child.say(format!("send {len}"));
                }
                let mut stream = link.recv_stream().unwrap();
                let mut bytes = vec![0; read.min(len)];
                stream.read_exact(&mut bytes).unwrap();
                assert!(bytes == message(1, next, len)[..bytes.len()]);
                drop(stream);
                let mut stream = link.recv_stream().unwrap();
                check(
                    &stream.next_chunk().unwrap().unwrap().to_vec(),
                    1,
                    next + 1,
                    300,
                );
                drop(stream);
                check(&link.recv().unwrap(), 1, next + 2, 4 * CHUNK);
                check(&link.recv_in_place().unwrap().to_vec(), 1, next + 3, 100);
                let taken = link.recv_batch(|bytes| check(bytes, 1, next + 4, 0));
                assert_eq!(taken.unwrap(), 1);
                next += 5;
            }
        }
        end(child);
    });
}

/// A skipped stream that is given up is nobody's concern.
#[test]
fn a_skipped_stream_is_given_up() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        child.say(format!("drop {}", 20 * CHUNK));
        child.say("send 10");
        let mut stream = link.recv_stream().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        drop(stream);
        check(&link.recv().unwrap(), 1, 0, 10);
        end(child);
    });
}

/// Messages that overtake a stream come by `overtaking`, and to later receivers, in their order.
#[test]
fn overtaken() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        let mut next = 0;
        for asked in [0, 1, 50, 1000] {
            child.say("overtake 100");
            child.say("send 10");
            let mut stream = link.recv_stream().unwrap();
            let mut pattern = Pattern::new(0);
            let mut buffer = [0; 5000];
            let (end, mut asked) = (next + 100, asked);
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    len => pattern.check(&buffer[..len]),
                }
                if asked > 0
                    && let Some(bytes) = stream.overtaking()
                {
                    check(&bytes, 1, next, 100);
                    (next, asked) = (next + 1, asked - 1);
                }
            }
            assert_eq!(pattern.at, 10 * CHUNK as u64 + 5);
            drop(stream);
            while next < end {
                match next % 4 {
                    0 => check(&link.recv().unwrap(), 1, next, 100),
                    1 => check(&link.recv_in_place().unwrap().to_vec(), 1, next, 100),
                    2 => {
                        let mut stream = link.recv_stream().unwrap();
                        let mut bytes = Vec::new();
                        stream.read_to_end(&mut bytes).unwrap();
                        check(&bytes, 1, next, 100);
                    }
                    _ if next + 8 < end => check(&link.recv().unwrap(), 1, next, 100),
                    _ => {
                        // The rest of them, and perhaps what comes behind.
                        let mut left = 0;
                        let taken = link.recv_batch(|bytes| {
                            let len = if next + left == end { 10 } else { 100 };
                            check(bytes, 1, next + left, len);
                            left += 1;
                        });
                        assert_eq!(taken.unwrap() as u64, left);
                        next += left;
                        continue;
                    }
                }
                next += 1;
            }
            if next == end {
                check(&link.recv().unwrap(), 1, next, 10);
                next += 1;
            }
        }
        end(child);
    });
}

/// What a call that was late has collected becomes the beginning of a stream.
#[test]
fn a_part_is_taken_over() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        for round in 0..2 {
            child.say("half");
            child.expect("half");
            // Two messages have overtaken it; they come first.
            check(&link.recv().unwrap(), 1, 2 * round, 100);
            check(&link.recv().unwrap(), 1, 2 * round + 1, 200);
            assert_eq!(kind(link.recv_timeout(SHORT)), ErrorKind::TimedOut);
            let mut stream = link.recv_stream_timeout(SHORT).unwrap();
            let mut pattern = Pattern::new(0);
            let mut bytes = vec![0; CHUNK];
            if round == 0 {
                stream.read_exact(&mut bytes[..100]).unwrap();
                pattern.check(&bytes[..100]);
                let rest = stream.next_chunk().unwrap().unwrap().to_vec();
                pattern.check(&rest);
            } else {
                stream.read_exact(&mut bytes).unwrap();
                pattern.check(&bytes);
            }
            assert_eq!(pattern.at, CHUNK as u64);
            // Late, as often as it likes, and it goes on.
            for _ in 0..3 {
                assert_eq!(io_kind(stream.read(&mut [0])), ErrorKind::TimedOut);
                assert_eq!(kind(stream.next_chunk()), ErrorKind::TimedOut);
            }
            stream.set_timeout(None);
            child.say("rest");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            pattern.check(&rest);
            assert_eq!(pattern.at, 2 * CHUNK as u64);
        }
        end(child);
    });
}

/// The sender goes in the middle of a stream: its reader is told once, and what had overtaken it was
/// committed, so it comes.
#[test]
fn the_sender_goes() {
    let _watchdog = Watchdog::new(120);
    for (closes, ends) in [(false, ErrorKind::PeerGone), (true, ErrorKind::Closed)] {
        beside_one_that_obeys(|link, child| {
            child.say("half");
            child.expect("half");
            let mut stream = link.recv_stream().unwrap();
            let mut bytes = vec![0; CHUNK];
            stream.read_exact(&mut bytes).unwrap();
            Pattern::new(0).check(&bytes);
            match closes {
                true => child.say("close"),
                false => child.kill_unreaped(),
            }
            assert_eq!(io_kind(stream.read(&mut [0])), ends);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            check(&stream.overtaking().unwrap(), 1, 0, 100);
            drop(stream);
            check(&link.recv().unwrap(), 1, 1, 200);
            // The end of that connection has been told.
            assert_eq!(kind(link.recv_timeout(SHORT)), ErrorKind::TimedOut);
        });
    }
}

/// The receiver goes, or takes no message so long: the sender of the stream is told.
#[test]
fn the_receiver_goes() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        child.say("read 1000000");
        thread::scope(|scope| {
            let sending = scope.spawn(|| link.send_from(&mut Pattern::new(9_000_000)));
            child.expect("read");
            // Skipped only when somebody receives.
            assert!(!sending.is_finished());
            child.say("recv");
            assert_eq!(sending.join().unwrap().unwrap(), 9_000_000);
        });
        link.send(&[1; 9]).unwrap();
        child.expect("9");

        // One byte more than the peer takes.
        child.say("recv");
        assert_eq!(
            kind(link.send_from(&mut Pattern::new(10_000_001))),
            ErrorKind::TooLarge
        );
        child.expect("Aborted");

        child.say("read 1000000");
        let mut stream = link.send_stream().unwrap();
        io::copy(&mut Pattern::new(1_000_000), &mut stream).unwrap();
        stream.flush().unwrap();
        child.expect("read");
        child.kill_unreaped();
        let e = io::copy(&mut Pattern::new(1_000_000), &mut stream).unwrap_err();
        assert_eq!(e.downcast::<Error>().unwrap().kind(), ErrorKind::PeerGone);
        assert_eq!(kind(stream.finish()), ErrorKind::PeerGone);
        let gone = [ErrorKind::PeerGone, ErrorKind::NotConnected];
        assert!(gone.contains(&kind(link.send_stream())));
    });
}

/// A stream that was late has a gap: it cannot be finished, even if there is room again.
#[test]
fn a_late_stream_cannot_be_finished() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        for in_pieces in [false, true] {
            let mut stream = link.send_stream().unwrap();
            stream.set_timeout(Some(SHORT));
            let piece = vec![1; if in_pieces { CHUNK / 3 } else { CHUNK }];
            let late = loop {
                if let Err(e) = stream.write_all(&piece) {
                    break e;
                }
            };
            assert_eq!(
                late.downcast::<Error>().unwrap().kind(),
                ErrorKind::TimedOut
            );
            child.say("recv");
            // Until there is room again.
            until("it is read", || {
                link.send_timeout(&[2; CHUNK], SHORT).is_ok()
            });
            if in_pieces {
                stream.set_timeout(None);
                assert_eq!(io_kind(stream.write_all(&[3; CHUNK])), ErrorKind::TimedOut);
            }
            assert_eq!(kind(stream.finish()), ErrorKind::TimedOut);
            // Whichever comes first.
            let mut said = [child.next_line(), {
                child.say("recv");
                child.next_line()
            }];
            said.sort();
            assert_eq!(said, [CHUNK.to_string(), "Aborted".to_owned()]);
        }
        end(child);
    });
}

/// A thread that holds a stream gets an error instead of waiting for itself; others wait, or pass.
#[test]
fn what_would_wait_for_itself() {
    let _watchdog = Watchdog::new(120);
    beside_one_that_obeys(|link, child| {
        let mut stream = link.send_stream().unwrap();
        stream.write_all(&[1; CHUNK]).unwrap();
        let large = vec![2; 2 * CHUNK];
        let refused: [ErrorKind; 7] = [
            kind(link.send(&large)),
            kind(link.send_timeout(&large, SHORT)),
            kind(link.try_send(&large)),
            kind(link.send_vectored(&[io::IoSlice::new(&large)])),
            kind(link.send_batch(&[&large])),
            kind(link.send_stream()),
            kind(link.send_from(&mut &large[..])),
        ];
        assert_eq!(refused, [ErrorKind::Deadlock; 7]);
        // Small ones are no large ones.
        link.send(b"1").unwrap();
        assert_eq!(link.send_batch(&[&b"22"[..], &large, b"333"]).unwrap(), 1);
        let mut reservation = link.reserve(4).unwrap();
        reservation.put(b"4444").unwrap();
        reservation.commit().unwrap();
        for len in [1, 2, 4] {
            child.say("recv");
            child.expect(&len.to_string());
        }
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                link.send(b"55555").unwrap();
                let late = kind(link.send_timeout(&large, SHORT));
                (late, kind(link.try_send(&large)))
            });
            let expected = (ErrorKind::TimedOut, ErrorKind::Full);
            assert_eq!(other.join().unwrap(), expected);
            let (told, telling) = mpsc::channel();
            let large = &large;
            scope.spawn(move || told.send(link.send(large)).unwrap());
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
        let mut stream = link.recv_stream().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        let refused: [ErrorKind; 6] = [
            kind(link.recv()),
            kind(link.recv_timeout(SHORT)),
            kind(link.try_recv()),
            kind(link.recv_in_place()),
            kind(link.recv_stream_timeout(SHORT)),
            kind(link.recv_batch(|_| {})),
        ];
        assert_eq!(refused, [ErrorKind::Deadlock; 6]);
        thread::scope(|scope| {
            let other = scope.spawn(|| kind(link.recv_timeout(SHORT)));
            assert_eq!(other.join().unwrap(), ErrorKind::TimedOut);
            let other = scope.spawn(|| link.recv().unwrap());
            drop(stream);
            check(&other.join().unwrap(), 1, 1, 100);
        });
        end(child);
    });
}
