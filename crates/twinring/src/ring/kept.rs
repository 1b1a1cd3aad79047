//! What a consumer has read and not released, because the program still needs it.
//!
//! Parts may be done in any order and on any thread, while the consumer reads on behind them. The room is
//! released in order: `head` goes up to the first part that is not done.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Wake, is_set, wake_if_waiting};
use crate::segment::RingMemory;
use crate::sync::{AtomicU32, AtomicU64, FairLock, FairLockGuard, Ordering};

#[derive(Debug)]
pub(crate) struct Kept {
    ring: RingMemory,
    parts: FairLock<KeptParts>,
    /// The part that was added last: who takes the lock next puts it to the others. So the consumer, which
    /// mostly keeps one part at a time, adds without the lock.
    newest: Newest,
    /// How far the consumer has read. Only the consumer stores it.
    read: AtomicU64,
    /// How far the room was released. Stored within the lock, or by the consumer while nothing is kept.
    released: AtomicU64,
}

#[derive(Debug, Default)]
struct KeptParts {
    /// In the order of their positions.
    parts: VecDeque<KeptPart>,
    /// Nothing is released any more.
    frozen: bool,
}

#[derive(Debug)]
struct KeptPart {
    start: u64,
    /// What comes before this is done.
    done: u64,
    end: u64,
}

/// A place for one part: filled by the consumer, emptied within the lock.
#[derive(Debug)]
struct Newest {
    is_there: AtomicU32,
    start: AtomicU64,
    end: AtomicU64,
}

impl Kept {
    /// Of the ring that the consumer reads.
    pub(crate) fn new(ring: RingMemory) -> Kept {
        Kept {
            ring,
            parts: FairLock::new(KeptParts::default()),
            newest: Newest {
                is_there: AtomicU32::new(0),
                start: AtomicU64::new(0),
                end: AtomicU64::new(0),
            },
            read: AtomicU64::new(0),
            released: AtomicU64::new(0),
        }
    }

    /// All that is kept, and how far the consumer had read before all of it was known.
    fn parts(&self) -> (FairLockGuard<'_, KeptParts>, u64) {
        let mut state = self.parts.lock_untimed();
        // Acquire: pairs with the Release in `add`. If this is behind the newest part, that is there below:
        // otherwise it would be released with what comes before it.
        let read = self.read.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `add`.
        if self.newest.is_there.load(Ordering::Acquire) != 0 {
            let start = self.newest.start.load(Ordering::Relaxed);
            state.parts.push_back(KeptPart {
                start,
                done: start,
                end: self.newest.end.load(Ordering::Relaxed),
            });
            // Release: pairs with the Acquire in `add`, which writes there again.
            self.newest.is_there.store(0, Ordering::Release);
        }
        (state, read)
    }

    /// The consumer has read this part, and keeps it.
    #[inline]
    pub(crate) fn add(&self, place: Range<u64>) {
        if self.read.load(Ordering::Relaxed) != place.start {
            // The consumer has released by itself what comes before it: nothing else is kept.
            self.released.store(place.start, Ordering::Relaxed);
        }
        // Acquire: pairs with the Release in `parts`.
        if self.newest.is_there.load(Ordering::Acquire) != 0 {
            drop(self.parts());
        }
        self.newest.start.store(place.start, Ordering::Relaxed);
        self.newest.end.store(place.end, Ordering::Relaxed);
        // Release, both: they pair with the Acquires in `parts`, in this order.
        self.newest.is_there.store(1, Ordering::Release);
        self.read.store(place.end, Ordering::Release);
    }

    /// The part that was added last goes on to this position.
    pub(crate) fn extend(&self, end: u64) {
        let (mut state, _) = self.parts();
        if let Some(part) = state.parts.back_mut() {
            part.end = end;
        }
        self.read.store(end, Ordering::Release);
    }

    /// The consumer has read up to this position. Returns whether nothing is kept any more; then it may
    /// release by itself again.
    pub(crate) fn read_to(&self, position: u64) -> bool {
        self.read.store(position, Ordering::Release);
        let (mut state, read) = self.parts();
        self.release(&mut state, read);
        state.parts.is_empty()
    }

    /// The part that begins at `start` is done as far as `end`; nothing if all of it was. Returns whether
    /// the producer has to be woken; if so, this call obliges us to do it. A full fence, unless nothing was.
    pub(crate) fn done(&self, start: u64, end: u64) -> Wake {
        let (mut state, read) = self.parts();
        let part = state.parts.iter_mut().find(|part| part.start == start);
        let Some(part) = part else {
            // The consumer may have released more by itself than we know.
            return Wake::NotNeeded;
        };
        part.done = part.done.max(end.min(part.end));
        self.release(&mut state, read);
        let flag = &self.ring.words().space_wait.0;
        match state.leave(|_| is_set(flag)) {
            Some(_) => wake_if_waiting(flag),
            None => Wake::NotNeeded,
        }
    }

