//! Hostile memory, for unit tests: on a thread that has a [`Liar`], it decides what `shared` loads.
//!
//! It may return a false value for every load, so a word loaded twice may differ the second time. It also
//! watches: it panics if anything outside its ring is loaded, or if a word is loaded twice where
//! once must be enough. And it records what was loaded, so that a test can work out what the result
//! should have been.

use core::sync::atomic::{AtomicU32, AtomicU64};
use std::cell::RefCell;
use std::mem::offset_of;
use std::ops::Range;

use super::RingMemory;
use super::layout::{LINE, RingWords};

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Tail,
    Head,
    DataWait,
    SpaceWait,
    /// The old value of a wait flag that was swapped.
    Swapped,
    Goodbye,
    Sending,
    /// A word of the ring at this offset: a frame's header.
    Frame(u64),
    /// Bytes of the ring from this offset on; the value is how many.
    Bytes(u64),
}

/// More than any call loads: the reader of a stream loads 11, if it meets padding, has to wake the peer and
/// reads a chunk in three steps.
pub(crate) const MOST_LOADS: usize = 16;

/// What one call loaded, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    words: [(Word, u64); MOST_LOADS],
    len: usize,
}

impl Seen {
    const NOTHING: Seen = Seen {
        words: [(Word::Tail, 0); MOST_LOADS],
        len: 0,
    };

    pub(crate) fn words(&self) -> &[(Word, u64)] {
        &self.words[..self.len]
    }
}

thread_local! {
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "it is const; clippy does not see that in how Windows does it"
    )]
    static LIAR: RefCell<Option<Liar>> = const { RefCell::new(None) };
}

/// Gives the thread that made it false values, about one ring.
#[derive(Debug)]
pub(crate) struct Liar {
    words: usize,
    bytes: Range<usize>,
    random: u64,
    /// `rate` of 65536 loads return a false value.
    rate: u64,
    /// What our side published last.
    tail: u64,
    head: u64,
    /// What our side was shown last.
    told_tail: u64,
    told_head: u64,
    /// According to the frames that the reader was shown, a large message has begun.
    told_large: bool,
    seen: Seen,
    /// The addresses loaded since the call began or a position was published.
    once: [Range<usize>; MOST_LOADS],
    once_len: usize,
    false_words: u64,
    false_bytes: u64,
}

/// Ends the false values when dropped.
#[derive(Debug)]
pub(crate) struct Lying(());

impl Drop for Lying {
    fn drop(&mut self) {
        LIAR.set(None);
    }
}

/// Begins to show this thread false values in `ring`; a `rate` of 65536 means always.
pub(crate) fn begin(ring: &RingMemory, seed: u64, rate: u64) -> Lying {
    let (words, bytes) = ring.addresses();
    LIAR.set(Some(Liar {
        words,
        bytes,
        random: seed,
        rate,
        tail: 0,
        head: 0,
        told_tail: 0,
        told_head: 0,
        told_large: false,
        seen: Seen::NOTHING,
        once: [const { 0..0 }; MOST_LOADS],
        once_len: 0,
        false_words: 0,
        false_bytes: 0,
    }));
    Lying(())
}

impl Lying {
    /// A new call begins: what was loaded before does not count against it.
    pub(crate) fn next_call(&self) {
        with(|liar| {
            liar.seen.len = 0;
            liar.once_len = 0;
        });
    }

    /// A new connection begins, in the same memory.
    pub(crate) fn next_connection(&self, ring: &RingMemory) {
        use crate::sync::Ordering::Relaxed;
        let words = ring.words();
        words.tail.0.store(0, Relaxed);
        words.head.0.store(0, Relaxed);
        words.data_wait.0.store(0, Relaxed);
        words.space_wait.0.store(0, Relaxed);
        with(|liar| {
            liar.told_tail = 0;
            liar.told_head = 0;
            liar.told_large = false;
        });
    }

    /// What was loaded since [`Lying::next_call`].
    pub(crate) fn seen(&self) -> Seen {
        with(|liar| liar.seen).unwrap()
    }

    /// How many words and bytes differed from what was in memory. Only words that decide something count
    /// as words: positions, flags, headers.
    pub(crate) fn told(&self) -> (u64, u64) {
        with(|liar| (liar.false_words, liar.false_bytes)).unwrap()
    }

