//! The segment in real memory.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cause::{Cause, CauseOf, HEAD, MAX_TEXT, place};
use super::checkpoint::{CheckpointWords, Stored};
use super::copy;
use super::layout::{
    BYTES_AT, CHECKPOINTS_AT, GOODBYE_NONE, HEADER_AT, HEADER_LEN, LAYOUT_VERSION, MAGIC,
    READING_AT, RingWords, WORDS_AT,
};
use super::shape::{Shape, Side};
use super::shared::{self, Shared32, Shared64};
use crate::os::memory::Memory;

/// Memory laid out as a segment. Shared by the rings in it, and unmapped with the last of them.
#[derive(Debug)]
pub(crate) struct Segment {
    memory: Memory,
    shape: Shape,
}

impl Segment {
    /// Lays out new, zeroed memory.
    ///
    /// # Errors
    /// `None` if the memory does not have the length that the shape asks for.
    pub(crate) fn format(memory: Memory, shape: Shape) -> Option<Arc<Segment>> {
        if shape.len() != Some(memory.len()) {
            return None;
        }
        let segment = Segment { memory, shape };
        let header = segment.header();
        // SAFETY: the header is within the memory, whose length was checked; nobody else has the
        // memory yet.
        unsafe {
            let at = segment.memory.base().as_ptr().add(HEADER_AT);
            copy::copy_in(at, header.as_ptr(), HEADER_LEN);
        }
        Some(Arc::new(segment))
    }

    /// Takes memory that the host laid out.
    ///
    /// # Errors
    /// What is wrong with it, if it is not of this shape.
    pub(crate) fn attach(memory: Memory, shape: Shape) -> Result<Arc<Segment>, &'static str> {
        if shape.len() != Some(memory.len()) {
            return Err("its length does not fit the ring capacities");
        }
        let segment = Segment { memory, shape };
        let mut header = [0u8; HEADER_LEN];
        // SAFETY: the header is within the memory, whose length was checked.
        unsafe {
            let at = segment.memory.base().as_ptr().add(HEADER_AT);
            shared::copy_out(header.as_mut_ptr(), at, HEADER_LEN);
        }
        let expected = segment.header();
        if header[..8] != expected[..8] {
            return Err("it does not begin with the magic number");
        }
        if header[8..12] != expected[8..12] {
            return Err("its layout is of another version");
        }
        if header != expected {
            return Err("its header differs from what the handshake said");
        }
        Ok(Arc::new(segment))
    }

    fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [0u8; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&self.shape.capacities[0].to_le_bytes());
        header[24..32].copy_from_slice(&self.shape.capacities[1].to_le_bytes());
        header[32..48].copy_from_slice(&self.shape.id);
        header
    }

    /// The ring that `side` writes.
    pub(crate) fn ring_from(self: &Arc<Segment>, side: Side) -> RingMemory {
        let index = side.outgoing();
        let before: u64 = self.shape.capacities[..index].iter().sum();
        let capacity = self.shape.capacities[index];
        let base = self.memory.base();
        // SAFETY: `shape.len()` equals the memory's length, so both offsets, and the words and the
        // `capacity` bytes behind them, are within it (`layout` asserts that the words fit). The
        // casts fit: the sum is below that length.
        let (words, bytes) = unsafe {
            (
                base.add(WORDS_AT[index]).cast::<RingWords>(),
                base.add(BYTES_AT + before as usize),
            )
        };
        debug_assert!(words.is_aligned());
        RingMemory {
            words,
            bytes,
            capacity,
            _segment: self.clone(),
        }
    }

    /// Writes why something of `side`'s ended; the word that says so is written after it.
    pub(crate) fn write_cause(&self, side: Side, what: CauseOf, cause: &Cause) {
        let bytes = cause.encode();
        // SAFETY: a cause is shorter than its place, which is within the memory (`layout` asserts
        // both); only `copy` and `shared` touch it.
        unsafe {
            let at = self.memory.base().as_ptr().add(place(side, what));
            copy::copy_in(at, bytes.as_ptr(), bytes.len());
        }
    }

    /// Why something of `side`'s ended, according to that side.
    pub(crate) fn read_cause(&self, side: Side, what: CauseOf) -> Cause {
        let mut bytes = [0u8; HEAD + MAX_TEXT];
        // SAFETY: as in `write_cause`; the buffer is our own.
        unsafe {
            let at = self.memory.base().as_ptr().add(place(side, what));
            shared::copy_out(bytes.as_mut_ptr(), at, bytes.len());
        }
        Cause::decode(&bytes)
    }

    /// Sets `side`'s checkpoint; by one thread at a time, of that side.
    pub(crate) fn set_checkpoint(&self, side: Side, checkpoint: &Stored) {
        let (words, reading) = self.checkpoint_words(side);
        words.set(reading, checkpoint);
    }

    /// `side`'s checkpoint; for one thread at a time, of the other side.
    pub(crate) fn checkpoint(&self, side: Side) -> Stored {
        let (words, reading) = self.checkpoint_words(side);
        words.get(reading)
    }

    fn checkpoint_words(&self, side: Side) -> (&CheckpointWords, &Shared32) {
        let (base, index) = (self.memory.base(), side.outgoing());
        // SAFETY: both are within the memory, whose length was checked, and aligned, as memory is to pages (`layout`
        // asserts both). They are atomics, so that others writing them is no race; any bit pattern is valid.
        unsafe {
            (
                base.add(CHECKPOINTS_AT[index]).cast().as_ref(),
                base.add(READING_AT[index]).cast().as_ref(),
            )
        }
    }

    /// Sets how `side` wants to be woken: one of the `WAKE_BY` values.
    pub(crate) fn set_wake_mode(self: &Arc<Segment>, side: Side, wake_mode: u32) {
        let ring = self.ring_from(side);
        // Relaxed: the next announcement of a wait (Release) makes it visible.
        ring.words().wake_mode.0.store(wake_mode, Ordering::Relaxed);
    }

    /// How `side` wants to be woken; to be asked after its wait flag was found set.
    pub(crate) fn wake_mode_of(self: &Arc<Segment>, side: Side) -> u32 {
        // Relaxed: ordered by the load of the flag that was found set (Acquire).
        self.ring_from(side)
            .words()
            .wake_mode
            .0
            .load(Ordering::Relaxed)
    }

    /// Says how many handles `side` takes with a message. To be called during the handshake.
    pub(crate) fn set_max_handles(self: &Arc<Segment>, side: Side, most: u32) {
        let ring = self.ring_from(side.opposite());
        // Relaxed: the packet that follows makes it visible.
        ring.words().max_handles.0.store(most, Ordering::Relaxed);
    }

    /// How many handles `side` takes with a message, as it says.
    pub(crate) fn max_handles_of(self: &Arc<Segment>, side: Side) -> u32 {
        let ring = self.ring_from(side.opposite());
        // Relaxed: stored before the handshake was over.
        ring.words().max_handles.0.load(Ordering::Relaxed)
    }

    /// Whether the ring that `side` writes is empty, according to the current words.
    pub(crate) fn is_drained(self: &Arc<Segment>, side: Side) -> bool {
        let ring = self.ring_from(side);
        let words = ring.words();
        // Relaxed: a look from outside that orders nothing.
        words.tail.0.load(Ordering::Relaxed) == words.head.0.load(Ordering::Relaxed)
    }
}

