//! Sending: whole messages as one frame, large ones as chunks that let others pass between them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::connection::{Connection, End};
use super::core::Core;
use super::holder::Holder;
use super::message::Message;
use super::outgoing::{Outgoing, not_in_time};
use super::wait::{Spinner, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Part;
use crate::os::event::Deadline;
use crate::ring::Producer;
use crate::sync::{Turn, TurnGuard};

/// The way out of a link.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Held for one frame, by whoever sends it; also while that one waits for room, except for a
    /// large message beside others.
    lane: Turn<Option<Outgoing>>,
    /// Held for the length of a large message, so that there is one at a time.
    large: Turn<()>,
    /// Held for the length of a reservation. The lane is not: nobody must wait for it for as long as
    /// a program takes to fill something.
    reservation: Turn<()>,
    pub(crate) large_holder: Holder,
    pub(crate) reservation_holder: Holder,
    /// The generation of the connection whose large message has been given up without the peer
    /// having been told, or 0. Written into the ring by whoever has the lane next.
    pub(super) abort_due: AtomicU64,
    wait: Wait,
}

/// How long a chunk waits for others' sake. A peer that has read nothing for so long does not wait
/// for small messages; a program may count on what there is room for being sent without it.
const PATIENCE: Duration = Duration::from_millis(100);

/// What comes next of a large message.
pub(crate) struct Chunk {
    /// Nothing of the message has been sent.
    pub(crate) begins: bool,
    /// The message ends with the range.
    pub(crate) ends: bool,
    /// Which bytes of what is given.
    pub(crate) range: Range<usize>,
}

/// The right to write to the ring, if there is one.
pub(crate) type Lane<'a> = TurnGuard<'a, Option<Outgoing>>;

impl Outbox {
    pub(crate) fn new(wait: Wait) -> Outbox {
        Outbox {
            lane: Turn::new(None),
            large: Turn::new(()),
            reservation: Turn::new(()),
            large_holder: Holder::default(),
            reservation_holder: Holder::default(),
            abort_due: AtomicU64::new(0),
            wait,
        }
    }

    /// The lane, whether or not what comes next is reserved. Nobody holds it for long but a sender
    /// that waits for room, which a reservation keeps from doing so.
    pub(crate) fn lane(&self) -> Lane<'_> {
        loop {
            if let Some(lane) = self.lane.take(Deadline::Never) {
                return lane;
            }
        }
    }

    #[cfg(feature = "_testing")]
    pub(crate) fn caught(&self) -> u64 {
        let caught = |outgoing: &Outgoing| outgoing.connection.caught.load(Ordering::Relaxed);
        self.lane().as_ref().map_or(0, caught)
    }

    /// The keeper's word that there is a connection.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) {
        let ring = connection.segment().ring_from(connection.side());
        let outgoing = Outgoing::new(connection.clone(), Producer::new(ring), self.wait);
        *self.lane() = Some(outgoing);
    }

    /// The keeper's word that it is over. Whoever holds the lane has been woken, so this takes no
    /// longer than copying a frame. Once it returns, nothing more is written to the ring, and the
    /// goodbye stands behind all that was sent.
    pub(crate) fn disconnect(&self, end: &End) {
        if let Some(mut outgoing) = self.lane().take() {
            outgoing.writer.say_goodbye(end.goodbye());
        }
    }
}

impl Core {
    /// Sends one message: committed when this returns `Ok`.
    #[inline]
    pub(crate) fn send<M: Message + ?Sized>(&self, message: &M, deadline: Deadline) -> Result<()> {
        self.sending(|| self.send_message(message, deadline))
    }

    /// What every call that sends has around it.
    #[inline]
    pub(crate) fn sending<T>(&self, send: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_forked()?;
        let sent = send();
        self.flush_due_abort();
        sent.map_err(|e| self.named(e))
    }

    #[inline]
    fn send_message<M: Message + ?Sized>(&self, message: &M, deadline: Deadline) -> Result<()> {
        let mut lane = self.take_lane(deadline)?;
        let outgoing = lane.as_mut().ok_or_else(|| self.not_connected())?;
        let len = outgoing.admit(message.len())?;
        if len <= outgoing.writer.max_payload() {
            outgoing.put(self, Part::Whole, message, 0..len, deadline)?;
            give_back(lane);
            return Ok(());
        }
        if deadline == Deadline::Now {
            return self.send_large_now(outgoing, message, len);
        }
        let connection = outgoing.connection.clone();
        drop(lane);
        self.send_large(&connection, message, len, deadline)
    }