    /// A number below `bound` from the liar's own source.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        with(|liar| liar.below(bound)).unwrap()
    }
}

#[inline]
fn with<R>(f: impl FnOnce(&mut Liar) -> R) -> Option<R> {
    LIAR.with_borrow_mut(|liar| liar.as_mut().map(f))
}

pub(super) fn loaded_64(at: &AtomicU64, truth: u64) -> u64 {
    let at = std::ptr::from_ref(at).addr();
    with(|liar| {
        let word = liar.word_at(at);
        liar.load(word, at..at + 8, truth)
    })
    .unwrap_or(truth)
}

pub(super) fn loaded_32(at: &AtomicU32, truth: u32) -> u32 {
    let at = std::ptr::from_ref(at).addr();
    let seen = with(|liar| {
        let word = liar.word_at(at);
        liar.load(word, at..at + 4, truth.into())
    });
    // Fits: false values for words of 32 bits have no more.
    seen.map_or(truth, |seen| seen as u32)
}

pub(super) fn swapped_32(at: &AtomicU32, truth: u32) -> u32 {
    let at = std::ptr::from_ref(at).addr();
    let seen = with(|liar| {
        liar.word_at(at);
        // A flag may be swapped after it was loaded, but neither may be done twice. The rest of its
        // line is used for nothing else and stands for the swap.
        liar.load(
            Word::Swapped,
            at + LINE / 2..at + LINE / 2 + 4,
            truth.into(),
        )
    });
    seen.map_or(truth, |seen| seen as u32)
}

pub(super) fn stored_64(at: &AtomicU64, word: u64) {
    let at = std::ptr::from_ref(at).addr();
    with(|liar| {
        match liar.word_at(at) {
            Word::Tail => liar.tail = word,
            Word::Head => liar.head = word,
            _ => return,
        }
        // After the new position comes another frame.
        liar.once_len = 0;
    });
}

pub(super) fn copied(from: *const u8, copied: &mut [u8]) {
    let from = from.addr();
    with(|liar| liar.copy(from, copied));
}

impl Liar {
    fn next(&mut self) -> u64 {
        // SplitMix64: good enough here, and fast.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 29)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len() as u64) as usize]
    }