    /// What is not done of the part that begins at `start` becomes parts of its own, which end here.
    pub(crate) fn split(&self, start: u64, ends: impl Iterator<Item = u64>) {
        let (mut state, _) = self.parts();
        let Some(index) = state.parts.iter().position(|part| part.start == start) else {
            return;
        };
        let behind = state.parts.split_off(index + 1);
        let Some(whole) = state.parts.pop_back() else {
            return;
        };
        let mut begin = whole.done;
        if begin > start {
            state.parts.push_back(KeptPart {
                end: begin,
                ..whole
            });
        }
        for end in ends {
            state.parts.push_back(KeptPart {
                start: begin,
                done: begin,
                end,
            });
            begin = end;
        }
        state.parts.extend(behind);
    }

    fn release(&self, state: &mut KeptParts, read: u64) {
        if state.frozen {
            return;
        }
        while state
            .parts
            .front()
            .is_some_and(|part| part.done == part.end)
        {
            state.parts.pop_front();
        }
        let head = state.parts.front().map_or(read, |part| part.done);
        // Release: as in `Consumer::release`. The lock orders the stores of several threads; the
        // consumer stores by itself only while nothing is kept.
        self.ring.words().head.0.store(head, Ordering::Release);
        // Release: who finds that nothing is held, and says that nothing more is taken, says it after the
        // head above.
        self.released.store(head, Ordering::Release);
    }

    /// How many bytes of the ring are kept from the producer.
    pub(crate) fn held(&self) -> u64 {
        // In this order: what is added meanwhile counts.
        let released = self.released.load(Ordering::Acquire);
        self.read.load(Ordering::Acquire).wrapping_sub(released)
    }

    /// From now on nothing is released: the producer is told that what it sees is all.
    pub(crate) fn freeze(&self) {
        self.parts().0.frozen = true;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::test_ring;

    fn head(kept: &Kept) -> u64 {
        kept.ring.words().head.0.load(Ordering::Relaxed)
    }

    #[test]
    fn room_is_released_in_order() {
        let (_, ring) = test_ring(4096);
        let kept = Kept::new(ring);
        kept.add(0..16);
        kept.add(16..48);
        assert!(!kept.read_to(64));
        kept.add(64..72);
        assert_eq!((head(&kept), kept.held()), (0, 72));
        let _ = kept.done(16, 48);
        assert_eq!(head(&kept), 0);
        let _ = kept.done(0, 8);
        assert_eq!((head(&kept), kept.held()), (8, 64));
        let _ = kept.done(0, 16);
        assert_eq!(head(&kept), 64, "and what was read between");
        let _ = kept.done(64, u64::MAX);
        assert_eq!((head(&kept), kept.held()), (72, 0));
        assert!(kept.read_to(80));
        kept.ring.words().head.0.store(96, Ordering::Relaxed);
        assert_eq!(kept.done(64, 72), Wake::NotNeeded);
        assert_eq!(head(&kept), 96, "it does not go back");
    }

    #[test]
    fn a_part_that_grows_is_released_as_far_as_it_is_done() {
        let (_, ring) = test_ring(4096);
        let kept = Kept::new(ring);
        kept.add(16..32);
        // Padding within it.
        assert!(!kept.read_to(48));
        assert_eq!(head(&kept), 16);
        kept.extend(64);
        let _ = kept.done(16, 56);
        assert_eq!((head(&kept), kept.held()), (56, 8));
        let _ = kept.done(16, 64);
        assert_eq!((head(&kept), kept.held()), (64, 0));
    }

    #[test]
    fn the_pieces_of_a_part_are_done_in_any_order() {
        let (_, ring) = test_ring(4096);
        let kept = Kept::new(ring);
        kept.add(0..16);
        kept.add(16..32);
        kept.extend(64);
        kept.add(64..80);
        let _ = kept.done(16, 24);
        kept.split(16, [40, 56, 64].into_iter());
        let _ = kept.done(40, 56);
        let _ = kept.done(64, 80);
        assert_eq!(head(&kept), 0);
        let _ = kept.done(0, 16);
        assert_eq!(head(&kept), 24, "what was done before is");
        let _ = kept.done(56, 64);
        assert_eq!(head(&kept), 24);
        let _ = kept.done(24, 40);
        assert_eq!((head(&kept), kept.held()), (80, 0));
        kept.split(24, [40].into_iter());
        assert_eq!(kept.done(24, 40), Wake::NotNeeded, "there is no such part");
    }

    #[test]
    fn nothing_is_released_once_it_is_frozen() {
        let (_, ring) = test_ring(4096);
        let kept = Kept::new(ring);
        kept.add(0..16);
        kept.freeze();
        let _ = kept.done(0, 16);
        assert_eq!(head(&kept), 0);
        kept.read_to(32);
        assert_eq!(head(&kept), 0);
    }
}
