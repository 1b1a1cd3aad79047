//! What a supervisor tells its program.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use twinring::{End, Peer};

/// Something that has happened to a worker. `worker` is its place, from 0 on, which its successors have as well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A process has been started and has connected.
    #[non_exhaustive]
    Started {
        /// Its place.
        worker: usize,
        /// Its process, by the kernel's word.
        peer: Peer,
    },
    /// It has sent a message.
    Message {
        /// Its place.
        worker: usize,
        /// What it has sent.
        message: Vec<u8>,
    },
    /// It has begun a message that cannot be received: given up, or longer than is accepted. The connection goes on.
    #[non_exhaustive]
    NotReceived {
        /// Its place.
        worker: usize,
        /// What was wrong.
        error: twinring::Error,
    },
    /// What was to be sent to it is longer than it accepts, or than the ring.
    #[non_exhaustive]
    NotSent {
        /// Its place.
        worker: usize,
        /// What was to be sent.
        message: Vec<u8>,
        /// What was wrong.
        error: twinring::Error,
    },
    /// Its process has ended, and its connection as well, if it had one. All that it had sent has been told.
    Exited(Exited),
    /// A process could not be started, or was not any more after [`stop`](crate::Supervisor::stop).
    #[non_exhaustive]
    NotStarted {
        /// Its place.
        worker: usize,
        /// What the system said.
        error: io::Error,
        /// What happens now.
        then: Then,
        /// If nothing is started any more: what was to be sent to it.
        unread: Vec<Vec<u8>>,
    },
}

/// The end of a worker's process.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exited {
    /// Its place.
    pub worker: usize,
    /// Its process id.
    pub pid: u32,
    /// When it was started, if it had connected and the system says so.
    pub started: Option<SystemTime>,
    /// How the process has ended.
    pub status: ExitStatus,
    /// Why.
    pub cause: Cause,
    /// How its connection has ended, by what came from it: [`End::Finished`] if it had said that this was all. `None` if it never
    /// had one.
    pub end: Option<End>,
    /// What it had not taken, in order, unless that goes to its successor.
    pub unread: Vec<Vec<u8>>,
    /// How many messages that it had not taken go to its successor, before newer ones.
    pub handed_over: usize,
    /// Whether these are all that it had not taken. Not if it had taken a part of a message that is longer than a
    /// frame ([`Unread::partial`](twinring::Unread::partial)), or has overwritten what was sent to it.
    pub complete: bool,
    /// The last checkpoint that it or a predecessor has set: what its successor is given.
    pub checkpoint: Option<Vec<u8>>,
    /// What happens now.
    pub then: Then,
}

/// Why a worker's process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// By itself, or killed by somebody else: the status says which.
    Itself,
    /// It was asked to by [`stop`](crate::Supervisor::stop), and did so in time.
    Asked,
    /// It was asked to, and killed because it did not in [time](crate::Builder::grace).
    TooSlow,
    /// The program had it [killed](crate::Supervisor::kill).
    Killed,
    /// It was killed because it had been [silent](crate::Builder::silence) for too long.
    Silent,
    /// It was killed because it had not connected in [time](crate::Builder::connect_within).
    NeverConnected,
    /// It was killed because it had ended its connection and gone on, or had broken the protocol.
    LeftLink,
}

/// What happens in the place of a worker that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Then {
    /// Its successor is started after this pause.
    Restart(Duration),
    /// Nothing, as the [policy](crate::Restart) says, or after [`stop`](crate::Supervisor::stop).
    Done,
    /// Nothing, because too many in a row have ended: [`Backoff::limit`](crate::Backoff::limit).
    GivenUp,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { worker, peer } => write!(f, "worker {worker}: {peer} has started"),
            Event::Message { worker, message } => {
                write!(f, "worker {worker}: a message of {} bytes", message.len())
            }
            Event::NotReceived { worker, error } | Event::NotSent { worker, error, .. } => {
                write!(f, "worker {worker}: {error}")
            }
            Event::Exited(exited) => exited.fmt(f),
            Event::NotStarted {
                worker,
                error,
                then,
                ..
            } => {
                write!(f, "worker {worker} could not be started: {error}; {then}")
            }
        }
    }
}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exited {
            worker,
            pid,
            status,
            cause,
            then,
            ..
        } = self;
        write!(
            f,
            "worker {worker}: process {pid} has ended: {status}{cause}"
        )?;
        match &self.end {
            // The usual ones go without saying.
            Some(End::Crashed | End::Finished) => {}
            Some(end) => write!(f, "; its link: {end}")?,
            None => f.write_str(", before it had connected")?,
        }
        match self.unread.len() + self.handed_over {
            0 => {}
            unread => write!(f, "; messages not taken: {unread}")?,
        }
        write!(f, "; {then}")
    }
}

/// As it stands after the status.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Itself => "",
            Cause::Asked => ", as it was asked to",
            Cause::TooSlow => ", killed, since it did not end when asked to",
            Cause::Killed => ", killed by the program",
            Cause::Silent => ", killed, since it was silent",
            Cause::NeverConnected => ", killed, since it did not connect",
            Cause::LeftLink => ", killed, since it had left its link",
        })
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Then::Restart(Duration::ZERO) => f.write_str("another one is started"),
            Then::Restart(pause) => write!(f, "another one is started in {pause:?}"),
            Then::Done => f.write_str("it has no successor"),
            Then::GivenUp => f.write_str("too many have ended in a row: given up"),
        }
    }
}
