//! Sending in place: first room in the ring, then the bytes, then the commit that makes them a message.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::time::Duration;

use super::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::capacity_to_claim;
use crate::os::event::Deadline;
use crate::sync::FairLockGuard;
use crate::transfer::{Outbox, Reserved, admit, current, give_back};

/// Room in the ring for one message, which is assembled right there: what is written to it goes
/// where the peer will read it, without a buffer in between. Made by [`Link::reserve`].
///
/// [`commit`](Reservation::commit) sends what has been written. Dropped without a commit, nothing is
/// sent, and the peer never learns of it. While it exists, all other sends of this link wait, so fill it
/// without delay; a send on the same thread fails with
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// use std::io::Write;
///
/// # let (host, guest) = twinring::testing::pair()?;
/// let mut message = host.reserve(1000)?; // at most 1000 bytes
/// write!(message, "frame {} of {}", 7, 25)?;
/// message.commit()?;
/// assert_eq!(guest.recv()?, b"frame 7 of 25");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "nothing is sent without `commit`"]
pub struct Reservation<'a> {
    outbox: &'a Outbox,
    reserved: Reserved,
    written: usize,
    /// Nobody waits for its end any more.
    ended: bool,
    /// Held to the end, so that other senders can wait for it.
    _right: FairLockGuard<'a, ()>,
    /// Not `Send`: the thread that holds it is known.
    _here: PhantomData<*const ()>,
}

impl Link {
    /// Reserves room for one message of at most `len` bytes, to be filled in place. Waits for the room
    /// as long as it takes.
    ///
    /// The message is contiguous in the ring, so it can be no longer than half of the ring's capacity (the
    /// host's [`ring_capacity`](crate::Builder::ring_capacity)) less 8 bytes;
    /// [`send_stream`](Link::send_stream) has no such limit.
    ///
    /// # Errors
    /// As [`send`](Link::send); [`TooLarge`](ErrorKind::TooLarge) also if the ring is too small for
    /// it; [`Deadlock`](ErrorKind::Deadlock) if this thread already holds a reservation of this link.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut message = host.reserve(3)?;
    /// message.put(b"ab")?;
    /// message.put(b"c")?;
    /// message.commit()?;
    ///
    /// drop(host.reserve(3)?); // nothing is sent
    ///
    /// host.send(b"d")?;
    /// assert_eq!(guest.recv()?, b"abc");
    /// assert_eq!(guest.recv()?, b"d");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn reserve(&self, len: usize) -> Result<Reservation<'_>> {
        reserve(&self.core.outbox, len, Deadline::Never)
    }

    /// Like [`reserve`](Link::reserve), but fails with [`TimedOut`](ErrorKind::TimedOut) if there
    /// is no room within `timeout`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let message = host.reserve_timeout(100, Duration::from_secs(1))?;
    /// assert_eq!(message.remaining(), 100);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn reserve_timeout(&self, len: usize, timeout: Duration) -> Result<Reservation<'_>> {
        reserve(&self.core.outbox, len, Deadline::after(timeout))
    }

    /// Like [`reserve`](Link::reserve), but never waits: fails with [`Full`](ErrorKind::Full) if there is
    /// no room right now, or another thread is sending.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// while host.try_reserve(10_000).and_then(|mut message| {
    ///     message.put(&[0; 10_000])?;
    ///     message.commit()
    /// }).is_ok() {}
    /// assert_eq!(host.try_reserve(10_000).unwrap_err().kind(), ErrorKind::Full);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn try_reserve(&self, len: usize) -> Result<Reservation<'_>> {
        reserve(&self.core.outbox, len, Deadline::Now)
    }
}

fn reserve(outbox: &Outbox, most: usize, deadline: Deadline) -> Result<Reservation<'_>> {
    outbox.sending(|| {
        let right = outbox.take_reservation(deadline)?;
        let mut lane = outbox.take_lane(deadline)?;
        let outgoing = lane.as_mut().ok_or_else(|| outbox.link.not_connected())?;
        admit(&outgoing.connection, Some(most))?;
        let limit = outgoing.max_reservation();
        if most > limit {
            return Err(too_long(most, limit));
        }
        let reserved = outgoing.reserve(most, deadline)?;
        drop(lane);
        outbox.reservation_holder.hold();
        Ok(Reservation {
            outbox,
            reserved,
            written: 0,
            ended: false,
            _right: right,
            _here: PhantomData,
        })
    })
}

