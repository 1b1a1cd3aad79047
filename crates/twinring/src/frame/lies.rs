//! Reader and writer beside a peer that lies about every word, at any time.
//!
//! Each call is judged by a second, plain reading of `docs/format.md`: given the words that the
//! call was shown, was that the right answer, and did it look at nothing else?

use super::*;
use crate::ring::{Consumer, Producer, Wake};
use crate::segment::layout::{WAIT_BARRIER, WAIT_NONE};
use crate::segment::lies::{self, Lying, Seen, Word};
use crate::segment::{RingMemory, test_ring};

const CAPACITY: u64 = 4096;

/// A lie in so many of 65536 loads.
const ALWAYS: u64 = 65536;
const ONE_IN_TEN: u64 = 6554;
const ONE_IN_A_THOUSAND: u64 = 66;

/// How many words are lied about in all; `TWINRING_LIES` sets it.
fn wanted() -> u64 {
    let quick = if cfg!(windows) {
        10_000_000
    } else {
        100_000_000
    };
    std::env::var("TWINRING_LIES").map_or(quick, |n| n.parse().expect("TWINRING_LIES: a number"))
}

#[test]
fn lies_at_every_load() {
    beside_a_liar(ALWAYS, wanted() / 100 * 97, 5000);
}

/// A lie between true words reaches states that lies alone do not.
#[test]
fn lies_now_and_then() {
    beside_a_liar(ONE_IN_TEN, wanted() / 100 * 3, 3000);
    beside_a_liar(ONE_IN_A_THOUSAND, wanted() / 10_000, 100_000);
    // No message is allowed but an empty one.
    beside_a_liar(ONE_IN_TEN, wanted() / 10_000, 0);
}

/// The same without any lie: what the judge says is what happens between honest peers.
#[test]
fn the_judge_knows_the_truth() {
    let (ring, _) = test_ring(CAPACITY);
    let lying = lies::begin(&ring, 1, 0);
    let mut met = Met::default();
    for _ in 0..100 {
        lying.next_connection(&ring);
        let mut link = Connection::new(&ring, &lying, 1 << 40);
        while !link.is_over() {
            assert_eq!(
                link.step(&mut Vec::new(), &mut met),
                Ok(()),
                "without a lie"
            );
        }
    }
    assert_eq!(lying.told(), (0, 0));
    assert!(met.everything(), "{met:?}");
}

/// What a call came to, without the words of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Peer,
    TooLarge,
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Wrong {
        match fault {
            Fault::Peer(_) => Wrong::Peer,
            Fault::TooLarge => Wrong::TooLarge,
            Fault::OutOfMemory => panic!("no memory for a few kilobytes"),
        }
    }
}

/// What happened, to see that the lies do not end each connection before anything does.
#[derive(Debug, Default)]
struct Met {
    connections: u64,
    messages: u64,
    chunks: u64,
    aborts: u64,
    writes: u64,
    /// Calls that found nothing to read, or no room.
    waits: u64,
}

impl Met {
    fn everything(&self) -> bool {
        [
            self.messages,
            self.chunks,
            self.aborts,
            self.writes,
            self.waits,
        ]
        .iter()
        .all(|n| *n >= 100)
    }
}

/// Makes connections, each until it ends, until `wanted` words were lied about.
fn beside_a_liar(rate: u64, wanted: u64, max_message: u64) {
    let (ring, _) = test_ring(CAPACITY);
    let lying = lies::begin(&ring, rate ^ max_message << 20, rate);
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
    // With so short a limit there are few chunks.
    assert!(
        max_message == 0 || wanted < 10_000 || met.everything(),
        "{met:?}"
    );
}

/// A writer and a reader on one ring, both lied to, and what should become of them.
struct Connection<'a> {
    lying: &'a Lying,
    max_message: u64,
    writer: Writer,
    reader: Reader,
    as_writer: WriterJudge,
    as_reader: ReaderJudge,
    /// The writer is within a large message.
    writing_large: bool,
    /// Calls since all was read after the end.
    calls_after_end: u32,
}

const PAYLOAD: [u8; 2048] = [0x5A; 2048];

