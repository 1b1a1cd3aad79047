//! Which thread holds something for longer than a call.
//!
//! A thread that waited for what it holds itself would wait for ever; it gets an error instead.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::sync::this_thread;

/// The thread that holds one thing, if any does. Relaxed throughout: a thread looks only for its own
/// number, and knows what it did itself.
#[derive(Debug, Default)]
pub(crate) struct HolderThread(AtomicU64);

impl HolderThread {
    /// This thread holds it from now on.
    pub(crate) fn hold(&self) {
        self.0.store(this_thread(), Ordering::Relaxed);
    }

    /// No thread holds it any more.
    pub(crate) fn let_go(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether this thread holds it.
    pub(crate) fn is_this_thread(&self) -> bool {
        self.0.load(Ordering::Relaxed) == this_thread()
    }

    /// # Errors
    /// If this thread holds it, which `what` names.
    #[inline]
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            holder => judge(holder, what),
        }
    }
}

#[cold]
fn judge(holder: u64, what: &str) -> Result<()> {
    if holder != this_thread() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Held,
        format!("this thread holds {what}, for which the call would wait; finish or drop it first"),
    ))
}
