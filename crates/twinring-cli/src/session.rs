//! A link as the commands use it: opened with the options of the command line, its connections reported on
//! standard error, each left with what the peer has to know.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use twinring::{Access, Builder, Connection, End, ErrorKind, Link, Timeout, Wait};

use crate::access::{self, parse_access};
use crate::exec;
use crate::exit::{Exit, Failure, exit_of};
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

/// What an interrupt does to the connection that there is. Without one it ends the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Ends it.
    #[default]
    Leave,
    /// The peer is told to send no more, and what it had sent is still received.
    Drain,
    /// The program that serves it is told, and ends it.
    TellProgram,
}

impl OnInterrupt {
    /// How long the command may take to end after it.
    fn grace(self) -> Duration {
        match self {
            OnInterrupt::Leave | OnInterrupt::Drain => Duration::from_secs(2),
            OnInterrupt::TellProgram => exec::LONGEST_END,
        }
    }
}

/// An open link, and the connection that it has.
pub(crate) struct Session {
    name: String,
    side: Side,
    connections: Connections,
    quiet: bool,
    shared: Arc<Shared>,
}

/// What a peer is told by a command that is interrupted.
const INTERRUPTED: u32 = 130;

/// How much of what could not be written is looked at, in bytes; each message counts this much more.
const MOST_COUNTED: usize = 64 << 20;
const PER_MESSAGE: usize = 16;

/// How long a peer that has left may take to say what it has taken.
const UNREAD: Duration = Duration::from_secs(2);

/// What the threads of a command share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by the thread that ends the command: the process must not end before that has taken leave.
    ending: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// `None` once it is no longer needed.
    link: Option<Link>,
    current: Option<Connection>,
    /// What earlier peers had not taken has been sent on it: the input may follow.
    is_caught_up: bool,
    /// What earlier peers had not taken, for the next one.
    unread: VecDeque<Vec<u8>>,
    on_interrupt: OnInterrupt,
    /// Nothing more is to be sent, on this connection or a later one.
    finished: bool,
    /// How the command ends, set by the first thread that knows.
    outcome: Option<Result<(), Failure>>,
}

impl Session {
    /// Opens the link. Its errors are reported from now on.
    pub(crate) fn open(
        args: &LinkArgs,
        side: Side,
        max_message: u64,
        connections: Connections,
    ) -> Result<Session, Failure> {
        let shared = Arc::new(Shared::default());
        let mut builder = builder(args, side);
        if connections == Connections::One {
            builder = builder.one_connection();
        }
        let link = builder
            .max_message(max_message)
            .wait(match args.wait {
                WaitArg::Sleep => Wait::Sleep,
                WaitArg::Adaptive => Wait::Adaptive,
                WaitArg::Spin => Wait::Spin,
            })
            .on_error({
                let (shared, quiet) = (Arc::downgrade(&shared), args.quiet);
                move |error| match error.kind() {
                    // Trying again would not help a guest; a host may get a better one.
                    ErrorKind::WrongOwner | ErrorKind::AccessDenied | ErrorKind::Version
                        if side == Side::Guest =>
                    {
                        if let Some(shared) = shared.upgrade() {
                            shared.end(Err(Failure::new(Exit::Refused, error)));
                        }
                    }
                    _ if !quiet => say(error),
                    _ => {}
                }
            })
            .open()?;
        let session = Session {
            name: args.name.clone(),
            side,
            connections,
            quiet: args.quiet,
            shared,
        };
        session.say_waiting();
        session.shared.opened(link);
        session.on_interrupt(OnInterrupt::Leave);
        Ok(session)
    }

    /// What an interrupt does from now on.
    pub(crate) fn on_interrupt(&self, what: OnInterrupt) {
        self.shared.state().on_interrupt = what;
        let (first, last) = (self.shared.clone(), self.shared.clone());
        interrupt::watch(
            move || first.interrupt(),
            what.grace(),
            move || {
                if what == OnInterrupt::Drain {
                    last.say_unwritten();
                }
                last.end(Err(interrupted()));
            },
        );
    }

