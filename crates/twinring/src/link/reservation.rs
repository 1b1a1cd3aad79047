//! Sending in place: room in the ring first, then the bytes, then the word that they are a message.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::time::Duration;

use super::Link;
use super::core::Core;
use super::outgoing::Reserved;
use super::send::{current, give_back};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::capacity_to_claim;
use crate::os::event::Deadline;
use crate::sync::TurnGuard;

/// Room in the ring for one message, which is put together right there: what is written to it goes
/// where the peer will read it, without a buffer in between. Made by [`Link::reserve`].
///
/// [`commit`](Reservation::commit) sends what has been written; dropped without it, nothing is
/// sent, and the peer never learns of it. Meanwhile all other sends of this link wait, so fill it
/// without delay; a send of the thread that holds it is an
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// # let name = format!("reservation-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// let mut message = host.reserve(1000)?; // at most so many bytes
/// write!(message, "frame {} of {}", 7, 25)?;
/// message.commit()?;
/// assert_eq!(guest.recv()?, b"frame 7 of 25");
/// # Ok(()) }
/// ```
#[must_use = "nothing is sent without `commit`"]
pub struct Reservation<'a> {
    core: &'a Core,
    reserved: Reserved,
    written: usize,
    /// Nobody waits for it any more.
    ended: bool,
    /// Held to the end, so that whoever wants to send can wait for it.
    _turn: TurnGuard<'a, ()>,
    /// Stays with the thread that is known to hold it.
    _here: PhantomData<*const ()>,
}

impl Link {
    /// Reserves room for one message of at most `len` bytes, to be filled in place, waiting for it as
    /// long as it takes.
    ///
    /// The message lies in the ring in one piece, so it can be no longer than half of the ring's
    /// capacity less 8 bytes, which is the host's [`ring_capacity`](crate::Builder::ring_capacity); [`send_stream`](Link::send_stream) knows no such limit.
    ///
    /// # Errors
    /// As [`send`](Link::send); [`TooLarge`](ErrorKind::TooLarge) also if the ring is too small for
    /// it; [`Deadlock`](ErrorKind::Deadlock) if this thread holds a reservation of this link already.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("reserve-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
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
    /// # Ok(()) }
    /// ```
    pub fn reserve(&self, len: usize) -> Result<Reservation<'_>> {
        self.core.reserve(len, Deadline::Never)
    }

    /// As [`reserve`](Link::reserve), but gives up with [`TimedOut`](ErrorKind::TimedOut) when there
    /// was no room within `timeout`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("reserve-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// let message = host.reserve_timeout(100, Duration::from_secs(1))?;
    /// assert_eq!(message.remaining(), 100);
    /// # Ok(()) }
    /// ```
    pub fn reserve_timeout(&self, len: usize, timeout: Duration) -> Result<Reservation<'_>> {
        self.core.reserve(len, Deadline::after(timeout))
    }

    /// As [`reserve`](Link::reserve), but never waits: [`Full`](ErrorKind::Full) if there is no room,
    /// or another thread is sending, right now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("try-reserve-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// while host.try_reserve(10_000).and_then(|mut message| {
    ///     message.put(&[0; 10_000])?;
    ///     message.commit()
    /// }).is_ok() {}
    /// assert_eq!(host.try_reserve(10_000).unwrap_err().kind(), ErrorKind::Full);
    /// # Ok(()) }
    /// ```
    pub fn try_reserve(&self, len: usize) -> Result<Reservation<'_>> {
        self.core.reserve(len, Deadline::Now)
    }
}

impl Core {
    fn reserve(&self, most: usize, deadline: Deadline) -> Result<Reservation<'_>> {
        self.sending(|| {
            let turn = self.take_reservation(deadline)?;
            let mut lane = self.take_lane(deadline)?;
            let outgoing = lane.as_mut().ok_or_else(|| self.not_connected())?;
            outgoing.admit(Some(most))?;
            let limit = outgoing.max_reservation();
            if most > limit {
                let larger = match capacity_to_claim(most) {
                    Some(capacity) => {
                        format!(", or a ring_capacity of {capacity} bytes at the host")
                    }
                    None => String::new(),
                };
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "{most} bytes cannot be reserved in one piece, at most {limit} can; use \
                         send_stream{larger}"
                    ),
                ));
            }
            let reserved = outgoing.reserve(self, most, deadline)?;
            drop(lane);
            self.outbox.reservation_holder.hold();
            Ok(Reservation {
                core: self,
                reserved,
                written: 0,
                ended: false,
                _turn: turn,
                _here: PhantomData,
            })
        })
    }
}

