//! The end that writes.

use super::{Fault, Wake, announce, is_set, retract, wake_if_waiting};
use crate::segment::RingMemory;
#[cfg(not(loom))]
use crate::segment::Span;
use crate::sync::Ordering;

/// Writes to a ring; there is one per ring.
#[derive(Debug)]
pub(crate) struct Producer {
    ring: RingMemory,
    /// Our position: everything before it has been written, and the next [`Producer::publish`] shows it
    /// to the consumer. The word in shared memory is never read back.
    tail: u64,
    /// The consumer's position as last seen.
    head: u64,
}

impl Producer {
    /// The producing end of a ring in new memory.
    pub(crate) fn new(ring: RingMemory) -> Producer {
        Producer {
            ring,
            tail: 0,
            head: 0,
        }
    }

    /// The memory that its spans are of.
    #[cfg(not(loom))]
    pub(crate) fn memory(&self) -> &RingMemory {
        &self.ring
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Bytes between the tail and the end of the ring's memory.
    #[inline]
    pub(crate) fn until_wrap(&self) -> u64 {
        self.capacity() - self.offset(0)
    }

    #[inline]
    fn offset(&self, ahead: u64) -> u64 {
        (self.tail + ahead) & (self.capacity() - 1)
    }

    /// Bytes written and not read yet, as last seen.
    #[inline]
    fn used(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// Where the next byte goes: the tail.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.tail
    }

    /// How far the consumer has read.
    pub(crate) fn head(&mut self) -> Result<u64, Fault> {
        self.refresh()?;
        Ok(self.head)
    }

    /// Bytes written and not read yet.
    pub(crate) fn backlog(&mut self) -> Result<u64, Fault> {
        self.refresh()?;
        Ok(self.used())
    }

    /// Whether `need` bytes can be written now.
    #[inline]
    pub(crate) fn has_room(&mut self, need: u64) -> Result<bool, Fault> {
        if self.capacity() - self.used() >= need {
            return Ok(true);
        }
        self.refresh()?;
        Ok(self.capacity() - self.used() >= need)
    }

    fn refresh(&mut self) -> Result<(), Fault> {
        // Acquire: pairs with `Consumer::release`; its reads are done before we overwrite.
        let head = self.ring.words().head.0.load(Ordering::Acquire);
        let used = self.tail.wrapping_sub(head);
        if used > self.used() {
            return Err(Fault::Peer(
                "its read position went back or beyond what was written",
            ));
        }
        if used % 8 != 0 {
            return Err(Fault::Peer("its read position is not a multiple of 8"));
        }
        self.head = head;
        Ok(())
    }

    /// Writes a word `ahead` of the tail; `ahead` is a multiple of 8 within the room checked for.
    #[inline]
    pub(crate) fn write_word(&mut self, ahead: u64, word: u64) {
        self.ring.write_word(self.offset(ahead), word);
    }

    /// Writes bytes `ahead` of the tail; they must not cross the end of the ring's memory.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn write(&mut self, ahead: u64, bytes: &[u8]) {
        self.ring.write(self.offset(ahead), bytes);
    }

    /// The `len` bytes `ahead` of the tail, to be written before they are counted; they must not
    /// cross the end of the ring's memory.
    #[cfg(not(loom))]
    pub(crate) fn span(&self, ahead: u64, len: usize) -> Span {
        Span::new(&self.ring, self.offset(ahead), len)
    }

    /// Counts the next `len` bytes as written. Call [`Producer::publish`] afterwards, once for any number
    /// of them but before any wait.
    #[inline]
    pub(crate) fn advance(&mut self, len: u64) {
        self.tail += len;
        debug_assert!(self.used() <= self.capacity());
    }

    /// Shows everything written to the consumer. Call [`Producer::wake`] afterwards.
    #[inline]
    pub(crate) fn publish(&mut self) {
        // Release: pairs with `Consumer::readable`; the bytes are seen before the position.
        let tail = &self.ring.words().tail.0;
        tail.store(self.tail, Ordering::Release);
    }

    /// Whether the consumer has to be woken for what was published; if so, this call obliges us to do it.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        wake_if_waiting(&self.ring.words().data_wait.0)
    }

    /// Whether the consumer has announced that it waits for data. After [`Producer::publish`] and a full
    /// fence, `false` is as good as from [`Producer::wake`].
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        is_set(&self.ring.words().data_wait.0)
    }

    /// Asks the consumer to ring when it has read more. Returns whether there is room for `need` bytes
    /// already; if not, the caller may sleep. Call [`Producer::end_wait`] afterwards.
    pub(crate) fn begin_wait(&mut self, need: u64) -> Result<bool, Fault> {
        announce(&self.ring.words().space_wait.0);
        self.has_room(need) // last look
    }

    /// Ends what [`Producer::begin_wait`] began, whatever it returned.
    pub(crate) fn end_wait(&mut self) {
        retract(&self.ring.words().space_wait.0);
    }
}
