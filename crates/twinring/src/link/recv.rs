//! Receiving: each connection's messages to the last one, then its end, then the next connection.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::connection::{Connection, End, closed_here};
use super::core::Core;
use super::holder::Holder;
use super::incoming::{Failure, Incoming, Taking, cannot_wait, timed_out};
use super::wait::Wait;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Reader};
use crate::os::event::{Alarm, Deadline, wait};
use crate::ring::Consumer;
use crate::sync::{Turn, TurnGuard};

/// Connections that may wait with unread messages. Beyond that the link does not connect again
/// until some are read: nothing that was committed is dropped, and memory stays bounded.
const BACKLOG: usize = 8;

/// The right to receive, and the connection that is received from.
pub(crate) type Current<'a> = TurnGuard<'a, Option<Incoming>>;

/// The way into a link.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Held by the one receiver.
    current: Turn<Option<Incoming>>,
    pub(crate) holder: Holder,
    /// Connections whose turn has not come yet, oldest first.
    arrivals: Mutex<VecDeque<Incoming>>,
    arrived: Condvar,
    wait: Wait,
    /// Messages go to a callback.
    callback: bool,
}

/// What a receiver came to.
#[derive(Debug)]
pub(crate) enum Event {
    /// The messages of this connection begin.
    Connected(Arc<Connection>),
    /// There is a message: copied, or else in the ring, as this frame that was peeked at.
    Message(Option<Frame>),
    /// The peer gave up a large message.
    Aborted,
    /// This connection's messages are all read.
    Ended {
        connection: Arc<Connection>,
        end: End,
        /// A receiver has been told already, by the error that made it end.
        told: bool,
    },
    /// `interrupt` was set.
    Interrupted,
}

