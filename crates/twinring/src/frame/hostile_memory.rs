//! Reader and writer on hostile memory: any word may be replaced by a false one, at any time.
//!
//! Each call is judged ([`judge`]): given the words that it was shown, was its answer right, and did
//! it load nothing else?

mod judge;
#[path = "../../tests/common/long.rs"]
#[allow(dead_code, reason = "the tests of this file use some of it")]
mod long;

use super::*;
use crate::ring::{Consumer, Producer, Wake};
use crate::segment::hostile_memory::{self, Lying, Word};
use crate::segment::{RingMemory, test_ring};
use judge::{ReaderJudge, Shown, WriterJudge, Wrong, same};

const CAPACITY: u64 = 4096;

/// How many of 65536 loads return a false value.
const ALWAYS: u64 = 65536;
const ONE_IN_TEN: u64 = 6554;
const ONE_IN_A_THOUSAND: u64 = 66;

/// How many false words to return in all; `TWINRING_LIES` sets it.
fn wanted() -> u64 {
    long::amount_or("TWINRING_LIES", 5_000_000, 100_000_000)
}

#[test]
fn lies_at_every_load() {
    beside_a_liar(ALWAYS, wanted() / 100 * 97, 5000);
}

/// A false word between true ones reaches states that false words alone do not.
#[test]
fn lies_now_and_then() {
    beside_a_liar(ONE_IN_TEN, wanted() / 100 * 3, 1500);
    beside_a_liar(ONE_IN_A_THOUSAND, wanted() / 10_000, 1500);
    // No message is allowed but an empty one.
    beside_a_liar(ONE_IN_TEN, wanted() / 10_000, 0);
}

/// The same without false values: what the judge expects is what happens between honest peers.
#[test]
fn the_judge_knows_the_truth() {
    let (ring, _) = test_ring(CAPACITY);
    let lying = hostile_memory::begin(&ring, 1, 0);
    let mut met = Met::default();
    for _ in 0..100 {
        lying.next_connection(&ring);
        // So short that some are too long.
        let mut link = Connection::new(&ring, &lying, 1100);
        while !link.is_over() {
            assert_eq!(
                link.step(&mut Vec::new(), &mut met),
                Ok(()),
                "without a lie"
            );
        }
    }
    assert_eq!(lying.told(), (0, 0));
    assert!(met.everything(100), "{met:?}");
}

/// What happened, to check that connections do not all end before anything does.
#[derive(Debug, Default)]
struct Met {
    connections: u64,
    messages: u64,
    chunks: u64,
    aborts: u64,
    /// Chunks of streams, and streams that were complete.
    pieces: u64,
    streams: u64,
    /// Streams that were given up by the peer.
    torn: u64,
    /// Messages between the chunks of a stream.
    overtaking: u64,
    /// Messages that became streams when part of them had arrived.
    taken_over: u64,
    /// Large messages that became too long, assembled or read as a stream.
    too_long: u64,
    streams_too_long: u64,
    /// Skipped chunks, of streams that were left early.
    skipped: u64,
    writes: u64,
    /// Calls that found nothing to read, or no room.
    waits: u64,
}

impl Met {
    /// Whether each happened at least this often.
    fn everything(&self, least: u64) -> bool {
        [
            self.messages,
            self.chunks,
            self.aborts,
            self.pieces,
            self.streams,
            self.torn,
            self.overtaking,
            self.taken_over,
            self.too_long,
            self.streams_too_long,
            self.skipped,
            self.writes,
            self.waits,
        ]
        .iter()
        .all(|n| *n >= least)
    }
}

