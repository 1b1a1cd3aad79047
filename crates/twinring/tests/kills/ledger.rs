//! What a talker has done, in a file: written by it after each deed, read when it is dead.
//!
//! A line on its stdout for each message would take longer than the message. Each word is written
//! by one call, which a kill does not cut in two.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Its words, of 8 bytes each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The number of messages for which `send` has returned `Ok`.
    Sent,
    /// The first of the peer's messages that it got.
    First,
    /// The next one that it expects; 0 before the first has come.
    Next,
    /// Up to which it was about to take the peer's messages, and up to which it has, if it takes batches.
    Taking,
    Taken,
    /// 1 once `finish` has returned.
    Finished,
    /// When it was about to open the link.
    Opened,
}

const WORDS: usize = 7;

#[derive(Debug)]
pub(crate) struct Ledger(File);

impl Ledger {
    /// A talker's.
    pub(crate) fn open(path: &str) -> Ledger {
        Ledger(File::options().write(true).open(path).unwrap())
    }

    pub(crate) fn put(&self, word: Word, value: u64) {
        let (at, bytes) = (word as u64 * 8, value.to_le_bytes());
        #[cfg(unix)]
        std::os::unix::fs::FileExt::write_all_at(&self.0, &bytes, at).unwrap();
        #[cfg(windows)]
        assert_eq!(
            std::os::windows::fs::FileExt::seek_write(&self.0, &bytes, at).unwrap(),
            bytes.len()
        );
    }
}

/// The file of one talker at a time, as the test sees it.
#[derive(Debug)]
pub(crate) struct Page(PathBuf);

impl Page {
    /// An empty one.
    pub(crate) fn new(path: PathBuf) -> Page {
        fs::write(&path, [0; WORDS * 8]).unwrap();
        Page(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn read(&self) -> io::Result<Deeds> {
        let bytes = fs::read(&self.0)?;
        let word = |word: Word| {
            let at = word as usize * 8;
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
        };
        Ok(Deeds {
            sent: word(Word::Sent),
            first: word(Word::First),
            next: word(Word::Next),
            taking: word(Word::Taking),
            taken: word(Word::Taken),
            finished: word(Word::Finished) != 0,
            opened: word(Word::Opened),
        })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a page says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) sent: u64,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) taking: u64,
    pub(crate) taken: u64,
    pub(crate) finished: bool,
    pub(crate) opened: u64,
}
