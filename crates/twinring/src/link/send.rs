//! Sending: whole messages as one frame, large ones as chunks that let others pass between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::connection::{Connection, End};
use super::core::Core;
use super::wait::{Spinner, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Part, Writer};
use crate::os::event::{Deadline, wait};
use crate::ring::{Fault, Producer, Wake};
use crate::sync::{Turn, TurnGuard};

/// The way out of a link.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Held for one frame, by whoever sends it; also while that one waits for room.
    lane: Turn<Option<Outgoing>>,
    /// Held for the length of a large message, so that there is one at a time.
    large: Turn<()>,
    /// The generation of the connection whose large message has been given up without the peer
    /// having been told, or 0. Written into the ring by whoever has the lane next.
    abort_due: AtomicU64,
    wait: Wait,
}

/// The outgoing ring of the current connection.
#[derive(Debug)]
struct Outgoing {
    connection: Arc<Connection>,
    writer: Writer,
    spinner: Spinner,
}

impl Outbox {
    pub(crate) fn new(wait: Wait) -> Outbox {
        Outbox {
            lane: Turn::new(None),
            large: Turn::new(()),
            abort_due: AtomicU64::new(0),
            wait,
        }
    }

    /// The keeper's word that there is a connection.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) {
        let ring = connection.segment().ring_from(connection.side());
        let outgoing = Outgoing {
            connection: connection.clone(),
            writer: Writer::new(Producer::new(ring)),
            spinner: Spinner::new(self.wait),
        };
        if let Some(mut lane) = self.lane.take(Deadline::Never) {
            *lane = Some(outgoing);
        }
    }

    /// The keeper's word that it is over. Whoever holds the lane has been woken, so this takes no
    /// longer than copying a frame. Once it returns, nothing more is written to the ring, and the
    /// goodbye stands behind all that was sent.
    pub(crate) fn disconnect(&self, end: &End) {
        if let Some(mut lane) = self.lane.take(Deadline::Never)
            && let Some(mut outgoing) = lane.take()
        {
            outgoing.writer.say_goodbye(end.goodbye());
        }
    }
}

impl Core {
    /// Sends one message: committed when this returns `Ok`.
    #[inline]
    pub(crate) fn send(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.check_forked()?;
        let sent = self.send_message(message, deadline);
        // After the lane was given back; see `abort`.
        if self.outbox.abort_due.load(Ordering::Relaxed) != 0 {
            self.flush_abort();
        }
        sent.map_err(|e| self.named(e))
    }

