//! The incoming side of one connection: takes one frame at a time out of its ring, and waits for it.

use std::sync::Arc;

use super::connection::{Connection, End, Woken};
use super::net;
use super::options::Wait;
use super::overtaken::Overtaken;
use super::spinner::Spinner;
use super::wait::{Failure, HasFrame, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Next, Piece, Reader};
use crate::os::event::{Deadline, LocalEvent};
use crate::os::system_error;
use crate::ring::{Fault, Wake};

/// The incoming ring of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) connection: Arc<Connection>,
    pub(crate) reader: Reader,
    spinner: Spinner,
    /// Received before the rest of the ring.
    pub(crate) overtaken: Overtaken,
    /// The peer broke the protocol: nothing more is read.
    broken: bool,
    /// A receiver has been told how the connection ends.
    told: bool,
}

/// How a message is received.
pub(crate) enum ReceiveMode<'a> {
    /// Into this buffer.
    Copied(&'a mut Vec<u8>),
    /// In the ring, if it is there in one piece; into the buffer otherwise.
    InPlace(&'a mut Vec<u8>),
    /// As a stream that is to begin: piece by piece in the ring, except for what has been read already.
    StreamBegins(&'a mut Vec<u8>),
    /// As the stream that has begun. Whole messages between its chunks are kept for later.
    StreamGoesOn,
}

impl ReceiveMode<'_> {
    #[inline]
    pub(crate) fn again(&mut self) -> ReceiveMode<'_> {
        match self {
            ReceiveMode::Copied(message) => ReceiveMode::Copied(message),
            ReceiveMode::InPlace(message) => ReceiveMode::InPlace(message),
            ReceiveMode::StreamBegins(begun) => ReceiveMode::StreamBegins(begun),
            ReceiveMode::StreamGoesOn => ReceiveMode::StreamGoesOn,
        }
    }
}

/// What a receiver's step came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The messages of a connection begin.
    Connected,
    /// A message is in the buffer.
    Copied,
    /// A message, or the next piece of one, is in the ring: the content of this frame, which has to be
    /// given back. `last`: the message ends with it.
    InRing {
        frame: Frame,
        last: bool,
    },
    /// The buffer has what has arrived of a message that goes on as a stream.
    Begun,
    /// The peer gave up a large message.
    Aborted,
    /// The connection's messages are all read; [`Incoming::end`] says how it ended.
    Ended,
    Interrupted,
    /// Nothing to report; the next step may have something.
    Again,
}

impl Incoming {
    pub(crate) fn new(connection: Arc<Connection>, reader: Reader, wait: Wait) -> Incoming {
        Incoming {
            connection,
            reader,
            spinner: Spinner::new(wait),
            overtaken: Overtaken::default(),
            broken: false,
            told: false,
        }
    }

    /// Takes what comes next, waiting for it until the deadline. Afterwards call
    /// [`Incoming::wake_peer`], or give the inbox back as `recv` does.
    #[inline(always)]
    pub(crate) fn step(
        &mut self,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        let mode = match self.already_here(mode) {
            Ok(event) => return Ok(event),
            Err(mode) => mode,
        };
        // Before the look at the ring: if the connection had ended by now and the ring is empty
        // after that, everything has been read.
        let ended = self.connection.end().is_some();
        if ended || self.broken {
            return self.step_to_the_end(ended, mode, deadline, interrupt);
        }
        match self.reader.peek()? {
            Some(frame) => self.take(frame, mode),
            None => self.wait_for_data(deadline, interrupt),
        }
    }

