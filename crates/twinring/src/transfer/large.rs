//! Sending a large message: in chunks, with other messages between them.

use std::ops::{Deref, Range};
use std::time::Duration;

use super::duplex::Duplex;
use super::session::Session;
use super::spinner::Spinner;
use crate::error::Result;
use crate::frame::{Part, Payload};
use crate::os::event::Deadline;
use crate::segment::Cause;

/// How long a chunk waits for the sake of others. A peer that has read nothing for this long is not waiting
/// for small messages, and a program may rely on what fits into the ring being sent without the peer reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// The right to send a large message, and how much of it is sent. If it is dropped before
/// [`LargeMessage::put`] was told that the message ends, the peer is told that it was given up.
#[derive(Debug)]
pub(crate) struct LargeMessage<D: Deref<Target = Duplex>> {
    pub(crate) duplex: D,
    /// Maximum length of a chunk in bytes.
    pub(crate) max_chunk: usize,
    /// Bytes in the ring, in chunks that the peer has to assemble.
    pub(crate) sent: u64,
    /// Its number on this connection, once it has begun.
    number: u64,
    ended: bool,
}

impl<D: Deref<Target = Duplex>> LargeMessage<D> {
    /// Begins; waits while another large message is being sent.
    pub(crate) fn begin(duplex: D, deadline: Deadline) -> Result<LargeMessage<D>> {
        duplex.outbox.take_large(deadline)?;
        let mut message = LargeMessage {
            duplex,
            max_chunk: 0,
            sent: 0,
            number: 0,
            ended: false,
        };
        let outbox = &message.duplex.outbox;
        outbox.large_holder.hold();
        let lane = outbox.take_lane(deadline)?;
        lane.check()?;
        let max_chunk = lane.writer.max_payload();
        drop(lane);
        message.max_chunk = max_chunk;
        Ok(message)
    }

    /// Sends one chunk: as many of these bytes as may go now. Returns its length. `ends`: the message
    /// ends with the range.
    ///
    /// The lane is locked anew for each chunk, so that others can send in between; waiting threads come
    /// first. While others send, the lane is not held to wait for the receiver either, until only
    /// sleeping is left.
    pub(crate) fn put<P: Payload + ?Sized>(
        &mut self,
        payload: &P,
        range: Range<usize>,
        ends: bool,
        deadline: Deadline,
    ) -> Result<usize> {
        let outbox = &self.duplex.outbox;
        let begins = self.sent == 0;
        let mut lane = outbox.take_lane_again(deadline)?;
        lane.check()?;
        lane.check_stream(self.number)?;
        let (len, awaited) = lane.next_chunk(begins, range.len())?;
        if let Some(position) = awaited {
            let spinner = lane.spinner();
            lane.hand_on();
            self.wait_until_read(position, spinner, deadline)?;
            lane = outbox.take_lane_again(deadline)?;
            lane.check()?;
        }
        let ends = ends && len == range.len();
        outbox.write_due_abort(&mut lane)?;
        let end = range.start + len;
        let part = Part::of(begins, ends);
        lane.put(part, payload, range.start..end, deadline)?;
        lane.wake_peer();
        lane.note_chunk();
        if begins {
            self.number = lane.begun;
        }
        lane.hand_on(); // chunk
        outbox.let_tasks_in();
        self.sent += len as u64;
        self.ended = ends;
        Ok(len)
    }

    /// Begins the message without anything of it, so that the peer can be told that it is given up.
    pub(crate) fn begin_empty(&mut self, deadline: Deadline) -> Result<()> {
        if self.number > 0 || self.ended {
            return Ok(());
        }
        let outbox = &self.duplex.outbox;
        let mut lane = outbox.take_lane_again(deadline)?;
        lane.check()?;
        outbox.write_due_abort(&mut lane)?;
        let nothing: &[u8] = &[];
        lane.put(Part::First, nothing, 0..0, deadline)?;
        lane.wake_peer();
        self.number = lane.begun;
        Ok(())
    }

    /// Gives the message up, and tells the peer why. Waits for room for the text.
    pub(crate) fn abort(&mut self, cause: &Cause, deadline: Deadline) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.begin_empty(deadline)?;
        let mut lane = self.duplex.outbox.take_lane_again(deadline)?;
        lane.check()?;
        let cause = cause.encode();
        lane.put(Part::Abort, &cause[..], 0..cause.len(), deadline)?;
        lane.wake_peer();
        self.ended = true;
        Ok(())
    }

    /// Waits until the peer has read up to this position, or for [`PATIENCE`]. What others send meanwhile
    /// is not counted against the window, or they could keep a large message from ever going on.
    fn wait_until_read(
        &self,
        position: u64,
        mut spinner: Spinner,
        deadline: Deadline,
    ) -> Result<()> {
        let outbox = &self.duplex.outbox;
        let session: &Session = &outbox.session;
        let ready = || {
            let over = session.end().is_some() || session.is_stream_stopped(self.number);
            (over || session.has_read(position)).then_some(())
        };
        let patience = Deadline::after(deadline.left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        while spinner.spin(patience, ready).is_none() {
            if patience.passed() {
                break;
            }
            let mut lane = outbox.take_lane_again(deadline)?;
            lane.check()?;
            spinner = lane.sleep_until_read(position, self.number, spinner, patience)?;
            lane.hand_on();
            outbox.let_tasks_in();
            if ready().is_some() {
                break;
            }
        }
        Ok(())
    }
}

impl<D: Deref<Target = Duplex>> Drop for LargeMessage<D> {
    fn drop(&mut self) {
        let outbox = &self.duplex.outbox;
        if outbox.link.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        if self.number > 0 && !self.ended {
            outbox.abort();
        }
        outbox.end_large();
    }
}
