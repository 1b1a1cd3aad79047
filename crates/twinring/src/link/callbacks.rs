//! The thread that runs a link's callbacks, one at a time and with no lock held.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Link;
use super::connection::End;
use super::core::Core;
use super::recv::{Event, aborted};
use super::status::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::{Alarm, Deadline, wait};

/// How long a system that will not let the thread wait is left alone.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

pub(crate) type OnMessage = Box<dyn FnMut(&Link, &[u8]) + Send>;
pub(crate) type OnStatus = Box<dyn FnMut(&Link, &Status) + Send>;
pub(crate) type OnError = Box<dyn FnMut(&Link, &Error) + Send>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_message: Option<OnMessage>,
    pub(crate) on_status: Option<OnStatus>,
    pub(crate) on_error: Option<OnError>,
}

impl Callbacks {
    pub(crate) fn any(&self) -> bool {
        self.on_message.is_some() || self.on_status.is_some() || self.on_error.is_some()
    }

    /// Whether messages go to a callback.
    pub(crate) fn take_messages(&self) -> bool {
        self.on_message.is_some()
    }
}

/// What the callback thread is told besides messages.
pub(crate) struct Notices {
    /// `None` without callbacks.
    queue: Option<Mutex<VecDeque<Notice>>>,
    /// Statuses come with the messages instead.
    with_messages: bool,
    /// Calls the thread away from where it waits.
    pub(crate) news: Option<Alarm>,
}

#[derive(Debug)]
enum Notice {
    Status(Status),
    Error(Error),
}

/// Notices that may wait for a callback that does not return; the oldest go first. They are told
/// apart by their numbers and texts, so a gap shows.
const MOST_NOTICES: usize = 4096;

impl Notices {
    pub(crate) fn new(callbacks: &Callbacks) -> Result<Notices> {
        let news = callbacks
            .any()
            .then(Alarm::new)
            .transpose()
            .map_err(|e| Error::from_io("cannot make an event", e))?;
        Ok(Notices {
            queue: news.is_some().then(Mutex::default),
            with_messages: callbacks.take_messages(),
            news,
        })
    }

    fn queue(&self) -> Option<MutexGuard<'_, VecDeque<Notice>>> {
        // Nothing can panic while it is held.
        self.queue
            .as_ref()
            .map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner))
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

    pub(crate) fn status(&self, status: Status) {
        if !self.with_messages {
            self.push(Notice::Status(status));
        }
    }

    pub(crate) fn error(&self, error: Error) {
        self.push(Notice::Error(error));
    }

    /// Lets the callback thread look around.
    pub(crate) fn wake(&self) {
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

/// The callback thread, until the link is closed.
pub(crate) fn run(core: &Arc<Core>, mut callbacks: Callbacks) {
    let Some(news) = &core.notices.news else {
        return;
    };
    let link = Link::passing(core.clone());
    // A callback that panics ends this thread; without it the link would be deaf, so it is closed.
    let _close = CloseOnPanic(core);
    let with_messages = callbacks.take_messages();
    if with_messages {
        callbacks.status(&link, &Status::Waiting);
    }
    let mut message = Vec::new();
    while !core.is_forked() {
        let notice = core.notices.queue().and_then(|mut queue| queue.pop_front());
        match notice {
            Some(Notice::Status(status)) => {
                callbacks.status(&link, &status);
                if status == Status::Closed {
                    return;
                }
            }
            Some(Notice::Error(e)) => callbacks.error(&link, &e),
            None if with_messages => {
                if !callbacks.one_event(core, &link, &mut message, news) {
                    return;
                }
            }
            None => {
                // Cannot fail for an event that exists; if it does, better slow than deaf.
                if wait(&[news.source()], Deadline::Never).is_err() {
                    thread::sleep(AFTER_A_FAILURE);
                }
                news.clear();
            }
        }
    }
}

struct CloseOnPanic<'a>(&'a Core);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

impl Callbacks {
    /// Waits for one event and tells it; `false` once the link is closed.
    fn one_event(&mut self, core: &Core, link: &Link, message: &mut Vec<u8>, news: &Alarm) -> bool {
        match core.next_event(message, news) {
            Ok(Event::Message(_)) => {
                if let Some(f) = &mut self.on_message {
                    f(link, message);
                }
                // One huge message must not hold its memory for ever.
                message.clear();
                message.shrink_to(MESSAGE_BUFFER_MAX);
            }
            Ok(Event::Connected(connection)) => {
                let status = Status::Connected {
                    generation: connection.generation,
                    peer: connection.peer.clone(),
                };
                self.status(link, &status);
            }
            Ok(Event::Ended {
                connection, end, ..
            }) => {
                if let End::Disconnected(reason) = end {
                    let generation = connection.generation;
                    self.status(link, &Status::Disconnected { generation, reason });
                    self.status(link, &Status::Waiting);
                }
            }
            Ok(Event::Aborted) => self.error(link, &core.named(aborted())),
            Ok(Event::Interrupted) => news.clear(),
            // The callback that just returned has forked: this thread is a child's, which has no
            // link.
            Err(e) if e.kind() == ErrorKind::Forked => return false,
            Err(_) if core.is_closing() => {
                self.status(link, &Status::Closed);
                return false;
            }
            Err(e) => {
                // A connection that ends for a fault is followed by another; what the system refuses now,
                // it may go on to refuse.
                let by_the_system = std::error::Error::source(&e).is_some();
                self.error(link, &core.named(e));
                if by_the_system {
                    thread::sleep(AFTER_A_FAILURE);
                }
            }
        }
        true
    }

    fn status(&mut self, link: &Link, status: &Status) {
        if let Some(f) = &mut self.on_status {
            f(link, status);
        }
    }

    fn error(&mut self, link: &Link, error: &Error) {
        if let Some(f) = &mut self.on_error {
            f(link, error);
        }
    }
}

/// The buffer for messages is cut back to this size after a longer one, in bytes.
const MESSAGE_BUFFER_MAX: usize = 64 * 1024 * 1024;
