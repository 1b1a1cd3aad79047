//! A link as the commands use it: opened with the options of the command line, its statuses reported on
//! standard error, closed in whatever way the command ends.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use twinring::{Access, Builder, DisconnectReason, ErrorKind, Link, Status, Wait};

use crate::access::{self, parse_access};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::report::say;
use crate::size::{parse_size, parse_time};

/// Options of every command that uses a link.
#[derive(Args, Clone, Debug)]
pub(crate) struct LinkArgs {
    /// The link's name: any text of 1 to 255 bytes, the same on both sides
    pub(crate) name: String,

    /// Give up, with exit code 3, if no peer comes within this time (5, 500ms, 2m) [default: wait]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,

    /// How to wait for the peer
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    wait: WaitArg,

    /// Directory for the link's lock and socket, on both sides [default: the user's own runtime
    /// directory; for --access service /run/twinring]; not used on Windows
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,

    #[arg(long, value_name = "WHO", value_parser = parse_access, default_value = "same", help = access::HELP)]
    access: Access,

    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The library's defaults, as people write them.
const RING_CAPACITY: &str = "1M";
const MAX_MESSAGE: &str = "1G";

/// How much memory the host creates for a connection.
#[derive(Args, Clone, Debug)]
pub(crate) struct RingArgs {
    /// Memory for each direction: a power of two from 4K to 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = RING_CAPACITY)]
    pub(crate) ring_capacity: u64,
}

/// What the receiving side accepts.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitArgs {
    /// The longest message to accept (64K, 1M, 4GiB); the peer cannot send a longer one
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = MAX_MESSAGE)]
    pub(crate) max_message: u64,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum WaitArg {
    /// Sleep at once: least processor time
    Sleep,
    /// Spin for some microseconds if that has paid lately, then sleep
    #[default]
    Adaptive,
    /// Never sleep: lowest latency, one processor busy per waiting thread
    Spin,
}

/// Which end of the link this is, and its own options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Host { ring_capacity: u64 },
    Guest,
}

/// Whether the command goes on after a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    One,
    Many,
}

/// An open link.
pub(crate) struct Session {
    pub(crate) link: Link,
    outcome: Outcome,
    met: Arc<Met>,
    /// Notified once the last status has been reported.
    said_all: Mutex<Receiver<()>>,
}

/// How the command ends, set by the first thread that knows; the link is then closed.
type Outcome = Arc<Mutex<Option<Result<(), Failure>>>>;

impl Session {
    /// Opens the link. Its statuses are reported from now on.
    pub(crate) fn open(
        args: &LinkArgs,
        side: Side,
        max_message: u64,
        connections: Connections,
    ) -> Result<Session, Failure> {
        let outcome = Outcome::default();
        let met = Arc::new(Met::default());
        let (all_said, said_all) = mpsc::channel();
        let link = builder(args, side)
            .max_message(max_message)
            .wait(match args.wait {
                WaitArg::Sleep => Wait::Sleep,
                WaitArg::Adaptive => Wait::Adaptive,
                WaitArg::Spin => Wait::Spin,
            })
            .on_status({
                let mut statuses = Statuses::new(side, connections, args.quiet);
                let met = met.clone();
                move |link, status| {
                    statuses.say(link.name(), status);
                    met.note(status);
                    if *status == Status::Closed {
                        let _ = all_said.send(());
                    }
                }
            })
            .on_error({
                let (outcome, quiet) = (outcome.clone(), args.quiet);
                move |link, error| match error.kind() {
                    // Trying again would not help a guest; a host may get a better one.
                    ErrorKind::WrongOwner | ErrorKind::AccessDenied | ErrorKind::Version
                        if side == Side::Guest =>
                    {
                        end(&outcome, link, Err(Failure::new(Exit::Refused, error)));
                    }
                    ErrorKind::Busy if !quiet => {
                        say("the host is connected to another guest; trying again");
                    }
                    _ if !quiet => say(error),
                    _ => {}
                }
            })
            .open()?;
        interrupt::watch(Some(&link));
        Ok(Session {
            link,
            outcome,
            met,
            said_all: Mutex::new(said_all),
        })
    }

