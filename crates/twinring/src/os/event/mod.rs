//! Sleeping until something happens, and waking the peer.
//!
//! Three kinds of things can be waited for together, each as a [`Source`]: an [`Alarm`] of this
//! process, a bell that the peer rings ([`Bells`]), and what other rooms offer (a process that
//! ends, a listener that is called). Bells carry no information: a wake-up only means "look again",
//! so rings may merge, repeat or come for nothing.

use std::io;
use std::time::{Duration, Instant};

mod hub;
#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
mod word;

pub(crate) use hub::{Hub, MOST_KEYS, Watched};

/// Something to wait for. Borrowed from its owner for the length of one wait.
pub(crate) use sys::Source;
pub(crate) use word::{can_wait_on_words, wait_on_word, wake_word};

/// A manual-reset event of this process: stays set, and wakes everyone who waits, until cleared.
///
/// `new() -> io::Result<Alarm>`, `set(&self)`, `clear(&self)`, `source(&self) -> Source`.
/// Thread-safe; `set` and `clear` never block.
pub(crate) use sys::Alarm;

/// One side's end of the doorbells of a connection.
///
/// * `ring_data(&self) -> bool`: tells the peer that there is something to read;
/// * `ring_space(&self) -> bool`: tells the peer that there is room to write;
/// * `hang_up(&self)`: tells the peer to look whether we are gone;
/// * `data`, `space`, `hung_up` (`&self -> Source`): the same three, rung by the peer.
///
/// * `HANG_UP_IS_FINAL`: whether a hang-up alone proves that the peer's end is gone.
///
/// Ringing never blocks, whatever the peer does. It fails, with `false`, only if the system has no memory
/// for it, and is to be tried again: otherwise a bell that cannot be rung is one that has been rung already
/// or whose hearer is gone. `data` and `space` are consumed by the
/// wait that returns them, so each must have one waiter at a time; `hung_up` may be reported again.
pub(crate) use sys::Bells;

/// What other rooms need to make them of.
#[cfg(windows)]
pub(in crate::os) use sys::{Chimes, new_event, reset, set};

/// Waits until one of `sources` is ready and returns its index (the lowest, if several are), or
/// `None` at the deadline. May return an index for nothing; callers look at what they wait for.
pub(crate) fn wait(sources: &[Source<'_>], deadline: Deadline) -> io::Result<Option<usize>> {
    sys::wait(sources, deadline)
}

/// How a thread waits that waits for a peer: what else it listens to meanwhile.
pub(crate) trait Sleeper {
    /// Waits until `source` is ready.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `Interrupted` if it is told to stop, `WouldBlock` if it has
    /// something else to do by now and the same may be waited for by another.
    fn sleep(&self, source: Source<'_>, deadline: Deadline) -> io::Result<()>;

    /// To be called before anything else that takes long.
    fn busy(&self) {}
}

/// One that does nothing else: the alarm tells it to stop.
impl Sleeper for Alarm {
    fn sleep(&self, source: Source<'_>, deadline: Deadline) -> io::Result<()> {
        match wait(&[self.source(), source], deadline)? {
            Some(0) => Err(io::ErrorKind::Interrupted.into()),
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Until when a call may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// As long as it takes.
    Never,
    /// Until this moment; one that has passed is as good as `Now`.
    At(Instant),
    /// Not at all: the call only looks.
    Now,
}

impl Deadline {
    /// `timeout` from now; a timeout beyond what the clock can tell is [`Deadline::Never`].
    pub(crate) fn after(timeout: Duration) -> Deadline {
        Instant::now()
            .checked_add(timeout)
            .map_or(Deadline::Never, Deadline::At)
    }

    /// The time left: `None` for ever, zero once passed.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::At(at) => Some(at.saturating_duration_since(Instant::now())),
            Deadline::Now => Some(Duration::ZERO),
        }
    }

    /// The moment at which it passes, if it does.
    pub(crate) fn at(self) -> Option<Instant> {
        match self {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Now => Some(Instant::now()),
        }
    }

    /// The one that passes first.
    pub(crate) fn first(all: impl IntoIterator<Item = Deadline>) -> Deadline {
        let left = |deadline: &Deadline| deadline.left().unwrap_or(Duration::MAX);
        all.into_iter().min_by_key(left).unwrap_or(Deadline::Never)
    }

    pub(crate) fn passed(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
