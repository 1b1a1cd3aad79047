//! The incoming side of a link: each connection's messages to the last one, then its end, then the
//! next connection.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::connection::{Connection, End, closed_here};
use super::holder_thread::HolderThread;
use super::incoming::{Event, Incoming, ReceiveMode, cannot_wait, timed_out};
use super::link_state::LinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Reader};
use crate::os::event::{Deadline, LocalEvent, wait};
use crate::ring::Consumer;
use crate::sync::{FairLock, FairLockGuard};

/// How many connections may be queued with unread messages. Beyond that the link does not connect again
/// until some are read, so that nothing committed is dropped and memory stays bounded.
const BACKLOG: usize = 8;

/// The right to receive, and the connection that is being received from.
pub(crate) type Current<'a> = FairLockGuard<'a, Option<Incoming>>;

#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) link: Arc<LinkState>,
    /// Locked by the one receiver.
    current: FairLock<Option<Incoming>>,
    pub(crate) holder: HolderThread,
    /// Connections that come next, oldest first.
    arrivals: Mutex<VecDeque<Incoming>>,
    arrived: Condvar,
    /// Messages go to a callback.
    callback: bool,
}

/// What the callback thread is told.
#[derive(Debug)]
pub(crate) enum News {
    /// The messages of this connection begin.
    Connected(Arc<Connection>),
    /// A message is in the buffer.
    Message,
    /// The messages of this connection are all read.
    Ended(Arc<Connection>, End),
    /// It was called away.
    Interrupted,
}

