//! The outgoing side of one connection: puts one frame at a time into its ring, and waits for room.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Woken};
use super::net;
use super::options::Wait;
use super::pacer::{Pacer, chunk_within};
use super::spinner::Spinner;
use super::wait::{Failure, HasRoom, sleep, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Claim, Part, Payload, Writer};
use crate::os::event::Deadline;
use crate::ring::{Fault, Producer, Wake};
use crate::segment::Span;

/// The outgoing ring of a connection; used with the lane locked.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) connection: Arc<Connection>,
    pub(crate) writer: Writer,
    spinner: Spinner,
    pacer: Pacer,
    /// What comes after the tail is being filled in place: nothing else may be written.
    reserved: bool,
}

/// Room in the ring for one message that is filled in place.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) connection: Arc<Connection>,
    pub(crate) claim: Claim,
    pub(crate) span: Span,
}

impl Outgoing {
    pub(crate) fn new(connection: Arc<Connection>, ring: Producer, wait: Wait) -> Outgoing {
        Outgoing {
            connection,
            writer: Writer::new(ring),
            spinner: Spinner::new(wait),
            pacer: Pacer::new(),
            reserved: false,
        }
    }

    /// Writes and publishes one frame with these bytes of the payload, waiting for room until the
    /// deadline. Afterwards call [`Outgoing::wake_peer`], or unlock the lane as `send` does.
    #[inline]
    pub(crate) fn put<P: Payload + ?Sized>(
        &mut self,
        part: Part,
        payload: &P,
        range: Range<usize>,
        deadline: Deadline,
    ) -> Result<()> {
        loop {
            if let Some(end) = self.connection.end() {
                return Err(end.error());
            }
            let written = self.writer.append(part, payload, range.clone());
            if self.checked(written)? {
                self.writer.publish();
                return Ok(());
            }
            self.wait_for_room(self.writer.need(range.len()), deadline)?;
        }
    }

    /// Wakes the peer if it sleeps although something was published. With the lane locked: a second sender
    /// must not pass between the look at the peer's flag and the doorbell.
    #[inline]
    pub(crate) fn wake_peer(&self) {
        if net::loses_a_wake() {
            return;
        }
        if self.writer.wake() == Wake::Needed {
            self.connection.wake_for_data();
        }
    }

    /// Finds room for a message of at most `most` bytes to be filled in place, and keeps everyone
    /// else out until [`Outgoing::end_reservation`].
    pub(crate) fn reserve(&mut self, most: usize, deadline: Deadline) -> Result<Reserved> {
        loop {
            if let Some(end) = self.connection.end() {
                return Err(end.error());
            }
            let claim = self.writer.claim(most);
            if let Some(claim) = self.checked(claim)? {
                self.reserved = true;
                return Ok(Reserved {
                    connection: self.connection.clone(),
                    span: self.writer.span(&claim),
                    claim,
                });
            }
            self.wait_for_room(self.writer.need(most), deadline)?;
        }
    }

    /// The longest message that can be reserved on this connection.
    pub(crate) fn max_reservation(&self) -> usize {
        let most = self.writer.max_claim();
        usize::try_from(self.connection.peer_max_message).map_or(most, |peer| most.min(peer))
    }

    /// Publishes the first `len` bytes of what was reserved, and lets others write again. Afterwards call
    /// [`Outgoing::wake_peer`], or unlock the lane as `send` does.
    pub(crate) fn commit(&mut self, claim: &Claim, len: usize) {
        self.writer.commit(claim, len);
        self.end_reservation();
    }

    /// Whether others have to wait. After the end of the connection nobody has to.
    #[inline]
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved && self.connection.end().is_none()
    }

    /// Others may write again.
    pub(crate) fn end_reservation(&mut self) {
        self.reserved = false;
    }

    /// Tells the peer that a large message has been given up. There is always room for this.
    pub(crate) fn abort(&mut self) -> Result<()> {
        let aborted = self.writer.abort();
        self.checked(aborted)?;
        self.wake_peer();
        Ok(())
    }

    /// How much of a large message with `left` bytes left goes next: as much as fits in a frame or, if
    /// others send, as much as lets them pass soon. In that case also how far the peer must have read
    /// first, if it has not.
    pub(crate) fn next_chunk(&mut self, begins: bool, left: usize) -> Result<(usize, Option<u64>)> {
        let most = self.writer.max_payload().min(left);
        let position = self.writer.position();
        if begins {
            // What others have sent until now has delayed nobody.
            self.note_chunk();
        }
        if !self.pacer.holds(position) {
            return Ok((most, None));
        }
        let backlog = self.writer.backlog();
        let backlog = self.checked(backlog)?;
        let window = self.pacer.look(Instant::now(), position - backlog, backlog);
        let len = most.min(chunk_within(window));
        let beside = window.saturating_sub(len as u64);
        Ok((len, (backlog > beside).then(|| position - beside)))
    }

    /// A chunk of a large message has been written.
    pub(crate) fn note_chunk(&mut self) {
        self.pacer.wrote(self.writer.position());
    }

    /// The lane's spinner, for spinning without the lane; returned with [`Outgoing::sleep_until_read`].
    pub(crate) fn spinner(&self) -> Spinner {
        self.spinner
    }

    /// Sleeps until the peer has read up to this position, or at least something.
    pub(crate) fn sleep_until_read(
        &mut self,
        position: u64,
        spinner: Spinner,
        deadline: Deadline,
    ) -> Result<Spinner> {
        self.spinner = spinner;
        let room = HasRoom {
            need: self.writer.need_read(position),
            writer: &mut self.writer,
        };
        let slept = sleep(room, &self.connection, &mut self.spinner, None, deadline);
        slept.map_err(|failure| self.failed(failure))?;
        Ok(self.spinner)
    }

    #[cold]
    fn wait_for_room(&mut self, need: u64, deadline: Deadline) -> Result<()> {
        let room = HasRoom {
            writer: &mut self.writer,
            need,
        };
        match wait(room, &self.connection, &mut self.spinner, None, deadline) {
            Ok(Woken::TimedOut) => Err(not_in_time(deadline)),
            Ok(_) => Ok(()),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Call(e) => e,
            Failure::Peer(fault) => self.connection.fail(fault),
        }
    }

    /// Reports a violation by the peer to the driver.
    #[inline]
    pub(crate) fn checked<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| self.connection.fail(fault))
    }
}

/// Checks that a message of this length may be sent on this connection, and returns the length.
#[inline]
pub(crate) fn admit(connection: &Connection, len: Option<usize>) -> Result<usize> {
    let most = connection.peer_max_message;
    match len {
        Some(len) if len as u64 <= most => Ok(len),
        _ => Err(too_large(len, most)),
    }
}

fn too_large(len: Option<usize>, most: u64) -> Error {
    let len = len.map_or("more bytes than there is memory".to_owned(), |len| {
        format!("{len} bytes")
    });
    Error::new(
        ErrorKind::TooLarge,
        format!("the message has {len}, the peer takes at most {most}; raise its max_message"),
    )
}

pub(crate) fn not_in_time(deadline: Deadline) -> Error {
    match deadline {
        Deadline::Now => Error::new(
            ErrorKind::Full,
            "the ring is full or another thread is sending; send or send_timeout wait",
        ),
        _ => Error::new(
            ErrorKind::TimedOut,
            "the peer did not make room within the timeout; no part of the message was delivered",
        ),
    }
}