impl Connection<'_> {
    fn new<'a>(ring: &RingMemory, lying: &'a Lying, max_message: u64) -> Connection<'a> {
        Connection {
            lying,
            max_message,
            writer: Writer::new(Producer::new(ring.clone())),
            reader: Reader::new(Consumer::new(ring.clone()), max_message),
            as_writer: WriterJudge::default(),
            as_reader: ReaderJudge {
                max_message,
                ..ReaderJudge::default()
            },
            writing_large: false,
            calls_after_end: 0,
        }
    }

    /// Whether all has been read after the end, and looking again has changed nothing.
    fn is_over(&self) -> bool {
        self.calls_after_end > 8
    }

    /// One call of the reader or the writer, judged.
    fn step(&mut self, message: &mut Vec<u8>, met: &mut Met) -> Result<(), Wrong> {
        self.lying.next_call();
        if self.as_reader.sealed && self.as_reader.head == self.as_reader.tail {
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
                same(told, self.as_reader.has_frame(&mut seen), seen)?;
                self.lying.next_call();
                self.reader.end_wait();
                let mut seen = Shown::of(self.lying.seen());
                seen.take(Word::Swapped);
                same(Ok(()), Ok(()), seen)
            }
            12 => {
                let told = self.reader.has_frame();
                let mut seen = Shown::of(self.lying.seen());
                same(told, self.as_reader.has_frame(&mut seen), seen)
            }
            // The connection has ended: only what is there is read, however the tail moves.
            13 if self.as_reader.sealed || self.lying.below(64) == 0 => {
                let told = self.reader.seal();
                let mut seen = Shown::of(self.lying.seen());
                same(told, self.as_reader.seal(&mut seen), seen)
            }
            _ => self.read(message, met),
        }
    }

    fn write(&mut self, met: &mut Met) -> Result<(), Wrong> {
        if self.writing_large && self.lying.below(8) == 0 {
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
        let told = self.writer.write(part, &PAYLOAD[..len as usize]);
        if let Ok(Some(_)) = told {
            self.writing_large = match part {
                Part::Whole => self.writing_large,
                Part::First | Part::Middle => true,
                Part::Last => false,
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
        let told = self.writer.abort().map(|wake| wake == Wake::Needed);
        self.judge(told, |judge, seen| {
            if !judge.has_room(8, seen)? {
                return Err(Wrong::Peer);
            }
            Ok(judge.publish(8, seen))
        })
    }

    fn read(&mut self, message: &mut Vec<u8>, met: &mut Met) -> Result<(), Wrong> {
        let mut wake = false;
        let told = self.reader.next(message, &mut wake);
        // A buffer is never longer than a message may be, and what the ring can hold at once.
        let most = (self.max_message + CAPACITY) as usize;
        assert!(message.capacity() <= most && self.reader.held() <= most);
        let told = told.map(|next| {
            let len = if next == Some(Next::Message) {
                message.len()
            } else {
                0
            };
            (next, len as u64, wake)
        });
        match told {
            Ok((Some(Next::Message), ..)) => met.messages += 1,
            Ok((Some(Next::Chunk), ..)) => met.chunks += 1,
            Ok((Some(Next::Aborted), ..)) => met.aborts += 1,
            Ok((None, ..)) => met.waits += 1,
            Err(_) => {}
        }
        let mut seen = Shown::of(self.lying.seen());
        same(told, self.as_reader.next(&mut seen), seen)
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

    /// After a fault nobody should call them again; if somebody does, it is no disaster.
    fn go_on_regardless(&mut self, message: &mut Vec<u8>) {
        // The room that is kept for giving up is for once; after that there has to be an error.
        if self.lying.below(1024) == 0 {
            self.lying.next_call();
            while self.abort().is_ok() {
                self.lying.next_call();
            }
        }
        for _ in 0..self.lying.below(3) {
            self.lying.next_call();
            let _ = self.reader.next(message, &mut false);
            self.lying.next_call();
            let _ = self.writer.write(Part::Whole, &PAYLOAD[..100]);
        }
    }
}

/// Compares what a call said with what is right, and that it looked at nothing more.
fn same<T: Copy + PartialEq + std::fmt::Debug>(
    told: Result<T, Fault>,
    right: Result<T, Wrong>,
    seen: Shown,
) -> Result<(), Wrong> {
    let told_short = told.map_err(Wrong::from);
    assert!(
        told_short == right,
        "{told:?}, but {right:?} is right after {:?}",
        seen.seen.words()
    );
    seen.all_taken();
    right.map(|_| ())
}

/// The words that a call was shown, to be taken in order.
struct Shown {
    seen: Seen,
    at: usize,
}

impl Shown {
    fn of(seen: Seen) -> Shown {
        Shown { seen, at: 0 }
    }

    fn take(&mut self, word: Word) -> u64 {
        match self.seen.words().get(self.at) {
            Some((loaded, value)) if *loaded == word => {
                self.at += 1;
                *value
            }
            _ => panic!(
                "{word:?} is not load {} of {:?}",
                self.at,
                self.seen.words()
            ),
        }
    }

    /// Whether the peer has to be woken, by its flag: looked at, maybe twice, and taken if it is set.
    fn wake(&mut self, flag: Word) -> bool {
        let says_waiting =
            |told: u64| told != u64::from(WAIT_NONE) && told != u64::from(WAIT_BARRIER);
        let mut told = self.take(flag);
        if matches!(self.seen.words().get(self.at), Some((again, _)) if *again == flag) {
            told = self.take(flag);
        }
        says_waiting(told) && says_waiting(self.take(Word::Swapped))
    }

    fn all_taken(&self) {
        assert!(
            self.at == self.seen.words().len(),
            "load {} of {:?} was not needed",
            self.at,
            self.seen.words()
        );
    }
}

/// What the reader should do, and which loads that takes: the tail only if nothing is known to be
/// there; after padding, once more.
#[derive(Default)]
struct ReaderJudge {
    head: u64,
    tail: u64,
    sealed: bool,
    large: Option<u64>,
    max_message: u64,
}

impl ReaderJudge {
    fn refresh(&mut self, seen: &mut Shown) -> Result<(), Wrong> {
        let tail = seen.take(Word::Tail);
        let forward = tail >= self.tail && tail <= self.head + CAPACITY;
        if !forward || !tail.is_multiple_of(8) {
            return Err(Wrong::Peer);
        }
        self.tail = tail;
        Ok(())
    }

    fn seal(&mut self, seen: &mut Shown) -> Result<(), Wrong> {
        if !self.sealed {
            self.refresh(seen)?;
            self.sealed = true;
        }
        Ok(())
    }

    fn has_frame(&mut self, seen: &mut Shown) -> Result<bool, Wrong> {
        if self.tail == self.head && !self.sealed {
            self.refresh(seen)?;
        }
        Ok(self.tail > self.head)
    }

    fn release(&mut self, frame: u64, seen: &mut Shown) -> bool {
        self.head += frame;
        seen.wake(Word::SpaceWait)
    }

    /// The next event, the length of the message if it is one, and whether to wake the peer.
    fn next(&mut self, seen: &mut Shown) -> Result<(Option<Next>, u64, bool), Wrong> {
        let mut wake = false;
        let mut after_padding = false;
        loop {
            if !self.has_frame(seen)? {
                return Ok((None, 0, wake));
            }
            let offset = self.head % CAPACITY;
            let word = seen.take(Word::Frame(offset));
            let [kind, flags, reserved @ ..] = (word >> 32).to_le_bytes();
            let len = word & 0xFFFF_FFFF;
            let allowed = match (kind, flags) {
                (2, 0) => true,
                (1, 0b011 | 0b010) => true,
                (1, 0b001 | 0b000) => len > 0,
                (1, 0b100) => len == 0,
                _ => false,
            };
            let frame = 8 + len.next_multiple_of(8);
            let fits = frame <= self.tail - self.head && frame <= CAPACITY - offset;
            if !allowed || !fits || reserved[..2] != [0, 0] {
                return Err(Wrong::Peer);
            }
            if kind == 2 {
                if after_padding || frame != CAPACITY - offset {
                    return Err(Wrong::Peer);
                }
                after_padding = true;
                wake |= self.release(frame, seen);
                continue;
            }
            let (next, message) = match flags {
                0b100 => {
                    self.large.take().ok_or(Wrong::Peer)?;
                    (Some(Next::Aborted), 0)
                }
                0b011 => {
                    self.payload(0, offset, len, seen)?;
                    (Some(Next::Message), len)
                }
                _ => {
                    if (flags == 0b001) == self.large.is_some() {
                        return Err(Wrong::Peer);
                    }
                    let have = self.large.take().unwrap_or(0);
                    self.payload(have, offset, len, seen)?;
                    if flags == 0b010 {
                        (Some(Next::Message), have + len)
                    } else {
                        self.large = Some(have + len);
                        (Some(Next::Chunk), 0)
                    }
                }
            };
            wake |= self.release(frame, seen);
            return Ok((next, message, wake));
        }
    }

    fn payload(&self, have: u64, offset: u64, len: u64, seen: &mut Shown) -> Result<(), Wrong> {
        if have + len > self.max_message {
            return Err(Wrong::TooLarge);
        }
        let copied = seen.take(Word::Bytes((offset + 8) % CAPACITY));
        assert_eq!(copied, len, "the wrong number of bytes was copied");
        Ok(())
    }
}

/// What the writer should do: it loads the head only if there seems to be no room.
#[derive(Default)]
struct WriterJudge {
    tail: u64,
    head: u64,
}

impl WriterJudge {
    fn has_room(&mut self, need: u64, seen: &mut Shown) -> Result<bool, Wrong> {
        if self.head + CAPACITY < self.tail + need {
            let head = seen.take(Word::Head);
            if head < self.head || head > self.tail {
                return Err(Wrong::Peer);
            }
            self.head = head;
        }
        Ok(self.tail + need <= self.head + CAPACITY)
    }

    /// A frame, the padding before it, and one header kept for giving a large message up.
    fn need(&self, len: u64) -> u64 {
        self.frame(len) + 8
    }

    fn frame(&self, len: u64) -> u64 {
        let frame = 8 + len.next_multiple_of(8);
        let rest = CAPACITY - self.tail % CAPACITY;
        if frame > rest { rest + frame } else { frame }
    }

    fn has_room_for(&mut self, len: u64, seen: &mut Shown) -> Result<bool, Wrong> {
        // No chunk needs more than its header, a gap and padding; the rest is said in `Writer`.
        let chunk = max_payload(CAPACITY) as u64;
        let need = len + 16 * len.div_ceil(chunk).max(1) + chunk + 24;
        Ok(need <= CAPACITY && self.has_room(need, seen)?)
    }

    fn publish(&mut self, len: u64, seen: &mut Shown) -> bool {
        self.tail += len;
        seen.wake(Word::DataWait)
    }

    fn write(&mut self, len: u64, seen: &mut Shown) -> Result<Option<bool>, Wrong> {
        if !self.has_room(self.need(len), seen)? {
            return Ok(None);
        }
        Ok(Some(self.publish(self.frame(len), seen)))
    }
}
