//! What is right: a second, plain implementation of `docs/format.md`, given the words a call was shown.

use super::CAPACITY;
use crate::frame::{Next, Piece, max_payload};
use crate::ring::Fault;
use crate::segment::hostile_memory::{Seen, Word};
use crate::segment::layout::WAIT_NONE;

/// What a call returned, without the words of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
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

/// Compares what a call returned with what is right, and checks that it loaded nothing more.
pub(super) fn same<T: Copy + PartialEq + std::fmt::Debug>(
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
pub(super) struct Shown {
    seen: Seen,
    at: usize,
}

impl Shown {
    pub(super) fn of(seen: Seen) -> Shown {
        Shown { seen, at: 0 }
    }

    pub(super) fn take(&mut self, word: Word) -> u64 {
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

    /// Whether the peer has to be woken, by its flag: loaded, and swapped if it is set.
    fn wake(&mut self, flag: Word) -> bool {
        let is_set = |told: u64| told != u64::from(WAIT_NONE);
        is_set(self.take(flag)) && is_set(self.take(Word::Swapped))
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

/// What is done with the large message that has begun.
#[derive(Clone, Copy, Default)]
enum Large {
    #[default]
    None,
    /// This much of it has been assembled.
    Collected(u64),
    /// This much of it has come as a stream.
    Streamed(u64),
    Skipped,
}

/// A data frame, and where it is.
struct Found {
    flags: u8,
    len: u64,
    offset: u64,
}

/// Both ends of a message: it is whole.
const WHOLE: u8 = 0b011;
const BEGIN: u8 = 0b001;
const END: u8 = 0b010;
const ABORT: u8 = 0b100;

/// What the reader should do, and which loads that takes: the tail only if nothing is known to be
/// there; after padding, once more.
#[derive(Default)]
pub(super) struct ReaderJudge {
    head: u64,
    tail: u64,
    sealed: bool,
    large: Large,
    max_message: u64,
}

impl ReaderJudge {
    pub(super) fn new(max_message: u64) -> ReaderJudge {
        ReaderJudge {
            max_message,
            ..ReaderJudge::default()
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether nothing is left after the end.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.sealed && self.head == self.tail
    }

    fn refresh(&mut self, seen: &mut Shown) -> Result<(), Wrong> {
        let tail = seen.take(Word::Tail);
        let forward = tail >= self.tail && tail <= self.head + CAPACITY;
        if !forward || !tail.is_multiple_of(8) {
            return Err(Wrong::Peer);
        }
        self.tail = tail;
        Ok(())
    }

    pub(super) fn seal(&mut self, seen: &mut Shown) -> Result<(), Wrong> {
        if !self.sealed {
            self.refresh(seen)?;
            self.sealed = true;
        }
        Ok(())
    }

    pub(super) fn has_frame(&mut self, seen: &mut Shown) -> Result<bool, Wrong> {
        if self.tail == self.head && !self.sealed {
            self.refresh(seen)?;
        }
        Ok(self.tail > self.head)
    }

    /// The frame is given back; returns whether to wake the peer.
    fn give_back(&mut self, found: &Found, seen: &mut Shown) -> bool {
        self.head += frame(found.len);
        seen.wake(Word::SpaceWait)
    }

    /// The next data frame. If there is none, whether to wake the peer, because padding was
    /// released.
    fn find(&mut self, seen: &mut Shown) -> Result<Result<Found, bool>, Wrong> {
        let mut after_padding = false;
        loop {
            if !self.has_frame(seen)? {
                return Ok(Err(after_padding && seen.wake(Word::SpaceWait)));
            }
            let offset = self.head % CAPACITY;
            let word = seen.take(Word::Frame(offset));
            let [kind, flags, reserved @ ..] = (word >> 32).to_le_bytes();
            let len = word & 0xFFFF_FFFF;
            let allowed = match (kind, flags) {
                (2, 0) => true,
                (1, WHOLE | END) => true,
                (1, BEGIN | 0) => len > 0,
                (1, ABORT) => len == 0,
                _ => false,
            };
            let fits = frame(len) <= self.tail - self.head && frame(len) <= CAPACITY - offset;
            if !allowed || !fits || reserved[..2] != [0, 0] {
                return Err(Wrong::Peer);
            }
            if kind == 1 {
                return Ok(Ok(Found { flags, len, offset }));
            }
            if after_padding || frame(len) != CAPACITY - offset {
                return Err(Wrong::Peer);
            }
            after_padding = true;
            self.head += frame(len);
        }
    }

    /// The next event, the length of the message if it is one, and whether to wake the peer.
    pub(super) fn next(&mut self, seen: &mut Shown) -> Result<(Option<Next>, u64, bool), Wrong> {
        let found = match self.find(seen)? {
            Ok(found) => found,
            Err(wake) => return Ok((None, 0, wake)),
        };
        let (next, message) = match (found.flags, self.large) {
            (WHOLE, _) => {
                self.payload(0, &found, seen)?;
                (Next::Message, found.len)
            }
            (BEGIN, Large::None) => {
                self.payload(0, &found, seen)?;
                self.large = Large::Collected(found.len);
                (Next::Chunk, 0)
            }
            (BEGIN, _) | (_, Large::None) => return Err(Wrong::Peer),
            (ABORT, Large::Skipped) => (self.over(Next::Chunk), 0),
            (ABORT, _) => (self.over(Next::Aborted), 0),
            (END, Large::Collected(have)) => {
                self.payload(have, &found, seen)?;
                (self.over(Next::Message), have + found.len)
            }
            (END, _) => (self.over(Next::Chunk), 0),
            (_, Large::Collected(have)) => {
                self.payload(have, &found, seen)?;
                self.large = Large::Collected(have + found.len);
                (Next::Chunk, 0)
            }
            (_, _) => (Next::Chunk, 0),
        };
        let wake = self.give_back(&found, seen);
        Ok((Some(next), message, wake))
    }

    /// What the next frame is to the reader of a stream, its length, and how many bytes of it were
    /// read. It has been given back.
    pub(super) fn piece(
        &mut self,
        reads: &[u64],
        seen: &mut Shown,
    ) -> Result<(Option<Piece>, u64, bool), Wrong> {
        let found = match self.find(seen)? {
            Ok(found) => found,
            Err(wake) => return Ok((None, 0, wake)),
        };
        let piece = match (found.flags, self.large) {
            (WHOLE, _) => {
                self.admit(0, &found)?;
                Piece::Whole
            }
            (BEGIN, Large::None) => {
                self.admit(0, &found)?;
                self.large = Large::Streamed(found.len);
                Piece::Chunk { last: false }
            }
            // What was collected has become a stream before.
            (BEGIN, _) | (_, Large::None | Large::Collected(_)) => return Err(Wrong::Peer),
            (ABORT, Large::Skipped) => self.over(Piece::Skipped),
            (ABORT, _) => self.over(Piece::Aborted),
            (END, Large::Skipped) => self.over(Piece::Skipped),
            (_, Large::Skipped) => Piece::Skipped,
            (flags, Large::Streamed(have)) => {
                self.admit(have, &found)?;
                self.large = Large::Streamed(have + found.len);
                match flags {
                    END => self.over(Piece::Chunk { last: true }),
                    _ => Piece::Chunk { last: false },
                }
            }
        };
        let mut at = found.offset + 8;
        for len in reads {
            assert_eq!(seen.take(Word::Bytes(at % CAPACITY)), *len);
            at += len;
        }
        let wake = self.give_back(&found, seen);
        Ok((Some(piece), found.len, wake))
    }

    /// How much was collected of a message that is a stream from now on.
    pub(super) fn take_over(&mut self) -> Option<u64> {
        let Large::Collected(have) = self.large else {
            return None;
        };
        self.large = Large::Streamed(have);
        Some(have)
    }

    /// The stream is read no further.
    pub(super) fn skip(&mut self) {
        if let Large::Streamed(_) = self.large {
            self.large = Large::Skipped;
        }
    }

    fn over<T>(&mut self, last: T) -> T {
        self.large = Large::None;
        last
    }

    fn admit(&self, have: u64, found: &Found) -> Result<(), Wrong> {
        match have + found.len > self.max_message {
            true => Err(Wrong::TooLarge),
            false => Ok(()),
        }
    }

    fn payload(&self, have: u64, found: &Found, seen: &mut Shown) -> Result<(), Wrong> {
        self.admit(have, found)?;
        let copied = seen.take(Word::Bytes((found.offset + 8) % CAPACITY));
        assert_eq!(copied, found.len, "the wrong number of bytes was copied");
        Ok(())
    }
}

/// The bytes that a frame takes in the ring.
fn frame(len: u64) -> u64 {
    8 + len.next_multiple_of(8)
}

/// What the writer should do: it loads the head only if there seems to be no room.
#[derive(Default)]
pub(super) struct WriterJudge {
    tail: u64,
    head: u64,
}

impl WriterJudge {
    pub(super) fn has_room(&mut self, need: u64, seen: &mut Shown) -> Result<bool, Wrong> {
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
    pub(super) fn need(&self, len: u64) -> u64 {
        self.frame(len) + 8
    }

    fn frame(&self, len: u64) -> u64 {
        let rest = CAPACITY - self.tail % CAPACITY;
        match frame(len) > rest {
            true => rest + frame(len),
            false => frame(len),
        }
    }

    pub(super) fn has_room_for(&mut self, len: u64, seen: &mut Shown) -> Result<bool, Wrong> {
        // No chunk needs more than its header, a gap and padding; see `Writer` for the rest.
        let chunk = max_payload(CAPACITY) as u64;
        let need = len + 16 * len.div_ceil(chunk).max(1) + chunk + 24;
        Ok(need <= CAPACITY && self.has_room(need, seen)?)
    }

    pub(super) fn publish(&mut self, len: u64, seen: &mut Shown) -> bool {
        self.tail += len;
        seen.wake(Word::DataWait)
    }

    pub(super) fn write(&mut self, len: u64, seen: &mut Shown) -> Result<Option<bool>, Wrong> {
        if !self.has_room(self.need(len), seen)? {
            return Ok(None);
        }
        Ok(Some(self.publish(self.frame(len), seen)))
    }
}