/// One ring: its words, and its bytes by offset.
#[derive(Clone, Debug)]
pub(crate) struct RingMemory {
    words: NonNull<RingWords>,
    bytes: NonNull<u8>,
    capacity: u64,
    /// Keeps the memory mapped.
    _segment: Arc<Segment>,
}

// SAFETY: the pointers point into memory that `_segment` keeps mapped and that is only accessed
// atomically or by `copy`; nothing in it is tied to a thread.
unsafe impl Send for RingMemory {}
// SAFETY: as above.
unsafe impl Sync for RingMemory {}

impl RingMemory {
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    pub(crate) fn words(&self) -> &RingWords {
        // SAFETY: the words are within the mapped segment and are aligned (`ring_from`). They are
        // atomics, so that others writing them is no race; any bit pattern is valid.
        unsafe { self.words.as_ref() }
    }

    /// The offset as an index, if the range is within the ring without wrapping.
    #[inline]
    fn checked(&self, offset: u64, len: usize) -> usize {
        assert!(
            offset <= self.capacity && len as u64 <= self.capacity - offset,
            "access outside the ring"
        );
        // Fits: at most the capacity, which fits the address space.
        offset as usize
    }

    /// Copies `from` to `offset`.
    ///
    /// # Panics
    /// If it does not fit there: a bug of ours, never the peer's doing.
    #[inline]
    pub(crate) fn write(&self, offset: u64, from: &[u8]) {
        let at = self.checked(offset, from.len());
        // SAFETY: the range is within the ring's bytes, which nothing but `copy` and atomics
        // touch; `from` is a reference to our own memory and cannot overlap.
        unsafe { copy::copy_in(self.bytes.as_ptr().add(at), from.as_ptr(), from.len()) };
    }

