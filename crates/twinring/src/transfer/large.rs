//! Sending a large message: in chunks, with other messages between them.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::outbox::{Outbox, current};
use super::spinner::Spinner;
use crate::error::Result;
use crate::frame::{Part, Payload};
use crate::os::event::Deadline;
use crate::sync::FairLockGuard;

/// How long a chunk waits for the sake of others. A peer that has read nothing for this long is not waiting
/// for small messages, and a program may rely on what fits into the ring being sent without the peer reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// The right to send a large message, and how much of it is sent. If it is dropped before
/// [`LargeMessage::put`] was told that the message ends, the peer is told that it was given up.
pub(crate) struct LargeMessage<'a> {
    pub(crate) outbox: &'a Outbox,
    pub(crate) connection: Arc<Connection>,
    /// Maximum length of a chunk in bytes.
    pub(crate) max_chunk: usize,
    /// Bytes in the ring, in chunks that the peer has to assemble.
    pub(crate) sent: u64,
    ended: bool,
    /// Held to the end, so that there is one large message at a time.
    _right: FairLockGuard<'a, ()>,
}

impl<'a> LargeMessage<'a> {
    /// Begins on the current connection; waits while another large message is being sent.
    pub(crate) fn begin(outbox: &'a Outbox, deadline: Deadline) -> Result<LargeMessage<'a>> {
        let right = outbox.take_large(deadline)?;
        let lane = outbox.take_lane(deadline)?;
        let outgoing = lane.as_ref().ok_or_else(|| outbox.link.not_connected())?;
        if let Some(end) = outgoing.connection.end() {
            return Err(end.error());
        }
        let (connection, max_chunk) = (outgoing.connection.clone(), outgoing.writer.max_payload());
        drop(lane);
        Ok(LargeMessage::new(outbox, connection, max_chunk, right))
    }

    /// On this connection, if it is still there by then.
    pub(crate) fn begin_on(
        outbox: &'a Outbox,
        connection: Arc<Connection>,
        max_chunk: usize,
        deadline: Deadline,
    ) -> Result<LargeMessage<'a>> {
        let right = outbox.take_large(deadline)?;
        Ok(LargeMessage::new(outbox, connection, max_chunk, right))
    }

    fn new(
        outbox: &'a Outbox,
        connection: Arc<Connection>,
        max_chunk: usize,
        right: FairLockGuard<'a, ()>,
    ) -> LargeMessage<'a> {
        outbox.large_holder.hold();
        LargeMessage {
            outbox,
            connection,
            max_chunk,
            sent: 0,
            ended: false,
            _right: right,
        }
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
        let begins = self.sent == 0;
        let mut lane = self.outbox.take_lane(deadline)?;
        let outgoing = current(&mut lane, &self.connection)?;
        let (len, awaited) = outgoing.next_chunk(begins, range.len())?;
        if let Some(position) = awaited {
            let spinner = outgoing.spinner();
            lane.hand_on();
            self.wait_until_read(position, spinner, deadline)?;
            lane = self.outbox.take_lane(deadline)?;
        }
        let outgoing = current(&mut lane, &self.connection)?;
        let ends = ends && len == range.len();
        self.outbox.write_due_abort(outgoing)?;
        let end = range.start + len;
        let part = Part::of(begins, ends);
        outgoing.put(part, payload, range.start..end, deadline)?;
        outgoing.wake_peer();
        outgoing.note_chunk();
        lane.hand_on(); // chunk
        self.sent += len as u64;
        self.ended = ends;
        Ok(len)
    }

    /// Waits until the peer has read up to this position, or for [`PATIENCE`]. What others send meanwhile
    /// is not counted against the window, or they could keep a large message from ever going on.
    fn wait_until_read(
        &self,
        position: u64,
        mut spinner: Spinner,
        deadline: Deadline,
    ) -> Result<()> {
        let connection = &*self.connection;
        let ready = || (connection.end().is_some() || connection.has_read(position)).then_some(());
        let patience = Deadline::after(deadline.left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        while spinner.spin(patience, ready).is_none() {
            if patience.passed() {
                break;
            }
            let mut lane = self.outbox.take_lane(deadline)?;
            let outgoing = current(&mut lane, connection)?;
            spinner = outgoing.sleep_until_read(position, spinner, patience)?;
            lane.hand_on();
            if ready().is_some() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for LargeMessage<'_> {
    fn drop(&mut self) {
        if self.outbox.link.is_forked() {
            // Nothing of the parent's may be touched or released.
            mem::forget(self.connection.clone());
            return;
        }
        self.outbox.large_holder.let_go();
        if self.sent > 0 && !self.ended {
            self.outbox.abort(&self.connection);
            self.outbox.flush_due_abort();
        }
    }
}