/// Makes connections, each until it ends, until `wanted` false words were returned.
fn beside_a_liar(rate: u64, wanted: u64, max_message: u64) {
    let (ring, _) = test_ring(CAPACITY);
    let lying = hostile_memory::begin(&ring, rate ^ max_message << 20, rate);
    let mut met = Met::default();
    let mut message = Vec::new();
    while lying.told().0 < wanted {
        lying.next_connection(&ring);
        met.connections += 1;
        let mut link = Connection::new(&ring, &lying, max_message);
        while !link.is_over() && link.step(&mut message, &mut met).is_ok() {}
        link.go_on_regardless(&mut message);
    }
    let (words, bytes) = lying.told();
    println!(
        "rate {rate}/65536, max_message {max_message}: {words} words and {bytes} bytes, {met:?}"
    );
    drop(lying);
    ring.assert_surroundings_untouched();
    // With few words, little can happen. With so short a limit there are few chunks.
    assert!(
        max_message == 0 || met.everything((wanted / 1_000_000).min(100)),
        "{met:?}"
    );
}

/// Whether the reader's user reads a stream, as [`RecvStream`](crate::RecvStream) does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streaming {
    No,
    /// Waiting for its first chunk.
    Wanted,
    Begun,
}

/// A writer and a reader on one ring, both shown false values, and what they should do.
struct Connection<'a> {
    lying: &'a Lying,
    max_message: u64,
    writer: Writer,
    reader: Reader,
    as_writer: WriterJudge,
    as_reader: ReaderJudge,
    /// The writer is within a large message.
    writing_large: bool,
    /// Whether a stream is being read.
    streaming: Streaming,
    /// Calls since everything was read after the end.
    calls_after_end: u32,
}

const PAYLOAD: [u8; 2048] = [0x5A; 2048];

