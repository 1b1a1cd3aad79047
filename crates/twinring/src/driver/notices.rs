//! What the callback thread is told besides messages.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{End, Error, Result};
use crate::os::event::LocalEvent;
use crate::os::system_error;
use crate::transfer::Owner;

/// A change of a link's status.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Waiting,
    Connected(Arc<Owner>),
    PeerFinished(Arc<Owner>),
    Disconnected(Arc<Owner>, End),
    Closed,
}

pub(super) struct Notices {
    /// `None` without callbacks.
    queue: Option<Mutex<VecDeque<Notice>>>,
    /// Changes come with the messages instead.
    with_messages: bool,
    /// Ends the thread's wait.
    pub(super) news: Option<LocalEvent>,
}

#[derive(Debug)]
pub(super) enum Notice {
    Change(Change),
    Error(Error),
}

/// How many notices may be queued for a callback that does not return; the oldest are dropped first.
/// Their numbers and texts differ, so a gap can be noticed.
const MOST_NOTICES: usize = 4096;

impl Notices {
    /// `any`: there are callbacks; `with_messages`: one of them takes the messages.
    pub(super) fn new(any: bool, with_messages: bool) -> Result<Notices> {
        let news = any
            .then(LocalEvent::new)
            .transpose()
            .map_err(|e| system_error("cannot create an event", e))?;
        Ok(Notices {
            queue: news.is_some().then(Mutex::default),
            with_messages,
            news,
        })
    }

    fn queue(&self) -> Option<MutexGuard<'_, VecDeque<Notice>>> {
        // Nothing can panic while it is held.
        self.queue
            .as_ref()
            .map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The oldest.
    pub(super) fn next(&self) -> Option<Notice> {
        self.queue()?.pop_front()
    }

    fn push(&self, notice: Notice) {
        if let Some(mut queue) = self.queue() {
            if queue.len() >= MOST_NOTICES {
                queue.pop_front();
            }
            queue.push_back(notice);
        }
        self.wake();
    }

    /// Whether there is a callback for changes, which does not learn of them otherwise.
    pub(super) fn take_changes(&self) -> bool {
        !self.with_messages && self.queue.is_some()
    }

    pub(super) fn change(&self, change: Change) {
        if self.take_changes() {
            self.push(Notice::Change(change));
        }
    }

    pub(super) fn error(&self, error: Error) {
        self.push(Notice::Error(error));
    }

    /// Makes the callback thread look again.
    pub(super) fn wake(&self) {
        if let Some(news) = &self.news {
            news.set();
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}
