//! Systems that cannot wait for a word of shared memory together with other things.

use std::io;
use std::sync::atomic::AtomicU32;

use crate::os::event::{Deadline, Source};

pub(crate) fn can_wait_on_words() -> bool {
    false
}

pub(crate) fn wake_word(_word: &AtomicU32) {}

pub(crate) fn wait_on_word(
    _word: &AtomicU32,
    _expected: u32,
    _sources: &[Source<'_>],
    _deadline: Deadline,
) -> io::Result<Option<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}
