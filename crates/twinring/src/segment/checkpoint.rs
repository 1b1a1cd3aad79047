//! A checkpoint: a few bytes that one side sets at any time, and that the other reads at any time.
//!
//! H. R. Simpson, "Four-slot fully asynchronous communication mechanism" (IEE Proceedings 137 E 1, 1990): neither side waits
//! for the other or tries again, and what is read is whole, even if whoever sets it is killed half-way. There are two pairs
//! of slots. The setter fills a pair that is not being read, and there the slot that was not filled last.

use super::shared::Shared32;
use crate::sync::{Ordering, full_fence};

/// The longest checkpoint in bytes.
pub(crate) const MAX_CHECKPOINT: usize = 64;

/// One side's checkpoint. That side alone writes it; which pair is being read is a word of the other side's.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct CheckpointWords {
    /// The pair that was filled last.
    latest: Shared32,
    /// Of each pair, the slot that was filled last.
    filled: [Shared32; 2],
    unused: u32,
    slots: [[Slot; 2]; 2],
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Counts the checkpoints of a side on a connection, from 1; 0 if there is none.
    pub(crate) number: u64,
    /// At most [`MAX_CHECKPOINT`].
    pub(crate) len: usize,
    pub(crate) bytes: [u8; MAX_CHECKPOINT],
}

impl CheckpointWords {
    /// Sets it. One thread at a time. `reading` is the word of the other side.
    pub(crate) fn set(&self, reading: &Shared32, checkpoint: &Stored) {
        // After what was filled last has been published: either its reader sees that, or we see where it reads.
        full_fence(); // setter
        // Acquire: pairs with `get`; who read the other pair has left it.
        let pair = 1 - (reading.load(Ordering::Acquire) & 1) as usize;
        // Relaxed: a word of our own.
        let slot = 1 - (self.filled[pair].load(Ordering::Relaxed) & 1) as usize;
        self.slots[pair][slot].write(checkpoint);
        // Release: pairs with `get`; the slot is seen.
        self.filled[pair].store(slot as u32, Ordering::Release);
        // Release: pairs with `get`; that the slot is filled is seen.
        self.latest.store(pair as u32, Ordering::Release);
    }

    /// The newest one. One thread at a time, of the side that owns `reading`.
    pub(crate) fn get(&self, reading: &Shared32) -> Stored {
        // Relaxed: the fence makes it an acquire, which pairs with `set`.
        let pair = self.latest.load(Ordering::Relaxed) & 1;
        // Release: pairs with `set`; what we read before comes before it.
        reading.store(pair, Ordering::Release);
        full_fence(); // getter
        let pair = pair as usize;
        // Acquire: pairs with `set`.
        let slot = self.filled[pair].load(Ordering::Acquire) & 1;
        self.slots[pair][slot as usize].read()
    }
}

#[cfg(not(loom))]
mod slot {
    use super::{MAX_CHECKPOINT, Stored};
    use crate::segment::shared::Shared64;
    use crate::sync::Ordering::Relaxed;

    /// Relaxed all of it: ordered by the words of [`CheckpointWords`](super::CheckpointWords).
    #[repr(C)]
    #[derive(Debug, Default)]
    pub(super) struct Slot {
        number: Shared64,
        len: Shared64,
        bytes: [Shared64; MAX_CHECKPOINT / 8],
    }

    impl Slot {
        pub(super) fn write(&self, checkpoint: &Stored) {
            self.number.store(checkpoint.number.to_le(), Relaxed);
            self.len.store((checkpoint.len as u64).to_le(), Relaxed);
            for (word, bytes) in self.bytes.iter().zip(checkpoint.bytes.chunks_exact(8)) {
                let bytes = bytes.try_into().expect("8 bytes");
                word.store(u64::from_ne_bytes(bytes), Relaxed);
            }
        }

