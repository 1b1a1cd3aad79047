//! The thread that runs a link's callbacks, one at a time and with no lock held.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::core::Core;
use super::notices::Notice;
use crate::error::{Error, ErrorKind};
use crate::os::event::{Deadline, LocalEvent, wait};
use crate::transfer::{End, News, Status};

/// How long to pause after the system has refused to let the thread wait.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// A callback of the program's; it gets the link and what happened.
pub(crate) type Callback<T> = Box<dyn FnMut(&Arc<Core>, &T) + Send>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_message: Option<Callback<[u8]>>,
    pub(crate) on_status: Option<Callback<Status>>,
    pub(crate) on_error: Option<Callback<Error>>,
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

/// The callback thread; runs until the link is closed.
pub(crate) fn run(core: &Arc<Core>, mut callbacks: Callbacks) {
    let Some(news) = core.news() else {
        return;
    };
    // A callback that panics ends this thread. Nobody would report anything then, so the link is closed.
    let _close = CloseOnPanic(core);
    let with_messages = callbacks.take_messages();
    if with_messages {
        callbacks.status(core, &Status::Waiting);
    }
    let mut message = Vec::new();
    while !core.link.is_forked() {
        match core.notices.next() {
            Some(Notice::Status(status)) => {
                callbacks.status(core, &status);
                if status == Status::Closed {
                    return;
                }
            }
            Some(Notice::Error(e)) => callbacks.error(core, &e),
            None if with_messages => {
                if !callbacks.one_event(core, &mut message, news) {
                    return;
                }
            }
            None => {
                // Cannot fail for an event that exists; if it does, be slow rather than stop.
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
    /// Waits for one event and reports it; `false` once the link is closed.
    fn one_event(&mut self, core: &Arc<Core>, message: &mut Vec<u8>, news: &LocalEvent) -> bool {
        match core.inbox.next_news(message, news) {
            Ok(News::Message) => {
                if let Some(f) = &mut self.on_message {
                    f(core, message);
                }
                // One huge message must not keep its memory for ever.
                message.clear();
                message.shrink_to(MESSAGE_BUFFER_MAX);
            }
            Ok(News::Connected(connection)) => {
                let status = Status::Connected {
                    generation: connection.generation,
                    peer: connection.peer.clone(),
                };
                self.status(core, &status);
            }
            Ok(News::Ended(connection, end)) => {
                if let End::Disconnected(reason) = end {
                    let generation = connection.generation;
                    self.status(core, &Status::Disconnected { generation, reason });
                    self.status(core, &Status::Waiting);
                }
            }
            Ok(News::Interrupted) => news.clear(),
            // The callback that just returned has forked: this thread is a child's, which has no
            // link.
            Err(e) if e.kind() == ErrorKind::Forked => return false,
            Err(_) if core.link.is_closing() => {
                self.status(core, &Status::Closed);
                return false;
            }
            Err(e) => {
                // A connection that ends because of a fault is followed by another; what the system refuses
                // now it may keep refusing.
                let by_the_system = std::error::Error::source(&e).is_some();
                self.error(core, &core.link.named(e));
                if by_the_system {
                    thread::sleep(AFTER_A_FAILURE);
                }
            }
        }
        true
    }

    fn status(&mut self, core: &Arc<Core>, status: &Status) {
        if let Some(f) = &mut self.on_status {
            f(core, status);
        }
    }

    fn error(&mut self, core: &Arc<Core>, error: &Error) {
        if let Some(f) = &mut self.on_error {
            f(core, error);
        }
    }
}

/// After a longer message, the buffer is cut back to this size, in bytes.
const MESSAGE_BUFFER_MAX: usize = 64 * 1024 * 1024;
