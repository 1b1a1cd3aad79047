//! The way in of one connection: one frame at a time out of its ring, and waiting for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, End};
use super::net;
use super::recv::Event;
use super::wait::{Spinner, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Next, Reader};
use crate::os::event::{Alarm, Deadline, Source, wait};
use crate::ring::{Fault, Wake};

/// The incoming ring of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) connection: Arc<Connection>,
    pub(crate) reader: Reader,
    spinner: Spinner,
    /// Messages that overtook one which was read as a stream; they come before the rest of the ring.
    pub(crate) parked: Parked,
    /// The peer broke the protocol: nothing more is read.
    broken: bool,
    /// A receiver has been told so.
    told: bool,
}

/// Messages in memory of our own, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Parked {
    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn push(&mut self, message: Vec<u8>) {
        self.bytes += message.len() + size_of::<Vec<u8>>();
        self.messages.push_back(message);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len() + size_of::<Vec<u8>>();
        Some(message)
    }
}

/// How a message is taken.
pub(crate) enum Taking<'a> {
    /// Into this buffer.
    Copied(&'a mut Vec<u8>),
    /// In the ring, if it lies there in one piece; into the buffer otherwise.
    InPlace(&'a mut Vec<u8>),
}

impl Taking<'_> {
    #[inline]
    pub(crate) fn again(&mut self) -> Taking<'_> {
        match self {
            Taking::Copied(message) => Taking::Copied(message),
            Taking::InPlace(message) => Taking::InPlace(message),
        }
    }
}

/// What [`Incoming::peek`] came to.
pub(crate) enum Peeked {
    Frame(Frame),
    Event(Option<Event>),
}

/// Why there is no event.
pub(crate) enum Failure {
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
    pub(crate) fn new(connection: Arc<Connection>, reader: Reader, wait: Wait) -> Incoming {
        Incoming {
            connection,
            reader,
            spinner: Spinner::new(wait),
            parked: Parked::default(),
            broken: false,
            told: false,
        }
    }

    /// The peer broke the protocol, and the caller is told.
    pub(crate) fn fail(&mut self, fault: Fault) -> Error {
        self.set_told();
        self.fail_later(fault)
    }

    /// A receiver has been told how the connection ends.
    pub(crate) fn set_told(&mut self) {
        self.told = true;
    }

    /// The peer broke the protocol; the next caller is told.
    pub(crate) fn fail_later(&mut self, fault: Fault) -> Error {
        self.broken = true;
        self.connection.note(fault)
    }

    /// The next message, if it is there already, as it mostly is: as [`Event::Message`] says it.
    /// `None` if a chunk was taken, or if it is for [`Incoming::next`] to find out what there is. To be
    /// followed by [`Incoming::wake_peer`], or by giving the turn back as `recv` does.
    #[inline]
    pub(crate) fn next_ready(
        &mut self,
        taking: Taking<'_>,
    ) -> Result<Option<Option<Frame>>, Failure> {
        if self.broken || !self.parked.is_empty() || self.connection.end().is_some() {
            return Ok(None);
        }
        let peeked = self.reader.peek();
        let ready = match (peeked, taking) {
            (Ok(Some(frame)), Taking::Copied(message)) if !frame.gives_up() => {
                let taken = self.reader.take(frame, message);
                taken.map(|next| (next == Next::Message).then_some(None))
            }
            (Ok(Some(frame)), Taking::InPlace(_)) if frame.is_whole() => {
                let piece = self.reader.piece(frame);
                piece.map(|_| Some(Some(frame)))
            }
            (Ok(_), _) => Ok(None),
            (Err(fault), _) => Err(fault),
        };
        Ok(ready?)
    }

