//! Sending in place: first room in the ring, then the bytes, then the commit that makes them a message.

use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::capacity_to_claim;
use crate::os::event::Deadline;
use crate::sync::Aside;
use crate::transfer::{Outbox, Owner, Reserved, checked_len, give_back};

/// Room in the ring for one message, which is assembled right there: what is written to it goes
/// where the peer will read it, without a buffer in between. Made by
/// [`Connection::reserve`](crate::Connection::reserve).
///
/// [`commit`](Reservation::commit) sends what has been written. Dropped without a commit, nothing is
/// sent, and the peer never learns of it. While it exists, all other sends of this connection wait, so fill it
/// without delay; a send on the thread that made it fails with
/// [`ErrorKind::Held`](crate::ErrorKind::Held).
///
/// ```
/// use std::io::Write;
///
/// # let (host, guest) = twinring::testing::pair()?;
/// let mut message = host.reserve(1000)?; // at most 1000 bytes
/// write!(message, "frame {} of {}", 7, 25)?;
/// message.commit()?;
/// assert_eq!(guest.recv()?, Some(b"frame 7 of 25".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "nothing is sent without `commit`"]
pub struct Reservation {
    owner: Arc<Owner>,
    reserved: Reserved,
    written: usize,
    /// The lane, until it has been committed or could not be.
    aside: Option<Aside>,
}

impl Reservation {
    #[inline(always)]
    pub(super) fn make(owner: &Arc<Owner>, most: usize, deadline: Deadline) -> Result<Reservation> {
        let outbox = &owner.duplex.outbox;
        outbox.link.check_forked()?;
        match reserve(outbox, most, deadline) {
            Ok((reserved, aside)) => Ok(Reservation {
                owner: owner.clone(),
                reserved,
                written: 0,
                aside: Some(aside),
            }),
            Err(e) => {
                outbox.flush_due();
                Err(outbox.link.named(e))
            }
        }
    }
}

#[inline(always)]
fn reserve(outbox: &Outbox, most: usize, deadline: Deadline) -> Result<(Reserved, Aside)> {
    // Before any wait: it will not fit later either.
    checked_len(&outbox.session, Some(most))?;
    let limit = outbox.max_reservation();
    if most > limit {
        return Err(too_long(most, limit));
    }
    let mut lane = outbox.take_lane(deadline)?;
    let reserved = lane.reserve(most, deadline)?;
    Ok((reserved, outbox.begin_reservation(lane)))
}

#[cold]
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

impl Reservation {
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
        self.owner.duplex.link.check_forked()?;
        let left = self.remaining();
        if bytes.len() > left {
            return Err(self.owner.duplex.link.named(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{} bytes do not fit into the {left} that are left of the reservation",
                    bytes.len()
                ),
            )));
        }
        let ring = self.owner.duplex.session.out();
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
        assert!(
            !self.owner.duplex.link.is_forked(),
            "a forked child has no link"
        );
        // SAFETY: the caller vouches for the peer; in this process only `self`, which is borrowed mutably,
        // reaches these bytes.
        unsafe {
            let ring = self.owner.duplex.session.out();
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
    /// If the connection has ended meanwhile, as [`send`](crate::Connection::send); then nothing is sent.
    #[inline]
    pub fn commit(mut self) -> Result<()> {
        let duplex = &self.owner.duplex;
        duplex.link.check_forked()?;
        let Some(aside) = self.aside.take() else {
            return Ok(());
        };
        let mut lane = duplex.outbox.end_reservation(aside);
        let committed = lane.check();
        if committed.is_ok() {
            lane.commit(&self.reserved.claim, self.written);
        }
        give_back(lane);
        duplex.outbox.flush_due();
        committed.map_err(|e| duplex.link.named(e))
    }
}

impl io::Write for Reservation {
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

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("written", &self.written())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let outbox = &self.owner.duplex.outbox;
        if outbox.link.is_forked() {
            // Nothing of the parent's may be touched or released.
            mem::forget(self.owner.clone());
            return;
        }
        if let Some(aside) = self.aside.take() {
            drop(outbox.end_reservation(aside));
            outbox.flush_due();
        }
    }
}