impl Reservation<'_> {
    /// Bytes that can still be written.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("remaining-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// let mut message = host.reserve(10)?;
    /// message.put(b"1234")?;
    /// assert_eq!((message.written(), message.remaining()), (4, 6));
    /// # Ok(()) }
    /// ```
    pub fn remaining(&self) -> usize {
        self.reserved.span.len() - self.written
    }

    /// Bytes written so far: the length of the message that [`commit`](Reservation::commit) sends.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends `bytes` to the message. As [`io::Write::write_all`], but all or nothing.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if they are more than were reserved; then none is written.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        // Or there would be nothing where it writes to.
        self.core.check_forked()?;
        let left = self.remaining();
        if bytes.len() > left {
            return Err(self.core.named(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{} bytes for {left} that are left of the reservation",
                    bytes.len()
                ),
            )));
        }
        self.reserved.span.write(self.written, bytes);
        self.written += bytes.len();
        Ok(())
    }

    /// The bytes that can still be written, as they lie in memory which the peer can reach as well.
    /// To be followed by [`advance`](Reservation::advance).
    ///
    /// # Safety
    /// The peer must be one that does not touch what it has not been sent: a reference to bytes that
    /// another process writes at the same time is undefined behaviour. A peer of this library keeps
    /// to that; a hostile one need not.
    pub unsafe fn spare_trusting_peer(&mut self) -> &mut [MaybeUninit<u8>] {
        assert!(!self.core.is_forked(), "a forked child has no link");
        // SAFETY: the caller's promise; in this process only `self`, which is borrowed mutably,
        // reaches these bytes.
        unsafe { self.reserved.span.as_spare(self.written) }
    }

    /// Counts the next `len` bytes as written.
    ///
    /// # Panics
    /// If there are not so many left.
    ///
    /// # Safety
    /// They must have been written, through
    /// [`spare_trusting_peer`](Reservation::spare_trusting_peer): else the peer would be shown
    /// what lay there before, which may be parts of other messages.
    pub unsafe fn advance(&mut self, len: usize) {
        assert!(len <= self.remaining(), "more than was reserved");
        self.written += len;
    }

    /// Sends what has been written, as one message: committed when this returns `Ok`.
    ///
    /// # Errors
    /// If the connection has ended meanwhile, as [`send`](Link::send); then nothing is sent.
    pub fn commit(mut self) -> Result<()> {
        self.core.check_forked()?;
        let Reserved {
            connection, claim, ..
        } = &self.reserved;
        if let Some(end) = connection.end() {
            // The lane may be that of the next connection by now, and whoever has it wait for room.
            return Err(self.core.named(end.error()));
        }
        let mut lane = self.core.outbox.lane();
        let committed = current(&mut lane, connection).and_then(|outgoing| {
            if let Some(end) = connection.end() {
                return Err(end.error());
            }
            outgoing.commit(claim, self.written);
            self.ended = true;
            Ok(())
        });
        give_back(lane);
        committed.map_err(|e| self.core.named(e))
    }
}

impl io::Write for Reservation<'_> {
    /// Writes as much as there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.remaining());
        self.put(&bytes[..len])?;
        Ok(len)
    }

    /// Does nothing: the message is sent by [`commit`](Reservation::commit).
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
        if self.core.is_forked() {
            // Nothing of the parent's may be touched, nor given back.
            mem::forget(self.reserved.connection.clone());
            return;
        }
        // After its connection nobody waits for it; see `commit`.
        if !self.ended && self.reserved.connection.end().is_none() {
            let mut lane = self.core.outbox.lane();
            if let Ok(outgoing) = current(&mut lane, &self.reserved.connection) {
                outgoing.end_reservation();
            }
        }
        self.core.outbox.reservation_holder.let_go();
        self.core.flush_due_abort();
    }
}
