//! What a consumer has read and not released, because the program still needs it.
//!
//! Parts may be done in any order and on any thread, while the consumer reads on behind them. The room is
//! released in order: `head` goes up to the first part that is not done.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Wake, wake_if_waiting};
use crate::segment::RingMemory;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Kept {
    ring: RingMemory,
    state: Mutex<KeptParts>,
    /// Bytes of the ring that are kept from the producer. Stored within the lock, loaded without: each
    /// receiver in place looks at it.
    held: AtomicU64,
}

#[derive(Debug, Default)]
struct KeptParts {
    /// In the order of their positions.
    parts: VecDeque<KeptPart>,
    /// How far the consumer has read.
    read: u64,
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

impl Kept {
    /// Of the ring that the consumer reads.
    pub(crate) fn new(ring: RingMemory) -> Kept {
        Kept {
            ring,
            state: Mutex::default(),
            held: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, KeptParts> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer has read this part, and keeps it.
    pub(crate) fn add(&self, place: Range<u64>) {
        let mut state = self.state();
        state.read = place.end;
        state.parts.push_back(KeptPart {
            start: place.start,
            done: place.start,
            end: place.end,
        });
        self.count(&state);
    }

    /// The part that was added last goes on to this position.
    pub(crate) fn extend(&self, end: u64) {
        let mut state = self.state();
        state.read = end;
        if let Some(part) = state.parts.back_mut() {
            part.end = end;
        }
        self.count(&state);
    }

    /// The consumer has read up to this position. Returns whether nothing is kept any more; then it may
    /// release by itself again.
    pub(crate) fn read_to(&self, position: u64) -> bool {
        let mut state = self.state();
        state.read = position;
        self.release(&mut state);
        state.parts.is_empty()
    }

    /// The part that begins at `start` is done as far as `end`; nothing if all of it was. Returns whether
    /// the producer has to be woken; if so, this call obliges us to do it.
    pub(crate) fn done(&self, start: u64, end: u64) -> Wake {
        let mut state = self.state();
        let part = state.parts.iter_mut().find(|part| part.start == start);
        let Some(part) = part else {
            // The consumer may have released more by itself than we know.
            return Wake::NotNeeded;
        };
        part.done = part.done.max(end.min(part.end));
        self.release(&mut state);
        drop(state);
        wake_if_waiting(&self.ring.words().space_wait.0)
    }

    fn release(&self, state: &mut KeptParts) {
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
        let head = state.parts.front().map_or(state.read, |part| part.done);
        // Release: as in `Consumer::release`. The lock orders the stores of several threads; the
        // consumer stores by itself only while nothing is kept.
        self.ring.words().head.0.store(head, Ordering::Release);
        self.count(state);
    }

    fn count(&self, state: &KeptParts) {
        let first = state.parts.front();
        let held = first.map_or(0, |part| state.read.wrapping_sub(part.done));
        // Release: who finds that nothing is held, and says that nothing more is taken, says it after the
        // head above.
        self.held.store(held, Ordering::Release);
    }

    /// How many bytes of the ring are kept from the producer.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// From now on nothing is released: the producer is told that what it sees is all.
    pub(crate) fn freeze(&self) {
        self.state().frozen = true;
    }
}

#[cfg(test)]
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
