//! One link, as shared by the driver and the program's handles.

use std::sync::Arc;

use super::notices::Notices;
use crate::error::{Error, Result};
use crate::os::event::LocalEvent;
use crate::transfer::{
    Connection, End, Inbox, LinkState, Name, NotifyDriver, Options, Outbox, Parts, Status,
};

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) link: Arc<LinkState>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(super) notices: Notices,
}

impl Core {
    /// `callbacks`: whether there are any, and whether one of them takes the messages.
    pub(super) fn new(
        name: Name,
        options: Options,
        driver: Arc<dyn NotifyDriver>,
        callbacks: (bool, bool),
    ) -> Result<Core> {
        let (any, messages) = callbacks;
        let link = Arc::new(LinkState::new(name, options, driver));
        let core = Core {
            outbox: Outbox::new(&link),
            inbox: Inbox::new(&link, messages),
            notices: Notices::new(any, messages)?,
            link,
        };
        core.notices.status(Status::Waiting);
        Ok(core)
    }

    /// Ends the link and waits until the peer has been told. The driver waits for nothing but the system,
    /// so neither does this, unless one of the link's own senders is copying from slow memory, or the link's
    /// directory is slow. Does nothing in a forked child: the link is the parent's.
    pub(crate) fn close(&self) {
        if self.link.is_forked() {
            return;
        }
        self.begin_to_close();
        self.link.wait_finished();
    }

    /// Tells all waiting calls, and the driver, that the link is closing.
    pub(super) fn begin_to_close(&self) {
        self.link.begin_to_close();
        self.link.driver.notify();
        self.inbox.wake_all();
        self.notices.wake();
    }

    // Called by the driver.

    /// A handshake has succeeded.
    pub(super) fn new_connection(&self, parts: Parts) -> Arc<Connection> {
        let generation = self.link.next_generation();
        Arc::new(Connection::new(parts, generation, self.link.driver.clone()))
    }

    /// Shows the connection to the program. `false` if a sender is still busy: try again.
    pub(super) fn connect(&self, connection: &Arc<Connection>) -> bool {
        if !self.outbox.connect(connection) {
            return false;
        }
        let status = Status::Connected {
            generation: connection.generation,
            peer: connection.peer.clone(),
        };
        // Both at once for all callers: one that learns that there is a peer also finds what it has
        // sent, and one that has a message of the peer's also finds its peer.
        self.change(status, || self.inbox.connect(connection));
        self.notices.wake();
        true
    }

    /// The connection is over: wakes everyone who waits for it.
    pub(super) fn end(&self, connection: &Connection, end: &End) {
        // Both at once for all callers: one that learns from a call that the peer has gone, and then
        // waits for a peer, does not find this one.
        let finish = || connection.finish(end.clone());
        match ended(connection, end) {
            Some(status) => self.link.change_quietly(status, finish),
            None => finish(),
        }
        self.inbox.wake_all();
    }

    /// Tells the peer, if it lives, and the program. `false` if a sender is still busy: try again.
    pub(super) fn finish(&self, connection: &Connection, end: &End) -> bool {
        if !self.outbox.disconnect(end) {
            return false;
        }
        connection.doorbells.hang_up();
        if let Some(status) = ended(connection, end) {
            self.change(status, || {});
            self.change(Status::Waiting, || {});
        }
        true
    }

    /// An attempt to connect has failed. Reported once for each kind of failure in a row.
    pub(super) fn failed(&self, e: Error) {
        if self.link.is_closing() {
            return;
        }
        let e = self.link.named(e);
        if self.link.failed(&e) {
            self.notices.error(e);
        }
    }

    fn change(&self, status: Status, and: impl FnOnce()) {
        self.link.change(status.clone(), and);
        self.notices.status(status);
    }

    /// The event that ends the callback thread's wait, if there is such a thread.
    pub(super) fn news(&self) -> Option<&LocalEvent> {
        self.notices.news.as_ref()
    }
}

fn ended(connection: &Connection, end: &End) -> Option<Status> {
    match end {
        End::Disconnected(reason) => Some(Status::Disconnected {
            generation: connection.generation,
            reason: reason.clone(),
        }),
        End::ClosedHere => None,
    }
}

/// Reports that a link is closed, even if a panic ended it: `close` waits for that.
pub(super) struct FinishGuard(pub(super) Arc<Core>);

impl Drop for FinishGuard {
    fn drop(&mut self) {
        let core = &self.0;
        if !core.link.is_closing() {
            core.begin_to_close();
        }
        core.change(Status::Closed, || {});
        core.link.finish();
        core.notices.wake();
    }
}
