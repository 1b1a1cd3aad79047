//! Receiving: each connection's messages to the last one, then its end, then the next connection.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::connection::{Connection, End, closed_here};
use super::core::Core;
use super::wait::{Spinner, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Next, Reader};
use crate::os::event::{Alarm, Deadline, Source, wait};
use crate::ring::{Consumer, Fault};
use crate::sync::Turn;

/// Connections that may wait with unread messages. Beyond that the link does not connect again
/// until some are read: nothing that was committed is dropped, and memory stays bounded.
const BACKLOG: usize = 8;

/// The way into a link.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Held by the one receiver.
    current: Turn<Option<Incoming>>,
    /// Connections whose turn has not come yet, oldest first.
    arrivals: Mutex<VecDeque<Incoming>>,
    arrived: Condvar,
    wait: Wait,
    /// Messages go to a callback.
    callback: bool,
}

/// The incoming ring of one connection.
#[derive(Debug)]
struct Incoming {
    connection: Arc<Connection>,
    reader: Reader,
    spinner: Spinner,
    /// The peer broke the protocol, and a receiver has been told: nothing more is read.
    broken: bool,
}

/// What a receiver came to.
#[derive(Debug)]
pub(crate) enum Event {
    /// The messages of this connection begin.
    Connected(Arc<Connection>),
    /// There is a message.
    Message,
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
        let incoming = Incoming {
            connection: connection.clone(),
            reader: Reader::new(Consumer::new(ring), max_message),
            spinner: Spinner::new(self.wait),
            broken: false,
        };
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
        self.receive(message, Deadline::Never, Some(interrupt))
    }

    /// The next message for a caller.
    #[inline]
    pub(crate) fn recv(&self, message: &mut Vec<u8>, deadline: Deadline) -> Result<()> {
        if self.inbox.callback {
            return Err(self.named(Error::new(
                ErrorKind::Unsupported,
                "the link's messages go to its on_message callback; open it without one to receive",
            )));
        }
        loop {
            match self.receive(message, deadline, None) {
                Ok(Event::Message) => return Ok(()),
                Ok(Event::Connected(_) | Event::Interrupted | Event::Ended { told: true, .. }) => {}
                Ok(Event::Aborted) => return Err(self.named(aborted())),
                Ok(Event::Ended { end, .. }) => return Err(self.named(end.error())),
                Err(e) => return Err(self.named(e)),
            }
        }
    }

    #[inline]
    fn receive(
        &self,
        message: &mut Vec<u8>,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Event> {
        self.check_forked()?;
        let mut current = self.inbox.current.take(deadline).ok_or_else(timed_out)?;
        // A sender that never pauses must not keep a call beyond its deadline: after this many
        // bytes of one message the clock is looked at.
        let mut chunks = 0u32;
        loop {
            if self.is_closing() {
                return Err(closed_here());
            }
            let Some(incoming) = current.as_mut() else {
                match self.next_arrival(deadline, interrupt)? {
                    Some(incoming) => {
                        let connection = incoming.connection.clone();
                        *current = Some(incoming);
                        return Ok(Event::Connected(connection));
                    }
                    None => return Ok(Event::Interrupted),
                }
            };
            match incoming.next(message, deadline, interrupt) {
                Ok(Some(event)) => {
                    if let Event::Ended { .. } = event {
                        *current = None;
                        // The keeper may be waiting for the backlog to shrink.
                        self.nudge();
                    }
                    return Ok(event);
                }
                Ok(None) => {
                    chunks += 1;
                    if chunks.is_multiple_of(CHUNKS_PER_LOOK) && deadline.passed() {
                        return Err(timed_out());
                    }
                }
                Err(Failure::Call(e)) => return Err(e),
                Err(Failure::Peer(fault)) => {
                    let e = incoming.connection.note(fault);
                    incoming.broken = true;
                    self.nudge();
                    return Err(e);
                }
            }
        }
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

/// Chunks of a large message between two looks at the clock.
const CHUNKS_PER_LOOK: u32 = 64;

pub(crate) fn aborted() -> Error {
    Error::new(
        ErrorKind::Aborted,
        "the peer gave up a message half-way; nothing of it is delivered",
    )
}

fn timed_out() -> Error {
    Error::new(ErrorKind::TimedOut, "no message came in the time given")
}

fn cannot_wait(e: std::io::Error) -> Error {
    Error::from_io("cannot wait for messages", e)
}

/// Why there is no event.
enum Failure {
    /// The call cannot go on; the connection can.
    Call(Error),
    /// The peer broke the protocol.
    Peer(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Peer(fault)
    }
}

impl Incoming {
    /// Takes the next frame, waiting for it until the deadline. `None`: a chunk was taken, or it
    /// is time to look around.
    #[inline]
    fn next(
        &mut self,
        message: &mut Vec<u8>,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Option<Event>, Failure> {
        if self.broken {
            return self.wait_for_end(deadline, interrupt);
        }
        // Before the look at the ring: if the connection had ended by now and the ring is empty
        // after that, then everything has been read.
        let ended = self.connection.end().is_some();
        if ended {
            self.reader.seal()?;
        }
        let mut wake = false;
        let next = self.reader.next(message, &mut wake);
        if wake {
            self.connection.bells.ring_space();
        }
        match next? {
            Next::Message => Ok(Some(Event::Message)),
            Next::Chunk => Ok(None),
            Next::Aborted => Ok(Some(Event::Aborted)),
            Next::Empty => match self.connection.end() {
                Some(end) if ended => Ok(Some(self.ended(end))),
                _ => self.wait_for_data(deadline, interrupt),
            },
        }
    }

    fn ended(&self, end: &End) -> Event {
        Event::Ended {
            connection: self.connection.clone(),
            end: end.clone(),
            told: self.broken,
        }
    }

    /// Waits until the keeper has ended the connection.
    fn wait_for_end(
        &self,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Option<Event>, Failure> {
        if let Some(end) = self.connection.end() {
            return Ok(Some(self.ended(end)));
        }
        let sources = [
            self.connection.over.source(),
            interrupt.map_or(Source::Never, Alarm::source),
        ];
        match wait(&sources, deadline) {
            Ok(Some(0)) => Ok(None),
            Ok(Some(_)) => Ok(Some(Event::Interrupted)),
            Ok(None) => Err(Failure::Call(timed_out())),
            Err(e) => Err(Failure::Call(cannot_wait(e))),
        }
    }

    #[inline]
    fn wait_for_data(
        &mut self,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Option<Event>, Failure> {
        if deadline.passed() {
            return Err(Failure::Call(timed_out()));
        }
        let (reader, connection) = (&mut self.reader, &self.connection);
        let spun = self.spinner.spin(deadline, || {
            if connection.end().is_some() {
                return Some(Ok(()));
            }
            match reader.has_frame() {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(fault) => Some(Err(fault)),
            }
        });
        if let Some(found) = spun {
            return Ok(found.map(|()| None)?);
        }
        let slept = match self.reader.begin_wait() {
            Ok(false) => {
                let start = Instant::now();
                let sources = [
                    self.connection.bells.data(),
                    self.connection.over.source(),
                    interrupt.map_or(Source::Never, Alarm::source),
                ];
                let woken = wait(&sources, deadline);
                self.spinner.slept(start.elapsed());
                match woken {
                    Ok(Some(2)) => Ok(Some(Event::Interrupted)),
                    Ok(_) => Ok(None),
                    Err(e) => Err(Failure::Call(cannot_wait(e))),
                }
            }
            Ok(true) => Ok(None),
            Err(fault) => Err(Failure::Peer(fault)),
        };
        self.reader.end_wait();
        slept
    }
}
