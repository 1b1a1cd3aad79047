//! A descriptor in reserve.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::socket::stream_socket;

#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Option<OwnedFd>>);

impl Spare {
    fn kept(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self) -> io::Result<()> {
        let mut kept = self.kept();
        if kept.is_none() {
            *kept = Some(stream_socket()?);
        }
        Ok(())
    }

    /// Makes room for one descriptor, if there was one in reserve.
    pub(super) fn give_up(&self) -> bool {
        self.kept().take().is_some()
    }
}