    /// Waits for the first peer, for ever without a timeout. It may have gone again by the time this
    /// returns; the next `recv` then reports that.
    pub(crate) fn wait_connected(&self, timeout: Option<Duration>) -> Result<(), Failure> {
        // Not `Link::wait_connected`, which does not notice a peer that leaves at once.
        self.met.wait(timeout);
        match self.link.status() {
            Status::Closed => self.outcome(),
            _ if self.link.generation() > 0 => Ok(()),
            _ => match self.link.wait_connected(Duration::ZERO) {
                Ok(_) => Ok(()),
                Err(e) => Err(self.failure(e)),
            },
        }
    }

    /// Ends the command from another thread: every call that waits on the link returns, and
    /// [`outcome`](Session::outcome) says how it ends.
    pub(crate) fn end(&self, outcome: Result<(), Failure>) {
        end(&self.outcome, &self.link, outcome);
    }

    /// How the command ends, once a call on the link has reported that it is closed here.
    pub(crate) fn outcome(&self) -> Result<(), Failure> {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or(Err(Failure::silent(Exit::Interrupted)))
    }

    /// Says goodbye to the peer; returns once all statuses have been reported.
    pub(crate) fn close(&self) {
        interrupt::watch(None);
        self.link.close();
        let said_all = self.said_all.lock().unwrap_or_else(PoisonError::into_inner);
        // This takes long only if standard error is blocked.
        let _ = said_all.recv_timeout(Duration::from_secs(1));
    }

    /// The failure that an error of a call on the link stands for.
    pub(crate) fn failure(&self, e: twinring::Error) -> Failure {
        match self.outcome() {
            Err(failure) if e.kind() == ErrorKind::ClosedHere => failure,
            _ => Failure::from(e),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether there has been a connection.
#[derive(Default)]
struct Met {
    /// There has been one, or there will be none.
    decided: Mutex<bool>,
    changed: Condvar,
}

impl Met {
    fn note(&self, status: &Status) {
        if status.is_connected() || *status == Status::Closed {
            *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.changed.notify_all();
        }
    }

    /// Waits until that is decided, but not beyond the timeout.
    fn wait(&self, timeout: Option<Duration>) {
        let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = timeout.unwrap_or(Duration::MAX);
        drop(
            self.changed
                .wait_timeout_while(decided, timeout, |decided| !*decided),
        );
    }
}

fn builder(args: &LinkArgs, side: Side) -> Builder {
    let builder = match side {
        Side::Host { ring_capacity } => Link::host(&args.name).ring_capacity(ring_capacity),
        Side::Guest => Link::guest(&args.name),
    }
    .access(args.access.clone());
    match &args.directory {
        Some(path) => builder.directory(path),
        None => builder,
    }
}

fn end(slot: &Outcome, link: &Link, outcome: Result<(), Failure>) {
    slot.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert(outcome);
    link.close();
}

/// Reports the link's statuses.
struct Statuses {
    side: Side,
    connections: Connections,
    quiet: bool,
    over: bool,
}

impl Statuses {
    fn new(side: Side, connections: Connections, quiet: bool) -> Statuses {
        Statuses {
            side,
            connections,
            quiet,
            over: false,
        }
    }

    fn say(&mut self, name: &str, status: &Status) {
        // With one connection, nothing after it matters; and if it broke, the error that ends the
        // command is reported.
        if self.quiet || self.over {
            return;
        }
        let one = self.connections == Connections::One;
        match status {
            Status::Waiting => say(format_args!(
                "waiting for {} on link {name:?}",
                match self.side {
                    Side::Host { .. } => "a guest",
                    Side::Guest => "the host",
                }
            )),
            Status::Connected { peer, .. } if one => say(format_args!("connected to {peer}")),
            Status::Disconnected { reason, .. } if one => {
                self.over = true;
                if *reason == DisconnectReason::Closed {
                    say(status);
                }
            }
            Status::Closed => {}
            other => say(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_library_s() {
        let capacity = parse_size(RING_CAPACITY);
        assert_eq!(capacity, Ok(twinring::DEFAULT_RING_CAPACITY));
        assert_eq!(parse_size(MAX_MESSAGE), Ok(twinring::DEFAULT_MAX_MESSAGE));
    }
}
