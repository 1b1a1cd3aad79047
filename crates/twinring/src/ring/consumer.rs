//! The end that reads.

use super::{Fault, Wake, announce, is_set, retract, wake_if_waiting};
use crate::segment::RingMemory;
#[cfg(not(loom))]
use crate::segment::Span;
use crate::sync::Ordering;

/// Reads from a ring; there is one per ring.
#[derive(Debug)]
pub(crate) struct Consumer {
    ring: RingMemory,
    /// Our position: everything before it has been read, and the next [`Consumer::release`] returns it
    /// to the producer. The word in shared memory is never read back.
    head: u64,
    /// The producer's position as last seen.
    tail: u64,
    /// The producer has ended: `tail` is final, whatever is still written to the word.
    sealed: bool,
}

impl Consumer {
    /// The consuming end of a ring in new memory.
    pub(crate) fn new(ring: RingMemory) -> Consumer {
        Consumer {
            ring,
            head: 0,
            tail: 0,
            sealed: false,
        }
    }

    /// The memory that its spans are of.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn memory(&self) -> &RingMemory {
        &self.ring
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Where the next byte comes from: the head.
    pub(crate) fn position(&self) -> u64 {
        self.head
    }

    /// Bytes between the head and the end of the ring's memory.
    #[inline]
    pub(crate) fn until_wrap(&self) -> u64 {
        self.capacity() - self.offset(0)
    }

    #[inline]
    fn offset(&self, ahead: u64) -> u64 {
        (self.head + ahead) & (self.capacity() - 1)
    }

    /// Bytes that can be read, as far as known without looking at the producer's position.
    #[inline]
    pub(crate) fn known(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// Bytes that can be read now. Looks at the producer's position only if none are known.
    #[inline]
    pub(crate) fn readable(&mut self) -> Result<u64, Fault> {
        if self.known() == 0 && !self.sealed {
            self.refresh()?;
        }
        Ok(self.known())
    }

    #[inline]
    fn refresh(&mut self) -> Result<(), Fault> {
        // Acquire: pairs with `Producer::publish`; we see what was written before it.
        let tail = self.ring.words().tail.0.load(Ordering::Acquire);
        let used = tail.wrapping_sub(self.head);
        if used < self.known() || used > self.capacity() {
            return Err(Fault::Peer(
                "its write position went back or overran the ring",
            ));
        }
        if used % 8 != 0 {
            return Err(Fault::Peer("its write position is not a multiple of 8"));
        }
        self.tail = tail;
        Ok(())
    }

    /// Looks for the last time: the producer has ended, so what it has published by now is all.
    pub(crate) fn seal(&mut self) -> Result<(), Fault> {
        if !self.sealed {
            self.refresh()?; // last look
            self.sealed = true;
        }
        Ok(())
    }

    /// Reads the word at the head.
    #[inline]
    pub(crate) fn read_word(&self) -> u64 {
        self.ring.read_word(self.offset(0))
    }

    /// Appends `len` bytes that begin `ahead` of the head to `to`; they must not cross the end of the
    /// ring's memory.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn append_to(&self, to: &mut Vec<u8>, ahead: u64, len: usize) -> Result<(), Fault> {
        self.ring
            .append_to(to, self.offset(ahead), len)
            .map_err(|_| Fault::OutOfMemory)
    }

    /// The `len` bytes `ahead` of the head, which stay there until they are released; they must not cross
    /// the end of the ring's memory.
    #[cfg(not(loom))]
    pub(crate) fn span(&self, ahead: u64, len: usize) -> Span {
        Span::new(&self.ring, self.offset(ahead), len)
    }

    /// Counts the next `len` bytes as read.
    #[inline]
    pub(crate) fn advance(&mut self, len: u64) {
        debug_assert!(len <= self.known());
        self.head += len;
    }

    /// Returns the room of everything read to the producer. Call [`Consumer::wake`] afterwards.
    #[inline]
    pub(crate) fn release(&mut self) {
        // Release: pairs with `Producer::has_room`; our reads are done before the producer overwrites.
        let head = &self.ring.words().head.0;
        head.store(self.head, Ordering::Release);
    }

    /// Whether the producer has to be woken for what was released; if so, this call obliges us to do it.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        wake_if_waiting(&self.ring.words().space_wait.0)
    }

    /// Whether the producer has announced that it waits for room. After [`Consumer::release`] and a full
    /// fence, `false` is as good as from [`Consumer::wake`]; elsewhere it is a hint, as the producer may
    /// be announcing it right now.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        is_set(&self.ring.words().space_wait.0)
    }

    /// Asks the producer to ring when there is more. Returns whether there is something already; if not,
    /// the caller may sleep. Call [`Consumer::end_wait`] afterwards.
    pub(crate) fn begin_wait(&mut self) -> Result<bool, Fault> {
        announce(&self.ring.words().data_wait.0);
        Ok(self.readable()? > 0) // last look
    }

    /// Ends what [`Consumer::begin_wait`] began, whatever it returned.
    pub(crate) fn end_wait(&mut self) {
        retract(&self.ring.words().data_wait.0);
    }
}
