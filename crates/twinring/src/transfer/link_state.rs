//! What belongs to a link across its connections: its options, its state, its end.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use super::holder_thread::HolderThread;
use super::name::Name;
use super::notify::NotifyDriver;
use super::options::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::process::forks;

/// The program's callback for errors.
pub(crate) type OnError = Box<dyn FnMut(&Error) + Send>;

pub(crate) struct LinkState {
    pub(crate) name: Name,
    pub(crate) options: Options,
    pub(crate) driver: Arc<dyn NotifyDriver>,
    /// Set once, by the first `close`.
    closing: AtomicBool,
    /// Set after it, once its connections have the cause.
    may_end: AtomicBool,
    /// The value of [`forks`] when the link was opened.
    forks: u32,
    situation: Mutex<Situation>,
    changed: Condvar,
    /// The thread that runs the callbacks.
    pub(crate) callback_thread: HolderThread,
    /// Not with the other callbacks: a send within one of them may have something to report.
    on_error: Mutex<Option<OnError>>,
    /// A callback has been reported to wait for the peer.
    told_stuck: AtomicBool,
}

/// What a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It looks for a peer.
    Waiting,
    Connected,
    /// It has been closed.
    Closed,
}

#[derive(Debug)]
struct Situation {
    state: State,
    /// Why the last attempt to connect failed, while there is no connection.
    failure: Option<(ErrorKind, String)>,
    /// There has been a connection.
    has_connected: bool,
    /// The driver has released the name.
    finished: bool,
}

impl LinkState {
    pub(crate) fn new(
        name: Name,
        options: Options,
        driver: Arc<dyn NotifyDriver>,
        on_error: Option<OnError>,
    ) -> LinkState {
        LinkState {
            name,
            options,
            driver,
            closing: AtomicBool::new(false),
            may_end: AtomicBool::new(false),
            forks: forks(),
            situation: Mutex::new(Situation {
                state: State::Waiting,
                failure: None,
                has_connected: false,
                finished: false,
            }),
            changed: Condvar::new(),
            callback_thread: HolderThread::default(),
            on_error: Mutex::new(on_error),
            told_stuck: AtomicBool::new(false),
        }
    }

    /// Tells the program's `on_error`, on this thread; not while it is running.
    pub(crate) fn report(&self, e: &Error) {
        let mut on_error = match self.on_error.try_lock() {
            Ok(on_error) => Some(on_error),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(f) = on_error.as_deref_mut().and_then(Option::as_mut) {
            f(e);
        }
    }

    /// Drops the program's `on_error`, which may have a handle of this link.
    pub(crate) fn end_reports(&self) {
        let on_error = self.on_error.lock();
        let on_error = on_error.unwrap_or_else(PoisonError::into_inner).take();
        // Not within the lock: it is the program's.
        drop(on_error);
    }

    /// A callback's send has waited for a second, while the peer's messages wait for the callback to return.
    #[cold]
    pub(crate) fn report_stuck(&self) {
        if !self.told_stuck.swap(true, Ordering::Relaxed) {
            self.report(&self.named(Error::timed_out(
                &"a send within a callback has waited for a second for the peer to read, while messages of \
                 the peer lie unread here; if the peer does the same, both wait for ever",
                false,
            )));
        }
    }

    fn situation(&self) -> MutexGuard<'_, Situation> {
        // Nothing can panic while it is held.
        self.situation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// It is being closed: the program is told of nothing else any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// It is being closed, and its connections have the cause: who works for it ends. Not earlier, for what they drop
    /// then would be told to the peers as abandoned.
    pub(crate) fn may_end(&self) -> bool {
        self.may_end.load(Ordering::Acquire)
    }

    /// Whether this process is a forked child of the one that opened the link, or (on Windows) is ending. Then nothing
    /// of the link may be touched: it is the parent's, and the thread that holds a lock may not exist here.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        forks() != self.forks
    }

    /// The error of every call in a forked child.
    #[inline]
    pub(crate) fn check_forked(&self) -> Result<()> {
        if self.is_forked() {
            return Err(self.named(Error::new(
                ErrorKind::Forked,
                "this process is a forked child of the one that opened the link, or is ending; a child opens \
                 a link of its own, with another name",
            )));
        }
        Ok(())
    }

    /// Whether it has had the one connection that it is for.
    pub(crate) fn has_served(&self) -> bool {
        self.options.one_connection && self.situation().has_connected
    }

    pub(crate) fn state(&self) -> State {
        if self.is_forked() {
            return State::Closed;
        }
        self.situation().state
    }

    /// Adds the link's name to an error.
    pub(crate) fn named(&self, e: Error) -> Error {
        e.of_link(self.name.as_str())
    }

    /// The error for a call that needs a connection when there is none.
    #[cold]
    pub(crate) fn not_connected(&self) -> Error {
        if self.is_closing() {
            return closed();
        }
        let why = match &self.situation().failure {
            Some((_, failure)) => format!("; the last attempt to connect failed: {failure}"),
            None => String::new(),
        };
        Error::new(
            ErrorKind::NotConnected,
            format!("there is no connection now; `next` waits for one{why}"),
        )
    }

    /// The error for a call that waited for a connection until the deadline: why the last attempt to connect
    /// failed, if there was one.
    #[cold]
    pub(crate) fn not_connected_in_time(&self, deadline: Deadline) -> Error {
        match &self.situation().failure {
            Some((kind, failure)) => Error::new(*kind, failure.clone()),
            None => Error::timed_out(
                &"no peer appeared in the time given; is the other side running?",
                deadline == Deadline::Now,
            ),
        }
    }

    /// [`LinkState::is_closing`] from now on.
    pub(crate) fn begin_to_close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// [`LinkState::may_end`] from now on; the driver is told.
    pub(crate) fn let_end(&self) {
        self.may_end.store(true, Ordering::Release);
        self.driver.notify();
    }

    /// Waits until the driver has released everything, at most until the deadline; whether it has.
    pub(crate) fn wait_finished(&self, deadline: Deadline) -> bool {
        let mut situation = self.situation();
        while !situation.finished && !deadline.passed() {
            situation = match deadline.left() {
                None => self
                    .changed
                    .wait(situation)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.changed
                        .wait_timeout(situation, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        situation.finished
    }

    /// The driver has released everything.
    pub(crate) fn finish(&self) {
        self.situation().finished = true;
        self.changed.notify_all();
    }

    /// Changes the state, unless the link is closed: its last connection may end after it.
    pub(crate) fn change(&self, state: State) {
        let mut situation = self.situation();
        if situation.state != State::Closed {
            situation.state = state;
        }
        situation.has_connected |= state == State::Connected;
        situation.failure = None;
        self.changed.notify_all();
    }

    /// An attempt to connect has failed. Returns whether it is the first of its kind in a row.
    pub(crate) fn failed(&self, e: &Error) -> bool {
        let mut situation = self.situation();
        let last = situation.failure.as_ref().map(|(kind, _)| *kind);
        situation.failure = Some((e.kind(), e.message().to_owned()));
        last != Some(e.kind())
    }

    /// There is nobody to connect to: an earlier failure is no longer the reason.
    pub(crate) fn absent(&self) {
        self.situation().failure = None;
    }
}

impl fmt::Debug for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkState")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cold]
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the link has been closed here")
}