impl Inbox {
    pub(crate) fn new(wait: Wait, callback: bool) -> Inbox {
        Inbox {
            current: Turn::new(None),
            holder: Holder::default(),
            arrivals: Mutex::default(),
            arrived: Condvar::new(),
            wait,
            callback,
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, VecDeque<Incoming>> {
        // Nothing can panic while it is held.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keeper's word that there is a connection.
    pub(crate) fn connect(&self, connection: &Arc<Connection>, max_message: u64) {
        let ring = connection.segment().ring_from(connection.side().opposite());
        let reader = Reader::new(Consumer::new(ring), max_message);
        let incoming = Incoming::new(connection.clone(), reader, self.wait);
        let mut arrivals = self.arrivals();
        arrivals.push_back(incoming);
        self.arrived.notify_all();
    }

    /// Whether so much is unread that no further connection should be made.
    pub(crate) fn is_full(&self) -> bool {
        let mut arrivals = self.arrivals();
        // Whoever only sends never reads: of connections in a row that brought nothing and have
        // ended, only the last is kept, so that a receiver still learns that there was an end. A
        // callback is told of each, so it gets them all.
        if !self.callback {
            let empty =
                |old: &Incoming| old.connection.end().is_some() && old.connection.is_drained();
            let mut i = 1;
            while i < arrivals.len() {
                if empty(&arrivals[i - 1]) && empty(&arrivals[i]) {
                    arrivals.remove(i - 1);
                } else {
                    i += 1;
                }
            }
        }
        arrivals.len() >= BACKLOG
    }

    /// What is told while [`Inbox::is_full`].
    pub(crate) fn full(&self) -> Error {
        Error::new(
            ErrorKind::Full,
            format!(
                "messages of {BACKLOG} earlier connections have not been received; the link \
                 connects again when some have"
            ),
        )
    }

    /// Lets everyone who waits for a connection look around.
    pub(crate) fn wake_all(&self) {
        let _arrivals = self.arrivals();
        self.arrived.notify_all();
    }
}

impl Core {
    /// The next event for the callback thread, which `interrupt` calls away.
    pub(crate) fn next_event(&self, message: &mut Vec<u8>, interrupt: &Alarm) -> Result<Event> {
        self.check_forked()?;
        let current = self.inbox.current.take(Deadline::Never);
        let mut current = current.ok_or_else(timed_out)?;
        self.receive(
            &mut current,
            Taking::Copied(message),
            Deadline::Never,
            Some(interrupt),
        )
    }

    /// The next message for a caller.
    #[inline]
    pub(crate) fn recv(&self, message: &mut Vec<u8>, deadline: Deadline) -> Result<()> {
        self.receiving(deadline, |current| {
            self.next_message(current, Taking::Copied(message), deadline)
                .map(drop)
        })
    }

    /// The next message, waiting for it, and then all others that are known to be there. Returns how
    /// many `f` was given. They are given back to the peer many at a time.
    pub(crate) fn recv_batch(&self, mut f: impl FnMut(&[u8]), deadline: Deadline) -> Result<usize> {
        self.receiving(deadline, |current| {
            let mut message = Vec::new();
            self.next_message(current, Taking::Copied(&mut message), deadline)?;
            self.inbox.holder.hold();
            if let Some(incoming) = current.as_mut() {
                // The program may take its time.
                incoming.wake_peer();
                incoming.reader.begin_batch();
            }
            let mut batch = Batch(self, current);
            f(&message);
            let mut taken = 1;
            while batch.next(&mut message) {
                f(&message);
                taken += 1;
            }
            Ok(taken)
        })
    }

    /// What every call that receives has around it.
    #[inline]
    pub(crate) fn receiving<T>(
        &self,
        deadline: Deadline,
        receive: impl FnOnce(&mut Current<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut current = self.take_current(deadline).map_err(|e| self.named(e))?;
        let received = receive(&mut current);
        give_back(current);
        received.map_err(|e| self.named(e))
    }

    /// The right to receive, for a caller.
    #[inline]
    pub(crate) fn take_current(&self, deadline: Deadline) -> Result<Current<'_>> {
        self.check_forked()?;
        if self.inbox.callback {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the link's messages go to its on_message callback; open it without one to receive",
            ));
        }
        self.inbox
            .holder
            .check("a message or a stream that it receives")?;
        self.inbox.current.take(deadline).ok_or_else(timed_out)
    }

    /// The next message: `None` if it has been copied, else the frame that it is in place. To be
    /// followed by [`Incoming::wake_peer`], or by giving the turn back as `recv` does.
    #[inline]
    pub(crate) fn next_message(
        &self,
        current: &mut Current<'_>,
        mut taking: Taking<'_>,
        deadline: Deadline,
    ) -> Result<Option<Frame>> {
        let mut chunks = 0;
        loop {
            if let Some(incoming) = current.as_mut()
                && !self.is_closing()
            {
                let ready = incoming.next_ready(taking.again());
                if let Some(in_place) = self.judged(incoming, ready)? {
                    return Ok(in_place);
                }
            }
            match self.step(current, taking.again(), deadline, None, &mut chunks)? {
                Some(Event::Message(in_place)) => return Ok(in_place),
                Some(Event::Aborted) => return Err(aborted()),
                Some(Event::Ended {
                    end, told: false, ..
                }) => return Err(end.error()),
                None | Some(Event::Connected(_) | Event::Interrupted | Event::Ended { .. }) => {}
            }
        }
    }

    /// The next event, waiting for it.
    fn receive(
        &self,
        current: &mut Current<'_>,
        mut taking: Taking<'_>,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Event> {
        let mut chunks = 0;
        loop {
            let step = self.step(current, taking.again(), deadline, interrupt, &mut chunks)?;
            if let Some(event) = step {
                return Ok(event);
            }
        }
    }

    /// The next event, or `None` if a chunk was taken or there was a wait: to be called again then.
    /// `chunks` counts that, from 0.
    fn step(
        &self,
        current: &mut Current<'_>,
        taking: Taking<'_>,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
        chunks: &mut u32,
    ) -> Result<Option<Event>> {
        if self.is_closing() {
            return Err(closed_here());
        }
        let Some(incoming) = current.as_mut() else {
            let arrival = self.next_arrival(deadline, interrupt)?;
            return Ok(Some(match arrival {
                Some(incoming) => {
                    let connection = incoming.connection.clone();
                    **current = Some(incoming);
                    Event::Connected(connection)
                }
                None => Event::Interrupted,
            }));
        };
        let next = incoming.next(taking, deadline, interrupt);
        let event = self.judged(incoming, next)?;
        match event {
            Some(Event::Ended { .. }) => self.forget(current),
            Some(_) => {}
            None => {
                // A sender that never pauses must not keep a call beyond its deadline: after this
                // many bytes of one message the clock is looked at.
                *chunks = chunks.wrapping_add(1);
                if chunks.is_multiple_of(CHUNKS_PER_LOOK) && deadline.passed() {
                    return Err(timed_out());
                }
            }
        }
        Ok(event)
    }

    /// The connection to receive from, waiting for one; `None` if it is time to look around.
    pub(crate) fn arrived<'a>(
        &self,
        current: &'a mut Current<'_>,
        deadline: Deadline,
    ) -> Result<Option<&'a mut Incoming>> {
        if current.is_none() {
            **current = self.next_arrival(deadline, None)?;
        }
        Ok(current.as_mut())
    }

    /// All of a connection has been read.
    pub(crate) fn forget(&self, current: &mut Current<'_>) {
        **current = None;
        // The keeper may be waiting for the backlog to shrink.
        self.nudge();
    }

    /// Passes a violation by the peer on to the keeper.
    #[inline]
    pub(crate) fn judged<T>(
        &self,
        incoming: &mut Incoming,
        result: Result<T, Failure>,
    ) -> Result<T> {
        result.map_err(|failure| match failure {
            Failure::Call(e) => e,
            Failure::Peer(fault) => {
                let e = incoming.fail(fault);
                self.nudge();
                e
            }
        })
    }

    /// The next connection, or `None` when interrupted.
    fn next_arrival(
        &self,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Option<Incoming>> {
        let mut arrivals = self.inbox.arrivals();
        loop {
            if self.is_closing() {
                return Err(closed_here());
            }
            if let Some(incoming) = arrivals.pop_front() {
                self.nudge();
                return Ok(Some(incoming));
            }
            if let Some(interrupt) = interrupt {
                // The callback thread is told of arrivals by the same alarm.
                drop(arrivals);
                wait(&[interrupt.source()], deadline).map_err(cannot_wait)?;
                return Ok(None);
            }
            arrivals = match deadline.left() {
                None => self
                    .inbox
                    .arrived
                    .wait(arrivals)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Err(timed_out()),
                Some(left) => {
                    self.inbox
                        .arrived
                        .wait_timeout(arrivals, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// Gives the turn back, and wakes the peer if it waits for what was read. The fence between the two is
/// the turn's; see [`TurnGuard::leave`].
#[inline]
fn give_back(current: Current<'_>) {
    let is_awaited = |current: &Option<Incoming>| {
        current
            .as_ref()
            .is_some_and(|incoming| incoming.reader.is_awaited())
    };
    if let Some(mut current) = current.leave(is_awaited)
        && let Some(incoming) = current.as_mut()
    {
        incoming.wake_peer();
    }
}

/// A receiver that takes what is there; what it has taken is given back when it ends, however that
/// is.
struct Batch<'a, 'b>(&'a Core, &'a mut Current<'b>);

impl Batch<'_, '_> {
    /// The next message that is known to be there.
    fn next(&mut self, message: &mut Vec<u8>) -> bool {
        let Batch(core, current) = self;
        let Some(incoming) = current.as_mut() else {
            return false;
        };
        let next = incoming.next_known(message);
        next.unwrap_or_else(|fault| {
            let _ = incoming.fail_later(fault);
            core.nudge();
            false
        })
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        let Batch(core, current) = self;
        if let Some(incoming) = current.as_mut() {
            incoming.end_batch();
        }
        core.inbox.holder.let_go();
    }
}

/// Chunks of a large message between two looks at the clock.
const CHUNKS_PER_LOOK: u32 = 64;

pub(crate) fn aborted() -> Error {
    Error::new(
        ErrorKind::Aborted,
        "the peer gave up a message half-way; nothing of it is delivered",
    )
}
