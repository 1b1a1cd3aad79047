//! The thread that runs a link's callbacks, one at a time and with no lock held.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::core::Core;
use super::notices::{Change, Notice};
use crate::error::{End, Error, ErrorKind};
use crate::os::event::{Deadline, LocalEvent, wait};
use crate::os::handles::Handle;
use crate::transfer::{News, OnError, Owner, Share};

/// How long to pause after the system has refused to let the thread wait.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// After a longer message, the buffer is cut back to this size, in bytes.
const MESSAGE_BUFFER_MAX: usize = 64 * 1024 * 1024;

/// A callback of the program's that is told of what happened.
pub(crate) type Callback<T> = Box<dyn FnMut(&T) + Send>;

/// A callback that gets a message, the handle of the connection that it came on, and the handles that came with it.
pub(crate) type OnMessage<C> = Box<dyn FnMut(&C, &[u8], Vec<Handle>) + Send>;

/// The program's callbacks. `C` is its handle of a connection.
pub(crate) struct Callbacks<C> {
    pub(crate) on_message: Option<OnMessage<C>>,
    pub(crate) on_change: Option<Callback<Change>>,
    /// Goes to the link when it is opened.
    pub(crate) on_error: Option<OnError>,
}

impl<C> Default for Callbacks<C> {
    fn default() -> Callbacks<C> {
        Callbacks {
            on_message: None,
            on_change: None,
            on_error: None,
        }
    }
}

impl<C> Callbacks<C> {
    pub(crate) fn any(&self) -> bool {
        self.on_message.is_some() || self.on_change.is_some() || self.on_error.is_some()
    }

    fn change(&mut self, core: &Core, change: &Change) {
        if let Some(f) = &mut self.on_change {
            f(change);
        }
        // Only now: nothing goes out on a connection before the program was told of it.
        if let Change::Connected(owner) = change {
            core.arrivals.set_told(owner);
        }
    }
}

/// The callback thread; runs until the link is closed.
pub(crate) fn run<C: From<Arc<Share>>>(core: &Arc<Core>, mut callbacks: Callbacks<C>) {
    let Some(news) = core.news() else {
        return;
    };
    let _reports = EndReports(core);
    core.link.callback_thread.hold();
    let with_messages = callbacks.on_message.is_some();
    let mut teller = Teller {
        core,
        news,
        current: None,
        message: Vec::new(),
    };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        if with_messages {
            callbacks.change(core, &Change::Waiting);
        }
        while !core.link.is_forked() {
            match core.notices.next() {
                Some(Notice::Change(change)) => {
                    callbacks.change(core, &change);
                    if let Change::Closed = change {
                        return;
                    }
                }
                Some(Notice::Error(e)) => core.link.report(&e),
                None if with_messages => {
                    if !teller.one_event(&mut callbacks) {
                        return;
                    }
                }
                None => teller.wait(None),
            }
        }
    }));
    let Err(panic) = ran else {
        return;
    };
    // A callback has panicked. Nobody would report anything any more, so the link is closed; the peer is told
    // that its connection was abandoned, and so is this side, unless that panics as well.
    let current = teller.current.take().map(|current| current.owner);
    core.close(None, Deadline::Never);
    let told = catch_unwind(AssertUnwindSafe(|| {
        if let Some(owner) = current {
            let end = owner.duplex.session.end().map(|end| end.whole().clone());
            let end = end.unwrap_or(End::Crashed);
            callbacks.change(core, &Change::Disconnected(owner, end));
        }
        callbacks.change(core, &Change::Closed);
    }));
    drop(told);
    resume_unwind(panic);
}

/// The callback for errors, which ends with the thread.
struct EndReports<'a>(&'a Core);

impl Drop for EndReports<'_> {
    fn drop(&mut self) {
        self.0.link.end_reports();
    }
}

/// What is told of the connections and their messages.
struct Teller<'a, C> {
    core: &'a Arc<Core>,
    news: &'a LocalEvent,
    current: Option<Served<C>>,
    message: Vec<u8>,
}