    /// Appends `len` bytes at `offset` to `to`.
    ///
    /// # Errors
    /// If there is no memory for them; then `to` is as before.
    ///
    /// # Panics
    /// As [`RingMemory::write`].
    #[inline]
    pub(crate) fn append_to(
        &self,
        to: &mut Vec<u8>,
        offset: u64,
        len: usize,
    ) -> Result<(), std::collections::TryReserveError> {
        let at = self.checked(offset, len);
        // Asked here, or each message would pay for a call.
        if len > to.capacity() - to.len() {
            to.try_reserve(len)?;
        }
        let old = to.len();
        // SAFETY: the source is as in `write`; the destination was reserved and is our own; all
        // `len` bytes after `old` are initialised when the length is set.
        unsafe {
            shared::copy_out(to.as_mut_ptr().add(old), self.bytes.as_ptr().add(at), len);
            to.set_len(old + len);
        }
        Ok(())
    }

    /// Copies the bytes at `offset` out.
    ///
    /// # Panics
    /// As [`RingMemory::write`].
    #[inline]
    pub(super) fn read(&self, offset: u64, to: &mut [u8]) {
        let at = self.checked(offset, to.len());
        // SAFETY: the source is as in `write`; the destination is our own.
        unsafe { shared::copy_out(to.as_mut_ptr(), self.bytes.as_ptr().add(at), to.len()) };
    }

    /// The address of the `len` bytes at `offset`.
    ///
    /// # Panics
    /// As [`RingMemory::write`].
    pub(super) fn address(&self, offset: u64, len: usize) -> NonNull<u8> {
        let at = self.checked(offset, len);
        // SAFETY: within the ring's bytes, or one past them.
        unsafe { self.bytes.add(at) }
    }

    #[inline]
    fn word(&self, offset: u64) -> &Shared64 {
        let at = self.checked(offset, 8);
        assert!(at % 8 == 0);
        // SAFETY: 8 bytes within the ring, aligned to 8, mapped for as long as `self` lives, only
        // ever accessed atomically or by `copy`.
        unsafe { Shared64::at(self.bytes.as_ptr().add(at)) }
    }

    /// Writes the word at `offset`, a multiple of 8, in little-endian order.
    #[inline]
    pub(crate) fn write_word(&self, offset: u64, word: u64) {
        // Relaxed: the position published after it (Release) makes it visible.
        self.word(offset).store(word.to_le(), Ordering::Relaxed);
    }

    /// Reads the word at `offset`, a multiple of 8, in little-endian order.
    #[inline]
    pub(crate) fn read_word(&self, offset: u64) -> u64 {
        // Relaxed: ordered by the load of the position before it (Acquire).
        u64::from_le(self.word(offset).load(Ordering::Relaxed))
    }
}

const _: () = assert!(GOODBYE_NONE == 0, "new memory is all zero");

#[cfg(test)]
impl RingMemory {
    /// Where the words begin, and where the bytes are.
    pub(super) fn addresses(&self) -> (usize, std::ops::Range<usize>) {
        let bytes = self.bytes.addr().get();
        (
            self.words.addr().get(),
            bytes..bytes + self.capacity as usize,
        )
    }

    /// Checks that everything around the words and bytes of ring 0 is as it was created.
    pub(crate) fn assert_surroundings_untouched(&self) {
        let (words, bytes) = self.addresses();
        let base = self._segment.memory.base();
        let start = base.addr().get();
        let used = [
            start..start + HEADER_LEN,
            words..words + size_of::<RingWords>(),
            bytes,
        ];
        let mut now = vec![0; self._segment.memory.len()];
        // SAFETY: all of the mapping, and a buffer of its length.
        unsafe { copy::copy_out(now.as_mut_ptr(), base.as_ptr(), now.len()) };
        for (i, byte) in now.iter().enumerate() {
            let ours = used.iter().any(|range| range.contains(&(start + i)));
            assert!(ours || *byte == 0, "byte {i} of the segment was written");
        }
    }
}

#[cfg(any(test, fuzzing, twinring_bench))]
pub(crate) fn test_ring(capacity: u64) -> (RingMemory, RingMemory) {
    let shape = Shape {
        capacities: [capacity, *super::CAPACITIES.start()],
        id: [7; 16],
    };
    let (memory, _handle) =
        Memory::create(shape.len().unwrap(), crate::os::memory::Pages::Reserved).unwrap();
    let segment = Segment::format(memory, shape).unwrap();
    (segment.ring_from(Side::Host), segment.ring_from(Side::Host))
}