    #[inline]
    fn send_message(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        let mut lane = self.take_lane(deadline)?;
        let outgoing = lane.as_mut().ok_or_else(|| self.not_connected())?;
        let most = outgoing.connection.peer_max_message;
        if message.len() as u64 > most {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the message has {} bytes, the peer takes at most {most}; raise its max_message",
                    message.len()
                ),
            ));
        }
        if message.len() <= outgoing.writer.max_payload() {
            return outgoing.put(self, Part::Whole, message, deadline);
        }
        if deadline == Deadline::Now {
            return self.send_large_now(outgoing, message);
        }
        let connection = outgoing.connection.clone();
        drop(lane);
        self.send_large(&connection, message, deadline)
    }

    #[inline]
    fn take_lane(&self, deadline: Deadline) -> Result<TurnGuard<'_, Option<Outgoing>>> {
        self.outbox
            .lane
            .take(deadline)
            .ok_or_else(|| not_in_time(deadline))
    }

    /// A message in chunks. The lane is taken for each anew, so that others can send in between;
    /// those who wait for it come first.
    fn send_large(
        &self,
        connection: &Connection,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<()> {
        let _large = self
            .outbox
            .large
            .take(deadline)
            .ok_or_else(|| not_in_time(deadline))?;
        let mut sent = 0;
        while sent < message.len() {
            // The first chunk may give up at the deadline without a trace; so may every later one,
            // but then the peer has to be told.
            let step = self.take_lane(deadline).and_then(|mut lane| {
                let outgoing = current(&mut lane, connection)?;
                outgoing.write_due_abort(self)?;
                let len = outgoing.writer.max_payload().min(message.len() - sent);
                let part = match (sent, sent + len == message.len()) {
                    (0, _) => Part::First,
                    (_, false) => Part::Middle,
                    (_, true) => Part::Last,
                };
                outgoing.put(self, part, &message[sent..sent + len], deadline)?;
                lane.hand_on();
                Ok(len)
            });
            match step {
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

    /// A message in chunks, if all of them fit right now.
    fn send_large_now(&self, outgoing: &mut Outgoing, message: &[u8]) -> Result<()> {
        let Some(_large) = self.outbox.large.take(Deadline::Now) else {
            return Err(not_in_time(Deadline::Now));
        };
        let fits = outgoing.writer.has_room_for(message.len());
        if !outgoing.checked(self, fits)? {
            return Err(Error::new(
                ErrorKind::Full,
                format!(
                    "there is no room for {} bytes at once; send or send_timeout wait for it",
                    message.len()
                ),
            ));
        }
        outgoing.write_due_abort(self)?;
        let chunk = outgoing.writer.max_payload();
        let last = message.len().div_ceil(chunk) - 1;
        for (i, payload) in message.chunks(chunk).enumerate() {
            let part = match i {
                0 => Part::First,
                i if i == last => Part::Last,
                _ => Part::Middle,
            };
            outgoing.put(self, part, payload, Deadline::Now)?;
        }
        Ok(())
    }

    /// Leaves a note that the peer has to be told that the large message will not be completed.
    /// `send`, which this is part of, looks for it without waiting for the lane: its holder may be
    /// waiting for room for as long as it takes.
    ///
    /// The note is left first and the lane tried then; the holder gives the lane back first and
    /// looks for the note then. Both pass the lane's gate in between, if they meet at all, so one
    /// of the two sees the other; the note itself orders nothing (`sync/turn/model.rs`).
    fn abort(&self, connection: &Connection) {
        self.outbox
            .abort_due
            .store(connection.generation, Ordering::Relaxed);
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
            if outgoing.write_due_abort(self).is_err() {
                return;
            }
        }
    }
}

/// The outgoing ring, if it still belongs to this connection.
fn current<'a>(
    lane: &'a mut TurnGuard<'_, Option<Outgoing>>,
    connection: &Connection,
) -> Result<&'a mut Outgoing> {
    match lane.as_mut() {
        Some(outgoing) if outgoing.connection.generation == connection.generation => Ok(outgoing),
        // The lane is emptied after the end was set.
        _ => Err(connection.end().unwrap_or(&End::ClosedHere).error()),
    }
}

fn not_in_time(deadline: Deadline) -> Error {
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

impl Outgoing {
    /// Writes one frame, waiting for room until the deadline, and wakes the peer if it sleeps.
    #[inline]
    fn put(&mut self, core: &Core, part: Part, payload: &[u8], deadline: Deadline) -> Result<()> {
        loop {
            if let Some(end) = self.connection.end() {
                return Err(end.error());
            }
            let written = self.writer.write(part, payload);
            match self.checked(core, written)? {
                Some(wake) => {
                    // Within the lane: a second sender must not pass between the look at the
                    // peer's flag and the bell.
                    if wake == Wake::Needed {
                        self.connection.bells.ring_data();
                    }
                    return Ok(());
                }
                None => self.wait_for_room(core, payload.len(), deadline)?,
            }
        }
    }

    /// Tells the peer that a large message has been given up, if that is due. There is always room
    /// for it.
    fn write_due_abort(&mut self, core: &Core) -> Result<()> {
        let due = &core.outbox.abort_due;
        let generation = due.load(Ordering::Relaxed);
        if generation == 0 {
            return Ok(());
        }
        // A note about an earlier connection is void.
        if generation == self.connection.generation {
            let aborted = self.writer.abort();
            if self.checked(core, aborted)? == Wake::Needed {
                self.connection.bells.ring_data();
            }
        }
        let _ = due.compare_exchange(generation, 0, Ordering::Relaxed, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn wait_for_room(&mut self, core: &Core, payload: usize, deadline: Deadline) -> Result<()> {
        if deadline.passed() {
            return Err(not_in_time(deadline));
        }
        let (writer, connection) = (&mut self.writer, &self.connection);
        let spun = self.spinner.spin(deadline, || {
            if connection.end().is_some() {
                return Some(Ok(()));
            }
            match writer.has_room(payload) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(fault) => Some(Err(fault)),
            }
        });
        if let Some(found) = spun {
            return self.checked(core, found);
        }
        let ready = self.writer.begin_wait(payload);
        let slept = match self.checked(core, ready) {
            Ok(false) => {
                let start = Instant::now();
                let sources = [self.connection.bells.space(), self.connection.over.source()];
                let woken = wait(&sources, deadline);
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
    fn checked<T>(&self, core: &Core, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            let e = self.connection.note(fault);
            core.nudge();
            e
        })
    }
}