    /// The lane, while nobody has reserved what comes next.
    #[inline]
    pub(crate) fn take_lane(&self, deadline: Deadline) -> Result<Lane<'_>> {
        loop {
            let lane = self.outbox.lane.take(deadline);
            let lane = lane.ok_or_else(|| not_in_time(deadline))?;
            if !lane.as_ref().is_some_and(Outgoing::is_reserved) {
                return Ok(lane);
            }
            drop(lane);
            self.outlast_reservation(deadline)?;
        }
    }

    #[cold]
    fn outlast_reservation(&self, deadline: Deadline) -> Result<()> {
        self.take_reservation(deadline).map(drop)
    }

    /// The right to reserve.
    pub(crate) fn take_reservation(&self, deadline: Deadline) -> Result<TurnGuard<'_, ()>> {
        self.outbox.reservation_holder.check("a reservation")?;
        let turn = self.outbox.reservation.take(deadline);
        turn.ok_or_else(|| not_in_time(deadline))
    }

    /// The right to send a large message.
    pub(crate) fn take_large(&self, deadline: Deadline) -> Result<TurnGuard<'_, ()>> {
        self.outbox.large_holder.check("a stream that it sends")?;
        // Whoever sends a large message may be waiting for it.
        self.outbox.reservation_holder.check("a reservation")?;
        let turn = self.outbox.large.take(deadline);
        turn.ok_or_else(|| not_in_time(deadline))
    }

    /// A message in chunks.
    fn send_large<M: Message + ?Sized>(
        &self,
        connection: &Connection,
        message: &M,
        len: usize,
        deadline: Deadline,
    ) -> Result<()> {
        let _large = self.take_large(deadline)?;
        let mut sent = 0;
        while sent < len {
            // The first chunk may give up at the deadline without a trace; so may every later one,
            // but then the peer has to be told.
            let chunk = Chunk {
                begins: sent == 0,
                ends: true,
                range: sent..len,
            };
            match self.put_chunk(connection, message, chunk, deadline) {
                Ok(len) => sent += len,
                Err(e) => {
                    if sent > 0 {
                        self.abort(connection);
                    }
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// One chunk of a large message: as much of it as may go now. Returns its length.
    ///
    /// The lane is taken for each anew, so that others can send in between; those who wait for it
    /// come first. While others send it is not held to wait for the receiver either, until there
    /// is nothing left but to sleep.
    pub(crate) fn put_chunk<M: Message + ?Sized>(
        &self,
        connection: &Connection,
        message: &M,
        chunk: Chunk,
        deadline: Deadline,
    ) -> Result<usize> {
        let Chunk {
            begins,
            ends,
            range,
        } = chunk;
        let mut lane = self.take_lane(deadline)?;
        let outgoing = current(&mut lane, connection)?;
        let (len, awaited) = outgoing.next_chunk(self, begins, range.len())?;
        if let Some(position) = awaited {
            let spinner = outgoing.spinner;
            lane.hand_on();
            self.wait_until_read(connection, position, spinner, deadline)?;
            lane = self.take_lane(deadline)?;
        }
        let outgoing = current(&mut lane, connection)?;
        let part = Part::of(begins, ends && len == range.len());
        outgoing.write_due_abort(self)?;
        let end = range.start + len;
        outgoing.put(self, part, message, range.start..end, deadline)?;
        outgoing.wake_peer();
        outgoing.note_chunk();
        lane.hand_on(); // chunk
        Ok(len)
    }

    /// Waits until the peer has read up to this position, or for [`PATIENCE`]. Not until the window
    /// is met by what others have sent meanwhile as well: they could keep a large message from
    /// going on.
    fn wait_until_read(
        &self,
        connection: &Connection,
        position: u64,
        mut spinner: Spinner,
        deadline: Deadline,
    ) -> Result<()> {
        let ready = || (connection.end().is_some() || connection.has_read(position)).then_some(());
        let patience = Deadline::after(deadline.left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        while spinner.spin(patience, ready).is_none() {
            if patience.passed() {
                break;
            }
            let mut lane = self.take_lane(deadline)?;
            let outgoing = current(&mut lane, connection)?;
            outgoing.spinner = spinner;
            let need = outgoing.writer.need_read(position);
            outgoing.sleep_for_room(self, need, patience)?;
            spinner = outgoing.spinner;
            lane.hand_on();
            if ready().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// A message in chunks, if all of them fit right now.
    fn send_large_now<M: Message + ?Sized>(
        &self,
        outgoing: &mut Outgoing,
        message: &M,
        len: usize,
    ) -> Result<()> {
        let _large = self.take_large(Deadline::Now)?;
        let fits = outgoing.writer.has_room_for(len);
        if !outgoing.checked(self, fits)? {
            return Err(Error::new(
                ErrorKind::Full,
                format!(
                    "there is no room for {len} bytes at once; send or send_timeout wait for it"
                ),
            ));
        }
        outgoing.write_due_abort(self)?;
        let chunk = outgoing.writer.max_payload();
        let mut sent = 0;
        while sent < len {
            let end = len.min(sent + chunk);
            let part = Part::of(sent == 0, end == len);
            outgoing.put(self, part, message, sent..end, Deadline::Now)?;
            outgoing.wake_peer();
            sent = end;
        }
        Ok(())
    }

    /// Sends messages one after the other, the small ones with one publication for as many as
    /// there is room for. Returns how many were committed: all of them, unless something ended it.
    pub(crate) fn send_batch<M: AsRef<[u8]>>(
        &self,
        messages: &[M],
        deadline: Deadline,
    ) -> Result<usize> {
        self.sending(|| {
            let mut sent = 0;
            let mut generation = None;
            while sent < messages.len() {
                let step = match self.send_run(&messages[sent..], &mut generation, deadline) {
                    // The next is a large one, or there is no room for it.
                    Ok(0) => self
                        .send_message(messages[sent].as_ref(), deadline)
                        .map(|()| 1),
                    other => other,
                };
                match step {
                    Ok(n) => sent += n,
                    Err(_) if sent > 0 => break,
                    Err(e) => return Err(e),
                }
            }
            Ok(sent)
        })
    }

    /// As many small messages as there is room for right now, published together: on the connection
    /// of this generation, or the current one if that is not known yet.
    fn send_run<M: AsRef<[u8]>>(
        &self,
        messages: &[M],
        generation: &mut Option<u64>,
        deadline: Deadline,
    ) -> Result<usize> {
        let mut lane = self.take_lane(deadline)?;
        let outgoing = lane.as_mut().ok_or_else(|| self.not_connected())?;
        if *generation.get_or_insert(outgoing.connection.generation)
            != outgoing.connection.generation
        {
            return Err(End::ClosedHere.error());
        }
        if let Some(end) = outgoing.connection.end() {
            return Err(end.error());
        }
        let most = outgoing.writer.max_payload().min(
            // Fits, or is cut off where it makes no difference.
            outgoing
                .connection
                .peer_max_message
                .min(u64::from(u32::MAX)) as usize,
        );
        let mut written = Ok(0);
        for message in messages {
            let message = message.as_ref();
            if message.len() > most {
                break;
            }
            let appended = outgoing
                .writer
                .append(Part::Whole, message.len(), |ring, at| {
                    ring.write(at, message)
                });
            match outgoing.checked(self, appended) {
                Ok(true) => written = written.map(|n| n + 1),
                Ok(false) => break,
                Err(e) => {
                    written = Err(e);
                    break;
                }
            }
        }
        let sent = written?;
        if sent > 0 {
            outgoing.writer.publish();
            give_back(lane);
        }
        Ok(sent)
    }

    /// Leaves a note that the peer has to be told that the large message will not be completed.
    /// `send`, which this is part of, looks for it without waiting for the lane: its holder may be
    /// waiting for room for as long as it takes.
    ///
    /// The note is left first and the lane tried then; the holder gives the lane back first and
    /// looks for the note then. Both pass the lane's gate in between, if they meet at all, so one
    /// of the two sees the other; the note itself orders nothing (`sync/turn/model.rs`).
    pub(crate) fn abort(&self, connection: &Connection) {
        self.outbox
            .abort_due
            .store(connection.generation, Ordering::Relaxed);
    }

    /// To be called after the lane was given back; see [`Core::abort`].
    #[inline]
    pub(crate) fn flush_due_abort(&self) {
        if self.outbox.abort_due.load(Ordering::Relaxed) != 0 {
            self.flush_abort();
        }
    }

    #[cold]
    fn flush_abort(&self) {
        // Again after giving it back: another note may have been left meanwhile.
        while self.outbox.abort_due.load(Ordering::Relaxed) != 0 {
            let Some(mut lane) = self.outbox.lane.take(Deadline::Now) else {
                return;
            };
            // Without a connection, or after a violation (which has been passed on to the keeper),
            // there is nothing to be done.
            let Some(outgoing) = lane.as_mut() else {
                return;
            };
            // Whoever has reserved what comes next looks for the note afterwards.
            if outgoing.is_reserved() || outgoing.write_due_abort(self).is_err() {
                return;
            }
        }
    }
}

/// Gives the lane back after something was published, and wakes the peer for it if it sleeps. The fence
/// between the two is the lane's; see [`TurnGuard::leave`].
#[inline]
pub(crate) fn give_back(lane: Lane<'_>) {
    let is_awaited =
        |lane: &Option<Outgoing>| lane.as_ref().is_some_and(|lane| lane.writer.is_awaited());
    if let Some(lane) = lane.leave(is_awaited)
        && let Some(outgoing) = lane.as_ref()
    {
        outgoing.wake_peer();
    }
}

/// The outgoing ring, if it still belongs to this connection.
pub(crate) fn current<'a>(
    lane: &'a mut Lane<'_>,
    connection: &Connection,
) -> Result<&'a mut Outgoing> {
    match lane.as_mut() {
        Some(outgoing) if outgoing.connection.generation == connection.generation => Ok(outgoing),
        // The lane is emptied after the end was set.
        _ => Err(connection.end().unwrap_or(&End::ClosedHere).error()),
    }
}
