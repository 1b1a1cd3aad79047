//! A connection in two halves, for two tasks.

use std::io::IoSlice;

use std::task::{Context, Poll};

use super::batch::Batch;
use super::connection::Connection;
use super::doorbell::Doorbell;
use super::recv_stream::RecvStream;
use super::reservation::Reservation;
use super::send_stream::SendStream;
use super::unread::Unread;
use super::view::View;
use crate::error::{End, Result};
use crate::os::handles::Handle;
use crate::os::process::Peer;
use crate::transfer::{Interest, Share, Taken, Timeout};

/// The sending half of a connection; made by [`Connection::split`].
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// let (sender, _receiver) = host.split();
/// sender.send(b"one")?;
/// sender.finish()?;
/// assert_eq!(guest.recv()?, Some(b"one".to_vec()));
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SendHalf(Connection);

/// The receiving half of a connection; made by [`Connection::split`].
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// let (_sender, receiver) = host.split();
/// guest.send(b"one")?;
/// assert_eq!(receiver.recv()?, Some(b"one".to_vec()));
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecvHalf(Connection);

/// The connection, as one that only sends or only receives.
fn half(conn: &Connection, sends: bool) -> Connection {
    Connection {
        duplex: conn.duplex.clone(),
        share: Share::new(&conn.share.owner, sends, !sends),
        timeout: conn.timeout,
    }
}

impl Connection {
    /// Two halves, for two tasks: the last sending handle that is dropped without
    /// [`finish`](Connection::finish) abandons its direction, and the last receiving one
    /// [stops](Connection::stop) the other, though the other half lives.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let (sender, receiver) = host.split();
    /// drop(sender); // a task that panicked, say
    /// assert!(matches!(guest.recv().unwrap_err().end(), Some(End::Abandoned { .. })));
    /// guest.send(b"still there")?;
    /// assert_eq!(receiver.recv()?, Some(b"still there".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let halves = (SendHalf(half(&self, true)), RecvHalf(half(&self, false)));
        // Not before both are there: it may be the last handle.
        drop(self);
        halves
    }
}

impl SendHalf {
    /// As [`Connection::within`].
    pub fn within(&self, timeout: impl Into<Timeout>) -> SendHalf {
        SendHalf(self.0.within(timeout))
    }

    /// As [`Connection::send`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.0.send(message)
    }

    /// As [`Connection::send_vectored`].
    pub fn send_vectored(&self, message: &[IoSlice<'_>]) -> Result<()> {
        self.0.send_vectored(message)
    }

    /// As [`Connection::send_with_handles`].
    pub fn send_with_handles(&self, message: &[u8], handles: &mut Vec<Handle>) -> Result<()> {
        self.0.send_with_handles(message, handles)
    }

    /// As [`Connection::send_batch`].
    pub fn send_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<usize> {
        self.0.send_batch(messages)
    }

    /// As [`Connection::reserve`].
    pub fn reserve(&self, len: usize) -> Result<Reservation> {
        self.0.reserve(len)
    }

    /// As [`Connection::send_stream`].
    pub fn send_stream(&self) -> Result<SendStream> {
        self.0.send_stream()
    }

    /// As [`Connection::finish`].
    pub fn finish(&self) -> Result<()> {
        self.0.finish()
    }

    /// As [`Connection::flush`].
    pub fn flush(&self) -> Result<()> {
        self.0.flush()
    }

    /// As [`Connection::taken`].
    pub fn taken(&self) -> Result<Taken> {
        self.0.taken()
    }

    /// As [`Connection::take_unread`].
    pub fn take_unread(&self) -> Result<Unread> {
        self.0.take_unread()
    }

    /// As [`Connection::close`].
    pub fn close(&self, code: u32, reason: &str) {
        self.0.close(code, reason);
    }

    /// As [`Connection::end`].
    pub fn end(&self) -> Option<End> {
        self.0.end()
    }

    /// As [`Connection::poll_ready`].
    pub fn poll_ready(&self, interest: Interest, task: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(interest, task)
    }

    /// As [`Connection::doorbell`].
    pub fn doorbell(&self, interest: Interest) -> Doorbell {
        self.0.doorbell(interest)
    }

    /// As [`Connection::peer`].
    pub fn peer(&self) -> &Peer {
        self.0.peer()
    }

    /// As [`Connection::id`].
    pub fn id(&self) -> u64 {
        self.0.id()
    }
}

impl RecvHalf {
    /// As [`Connection::within`].
    pub fn within(&self, timeout: impl Into<Timeout>) -> RecvHalf {
        RecvHalf(self.0.within(timeout))
    }

    /// As [`Connection::recv`].
    pub fn recv(&self) -> Result<Option<Vec<u8>>> {
        self.0.recv()
    }

    /// As [`Connection::recv_into`].
    #[inline]
    pub fn recv_into(&self, message: &mut Vec<u8>) -> Result<Option<usize>> {
        self.0.recv_into(message)
    }

    /// As [`Connection::recv_with_handles`].
    pub fn recv_with_handles(&self) -> Result<Option<(Vec<u8>, Vec<Handle>)>> {
        self.0.recv_with_handles()
    }

    /// As [`Connection::recv_in_place`].
    pub fn recv_in_place(&self) -> Result<Option<View>> {
        self.0.recv_in_place()
    }

    /// As [`Connection::recv_batch`].
    pub fn recv_batch(&self) -> Result<Option<Batch>> {
        self.0.recv_batch()
    }

    /// As [`Connection::recv_stream`].
    pub fn recv_stream(&self) -> Result<Option<RecvStream>> {
        self.0.recv_stream()
    }

    /// As [`Connection::stop`].
    pub fn stop(&self, code: u32, reason: &str) {
        self.0.stop(code, reason);
    }

    /// As [`Connection::close`].
    pub fn close(&self, code: u32, reason: &str) {
        self.0.close(code, reason);
    }

    /// As [`Connection::end`].
    pub fn end(&self) -> Option<End> {
        self.0.end()
    }

    /// As [`Connection::poll_ready`].
    pub fn poll_ready(&self, interest: Interest, task: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(interest, task)
    }

    /// As [`Connection::doorbell`].
    pub fn doorbell(&self, interest: Interest) -> Doorbell {
        self.0.doorbell(interest)
    }

    /// As [`Connection::peer`].
    pub fn peer(&self) -> &Peer {
        self.0.peer()
    }

    /// As [`Connection::id`].
    pub fn id(&self) -> u64 {
        self.0.id()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use crate::link::Link;
    use crate::transfer::Share;

    /// One thread's last handle may go while another gets one, as by a status and `next`: that ends neither direction.
    #[test]
    fn a_handle_goes_while_another_comes() {
        let (host, guest) = Link::pair().unwrap();
        let owner = host.share.owner.clone();
        drop(host);
        let together = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    together.wait();
                    for _ in 0..200_000 {
                        drop(Share::new(&owner, true, true));
                    }
                });
            }
        });
        assert!(!owner.duplex.session.is_mute(), "sending was given up");
        assert!(owner.duplex.session.stopping().is_none(), "receiving was");
        drop(guest);
    }
}
