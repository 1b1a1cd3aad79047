//! Systems that cannot wait for a word of shared memory together with other things.

use std::io;
use std::sync::atomic::AtomicU32;

use super::{Deadline, Source};

pub(super) fn can_wait() -> bool {
    false
}

pub(super) fn wake(_word: &AtomicU32) {}

pub(super) fn wait(
    _word: &AtomicU32,
    _expected: u32,
    _sources: &[Source<'_>],
    _deadline: Deadline,
) -> io::Result<Option<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}