impl Inbox {
    /// `callback`: messages go to a callback.
    pub(crate) fn new(link: &Arc<LinkState>, callback: bool) -> Inbox {
        Inbox {
            link: link.clone(),
            current: FairLock::new(None),
            holder: HolderThread::default(),
            arrivals: Mutex::default(),
            arrived: Condvar::new(),
            callback,
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, VecDeque<Incoming>> {
        // Nothing can panic while it is held.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the driver when there is a connection.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) {
        let options = &self.link.options;
        let ring = connection.segment().ring_from(connection.side().opposite());
        let reader = Reader::new(Consumer::new(ring), options.max_message);
        let incoming = Incoming::new(connection.clone(), reader, options.wait);
        let mut arrivals = self.arrivals();
        arrivals.push_back(incoming);
        self.arrived.notify_all();
    }

    /// Whether so much is unread that no further connection should be made.
    pub(crate) fn is_full(&self) -> bool {
        let mut arrivals = self.arrivals();
        // A program that only sends never reads: of consecutive connections that brought nothing and
        // have ended, only the last is kept, so that a receiver still learns that there was an end. A
        // callback is told of each end, so it gets them all.
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

    /// The error while [`Inbox::is_full`].
    pub(crate) fn full(&self) -> Error {
        Error::new(
            ErrorKind::Full,
            format!(
                "messages of {BACKLOG} earlier connections have not been received; the link \
                 connects again when some have"
            ),
        )
    }

    /// Makes everyone who waits for a connection look again.
    pub(crate) fn wake_all(&self) {
        let _arrivals = self.arrivals();
        self.arrived.notify_all();
    }

    /// What the callback thread is to tell next; `interrupt` calls it away from its wait.
    pub(crate) fn next_news(&self, message: &mut Vec<u8>, interrupt: &LocalEvent) -> Result<News> {
        self.link.check_forked()?;
        let current = self.current.lock(Deadline::Never);
        let mut current = current.ok_or_else(timed_out)?;
        let news = self.wait_for_news(&mut current, message, interrupt);
        release(current);
        news
    }

    fn wait_for_news(
        &self,
        current: &mut Current<'_>,
        message: &mut Vec<u8>,
        interrupt: &LocalEvent,
    ) -> Result<News> {
        let mut steps = 0;
        loop {
            let mode = ReceiveMode::Copied(message);
            let (interrupt, deadline) = (Some(interrupt), Deadline::Never);
            let event = self.step(current, mode, deadline, interrupt, &mut steps)?;
            let Some(incoming) = current.as_ref() else {
                return Ok(News::Interrupted);
            };
            let connection = incoming.connection.clone();
            match event {
                Event::Connected => return Ok(News::Connected(connection)),
                Event::Copied => return Ok(News::Message),
                Event::Aborted => return Err(aborted()),
                Event::Ended => {
                    let end = connection.end().cloned();
                    self.next_connection(current);
                    if let Some(end) = end {
                        return Ok(News::Ended(connection, end));
                    }
                }
                Event::Interrupted => return Ok(News::Interrupted),
                Event::InRing { .. } | Event::Begun | Event::Again => {}
            }
        }
    }

    /// The next message, copied.
    #[inline]
    pub(crate) fn recv(&self, message: &mut Vec<u8>, deadline: Deadline) -> Result<()> {
        self.receiving(deadline, |current| {
            self.next_message(current, ReceiveMode::Copied(message), deadline)
                .map(drop)
        })
    }

    /// The next message, waiting for it, and then all others that are known to be there. Returns how
    /// many messages `f` was called with. Their room is released for many at a time.
    pub(crate) fn recv_batch(&self, mut f: impl FnMut(&[u8]), deadline: Deadline) -> Result<usize> {
        self.receiving(deadline, |current| {
            let mut message = Vec::new();
            self.next_message(current, ReceiveMode::Copied(&mut message), deadline)?;
            self.holder.hold();
            if let Some(incoming) = current.as_mut() {
                // The program may take long.
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

    /// What every receiving call does before and after.
    #[inline]
    fn receiving<T>(
        &self,
        deadline: Deadline,
        receive: impl FnOnce(&mut Current<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut current = self
            .take_current(deadline)
            .map_err(|e| self.link.named(e))?;
        let received = receive(&mut current);
        release(current);
        received.map_err(|e| self.link.named(e))
    }

    /// The right to receive, for a caller that is not the callback thread.
    #[inline]
    pub(crate) fn take_current(&self, deadline: Deadline) -> Result<Current<'_>> {
        self.link.check_forked()?;
        if self.callback {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the link's messages go to its on_message callback; open it without one to receive",
            ));
        }
        self.holder
            .check("a message or a stream that it receives")?;
        self.current.lock(deadline).ok_or_else(timed_out)
    }

    /// The next message: `None` if it has been copied, else the frame that holds it in place. Afterwards
    /// call [`Incoming::wake_peer`], or give the right back as `recv` does.
    #[inline]
    pub(crate) fn next_message(
        &self,
        current: &mut Current<'_>,
        mut mode: ReceiveMode<'_>,
        deadline: Deadline,
    ) -> Result<Option<Frame>> {
        let mut chunks = 0;
        loop {
            match self.step(current, mode.again(), deadline, None, &mut chunks)? {
                Event::Copied => return Ok(None),
                Event::InRing { frame, .. } => return Ok(Some(frame)),
                Event::Aborted => return Err(aborted()),
                Event::Ended => {
                    if let Some(end) = self.next_connection(current) {
                        return Err(end.error());
                    }
                }
                _ => {}
            }
        }
    }

    /// The next event. `steps` counts the steps without one, from 0.
    #[inline]
    pub(crate) fn step(
        &self,
        current: &mut Current<'_>,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
        steps: &mut u32,
    ) -> Result<Event> {
        if self.link.is_closing() {
            return Err(closed_here());
        }
        let Some(incoming) = current.as_mut() else {
            return self.next_arrival(current, deadline, interrupt);
        };
        match incoming.step(mode, deadline, interrupt) {
            Ok(Event::Again) => {
                // A sender that never pauses must not keep a call beyond its deadline: after this many
                // steps, look at the clock.
                *steps = steps.wrapping_add(1);
                if *steps % STEPS_PER_LOOK == 0 && deadline.passed() {
                    return Err(timed_out());
                }
                Ok(Event::Again)
            }
            Ok(event) => Ok(event),
            Err(failure) => Err(incoming.failed(failure)),
        }
    }

    /// After [`Event::Ended`]: goes on to the next connection. How this one ended, unless a receiver has
    /// been told already.
    #[cold]
    pub(crate) fn next_connection(&self, current: &mut Current<'_>) -> Option<End> {
        let incoming = current.as_mut()?;
        let end = incoming.end().cloned();
        if incoming.overtaken.is_empty() {
            **current = None;
            // The driver may be waiting for the backlog to shrink.
            self.link.driver.notify();
        } else {
            // They are complete, and go to later receivers.
            incoming.set_told();
        }
        end
    }

    /// Goes on to the next connection, waiting for it.
    #[cold]
    fn next_arrival(
        &self,
        current: &mut Current<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event> {
        let mut arrivals = self.arrivals();
        loop {
            if self.link.is_closing() {
                return Err(closed_here());
            }
            if let Some(incoming) = arrivals.pop_front() {
                **current = Some(incoming);
                self.link.driver.notify();
                return Ok(Event::Connected);
            }
            if let Some(interrupt) = interrupt {
                // The callback thread learns of arrivals through the same event.
                drop(arrivals);
                wait(&[interrupt.source()], deadline).map_err(cannot_wait)?;
                return Ok(Event::Interrupted);
            }
            arrivals = match deadline.left() {
                None => self
                    .arrived
                    .wait(arrivals)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Err(timed_out()),
                Some(left) => {
                    self.arrived
                        .wait_timeout(arrivals, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// Gives the right to receive back, and wakes the peer if it waits for what was read. The fence between
/// the two is the lock's; see [`FairLockGuard::leave`].
#[inline]
pub(crate) fn release(mut current: Current<'_>) {
    let released = match current.as_mut() {
        Some(incoming) => incoming.reader.take_released(),
        None => false,
    };
    let is_awaited = |current: &Option<Incoming>| {
        let incoming = current.as_ref();
        released && incoming.is_some_and(|incoming| incoming.reader.is_awaited())
    };
    if let Some(current) = current.leave(is_awaited) {
        current
            .as_ref()
            .inspect(|incoming| incoming.wake_peer_now());
    }
}

/// A receiver that takes what is there; what it has taken is released when it ends, in whatever way.
struct Batch<'a, 'b>(&'a Inbox, &'a mut Current<'b>);

impl Batch<'_, '_> {
    /// The next message that is known to be there.
    fn next(&mut self, message: &mut Vec<u8>) -> bool {
        let Batch(_, current) = self;
        let Some(incoming) = current.as_mut() else {
            return false;
        };
        let next = incoming.next_known(message);
        next.unwrap_or_else(|fault| {
            let _ = incoming.fail_later(fault);
            false
        })
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        let Batch(inbox, current) = self;
        if let Some(incoming) = current.as_mut() {
            incoming.end_batch();
        }
        inbox.holder.let_go();
    }
}

/// Steps between two looks at the clock; a step takes at most a chunk of a large message.
const STEPS_PER_LOOK: u32 = 64;

pub(crate) fn aborted() -> Error {
    Error::new(
        ErrorKind::Aborted,
        "the peer gave up a message half-way; no part of it is delivered",
    )
}
