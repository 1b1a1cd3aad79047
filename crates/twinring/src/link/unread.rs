//! What was sent and never taken.

use crate::frame;

/// The messages that a peer has not taken, in order, as an iterator; made by
/// [`Connection::take_unread`](crate::Connection::take_unread).
///
/// ```
/// # use std::collections::VecDeque;
/// # let (host, guest) = twinring::testing::pair()?;
/// # let mut queue: VecDeque<Vec<u8>> = VecDeque::from([b"three".to_vec()]);
/// host.send_batch(&["one", "two"])?;
/// drop(guest);
/// # let _ = host.flush();
/// // Before what is still to be sent, in its old order.
/// for message in host.take_unread()?.rev() {
///     queue.push_front(message);
/// }
/// assert_eq!(queue, [&b"one"[..], b"two", b"three"]);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Debug)]
pub struct Unread(pub(super) frame::Untaken);

impl Unread {
    /// Whether the peer had taken one large message in part. It is not among these.
    pub fn partial(&self) -> bool {
        self.0.partial
    }
}

impl Iterator for Unread {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl DoubleEndedIterator for Unread {
    fn next_back(&mut self) -> Option<Vec<u8>> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Unread {}
