//! What is right: a second, plain implementation of `docs/format.md`, given the words a call was shown.

use super::CAPACITY;
use crate::frame::{Next, Piece, max_payload};
use crate::ring::Fault;
use crate::segment::hostile_memory::{Seen, Word};
use crate::segment::layout::{SENDING_OPEN, WAIT_NONE};

/// What a call returned, without the words of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Peer,
    TooLarge,
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Wrong {
        match fault {
            Fault::Peer(_) | Fault::Word(..) => Wrong::Peer,
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
    /// It was stopped, and this much of the ring has been skipped since.
    Skipped(u64),
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
/// there.
#[derive(Default)]
pub(super) struct ReaderJudge {
    head: u64,
    tail: u64,
    sealed: bool,
    large: Large,
    max_message: u64,
    max_stream: u64,
}

impl ReaderJudge {
    pub(super) fn new(max_message: u64, max_stream: u64) -> ReaderJudge {
        ReaderJudge {
            max_message,
            max_stream,
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

    /// Whether there is a frame, or none will come.
    pub(super) fn has_news(&mut self, seen: &mut Shown) -> Result<bool, Wrong> {
        Ok(self.has_frame(seen)? || seen.take(Word::Sending) != u64::from(SENDING_OPEN))
    }

    /// The frame is given back; returns whether to wake the peer.
    fn give_back(&mut self, found: &Found, seen: &mut Shown) -> bool {
        self.head += frame(found.len);
        seen.wake(Word::SpaceWait)
    }

    /// The next data frame, if there is one.
    fn find(&mut self, seen: &mut Shown) -> Result<Option<Found>, Wrong> {
        if !self.has_frame(seen)? {
            return Ok(None);
        }
        let mut after_padding = false;
        loop {
            let offset = self.head % CAPACITY;
            let word = seen.take(Word::Frame(offset));
            let [kind, flags, reserved @ ..] = (word >> 32).to_le_bytes();
            let len = word & 0xFFFF_FFFF;
            let allowed = match (kind, flags) {
                (2, 0) => true,
                (1, WHOLE | BEGIN | END) => true,
                (1, 0) => len > 0,
                (1, ABORT) => len == 0 || (8..=263).contains(&len),
                _ => false,
            };
            let fits = frame(len) <= self.tail - self.head
                && frame(len) <= CAPACITY - offset
                && frame(len) <= CAPACITY / 2;
            if !allowed || !fits || reserved[..2] != [0, 0] {
                return Err(Wrong::Peer);
            }
            if kind == 1 {
                return Ok(Some(Found { flags, len, offset }));
            }
            let is_last = frame(len) == self.tail - self.head;
            if after_padding || is_last || frame(len) != CAPACITY - offset {
                return Err(Wrong::Peer);
            }
            after_padding = true;
            self.head += frame(len);
        }
    }

    /// The next event, the length of the message if it is one, and whether to wake the peer.
    pub(super) fn next(&mut self, seen: &mut Shown) -> Result<(Option<Next>, u64, bool), Wrong> {
        let Some(found) = self.find(seen)? else {
            return Ok((None, 0, false));
        };
        let (next, message) = match found.flags {
            WHOLE => {
                self.admit(&found)?;
                payload(&found, seen);
                (Next::Message, found.len)
            }
            ABORT => match self.give_up(&found, seen)? {
                true => (Next::Aborted, 0),
                false => (Next::Chunk, 0),
            },
            flags => {
                self.begin_with(flags, Large::Collected(0))?;
                match self.large {
                    Large::None => return Err(Wrong::Peer),
                    Large::Collected(have) if have + found.len > self.max_message => {
                        (self.go_on(flags, Large::Skipped(0), Next::TooLong), 0)
                    }
                    Large::Collected(have) => {
                        payload(&found, seen);
                        let len = have + found.len;
                        match flags {
                            END => (self.go_on(END, Large::None, Next::Message), len),
                            _ => (self.go_on(flags, Large::Collected(len), Next::Chunk), 0),
                        }
                    }
                    Large::Skipped(have) => {
                        let skipped = skip(have, &found)?;
                        (self.go_on(flags, skipped, Next::Chunk), 0)
                    }
                    // Its reader has skipped it before.
                    Large::Streamed(_) => return Err(Wrong::Peer),
                }
            }
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
        let Some(found) = self.find(seen)? else {
            return Ok((None, 0, false));
        };
        let piece = match found.flags {
            WHOLE => {
                self.admit(&found)?;
                Piece::Whole
            }
            ABORT => match self.give_up(&found, seen)? {
                true => Piece::Aborted,
                false => Piece::Skipped,
            },
            flags => {
                self.begin_with(flags, Large::Streamed(0))?;
                match self.large {
                    // What was collected has become a stream before.
                    Large::None | Large::Collected(_) => return Err(Wrong::Peer),
                    Large::Skipped(have) => {
                        let skipped = skip(have, &found)?;
                        self.go_on(flags, skipped, Piece::Skipped)
                    }
                    Large::Streamed(have) if have + found.len > self.max_stream => {
                        self.go_on(flags, Large::Skipped(0), Piece::TooLong)
                    }
                    Large::Streamed(have) => {
                        let last = flags == END;
                        let large = Large::Streamed(have + found.len);
                        self.go_on(flags, large, Piece::Chunk { last })
                    }
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
            self.large = Large::Skipped(0);
        }
    }

    /// If it begins a large message, this is done with it.
    fn begin_with(&mut self, flags: u8, large: Large) -> Result<(), Wrong> {
        match (flags, self.large) {
            (BEGIN, Large::None) => self.large = large,
            (BEGIN, _) => return Err(Wrong::Peer),
            _ => {}
        }
        Ok(())
    }

    /// What is done with the rest of the large message, if this was not the end of it.
    fn go_on<T>(&mut self, flags: u8, large: Large, told: T) -> T {
        self.large = match flags {
            END => Large::None,
            _ => large,
        };
        told
    }

    /// The large message is given up, perhaps with a cause. Returns whether anybody wanted it.
    fn give_up(&mut self, found: &Found, seen: &mut Shown) -> Result<bool, Wrong> {
        if found.len > 0 {
            payload(found, seen);
        }
        match std::mem::take(&mut self.large) {
            Large::None => Err(Wrong::Peer),
            Large::Skipped(_) => Ok(false),
            Large::Collected(_) | Large::Streamed(_) => Ok(true),
        }
    }

    fn admit(&self, whole: &Found) -> Result<(), Wrong> {
        match whole.len > self.max_message {
            true => Err(Wrong::TooLarge),
            false => Ok(()),
        }
    }
}

/// A frame that nobody wants, and what has been skipped with it.
fn skip(have: u64, found: &Found) -> Result<Large, Wrong> {
    match have + frame(found.len) {
        too_much if too_much > 2 * CAPACITY => Err(Wrong::Peer),
        skipped => Ok(Large::Skipped(skipped)),
    }
}

/// All of a frame's bytes are copied.
fn payload(found: &Found, seen: &mut Shown) {
    let copied = seen.take(Word::Bytes((found.offset + 8) % CAPACITY));
    assert_eq!(copied, found.len, "the wrong number of bytes was copied");
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
            let forward = head >= self.head && head <= self.tail;
            if !forward || !head.is_multiple_of(8) {
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
