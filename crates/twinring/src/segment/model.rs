//! A ring in the model checker's memory: its atomics, and cells that report a data race. A thread that
//! uses it can be killed at each access.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use super::layout::RingWords;
use crate::sync::step;

/// Like the real one, with a ring of a few words.
#[derive(Clone, Debug)]
pub(crate) struct RingMemory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    words: RingWords,
    cells: Vec<UnsafeCell<u64>>,
}

// SAFETY: the cells are accessed only through loom, which checks that no two accesses race.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl RingMemory {
    pub(crate) fn new(capacity: u64) -> RingMemory {
        let shared = Arc::new(Shared {
            words: RingWords::default(),
            cells: (0..capacity / 8).map(|_| UnsafeCell::new(0)).collect(),
        });
        RingMemory { shared }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.shared.cells.len() as u64 * 8
    }

    pub(crate) fn words(&self) -> &RingWords {
        step();
        &self.shared.words
    }

    pub(crate) fn write_word(&self, offset: u64, word: u64) {
        step();
        // SAFETY: loom panics if another thread accesses the cell at the same time.
        self.shared.cells[offset as usize / 8].with_mut(|cell| unsafe { *cell = word });
    }

    pub(crate) fn read_word(&self, offset: u64) -> u64 {
        // SAFETY: loom panics if another thread writes the cell at the same time.
        self.shared.cells[offset as usize / 8].with(|cell| unsafe { *cell })
    }
}