    /// What has been taken out of the ring before.
    #[inline(always)]
    fn already_here<'a>(&mut self, mode: ReceiveMode<'a>) -> Result<Event, ReceiveMode<'a>> {
        match mode {
            ReceiveMode::StreamGoesOn => Err(mode),
            ReceiveMode::Copied(message)
            | ReceiveMode::InPlace(message)
            | ReceiveMode::StreamBegins(message)
                if !self.overtaken.is_empty() =>
            {
                *message = self.overtaken.pop().unwrap_or_default();
                Ok(Event::Copied)
            }
            ReceiveMode::StreamBegins(message) => match self.reader.take_over() {
                Some(begun) => {
                    *message = begun;
                    Ok(Event::Begun)
                }
                None => Err(ReceiveMode::StreamBegins(message)),
            },
            mode => Err(mode),
        }
    }

    /// Like [`Incoming::step`], for a connection that is over or about to be.
    #[cold]
    fn step_to_the_end(
        &mut self,
        ended: bool,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        if !self.broken {
            self.reader.seal()?;
            if let Some(frame) = self.reader.peek()? {
                return self.take(frame, mode);
            }
        }
        match self.connection.end() {
            Some(_) if ended || self.broken => Ok(Event::Ended),
            _ => match self.connection.sleep_until_over(interrupt, deadline) {
                Ok(Woken::LookAgain) => Ok(Event::Again),
                Ok(Woken::Interrupted) => Ok(Event::Interrupted),
                Ok(Woken::TimedOut) => Err(Failure::Call(timed_out())),
                Err(e) => Err(Failure::Call(cannot_wait(e))),
            },
        }
    }

    /// How the connection ended, unless a receiver has been told already, by the error that made it
    /// end.
    pub(crate) fn end(&self) -> Option<&End> {
        self.connection.end().filter(|_| !self.told)
    }

    /// Takes the frame that was peeked at.
    #[inline(always)]
    fn take(&mut self, frame: Frame, mode: ReceiveMode<'_>) -> Result<Event, Failure> {
        let begun = match mode {
            ReceiveMode::InPlace(_) if frame.is_whole() => false,
            ReceiveMode::StreamBegins(_) => false,
            ReceiveMode::StreamGoesOn => true,
            ReceiveMode::Copied(message) | ReceiveMode::InPlace(message) => {
                return Ok(match self.reader.take(frame, message)? {
                    Next::Message => Event::Copied,
                    Next::Aborted => Event::Aborted,
                    Next::Chunk => {
                        // The peer may be waiting for room to go on.
                        self.wake_peer();
                        Event::Again
                    }
                });
            }
        };
        Ok(match self.reader.piece(frame)? {
            Piece::Whole if begun => {
                let (memory, span) = (self.reader.memory(), self.reader.span(frame));
                self.overtaken.push(memory, span).map_err(Failure::Call)?;
                self.give_back(frame);
                Event::Again
            }
            Piece::Whole => Event::InRing { frame, last: true },
            Piece::Chunk { last } => Event::InRing { frame, last },
            Piece::Aborted => {
                self.give_back(frame);
                Event::Aborted
            }
            Piece::Skipped => {
                self.give_back(frame);
                Event::Again
            }
        })
    }

    #[inline]
    fn wait_for_data(
        &mut self,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        self.wake_peer();
        let frame = HasFrame(&mut self.reader);
        let connection = &self.connection;
        match wait(frame, connection, &mut self.spinner, interrupt, deadline)? {
            Woken::LookAgain => Ok(Event::Again),
            Woken::Interrupted => Ok(Event::Interrupted),
            Woken::TimedOut => Err(Failure::Call(timed_out())),
        }
    }

    /// Returns a frame that was peeked at to the peer.
    pub(crate) fn give_back(&mut self, frame: Frame) {
        self.reader.give_back(frame);
        self.wake_peer();
    }

    /// The next message, if it is known to be there. Anything else is left for later.
    pub(crate) fn next_known(&mut self, message: &mut Vec<u8>) -> Result<bool, Fault> {
        if let Some(overtaken) = self.overtaken.pop() {
            *message = overtaken;
            return Ok(true);
        }
        while !self.broken && self.reader.knows_of_more() {
            let peeked = self.reader.peek();
            self.wake_peer();
            // Not one that would have to be reported as an error.
            let frame = match peeked? {
                Some(frame) if !frame.gives_up() => frame,
                _ => return Ok(false),
            };
            let next = self.reader.take(frame, message);
            self.wake_peer();
            if next? == Next::Message {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Releases the frames that a batch has kept.
    pub(crate) fn end_batch(&mut self) {
        self.reader.end_batch();
        self.wake_peer();
    }

    /// Wakes the peer if it waits for room that was released.
    #[inline]
    pub(crate) fn wake_peer(&mut self) {
        if net::loses_a_wake() {
            return;
        }
        if self.reader.wake() == Wake::Needed {
            self.connection.wake_for_space();
        }
    }

    /// Wakes the peer if it waits for room, whatever was given back.
    #[cold]
    pub(crate) fn wake_peer_now(&self) {
        if !net::loses_a_wake() && self.reader.wake_now() == Wake::Needed {
            self.connection.wake_for_space();
        }
    }

    /// Turns the failure of a step into the caller's error.
    #[cold]
    pub(crate) fn failed(&mut self, failure: Failure) -> Error {
        match failure {
            Failure::Call(e) => e,
            Failure::Peer(fault) => {
                self.set_told();
                self.fail_later(fault)
            }
        }
    }

    /// A receiver has been told how the connection ends.
    pub(crate) fn set_told(&mut self) {
        self.told = true;
    }

    /// The peer broke the protocol; the next caller gets the error.
    pub(crate) fn fail_later(&mut self, fault: Fault) -> Error {
        self.broken = true;
        self.connection.fail(fault)
    }
}

pub(crate) fn timed_out() -> Error {
    Error::new(ErrorKind::TimedOut, "no message arrived within the timeout")
}

pub(crate) fn cannot_wait(e: std::io::Error) -> Error {
    system_error("cannot wait for the peer", e)
}