    /// Waits for the next connection, for ever without a timeout. `None` if the command has ended
    /// meanwhile, and well.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Result<Option<Connection>, Failure> {
        let link = self.shared.state().link.clone();
        let next = link.map(|link| match timeout {
            Some(timeout) => link.within(timeout).next(),
            None => link.next(),
        });
        if let Some(outcome) = self.outcome() {
            return outcome.map(|()| None);
        }
        let Some(conn) = next.transpose()? else {
            return Err(interrupted());
        };
        if !self.quiet {
            say(format_args!("connected to {}", conn.peer()));
        }
        self.shared.connected(&conn, self.connections);
        Ok(Some(conn))
    }

    /// The connection after the one with this number, waiting for it. `None` once there will be none.
    pub(crate) fn current_after(&self, last: Option<u64>) -> Option<Connection> {
        let mut state = self.shared.state();
        loop {
            if state.outcome.is_some() {
                return None;
            }
            match &state.current {
                Some(current) if state.is_caught_up && Some(current.id()) != last => {
                    return Some(current.clone());
                }
                _ => {}
            }
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The program has done with a connection, in this way: tells the peer, and the user.
    pub(crate) fn done(&self, conn: &Connection, how: &Result<(), Failure>) {
        // Before this side ends it: whether the peer has.
        let end = conn.end();
        leave(conn, how);
        let mut state = self.shared.state();
        state.current = None;
        state.is_caught_up = false;
        drop(state);
        if self.outcome().is_some() {
            return;
        }
        match how {
            // The error that ends the command is reported by it.
            Err(_) if self.connections == Connections::One => return,
            Err(failure) => failure.message().into_iter().for_each(say),
            Ok(()) if self.quiet => {}
            Ok(()) => say(format_args!(
                "disconnected: {}",
                end.unwrap_or(End::Finished)
            )),
        }
        if self.connections == Connections::Many {
            self.say_waiting();
        }
    }

    /// Nothing more will be sent, on this connection or a later one.
    pub(crate) fn finish(&self) {
        let mut state = self.shared.state();
        state.finished = true;
        if let Some(current) = state.current.as_ref().filter(|_| state.is_caught_up) {
            // If it has ended, the thread that receives reports that.
            let _ = current.finish();
        }
    }

    /// Keeps what the peer of a connection that has ended had not taken, for the next one.
    pub(crate) fn keep_unread(&self, conn: &Connection) {
        let Ok(unread) = conn.within(UNREAD).take_unread() else {
            return;
        };
        let messages: Vec<_> = unread.collect();
        if messages.is_empty() {
            return;
        }
        let n = messages.len();
        let what = if n == 1 { "message" } else { "messages" };
        if interrupt::signal().is_some() {
            // There is no next one.
            say(format_args!("the peer had not taken {n} {what}"));
        } else if !self.quiet {
            say(format_args!(
                "the next peer gets {n} {what} that this one had not taken"
            ));
        }
        let mut state = self.shared.state();
        messages
            .into_iter()
            .rev()
            .for_each(|message| state.unread.push_front(message));
    }

    /// Sends what earlier peers had not taken; then the input may follow.
    pub(crate) fn catch_up(&self, conn: &Connection) {
        loop {
            let mut state = self.shared.state();
            let Some(message) = state.unread.pop_front() else {
                if state.finished {
                    let _ = conn.finish();
                }
                state.is_caught_up = true;
                self.shared.changed.notify_all();
                return;
            };
            drop(state);
            if let Err(e) = conn.send(&message) {
                self.shared.state().unread.push_front(message);
                if e.kind() != ErrorKind::Ended {
                    // Only this peer does not take it.
                    say(&e);
                    leave(conn, &Err(e.into()));
                }
                return;
            }
        }
    }

    /// Whether there is something that earlier peers had not taken.
    pub(crate) fn is_behind(&self) -> bool {
        !self.shared.state().is_caught_up
    }

    /// Ends the command from any thread: every call that waits returns, and
    /// [`outcome`](Session::outcome) says how it ends. Returns once the peer has been told.
    pub(crate) fn end(&self, outcome: Result<(), Failure>) {
        self.shared.end(outcome);
    }

    /// How the command ends, once a thread has ended it.
    pub(crate) fn outcome(&self) -> Option<Result<(), Failure>> {
        self.shared.state().outcome.clone()
    }

    /// How a connection ended, with the link's name, and what the peer had not taken.
    pub(crate) fn ended(&self, conn: &Connection, end: &End) -> Result<(), Failure> {
        let Some(exit) = exit_of(end) else {
            return Ok(());
        };
        let text = format!("link {:?}: {end}", self.name);
        Err(Failure::new(
            exit,
            match not_taken(conn) {
                Some(what) if self.connections == Connections::One => format!("{text}; {what}"),
                _ => text,
            },
        ))
    }

    /// Whether the peer of a connection that ended well has taken everything. `left`: there was more to send.
    pub(crate) fn all_taken(&self, conn: &Connection, left: bool) -> Result<(), Failure> {
        let what = match not_taken(conn) {
            Some(what) => what,
            None if left => "there was more to send".to_owned(),
            None => return Ok(()),
        };
        let text = format!("link {:?}: the peer has left too early: {what}", self.name);
        Err(Failure::new(Exit::PeerGone, text))
    }

    /// The failure for an error on a connection whose peer was not to leave yet.
    pub(crate) fn lost(&self, e: twinring::Error, left: &str) -> Failure {
        match (self.outcome(), e.end()) {
            (Some(Err(failure)), _) => failure,
            (_, Some(end)) if matches!(e.kind(), ErrorKind::Ended | ErrorKind::StreamEnded) => {
                let exit = exit_of(end).unwrap_or(Exit::PeerGone);
                Failure::new(exit, format_args!("{e}; {left}"))
            }
            _ => Failure::from(e),
        }
    }

    fn say_waiting(&self) {
        if !self.quiet {
            let whom = match self.side {
                Side::Host { .. } => "a guest",
                Side::Guest => "the host",
            };
            say(format_args!("waiting for {whom} on link {:?}", self.name));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        interrupt::unwatch();
        self.shared.end(Ok(()));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, link: Link) {
        let mut state = self.state();
        // An error may have ended the command before.
        if state.outcome.is_none() {
            state.link = Some(link);
        }
    }

    fn connected(&self, conn: &Connection, connections: Connections) {
        let mut state = self.state();
        if let Some(outcome) = &state.outcome {
            leave(conn, outcome);
        }
        if state.finished && state.unread.is_empty() {
            let _ = conn.finish();
        }
        state.current = Some(conn.clone());
        state.is_caught_up = state.unread.is_empty();
        // A guest that comes now is for another process: it would only be sent away.
        let link = match connections {
            Connections::One => state.link.take(),
            Connections::Many => None,
        };
        self.changed.notify_all();
        drop(state);
        drop(link);
    }

    fn interrupt(&self) {
        let state = self.state();
        match (state.on_interrupt, &state.current) {
            (OnInterrupt::Drain, Some(current)) => current.stop(INTERRUPTED, "interrupted"),
            (OnInterrupt::TellProgram, Some(_)) => {}
            _ => {
                drop(state);
                self.end(Err(interrupted()));
            }
        }
    }

    /// The output takes no more of what has arrived.
    fn say_unwritten(&self) {
        let Some(conn) = self.state().current.clone() else {
            return;
        };
        // Held until all are counted; then they go back to the sender. One that goes on in spite of being told to
        // stop must not make this endless.
        let (mut batches, mut messages, mut bytes) = (Vec::new(), 0, 0);
        while bytes < MOST_COUNTED {
            let Ok(Some(mut batch)) = conn.within(Timeout::Now).recv_batch() else {
                break;
            };
            while let Some(message) = batch.next_message() {
                messages += 1;
                bytes += message.len() + PER_MESSAGE;
            }
            batches.push(batch);
        }
        let at_least = if bytes < MOST_COUNTED {
            ""
        } else {
            "at least "
        };
        say(format_args!(
            "not all that had arrived could be written: the sender gets back what was being written, and \
             {at_least}{messages} more messages"
        ));
    }

    fn end(&self, outcome: Result<(), Failure>) {
        let _ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let outcome = state.outcome.get_or_insert(outcome).clone();
        let (link, current) = (state.link.take(), state.current.take());
        self.changed.notify_all();
        drop(state);
        if let Some(current) = current {
            leave(&current, &outcome);
        }
        if let Some(link) = link {
            let (code, reason) = farewell(&outcome);
            link.close(code, &reason);
        }
    }
}

/// How a command ends that was interrupted.
pub(crate) fn interrupted() -> Failure {
    Failure::silent(Exit::Interrupted)
}

/// What the peer of a connection had not taken, if anything.
fn not_taken(conn: &Connection) -> Option<String> {
    match conn.taken().map_or(0, |taken| taken.waiting) {
        0 => None,
        1 => Some("it had not taken 1 message".to_owned()),
        n => Some(format!("it had not taken {n} messages")),
    }
}

/// Ends a connection, unless it has ended: this side has nothing more to say, or has failed.
pub(crate) fn leave(conn: &Connection, how: &Result<(), Failure>) {
    if how.is_ok() {
        let _ = conn.finish();
    }
    // Also wakes a thread that still sends.
    let (code, reason) = farewell(how);
    conn.close(code, &reason);
}

/// What the peer is told of how this side has ended.
fn farewell(how: &Result<(), Failure>) -> (u32, String) {
    match how {
        Ok(()) => (0, String::new()),
        Err(failure) => {
            let reason = match failure.exit {
                Exit::Interrupted => "interrupted",
                _ => failure.message().unwrap_or_default(),
            };
            (failure.exit.code() as u32, reason.to_owned())
        }
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
