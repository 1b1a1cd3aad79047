//! What a peer has taken.

/// How much of what was sent on a connection the peer has taken back into its own hands, as
/// [`Connection::taken`](crate::Connection::taken) counts it.
///
/// ```
/// # use twinring::*;
/// # let (host, guest) = twinring::testing::pair()?;
/// host.send(b"one")?;
/// host.send(b"three")?;
/// guest.recv()?;
/// let taken = host.taken()?;
/// assert_eq!((taken.messages, taken.bytes, taken.waiting), (1, 3, 1));
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Whole messages that it has taken.
    pub messages: u64,
    /// Bytes that it has taken, those of messages that it has taken in part included.
    pub bytes: u64,
    /// Messages that were sent and not taken yet, or not to their end.
    pub waiting: u64,
}
