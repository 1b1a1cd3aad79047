//! Checkpoints: how far each side is, which outlives it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::segment::{MAX_CHECKPOINT, Segment, Side, Stored};

/// The longest checkpoint in bytes: [`Connection::set_checkpoint`](crate::Connection::set_checkpoint).
pub const MAX_CHECKPOINT_LEN: usize = MAX_CHECKPOINT;

/// The bytes that the peer set last, as [`Connection::peer_checkpoint`](crate::Connection::peer_checkpoint) found them.
///
/// ```
/// # let (worker, supervisor) = twinring::testing::pair()?;
/// worker.set_checkpoint(b"page 1")?;
/// worker.set_checkpoint(b"page 2")?;
/// let checkpoint = supervisor.peer_checkpoint().unwrap();
/// assert_eq!(&checkpoint[..], b"page 2");
/// assert_eq!(checkpoint.number(), 2);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint(Stored);

impl Checkpoint {
    /// How many the peer had set on this connection, with this one. If it has grown, the peer has got further.
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl Deref for Checkpoint {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes[..self.0.len]
    }
}

impl AsRef<[u8]> for Checkpoint {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("number", &self.number())
            .field("bytes", &&**self)
            .finish()
    }
}

/// One thread at a time sets this side's, and one reads the peer's.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// How many have been set.
    set: Mutex<u64>,
    reading: Mutex<()>,
}

impl Checkpoints {
    /// Sets that of this `side`.
    pub(crate) fn set(&self, segment: &Segment, side: Side, checkpoint: &[u8]) -> Result<()> {
        let len = checkpoint.len();
        if len > MAX_CHECKPOINT {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the checkpoint has {len} bytes; the longest has {MAX_CHECKPOINT}"),
            ));
        }
        let mut bytes = [0; MAX_CHECKPOINT];
        bytes[..len].copy_from_slice(checkpoint);
        // Nothing can panic while it is held.
        let mut number = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        let stored = Stored {
            number: *number,
            len,
            bytes,
        };
        segment.set_checkpoint(side, &stored);
        Ok(())
    }

    /// That of the other `side`.
    pub(crate) fn get(&self, segment: &Segment, side: Side) -> Option<Checkpoint> {
        let reading = self.reading.lock();
        let _reading = reading.unwrap_or_else(PoisonError::into_inner);
        let stored = segment.checkpoint(side);
        (stored.number != 0).then_some(Checkpoint(stored))
    }
}
