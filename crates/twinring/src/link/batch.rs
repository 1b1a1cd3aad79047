//! Several messages at once, which are taken when the program says so.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::os::event::Deadline;
use crate::transfer::{RingPlace, Share};

/// Messages that have been received, and that count as taken only when [`take`](Batch::take) says so. Made by
/// [`Connection::recv_batch`](crate::Connection::recv_batch).
///
/// What is not taken when the batch is dropped comes again, to the next receiver of this connection; if
/// this process dies before, it goes back to its sender. So a message is taken at least once, also over an
/// early return and a panic. (Of one longer than a frame, the sender gets nothing back, but learns that there
/// was one.) What is received beside a batch may come before what the batch gives back.
///
/// ```
/// # fn store(_: &[u8]) -> twinring::Result<()> { Ok(()) }
/// # fn sync() -> twinring::Result<()> { Ok(()) }
/// # let (host, guest) = twinring::testing::pair()?;
/// # host.send_batch(&["one", "two"])?;
/// # host.finish()?;
/// while let Some(mut batch) = guest.recv_batch()? {
///     while let Some(message) = batch.next_message() {
///         store(message)?;
///     }
///     sync()?;
///     batch.take();
/// }
/// # Ok::<(), twinring::Error>(())
/// ```
pub struct Batch {
    /// As a handle of the program's.
    share: Arc<Share>,
    /// The messages, one after the other.
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and in the ring.
    ends: Vec<(usize, u64)>,
    /// Where they are kept in the ring from, if they are.
    start: Option<u64>,
    /// How many have been given to the program, and how many it has taken.
    given: usize,
    taken: usize,
}

impl Batch {
    pub(super) fn receive(share: &Arc<Share>, deadline: Deadline) -> Result<Option<Batch>> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let inbox = &share.owner.duplex.inbox;
        let start = inbox.recv_batch(&mut bytes, &mut ends, deadline)?;
        Ok(start.map(|start| Batch {
            share: share.clone(),
            bytes,
            ends,
            start,
            given: 0,
            taken: 0,
        }))
    }

    fn message(&self, index: usize) -> Option<&[u8]> {
        let (end, _) = *self.ends.get(index)?;
        let begin = match index.checked_sub(1) {
            Some(before) => self.ends[before].0,
            None => 0,
        };
        Some(&self.bytes[begin..end])
    }

    /// The next message; `None` after the last one of this batch.
    pub fn next_message(&mut self) -> Option<&[u8]> {
        if self.given < self.ends.len() {
            self.given += 1;
            return self.message(self.given - 1);
        }
        None
    }

    /// All messages that the batch has given so far are done. Once this side has ended the connection it is too
    /// late, which is not told: their sender has got them back.
    pub fn take(&mut self) {
        if self.taken < self.given {
            self.taken = self.given;
            if let Some(start) = self.start {
                let end = self.ends[self.taken - 1].1;
                self.share.owner.duplex.inbox.done(start, end);
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.taken == self.ends.len() || self.share.owner.duplex.link.is_forked() {
            return;
        }
        let begin = |i: usize| match i.checked_sub(1) {
            Some(before) => self.ends[before].1,
            None => self.start.unwrap_or(0),
        };
        let rest = (self.taken..self.ends.len()).map(|i| {
            let place = RingPlace {
                start: self.start.map(|_| begin(i)),
                end: self.ends[i].1,
            };
            (self.message(i).unwrap_or_default().to_vec(), place)
        });
        let inbox = &self.share.owner.duplex.inbox;
        inbox.take_back(self.start, rest.collect());
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.ends.len())
            .field("given", &self.given)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
