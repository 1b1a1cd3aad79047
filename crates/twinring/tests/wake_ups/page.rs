//! What two processes tell each other outside of the link: words of a file that both have mapped.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

use crate::common::Place;

pub(crate) struct Page(MmapRaw);

/// A word of the page.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Messages that the child has received, or sent.
    Done,
    /// How often its net has caught something.
    Caught,
}

impl Page {
    /// The page of a test's place.
    pub(crate) fn of(place: &Place) -> Page {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path(place))
            .unwrap();
        file.set_len(4096).unwrap();
        Page(MmapRaw::map_raw(&file).unwrap())
    }

    /// Removes its file.
    pub(crate) fn remove(self, place: &Place) {
        drop(self);
        std::fs::remove_file(path(place)).unwrap();
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and has room for the words,
        // a cache line apart; nobody reaches them but by atomics.
        unsafe { &*self.0.as_ptr().add(word as usize * 128).cast() }
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }
}

/// Beside the link's directory.
fn path(place: &Place) -> PathBuf {
    place.directory().with_extension("words")
}