impl Connection<'_> {
    fn new<'a>(ring: &RingMemory, lying: &'a Lying, max_message: u64) -> Connection<'a> {
        let max_stream = max_message + 100;
        Connection {
            lying,
            max_message,
            writer: Writer::new(Producer::new(ring.clone())),
            reader: Reader::new(Consumer::new(ring.clone()), max_message, max_stream),
            as_writer: WriterJudge::default(),
            as_reader: ReaderJudge::new(max_message, max_stream),
            writing_large: false,
            streaming: Streaming::No,
            calls_after_end: 0,
        }
    }

    /// Whether everything has been read after the end, and looking again has changed nothing.
    fn is_over(&self) -> bool {
        self.calls_after_end > 8
    }

    /// One call of the reader or the writer, judged.
    fn step(&mut self, message: &mut Vec<u8>, met: &mut Met) -> Result<(), Wrong> {
        self.lying.next_call();
        if self.as_reader.is_at_the_end() {
            self.calls_after_end += 1;
        }
        match self.lying.below(32) {
            0..=8 => self.write(met),
            9 => {
                let len = self.lying.below(6000);
                let told = self.writer.has_room_for(len as usize);
                self.judge(told, |judge, seen| judge.has_room_for(len, seen))
            }
            10 => {
                let len = self.lying.below(self.writer.max_payload() as u64 + 1);
                let told = self.writer.begin_wait(self.writer.need(len as usize));
                self.judge(told, |judge, seen| {
                    seen.take(Word::Swapped);
                    judge.has_room(judge.need(len), seen)
                })?;
                self.lying.next_call();
                self.writer.end_wait();
                self.judge(Ok(()), |_, seen| {
                    seen.take(Word::Swapped);
                    Ok(())
                })
            }
            11 => {
                let told = self.reader.begin_wait();
                let mut seen = Shown::of(self.lying.seen());
                seen.take(Word::Swapped);
                same(told, self.as_reader.has_news(&mut seen), seen)?;
                self.lying.next_call();
                self.reader.end_wait();
                let mut seen = Shown::of(self.lying.seen());
                seen.take(Word::Swapped);
                same(Ok(()), Ok(()), seen)
            }
            12 => {
                let told = self.reader.has_news();
                let mut seen = Shown::of(self.lying.seen());
                same(told, self.as_reader.has_news(&mut seen), seen)
            }
            // The connection has ended: only what is there is read, however the tail moves.
            13 if self.as_reader.is_sealed() || self.lying.below(64) == 0 => {
                let told = self.reader.seal();
                let mut seen = Shown::of(self.lying.seen());
                same(told, self.as_reader.seal(&mut seen), seen)
            }
            _ => match self.streaming {
                Streaming::No if self.lying.below(8) == 0 => self.begin_stream(met),
                Streaming::No => self.read(message, met),
                _ if self.lying.below(32) == 0 => {
                    self.leave_stream();
                    Ok(())
                }
                _ => self.read_piece(met),
            },
        }
    }

    fn write(&mut self, met: &mut Met) -> Result<(), Wrong> {
        if self.writing_large && self.lying.below(8) == 0 {
            // With a cause, or without, for which there is always room.
            if self.lying.below(2) == 0 {
                let len = 8 + self.lying.below(256);
                return self.put(Part::Abort, len, met);
            }
            self.writing_large = false;
            return self.abort();
        }
        let longest = self.writer.max_payload() as u64;
        let bound = if self.lying.below(4) == 0 {
            longest
        } else {
            40
        };
        let len = self.lying.below(bound + 1);
        let part = match (self.writing_large, self.lying.below(4)) {
            (_, 0 | 1) => Part::Whole,
            (false, _) => Part::First,
            (true, 2) => Part::Middle,
            (true, _) => Part::Last,
        };
        if len == 0 && matches!(part, Part::First | Part::Middle) {
            return Ok(());
        }
        self.put(part, len, met)
    }

    fn put(&mut self, part: Part, len: u64, met: &mut Met) -> Result<(), Wrong> {
        let told = self.writer.write(part, &PAYLOAD[..len as usize]);
        if let Ok(Some(_)) = told {
            self.writing_large = match part {
                Part::Whole | Part::WithHandles => self.writing_large,
                Part::First | Part::Middle => true,
                Part::Last | Part::Abort => false,
            };
        }
        match told {
            Ok(Some(_)) => met.writes += 1,
            Ok(None) => met.waits += 1,
            Err(_) => {}
        }
        let told = told.map(|wrote| wrote.map(|wake| wake == Wake::Needed));
        self.judge(told, |judge, seen| judge.write(len, seen))
    }

    fn abort(&mut self) -> Result<(), Wrong> {
        let aborted = self.writer.abort();
        let told = aborted.map(|()| self.writer.wake() == Wake::Needed);
        self.judge(told, |judge, seen| {
            if !judge.has_room(8, seen)? {
                return Err(Wrong::Peer);
            }
            Ok(judge.publish(8, seen))
        })
    }

    fn read(&mut self, message: &mut Vec<u8>, met: &mut Met) -> Result<(), Wrong> {
        let told = self.reader.next(message);
        // A buffer is never longer than a message may be plus what the ring can hold at once.
        let most = (self.max_message + CAPACITY) as usize;
        assert!(message.capacity() <= most && self.reader.held() <= most);
        let told = told.map(|next| {
            let len = if next == Some(Next::Message) {
                message.len()
            } else {
                0
            };
            (next, len as u64, self.reader.wake() == Wake::Needed)
        });
        match told {
            Ok((Some(Next::Message), ..)) => met.messages += 1,
            Ok((Some(Next::Chunk), ..)) => met.chunks += 1,
            Ok((Some(Next::Aborted), ..)) => met.aborts += 1,
            Ok((Some(Next::TooLong), ..)) => met.too_long += 1,
            Ok((Some(Next::WithHandles), ..)) => unreachable!("none are accepted"),
            Ok((None, ..)) => met.waits += 1,
            Err(_) => {}
        }
        let mut seen = Shown::of(self.lying.seen());
        same(told, self.as_reader.next(&mut seen), seen)
    }

    /// A caller that wants a stream gets what was collected as its beginning.
    fn begin_stream(&mut self, met: &mut Met) -> Result<(), Wrong> {
        let collected = self.reader.take_over().map(|bytes| bytes.len() as u64);
        assert_eq!(collected, self.as_reader.take_over());
        self.streaming = Streaming::Wanted;
        if collected.is_some() {
            met.taken_over += 1;
            self.streaming = Streaming::Begun;
        }
        same(Ok(()), Ok(()), Shown::of(self.lying.seen()))
    }

    fn leave_stream(&mut self) {
        self.reader.skip();
        self.as_reader.skip();
        self.streaming = Streaming::No;
    }

    /// Looks at the next frame as the reader of a stream, reads a random part of it, and gives it
    /// back.
    fn read_piece(&mut self, met: &mut Met) -> Result<(), Wrong> {
        let mut reads = Vec::new();
        let told = self.piece(&mut reads);
        let told = told.map(|(piece, len)| (piece, len, self.reader.wake() == Wake::Needed));
        let begun = self.streaming == Streaming::Begun;
        match told {
            Ok((None, ..)) => met.waits += 1,
            Ok((Some(Piece::Whole), ..)) if begun => met.overtaking += 1,
            Ok((Some(Piece::Whole), ..)) => self.streaming = Streaming::No,
            Ok((Some(Piece::Chunk { last }), ..)) => {
                met.pieces += 1;
                met.streams += u64::from(last);
                self.streaming = match last {
                    true => Streaming::No,
                    false => Streaming::Begun,
                };
            }
            Ok((Some(Piece::Aborted), ..)) => {
                met.torn += 1;
                self.streaming = Streaming::No;
            }
            Ok((Some(Piece::TooLong), ..)) => {
                met.streams_too_long += 1;
                self.streaming = Streaming::No;
            }
            Ok((Some(Piece::Skipped), ..)) => met.skipped += 1,
            Ok((Some(Piece::WithHandles), ..)) => unreachable!("none are accepted"),
            Err(_) => {}
        }
        let mut seen = Shown::of(self.lying.seen());
        same(told, self.as_reader.piece(&reads, &mut seen), seen)
    }

    /// `reads`: how many bytes of it were read, read by read.
    fn piece(&mut self, reads: &mut Vec<u64>) -> Result<(Option<Piece>, u64), Fault> {
        let Some(frame) = self.reader.peek()? else {
            return Ok((None, 0));
        };
        let piece = self.reader.piece(frame)?;
        let mut rest = self.reader.span(frame);
        let len = rest.len() as u64;
        // Nobody reads what is skipped, a cause again, or an empty END.
        let is_read = matches!(piece, Piece::Whole | Piece::Chunk { .. });
        while is_read && rest.len() > 0 && reads.len() < 3 {
            let some = 1 + self.lying.below(rest.len() as u64);
            rest.read(
                self.reader.memory(),
                0,
                &mut [0; CAPACITY as usize][..some as usize],
            );
            rest.skip(some as usize);
            reads.push(some);
        }
        self.reader.give_back(frame);
        Ok((Some(piece), len))
    }

    fn judge<T: Copy + PartialEq + std::fmt::Debug>(
        &mut self,
        told: Result<T, Fault>,
        judge: impl FnOnce(&mut WriterJudge, &mut Shown) -> Result<T, Wrong>,
    ) -> Result<(), Wrong> {
        let mut seen = Shown::of(self.lying.seen());
        let right = judge(&mut self.as_writer, &mut seen);
        same(told, right, seen)
    }

    /// After a fault nobody should call them again; a call that comes all the same must do no harm.
    fn go_on_regardless(&mut self, message: &mut Vec<u8>) {
        // The room kept for giving up can be used once; after that there must be an error.
        if self.lying.below(1024) == 0 {
            self.lying.next_call();
            while self.abort().is_ok() {
                self.lying.next_call();
            }
        }
        for _ in 0..self.lying.below(3) {
            self.lying.next_call();
            let _ = self.reader.next(message);
            self.lying.next_call();
            let _ = self.piece(&mut Vec::new());
            self.lying.next_call();
            let _ = self.writer.write(Part::Whole, &PAYLOAD[..100]);
        }
    }
}
