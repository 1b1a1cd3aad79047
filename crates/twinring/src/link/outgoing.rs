//! The way out of one connection: one frame at a time into its ring, and waiting for room.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::connection::Connection;
use super::core::Core;
use super::message::Message;
use super::net;
use super::pace::{Pace, chunk_within};
use super::wait::{Spinner, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Claim, Part, Writer};
use crate::os::event::Deadline;
use crate::ring::{Fault, Producer, Wake};
use crate::segment::Span;

/// The outgoing ring of a connection; used within the lane.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) connection: Arc<Connection>,
    pub(crate) writer: Writer,
    pub(super) spinner: Spinner,
    pace: Pace,
    /// What comes behind the tail is being filled in place: nothing else may be written.
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
            pace: Pace::new(),
            reserved: false,
        }
    }

    /// The length of a message that may be sent.
    #[inline]
    pub(crate) fn admit(&self, len: Option<usize>) -> Result<usize> {
        admit(&self.connection, len)
    }

    /// Writes and publishes one frame with these bytes of the message, waiting for room until the
    /// deadline. To be followed by [`Outgoing::wake_peer`], or by giving the lane back as `send` does.
    #[inline]
    pub(crate) fn put<M: Message + ?Sized>(
        &mut self,
        core: &Core,
        part: Part,
        message: &M,
        range: Range<usize>,
        deadline: Deadline,
    ) -> Result<()> {
        let len = range.len();
        loop {
            if let Some(end) = self.connection.end() {
                return Err(end.error());
            }
            let written = self.writer.append(part, len, |ring, mut at| {
                message.part(range.start, len, |bytes| {
                    ring.write(at, bytes);
                    at += bytes.len() as u64;
                });
            });
            if self.checked(core, written)? {
                self.writer.publish();
                return Ok(());
            }
            self.wait_for_room(core, self.writer.need(len), deadline)?;
        }
    }

    /// Wakes the peer if it sleeps beside what was published. Within the lane: a second sender must
    /// not pass between the look at the peer's flag and the bell.
    #[inline]
    pub(crate) fn wake_peer(&self) {
        if net::loses_a_wake() {
            return;
        }
        if self.writer.wake() == Wake::Needed {
            self.connection.rouse_for_data();
        }
    }

    /// Finds room for a message of at most `most` bytes that is filled in place, and keeps everyone
    /// else out until [`Outgoing::end_reservation`].
    pub(crate) fn reserve(
        &mut self,
        core: &Core,
        most: usize,
        deadline: Deadline,
    ) -> Result<Reserved> {
        loop {
            if let Some(end) = self.connection.end() {
                return Err(end.error());
            }
            let claim = self.writer.claim(most);
            if let Some(claim) = self.checked(core, claim)? {
                self.reserved = true;
                return Ok(Reserved {
                    connection: self.connection.clone(),
                    span: self.writer.span(&claim),
                    claim,
                });
            }
            self.wait_for_room(core, self.writer.need(most), deadline)?;
        }
    }

    /// The longest message that can be reserved on this connection.
    pub(crate) fn max_reservation(&self) -> usize {
        let most = self.writer.max_claim();
        usize::try_from(self.connection.peer_max_message).map_or(most, |peer| most.min(peer))
    }

    /// Publishes the first `len` bytes of what was reserved, and lets others write again. To be followed
    /// by [`Outgoing::wake_peer`], or by giving the lane back as `send` does.
    pub(crate) fn commit(&mut self, claim: &Claim, len: usize) {
        self.writer.commit(claim, len);
        self.end_reservation();
    }

    /// Whether others have to wait. For a connection that has ended nobody does.
    #[inline]
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved && self.connection.end().is_none()
    }

    /// Others may write again.
    pub(crate) fn end_reservation(&mut self) {
        self.reserved = false;
    }

    /// Tells the peer that a large message has been given up, if that is due. There is always room
    /// for it.
    pub(crate) fn write_due_abort(&mut self, core: &Core) -> Result<()> {
        let due = &core.outbox.abort_due;
        let generation = due.load(Ordering::Relaxed);
        if generation == 0 {
            return Ok(());
        }
        // A note about an earlier connection is void.
        if generation == self.connection.generation {
            let aborted = self.writer.abort();
            self.checked(core, aborted)?;
            self.wake_peer();
        }
        let _ = due.compare_exchange(generation, 0, Ordering::Relaxed, Ordering::Relaxed);
        Ok(())
    }

    /// How much of what is left of a large message, `left` bytes, goes next: as much as fits a frame,
    /// or as much as lets others pass soon, if there are any. In that case also how far the peer has to
    /// have read before, if it has not.
    pub(crate) fn next_chunk(
        &mut self,
        core: &Core,
        begins: bool,
        left: usize,
    ) -> Result<(usize, Option<u64>)> {
        let most = self.writer.max_payload().min(left);
        let position = self.writer.position();
        if begins {
            // What others have sent until now was in nobody's way.
            self.note_chunk();
        }
        if !self.pace.holds(position) {
            return Ok((most, None));
        }
        let backlog = self.writer.backlog();
        let backlog = self.checked(core, backlog)?;
        let window = self.pace.look(Instant::now(), position - backlog, backlog);
        let len = most.min(chunk_within(window));
        let beside = window.saturating_sub(len as u64);
        Ok((len, (backlog > beside).then(|| position - beside)))
    }

    /// A chunk of a large message has been written.
    pub(crate) fn note_chunk(&mut self) {
        self.pace.wrote(self.writer.position());
    }

    #[cold]
    fn wait_for_room(&mut self, core: &Core, need: u64, deadline: Deadline) -> Result<()> {
        if deadline.passed() {
            return Err(not_in_time(deadline));
        }
        let (writer, connection) = (&mut self.writer, &self.connection);
        let spun = self.spinner.spin(deadline, || {
            if connection.end().is_some() {
                return Some(Ok(()));
            }
            match writer.has_room(need) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(fault) => Some(Err(fault)),
            }
        });
        if let Some(found) = spun {
            return self.checked(core, found);
        }
        self.sleep_for_room(core, need, deadline)
    }

    /// Sleeps until the peer has read something, unless there is room.
    pub(crate) fn sleep_for_room(
        &mut self,
        core: &Core,
        need: u64,
        deadline: Deadline,
    ) -> Result<()> {
        let ready = self.writer.begin_wait(need);
        let slept = match self.checked(core, ready) {
            Ok(false) => {
                let start = Instant::now();
                // A violation is found again by who looks next.
                let look = || self.writer.has_room(need) != Ok(false);
                let woken = self.connection.sleep_for_space(deadline, look);
                self.spinner.slept(start.elapsed());
                woken
                    .map(drop)
                    .map_err(|e| Error::from_io("cannot wait for room", e))
            }
            Ok(true) => Ok(()),
            Err(e) => Err(e),
        };
        self.writer.end_wait();
        slept
    }

    /// Passes a violation by the peer on to the keeper.
    #[inline]
    pub(crate) fn checked<T>(&self, core: &Core, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            let e = self.connection.note(fault);
            core.nudge();
            e
        })
    }
}

/// The length of a message that may be sent on this connection.
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
            "the peer did not make room in the time given; nothing of the message was delivered",
        ),
    }
}
