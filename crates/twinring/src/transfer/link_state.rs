//! What belongs to a link across its connections: its options, its status, its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::connection::closed_here;
use super::name::Name;
use super::notify::NotifyDriver;
use super::options::Options;
use super::status::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::process::{Peer, forks};

#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) name: Name,
    pub(crate) options: Options,
    pub(crate) driver: Arc<dyn NotifyDriver>,
    /// Set once, by the first `close`.
    closing: AtomicBool,
    /// The value of [`forks`] when the link was opened.
    forks: u32,
    situation: Mutex<Situation>,
    changed: Condvar,
    generation: AtomicU64,
}

#[derive(Debug)]
struct Situation {
    status: Status,
    /// Why the last attempt to connect failed, while there is no connection.
    failure: Option<(ErrorKind, String)>,
    /// Generation and peer of the current or last connection.
    last: Option<(u64, Peer)>,
    /// The driver has said goodbye and released everything.
    finished: bool,
}

impl LinkState {
    pub(crate) fn new(name: Name, options: Options, driver: Arc<dyn NotifyDriver>) -> LinkState {
        LinkState {
            name,
            options,
            driver,
            closing: AtomicBool::new(false),
            forks: forks(),
            situation: Mutex::new(Situation {
                status: Status::Waiting,
                failure: None,
                last: None,
                finished: false,
            }),
            changed: Condvar::new(),
            generation: AtomicU64::new(0),
        }
    }

    fn situation(&self) -> MutexGuard<'_, Situation> {
        // Nothing can panic while it is held.
        self.situation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether this process is a forked child of the one that opened the link. Then nothing of the
    /// link may be touched: it is the parent's, and the thread that holds a lock may not exist here.
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
                "this process is a forked child of the one that opened the link; open another \
                 link here, with another name",
            )));
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Status {
        if self.is_forked() {
            return Status::Closed;
        }
        self.situation().status.clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The number of a new connection.
    pub(crate) fn next_generation(&self) -> u64 {
        let generation = self.generation() + 1;
        self.generation.store(generation, Ordering::Release);
        generation
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        if self.is_forked() {
            return None;
        }
        match &self.situation().status {
            Status::Connected { peer, .. } => Some(peer.clone()),
            _ => None,
        }
    }

    /// Adds the link's name to an error.
    pub(crate) fn named(&self, e: Error) -> Error {
        e.of_link(self.name.as_str())
    }

    /// The error for a call that needs a connection when there is none.
    pub(crate) fn not_connected(&self) -> Error {
        if self.is_closing() {
            return closed_here();
        }
        let why = match &self.situation().failure {
            Some((_, failure)) => format!("; the last attempt to connect failed: {failure}"),
            None => String::new(),
        };
        Error::new(
            ErrorKind::NotConnected,
            format!("there is no peer now; wait for it with wait_connected{why}"),
        )
    }

    pub(crate) fn wait_connected(&self, deadline: Deadline) -> Result<Peer> {
        self.check_forked()?;
        let mut situation = self.situation();
        let before = situation.last.as_ref().map_or(0, |last| last.0);
        loop {
            if self.is_closing() {
                return Err(closed_here());
            }
            if let Status::Connected { peer, .. } = &situation.status {
                return Ok(peer.clone());
            }
            // A peer that came and went while this thread was waking up was connected all the same.
            match &situation.last {
                Some((generation, peer)) if *generation > before => return Ok(peer.clone()),
                _ => {}
            }
            situation = match deadline.left() {
                None => self
                    .changed
                    .wait(situation)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    return Err(match &situation.failure {
                        Some((kind, failure)) => Error::new(*kind, failure.clone()),
                        None => Error::new(
                            ErrorKind::TimedOut,
                            "no peer appeared in the time given; is the other side running?",
                        ),
                    });
                }
                Some(left) => {
                    self.changed
                        .wait_timeout(situation, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Tells all calls that wait for a connection that the link is closing.
    pub(crate) fn begin_to_close(&self) {
        let _situation = self.situation();
        self.closing.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits until the driver has released everything.
    pub(crate) fn wait_finished(&self) {
        let mut situation = self.situation();
        while !situation.finished {
            situation = self
                .changed
                .wait(situation)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The driver has released everything.
    pub(crate) fn finish(&self) {
        self.situation().finished = true;
        self.changed.notify_all();
    }

    /// Changes the status. Nobody sees the new one before `and` is done, which must not look at it.
    pub(crate) fn change(&self, status: Status, and: impl FnOnce()) {
        let mut situation = self.situation();
        if let Status::Connected { generation, peer } = &status {
            situation.last = Some((*generation, peer.clone()));
        }
        situation.status = status;
        situation.failure = None;
        and();
        self.changed.notify_all();
    }

    /// Changes what callers see now; waiting threads are told by [`LinkState::change`].
    pub(crate) fn change_quietly(&self, status: Status, and: impl FnOnce()) {
        let mut situation = self.situation();
        situation.status = status;
        and();
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
