//! One link, as shared by the driver and the program's handles.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::arrivals::{Arrivals, Closing};
use super::notices::{Change, Notices};
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::{Deadline, LocalEvent};
use crate::segment::Cause;
use crate::transfer::{
    Duplex, LinkState, Name, NotifyDriver, OnError, Options, Owner, Parts, SeatLimit, State, closed,
};

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) link: Arc<LinkState>,
    pub(super) arrivals: Arrivals,
    pub(super) notices: Notices,
}

impl Core {
    /// `callbacks`: whether there are any.
    pub(super) fn new(
        name: Name,
        options: Options,
        driver: Arc<dyn NotifyDriver>,
        callbacks: bool,
        on_error: Option<OnError>,
    ) -> Result<Core> {
        let notices = Notices::new(callbacks, options.callback)?;
        let core = Core {
            arrivals: Arrivals::new(options.seats),
            link: Arc::new(LinkState::new(name, options, driver, on_error)),
            notices,
        };
        core.notices.change(Change::Waiting);
        Ok(core)
    }

    /// The next connection that the program has not taken, waiting for it.
    pub(crate) fn next(&self, deadline: Deadline) -> Result<Arc<Owner>> {
        self.link.check_forked()?;
        let link = &self.link;
        if link.options.callback {
            return Err(link.named(Error::new(
                ErrorKind::Unsupported,
                "the link's connections go to its on_message callback; open it without one to take them",
            )));
        }
        let only_one = link.options.one_connection;
        match self.arrivals.next(deadline, only_one) {
            Some(owner) => {
                self.arrivals.set_told(&owner);
                // The driver may be waiting for the backlog to shrink.
                link.driver.notify();
                Ok(owner)
            }
            None if self.arrivals.is_closed() => Err(link.named(closed())),
            None if only_one && self.arrivals.any() => Err(link.named(Error::new(
                ErrorKind::Closed,
                "this link was for one connection, and has had it",
            ))),
            None => Err(link.named(link.not_connected_in_time(deadline))),
        }
    }

    /// For tasks: ready if [`Core::next`] would not wait, or would fail.
    pub(crate) fn poll_ready(&self, task: &Context<'_>) -> Poll<()> {
        let (link, options) = (&self.link, &self.link.options);
        if link.is_forked() || options.callback {
            return Poll::Ready(());
        }
        let ready = self
            .arrivals
            .poll_ready(task.waker(), options.one_connection);
        match ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The connection that the program was told of last.
    pub(crate) fn told(&self) -> Result<Arc<Owner>> {
        self.link.check_forked()?;
        let told = self.arrivals.told();
        told.ok_or_else(|| self.link.named(self.link.not_connected()))
    }

    /// The connections that the program has been told of and that have not ended, the oldest first.
    pub(crate) fn clients(&self) -> Vec<Arc<Owner>> {
        let mut all = self.arrivals.all();
        all.retain(|owner| owner.is_told() && owner.duplex.session.end().is_none());
        all
    }

    /// The connection that there is now, if there is one.
    pub(crate) fn connected(&self) -> Option<Arc<Owner>> {
        let last = self.arrivals.last();
        last.filter(|owner| owner.duplex.session.end().is_none())
    }

    /// Ends the link, and its connections with this cause; waits until the name is free. The driver waits
    /// for nothing but the system, so neither does this, unless one of the link's own senders is copying from
    /// slow memory, or the link's directory is slow; not beyond the deadline. Returns whether it is free. Does
    /// nothing in a forked child: the link is the parent's.
    pub(crate) fn close(&self, cause: Option<&Cause>, deadline: Deadline) -> bool {
        if self.link.is_forked() {
            return true;
        }
        self.link.begin_to_close();
        for owner in self.arrivals.begin_to_close(cause) {
            if let Some(cause) = cause {
                owner.duplex.close(cause.clone());
            }
        }
        self.let_end();
        self.arrivals.abandon();
        let free = self.link.wait_finished(deadline);
        if let Some(admit) = &self.link.options.admit {
            // Here, and not by the driver: it may have links itself, whose drop waits for the driver.
            admit.end();
        }
        free
    }

    /// Tells all who wait for connections or work for the link that it is closed.
    fn let_end(&self) {
        self.link.let_end();
        self.arrivals.close();
        self.notices.wake();
    }

    /// The driver cannot go on: ends the link, and leaves its connections alone.
    pub(super) fn give_up(&self) {
        self.link.begin_to_close();
        self.arrivals.begin_to_close(None);
        self.let_end();
    }

    // Called by the driver.

    /// Whether no further connection should be made now.
    pub(super) fn is_full(&self) -> bool {
        let options = &self.link.options;
        let each = options.callback || options.seats != SeatLimit::One;
        self.arrivals.is_full(each)
    }

    /// The error while [`Core::is_full`].
    pub(super) fn full(&self) -> Error {
        self.arrivals.full()
    }

    /// A handshake has succeeded: shows the connection to the program.
    pub(super) fn connect(&self, parts: Parts) -> (Arc<Duplex>, Weak<Owner>) {
        let duplex = Duplex::new(&self.link, parts);
        let owner = Owner::new(duplex.clone());
        let shown = Arc::downgrade(&owner);
        self.link.change(State::Connected);
        match self.arrivals.push(&owner) {
            Ok(()) => {
                // The driver keeps none: it would outlive the program's last handle.
                self.notices.change(Change::Connected(owner));
                self.notices.wake();
            }
            // The program is told nothing of it any more. Without a cause the peer learns it by the owner's drop.
            Err(Closing { cause: Some(cause) }) => duplex.close(cause),
            Err(Closing { cause: None }) => {}
        }
        (duplex, shown)
    }

    /// The connection is over. `shown`: what [`Core::connect`] has shown the program, if it still has it.
    pub(super) fn disconnected(&self, duplex: &Arc<Duplex>, shown: &Weak<Owner>) {
        let others = self.arrivals.ended(duplex);
        self.link.change(match others {
            true => State::Connected,
            false => State::Waiting,
        });
        // This side knows that it closes, and is told of that alone.
        if self.link.is_closing() {
            return;
        }
        if let Some(ended) = duplex.session.end() {
            // Not another one beside the program's: its drop would end what the program still receives.
            let owner = shown.upgrade();
            let owner = owner.unwrap_or_else(|| Owner::new(duplex.clone()));
            let change = Change::Disconnected(owner, ended.whole().clone());
            self.notices.change(change);
            if !others && !self.link.is_closing() {
                self.notices.change(Change::Waiting);
            }
        }
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

    /// The event that ends the callback thread's wait, if there is such a thread.
    pub(super) fn news(&self) -> Option<&LocalEvent> {
        self.notices.news.as_ref()
    }
}

/// Reports that a link is closed, even if a panic ended it: `close` waits for that.
pub(super) struct FinishGuard(pub(super) Arc<Core>);

impl Drop for FinishGuard {
    fn drop(&mut self) {
        let core = &self.0;
        if !core.link.may_end() {
            core.give_up();
        }
        core.link.change(State::Closed);
        core.notices.change(Change::Closed);
        core.link.finish();
        core.notices.wake();
    }
}