    fn capacity(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn word_at(&self, at: usize) -> Word {
        if self.bytes.contains(&at) {
            return Word::Frame((at - self.bytes.start) as u64);
        }
        match at.wrapping_sub(self.words) {
            at if at == offset_of!(RingWords, tail) => Word::Tail,
            at if at == offset_of!(RingWords, head) => Word::Head,
            at if at == offset_of!(RingWords, data_wait) => Word::DataWait,
            at if at == offset_of!(RingWords, space_wait) => Word::SpaceWait,
            at if at == offset_of!(RingWords, goodbye) => Word::Goodbye,
            at if at == offset_of!(RingWords, sending) => Word::Sending,
            _ => panic!("an access outside the ring"),
        }
    }

    fn load(&mut self, word: Word, range: Range<usize>, truth: u64) -> u64 {
        self.watch(range);
        let mut value = truth;
        if self.is_false_now() {
            value = match word {
                Word::Tail => self.about_tail(truth),
                Word::Head => self.about_head(truth),
                Word::Frame(offset) => self.about_frame(offset, truth),
                _ => self.about_flag(truth),
            };
            self.false_words += u64::from(value != truth);
        }
        match word {
            Word::Tail => self.told_tail = value,
            Word::Head => self.told_head = value,
            Word::Frame(_) if value >> 32 & 0xFF == 1 => {
                self.told_large = match value >> 40 & 0xFF {
                    0 | 1 => true,
                    3 => self.told_large,
                    _ => false,
                };
            }
            _ => {}
        }
        self.note(word, value);
        value
    }

    fn copy(&mut self, from: usize, copied: &mut [u8]) {
        let to = from + copied.len();
        assert!(
            self.bytes.start <= from && to <= self.bytes.end,
            "a copy from outside the ring"
        );
        self.note(
            Word::Bytes((from - self.bytes.start) as u64),
            copied.len() as u64,
        );
        if !copied.is_empty() {
            self.watch(from..to);
        }
        // Nothing depends on these bytes, so a few false ones will do.
        if self.is_false_now() && self.below(8) == 0 {
            for chunk in copied.chunks_mut(8) {
                let lie = self.next().to_le_bytes();
                chunk.copy_from_slice(&lie[..chunk.len()]);
            }
            self.false_bytes += copied.len() as u64;
        }
    }

    fn is_false_now(&mut self) -> bool {
        self.below(65536) < self.rate
    }

    fn watch(&mut self, range: Range<usize>) {
        let overlaps = |other: &Range<usize>| range.start < other.end && other.start < range.end;
        assert!(
            !self.once[..self.once_len].iter().any(overlaps),
            "the same word of shared memory is loaded twice: what was checked may not be what is \
             used ({:?})",
            self.seen.words()
        );
        self.once[self.once_len] = range;
        self.once_len += 1;
    }

    fn note(&mut self, word: Word, value: u64) {
        assert!(self.seen.len < MOST_LOADS, "{:?}", self.seen.words());
        self.seen.words[self.seen.len] = (word, value);
        self.seen.len += 1;
    }

    /// Values around which something begins or ends.
    fn boundary(&mut self, own: u64, truth: u64) -> u64 {
        let capacity = self.capacity();
        match self.below(4) {
            0 => self.of(&[0, 1, 7, 8, 9, u64::MAX, u64::MAX - 7, 1 << 32, 1 << 63]),
            1 => self.of(&[capacity - 8, capacity, capacity + 8, capacity + 1]),
            2 => {
                let from = self.of(&[own, truth, own + capacity, own.wrapping_sub(capacity)]);
                let by = self.of(&[0, 1, 4, 7, 8, 16]);
                self.of(&[from.wrapping_add(by), from.wrapping_sub(by)])
            }
            _ => self.next(),
        }
    }

    fn about_tail(&mut self, truth: u64) -> u64 {
        // Mostly what a peer could have written, or nothing after the check would be reached.
        if self.below(64) == 0 {
            return self.boundary(self.head, truth);
        }
        match self.below(8) {
            0 => self.head,
            1 => (self.head + 8).next_multiple_of(self.capacity()),
            _ => self.head + self.below(self.capacity() / 8 + 1) * 8,
        }
    }

    fn about_head(&mut self, truth: u64) -> u64 {
        if self.below(64) == 0 {
            return self.boundary(self.tail, truth);
        }
        let ahead = self.tail.wrapping_sub(self.told_head);
        self.told_head
            .wrapping_add(self.below(ahead.min(self.capacity()) + 1))
    }

    fn about_frame(&mut self, offset: u64, truth: u64) -> u64 {
        const PADDING: u64 = 2 << 32;
        let data = |flags: u64, len: u64| 1 << 32 | flags << 40 | len;
        let rest = self.capacity() - offset - 8;
        let there = self.told_tail.wrapping_sub(self.head + 8).min(rest);
        let most = self.of(&[32, 4096]);
        let len = self.below(most);
        match self.below(256) {
            0 => self.next(),
            1 => self.boundary(self.head, truth),
            2 => truth ^ 1 << self.below(64),
            3 => truth.wrapping_add(8),
            4 => len | self.below(4) << 32 | self.below(256) << 40,
            5 => PADDING | len,
            6 => data(self.below(8), len),
            7 => data(3, rest + self.of(&[1, 8, 4096])),
            8 => data(3, self.below(1 << 32)),
            9 => data(3, there + self.of(&[1, 8, 16])),
            // The rest could be true.
            10..=24 if there == rest => PADDING | rest,
            10..=24 => data(3, there),
            25..=35 if self.told_large => data(4, 0),
            36..=45 if self.told_large => data(4, there.min(8 + self.below(257))),
            46..=90 if self.told_large => data(2, len.min(there)),
            91..=165 if self.told_large => data(0, len.min(there).max(1)),
            25..=120 => data(1, len.min(there).max(1)),
            _ => data(3, len.min(there)),
        }
    }

    fn about_flag(&mut self, truth: u64) -> u64 {
        let flip = truth ^ 1;
        let any = self.next() >> 32;
        self.of(&[flip, flip, flip, 2, u32::MAX.into(), any])
    }
}
