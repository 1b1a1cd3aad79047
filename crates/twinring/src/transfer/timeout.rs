//! How long a call may take.

use std::time::{Duration, Instant};

use crate::os::event::Deadline;

/// How long the calls on a handle may wait; see [`Connection::within`](crate::Connection::within).
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// # let (host, guest) = twinring::testing::pair()?;
/// let soon = guest.within(Duration::from_millis(10));
/// assert!(soon.recv().unwrap_err().is_timeout());
/// host.send(b"hello")?;
/// assert_eq!(soon.recv()?, Some(b"hello".to_vec()));
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all: a call takes what is there, or fails.
    Now,
    /// This long, each call.
    After(Duration),
    /// All calls together, until this moment.
    At(Instant),
    /// For as long as it takes.
    #[default]
    Never,
}

impl Timeout {
    /// For a call that begins now.
    #[inline]
    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Timeout::Now => Deadline::Now,
            Timeout::After(timeout) => Deadline::after(timeout),
            Timeout::At(at) => Deadline::At(at),
            Timeout::Never => Deadline::Never,
        }
    }
}

impl From<Duration> for Timeout {
    fn from(timeout: Duration) -> Timeout {
        Timeout::After(timeout)
    }
}

impl From<Instant> for Timeout {
    fn from(at: Instant) -> Timeout {
        Timeout::At(at)
    }
}