struct Served<C> {
    owner: Arc<Owner>,
    /// The program's handle.
    handle: C,
    /// The program knows that the peer has ended its direction.
    told: bool,
}

impl<C: From<Arc<Share>>> Teller<'_, C> {
    /// Waits for one event and reports it; `false` once the link is closed.
    fn one_event(&mut self, callbacks: &mut Callbacks<C>) -> bool {
        let core = self.core;
        if core.link.may_end() {
            callbacks.change(core, &Change::Closed);
            return false;
        }
        let Some(current) = &mut self.current else {
            self.next_connection(callbacks);
            return true;
        };
        let duplex = &current.owner.duplex;
        match duplex.inbox.next_news(&mut self.message, self.news) {
            Ok(News::Message(handles)) => {
                if let Some(f) = &mut callbacks.on_message {
                    f(&current.handle, &self.message, handles);
                }
                // One huge message must not keep its memory for ever.
                self.message.clear();
                self.message.shrink_to(MESSAGE_BUFFER_MAX);
            }
            Ok(News::GivenUp(end)) => {
                core.link.report(&core.link.named(Error::stream_ended(end)));
            }
            // This side knows that it closes, and is told of that alone.
            Ok(News::Over(_)) if core.link.is_closing() => self.wait(None),
            // Also if the connection has ended since: the peer had said all.
            Ok(News::Over(end)) if !current.told => {
                current.told = true;
                if end == End::Finished {
                    let change = Change::PeerFinished(current.owner.clone());
                    callbacks.change(core, &change);
                } else if duplex.session.end().is_none() {
                    core.link.report(&core.link.named(Error::ended(end)));
                }
            }
            Ok(News::Over(_)) if duplex.session.end().is_some() => self.disconnected(callbacks),
            Ok(News::Over(_)) => self.wait_for_the_end(),
            Ok(News::Interrupted) => self.news.clear(),
            // The callback that just returned has forked: this thread is a child's, which has no
            // link.
            Err(e) if e.kind() == ErrorKind::Forked => return false,
            Err(e) => {
                // A connection that ends because of a fault is followed by another; what the system refuses
                // now it may keep refusing.
                let by_the_system = std::error::Error::source(&e).is_some();
                core.link.report(&core.link.named(e));
                if by_the_system {
                    thread::sleep(AFTER_A_FAILURE);
                }
            }
        }
        true
    }

    fn next_connection(&mut self, callbacks: &mut Callbacks<C>) {
        let Some(owner) = self.core.arrivals.take_current() else {
            return self.wait(None);
        };
        // The driver may be waiting for the backlog to shrink.
        self.core.link.driver.notify();
        let share = Share::new(&owner, true, true);
        let change = Change::Connected(owner.clone());
        self.current = Some(Served {
            owner,
            handle: C::from(share),
            told: false,
        });
        callbacks.change(self.core, &change);
    }

    fn disconnected(&mut self, callbacks: &mut Callbacks<C>) {
        let Some(Served { owner, .. }) = self.current.take() else {
            return;
        };
        self.core.arrivals.drop_current();
        let end = owner.duplex.session.end().map(|end| end.whole().clone());
        let end = end.unwrap_or(End::Crashed);
        callbacks.change(self.core, &Change::Disconnected(owner, end));
        if !self.core.link.is_closing() {
            callbacks.change(self.core, &Change::Waiting);
        }
    }

    /// The peer sends nothing more: what is left to happen is the end of the connection.
    fn wait_for_the_end(&self) {
        let current = self.current.as_ref();
        self.wait(current.map(|current| &current.owner.duplex.session.over));
    }

    /// Waits for news, or for this event.
    fn wait(&self, event: Option<&LocalEvent>) {
        let news = self.news.source();
        let sources = [news, event.unwrap_or(self.news).source()];
        // Cannot fail for events that exist; if it does, be slow rather than stop.
        if wait(&sources, Deadline::Never).is_err() {
            thread::sleep(AFTER_A_FAILURE);
        }
        self.news.clear();
    }
}
