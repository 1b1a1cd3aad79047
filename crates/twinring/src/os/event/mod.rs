//! Sleeping until something happens, and waking the peer.
//!
//! Three kinds of things can be waited for together, each as a [`Source`]: a [`LocalEvent`] of this
//! process, a doorbell that the peer rings ([`Doorbells`]), and what other modules provide (a process
//! that ends, a listener that is called). Doorbells carry no information: a wake-up only means "look
//! again", so rings may merge, be repeated or come without a reason.

mod deadline;
mod poller;
#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
mod word;

pub(crate) use deadline::Deadline;
pub(crate) use poller::{MAX_TOKENS, Poller, Watched};

/// Something to wait for. Borrowed from its owner for the length of one wait.
pub(crate) use sys::Source;
pub(crate) use word::{can_wait_on_words, wait_on_word, wake_word};

/// A manual-reset event of this process: stays set, and wakes everyone who waits, until cleared.
///
/// `new() -> io::Result<LocalEvent>`, `set(&self)`, `clear(&self)`, `source(&self) -> Source`.
/// Thread-safe; `set` and `clear` never block.
pub(crate) use sys::LocalEvent;

/// One side's end of the doorbells of a connection.
///
/// * `ring_data(&self) -> bool`: tells the peer that there is something to read;
/// * `ring_space(&self) -> bool`: tells the peer that there is room to write;
/// * `hang_up(&self)`: tells the peer to check whether we are gone;
/// * `data`, `space`, `hung_up` (`&self -> Source`): the same three, rung by the peer.
///
/// * `ring_own_data(&self)`: as if the peer had rung for data, if this end `RINGS_ITSELF`;
/// * `prepare_rings(&self) -> io::Result<()>`, then `data_rings`, `space_rings` (`&self -> Source`): the same two for a
///   poller, beside whoever waits for `data` and `space`. After a report call `heard_data`, `heard_space`
///   (`&self, others: bool`); `others`: threads may sleep on it, and are to hear it as well;
/// * `ring_own(&self)`: as if the peer had rung for both, unless a hang-up shows at them anyway;
/// * `data_waitable`, `space_waitable` (`&self -> Waitable`): the same two, for a loop of the program's own;
/// * `HANG_UP_IS_FINAL`: whether a hang-up alone proves that the peer's end is gone.
///
/// Ringing never blocks, whatever the peer does. It fails, with `false`, only if the system has no memory
/// for it, and has to be tried again; any other doorbell that cannot be rung has been rung already, or
/// nobody waits for it any more. `data` and `space` are consumed by the wait that returns them, so each
/// must have one waiter at a time; `hung_up` may be reported again.
pub(crate) use sys::Doorbells;

/// A descriptor or handle, and the macro that implements the system's traits for a type that has one.
pub(crate) use sys::{Waitable, impl_waitable};

/// What other modules need to build doorbells.
#[cfg(windows)]
pub(in crate::os) use sys::{DoorbellEvents, named_event, new_event, open_event, reset, set};

/// `wait(&[Source], Deadline) -> io::Result<Option<usize>>`: waits until one of the sources is ready
/// and returns its index (the lowest, if several are), or `None` at the deadline. May return an index
/// without a reason; callers check what they wait for.
pub(crate) use sys::wait;