    /// Takes the next frame, waiting for it until the deadline. `None`: a chunk was taken, or it
    /// is time to look around.
    pub(crate) fn next(
        &mut self,
        taking: Taking<'_>,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Option<Event>, Failure> {
        if let Some(parked) = self.parked.pop() {
            let (Taking::Copied(message) | Taking::InPlace(message)) = taking;
            *message = parked;
            return Ok(Some(Event::Message(None)));
        }
        let frame = match self.peek(deadline, interrupt)? {
            Peeked::Frame(frame) => frame,
            Peeked::Event(event) => return Ok(event),
        };
        let message = match taking {
            Taking::InPlace(_) if frame.is_whole() => {
                self.reader.piece(frame)?;
                return Ok(Some(Event::Message(Some(frame))));
            }
            Taking::Copied(message) | Taking::InPlace(message) => message,
        };
        Ok(match self.take(frame, message)? {
            Next::Message => Some(Event::Message(None)),
            Next::Aborted => Some(Event::Aborted),
            Next::Chunk => None,
        })
    }

    /// The next frame, which stays where it is, waiting for it until the deadline; or what came up
    /// instead: an event, or nothing, but it is time to look around.
    #[inline]
    pub(crate) fn peek(
        &mut self,
        deadline: Deadline,
        interrupt: Option<&Alarm>,
    ) -> Result<Peeked, Failure> {
        if self.broken {
            return self.wait_for_end(deadline, interrupt).map(Peeked::Event);
        }
        // Before the look at the ring: if the connection had ended by now and the ring is empty
        // after that, then everything has been read.
        let ended = self.connection.end().is_some();
        if ended {
            self.reader.seal()?;
        }
        let peeked = self.reader.peek();
        self.wake_peer();
        if let Some(frame) = peeked? {
            return Ok(Peeked::Frame(frame));
        }
        let event = match self.connection.end() {
            Some(end) if ended => Some(self.ended(end)),
            _ => self.wait_for_data(deadline, interrupt)?,
        };
        Ok(Peeked::Event(event))
    }

    /// Takes a frame that was peeked at, as [`Reader::take`].
    #[inline]
    pub(crate) fn take(&mut self, frame: Frame, message: &mut Vec<u8>) -> Result<Next, Fault> {
        let next = self.reader.take(frame, message);
        self.wake_peer();
        next
    }

    /// Gives a frame that was peeked at back to the peer.
    pub(crate) fn give_back(&mut self, frame: Frame) {
        self.reader.give_back(frame);
        self.wake_peer();
    }

    /// The next message, if it is known to be there. Something else that comes up is left for later.
    pub(crate) fn next_known(&mut self, message: &mut Vec<u8>) -> Result<bool, Fault> {
        if let Some(parked) = self.parked.pop() {
            *message = parked;
            return Ok(true);
        }
        while !self.broken && self.reader.knows_of_more() {
            let peeked = self.reader.peek();
            self.wake_peer();
            // Not one that would have to be told as an error.
            let frame = match peeked? {
                Some(frame) if !frame.gives_up() => frame,
                _ => return Ok(false),
            };
            if self.take(frame, message)? == Next::Message {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives back what a batch has kept.
    pub(crate) fn end_batch(&mut self) {
        self.reader.end_batch();
        self.wake_peer();
    }

    /// Wakes the peer if it waits for room that was given back.
    #[inline]
    pub(crate) fn wake_peer(&mut self) {
        if net::loses_a_wake() {
            return;
        }
        if self.reader.wake() == Wake::Needed {
            self.connection.rouse_for_space();
        }
    }

    fn ended(&self, end: &End) -> Event {
        Event::Ended {
            connection: self.connection.clone(),
            end: end.clone(),
            told: self.told,
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
                // A violation is found again by who looks next.
                let look = || self.reader.has_frame() != Ok(false);
                let woken = self.connection.sleep_for_data(interrupt, deadline, look);
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

pub(crate) fn timed_out() -> Error {
    Error::new(ErrorKind::TimedOut, "no message came in the time given")
}

pub(crate) fn cannot_wait(e: std::io::Error) -> Error {
    Error::from_io("cannot wait for messages", e)
}