        /// A length beyond the end is cut: whatever is there, this makes a checkpoint of it.
        pub(super) fn read(&self) -> Stored {
            let mut bytes = [0; MAX_CHECKPOINT];
            for (word, bytes) in self.bytes.iter().zip(bytes.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
            }
            let len = u64::from_le(self.len.load(Relaxed));
            Stored {
                number: u64::from_le(self.number.load(Relaxed)),
                len: len.min(MAX_CHECKPOINT as u64) as usize,
                bytes,
            }
        }
    }
}

#[cfg(loom)]
mod slot {
    use loom::cell::UnsafeCell;

    use super::{MAX_CHECKPOINT, Stored};

    /// The model checker reports a slot that is written while it is read.
    #[derive(Debug, Default)]
    pub(super) struct Slot(UnsafeCell<u64>);

    impl Slot {
        pub(super) fn write(&self, checkpoint: &Stored) {
            // SAFETY: loom panics if another thread accesses the cell at the same time.
            self.0
                .with_mut(|number| unsafe { *number = checkpoint.number });
        }

        pub(super) fn read(&self) -> Stored {
            Stored {
                // SAFETY: loom panics if another thread writes the cell at the same time.
                number: self.0.with(|number| unsafe { *number }),
                len: 0,
                bytes: [0; MAX_CHECKPOINT],
            }
        }
    }
}

use slot::Slot;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::page::says;

    #[test]
    fn the_page_says_the_same() {
        let at = [
            offset_of!(CheckpointWords, latest),
            offset_of!(CheckpointWords, filled),
            offset_of!(CheckpointWords, slots),
        ];
        assert_eq!(at, [0, 4, 16]);
        says("Segment", "| 0..4 | `latest`, u32");
        says("Segment", "| 4..8, 8..12 | `filled`, u32");
        let slots: Vec<String> = (0..4)
            .map(|slot| at[2] + slot * size_of::<Slot>())
            .map(|at| format!("{at}..{}", at + size_of::<Slot>()))
            .collect();
        says(
            "Segment",
            &format!("| {} | the slots", slots[..2].join(", ")),
        );
        says(
            "Segment",
            &format!("| {} | the slots", slots[2..].join(", ")),
        );
        says(
            "Segment",
            "number of the checkpoint, u64, which counts them from 1; its length, u64; and its 64 bytes",
        );
    }

    #[test]
    fn anything_is_a_checkpoint() {
        let (words, reading) = (CheckpointWords::default(), Shared32::default());
        let all = Stored {
            number: 1,
            len: usize::MAX,
            bytes: [9; MAX_CHECKPOINT],
        };
        for wrong in [0, 1, 2, 7, u32::MAX] {
            for word in [&words.latest, &words.filled[0], &words.filled[1], &reading] {
                word.store(wrong, Ordering::Relaxed);
            }
            let len = MAX_CHECKPOINT;
            words.set(&reading, &all);
            assert_eq!(words.get(&reading), Stored { len, ..all });
        }
    }
}

#[cfg(all(loom, test))]
mod model {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[derive(Default)]
    struct Shared {
        words: CheckpointWords,
        reading: Shared32,
    }

    fn numbered(number: u64) -> Stored {
        Stored {
            number,
            len: 0,
            bytes: [0; MAX_CHECKPOINT],
        }
    }

    /// What is read is never older than what was read before, nor than what had been set by then.
    fn set_and_get(set: u64, got: u32) {
        loom::model(move || {
            let shared = Arc::new(Shared::default());
            let setter = {
                let shared = shared.clone();
                thread::spawn(move || {
                    for number in 1..=set {
                        shared.words.set(&shared.reading, &numbered(number));
                    }
                })
            };
            let mut last = 0;
            for _ in 0..got {
                let number = shared.words.get(&shared.reading).number;
                assert!((last..=set).contains(&number));
                last = number;
            }
            setter.join().unwrap();
            assert_eq!(shared.words.get(&shared.reading).number, set);
        });
    }

    #[test]
    fn model_of_a_checkpoint() {
        set_and_get(5, 2);
    }
}