fn too_long(most: usize, limit: usize) -> Error {
    let larger = match capacity_to_claim(most) {
        Some(capacity) => format!(", or a ring_capacity of {capacity} bytes at the host"),
        None => String::new(),
    };
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "{most} bytes cannot be reserved in one piece, at most {limit} can; use \
             send_stream{larger}"
        ),
    )
}

impl Reservation<'_> {
    /// Bytes that can still be written.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut message = host.reserve(10)?;
    /// message.put(b"1234")?;
    /// assert_eq!((message.written(), message.remaining()), (4, 6));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn remaining(&self) -> usize {
        self.reserved.span.len() - self.written
    }

    /// Bytes written so far: the length of the message that [`commit`](Reservation::commit) sends.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends `bytes` to the message. Like [`io::Write::write_all`], but all or nothing.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if they do not fit in the reservation; then none is written.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        // A forked child has nothing mapped there.
        self.outbox.link.check_forked()?;
        let left = self.remaining();
        if bytes.len() > left {
            return Err(self.outbox.link.named(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{} bytes do not fit into the {left} that are left of the reservation",
                    bytes.len()
                ),
            )));
        }
        let ring = self.reserved.connection.out();
        self.reserved.span.write(ring, self.written, bytes);
        self.written += bytes.len();
        Ok(())
    }

    /// The bytes that can still be written, in memory that the peer can also reach. Call
    /// [`advance`](Reservation::advance) afterwards.
    ///
    /// # Safety
    /// The peer must not touch what it has not been sent: a reference to bytes that another process writes
    /// at the same time is undefined behaviour. A peer that uses this library keeps to that; a hostile
    /// one need not.
    pub unsafe fn spare_trusting_peer(&mut self) -> &mut [MaybeUninit<u8>] {
        assert!(!self.outbox.link.is_forked(), "a forked child has no link");
        // SAFETY: the caller vouches for the peer; in this process only `self`, which is borrowed mutably,
        // reaches these bytes.
        unsafe {
            let ring = self.reserved.connection.out();
            self.reserved.span.as_spare(ring, self.written)
        }
    }

    /// Counts the next `len` bytes as written.
    ///
    /// # Panics
    /// If fewer than `len` bytes are left.
    ///
    /// # Safety
    /// They must have been written, through
    /// [`spare_trusting_peer`](Reservation::spare_trusting_peer). Otherwise the peer would see what the
    /// memory held before, which may be parts of other messages.
    pub unsafe fn advance(&mut self, len: usize) {
        assert!(len <= self.remaining(), "more than was reserved");
        self.written += len;
    }

    /// Sends what has been written as one message: committed when this returns `Ok`.
    ///
    /// # Errors
    /// If the connection has ended meanwhile, as [`send`](Link::send); then nothing is sent.
    pub fn commit(mut self) -> Result<()> {
        self.outbox.link.check_forked()?;
        let Reserved {
            connection, claim, ..
        } = &self.reserved;
        if let Some(end) = connection.end() {
            // The lane may belong to the next connection by now, and its owner may be waiting for room.
            return Err(self.outbox.link.named(end.error()));
        }
        let mut lane = self.outbox.lane();
        let committed = current(&mut lane, connection).and_then(|outgoing| {
            if let Some(end) = connection.end() {
                return Err(end.error());
            }
            outgoing.commit(claim, self.written);
            self.ended = true;
            Ok(())
        });
        give_back(lane);
        committed.map_err(|e| self.outbox.link.named(e))
    }
}

impl io::Write for Reservation<'_> {
    /// Writes as much as fits.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.remaining());
        self.put(&bytes[..len])?;
        Ok(len)
    }

    /// Does nothing: [`commit`](Reservation::commit) sends the message.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("written", &self.written())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.outbox.link.is_forked() {
            // Nothing of the parent's may be touched or released.
            mem::forget(self.reserved.connection.clone());
            return;
        }
        // After the end of its connection nobody waits for it; see `commit`.
        if !self.ended && self.reserved.connection.end().is_none() {
            let mut lane = self.outbox.lane();
            if let Ok(outgoing) = current(&mut lane, &self.reserved.connection) {
                outgoing.end_reservation();
            }
        }
        self.outbox.reservation_holder.let_go();
        self.outbox.flush_due_abort();
    }
}
