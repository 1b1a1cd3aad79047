//! What a loop of the program's own waits for, instead of the library's thread.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::os::event::{Waitable, impl_waitable};
use crate::transfer::{Awaited, Duplex, Interest, poll_ready};

/// A doorbell of a connection, for an event loop of the program's own: a descriptor to be polled for reading (`AsFd`), on
/// Windows an event to be waited for (`AsHandle`).
///
/// The library's thread, which wakes tasks otherwise, takes two wake-ups to reach a loop; the doorbell wakes the loop itself.
/// `twinring-tokio` does this for its tasks, in the runtime's reactor.
///
/// The peer rings only for who has asked, so a loop asks before it waits: while a call times out,
/// [`poll_ready`](Doorbell::poll_ready); then wait; then [`heard`](Doorbell::heard), and call again. A loop that is the only user of the
/// connection in its process may pass [`Waker::noop`](std::task::Waker::noop). Otherwise the waker has to make it look again:
/// what other threads of the process do to the connection does not ring, and they may hear a ring first, which wakes all wakers.
/// (A `twinring_tokio::Connection` that has been awaited is another user until its last clone is dropped.) One loop listens to a
/// doorbell at a time. It may be watched level- or edge-triggered, or once each time; two doorbells for one interest are the same
/// descriptor.
///
/// It may ring without a reason, and it does when the connection ends. Then the descriptor stays readable: take it out of
/// the loop once a call has told the end. (After a crash that is some milliseconds later, for which it is readable in vain.)
///
/// A [`Link`](crate::Link) and a [`Listener`](crate::Listener) have none: their `poll_ready` takes a waker, which can write to an
/// eventfd of the loop's.
///
/// It does not keep the connection open, but its memory and descriptors. Its methods may be called from any thread, and do not
/// wait. In a forked child they do nothing.
///
/// ```
/// use std::task::{Context, Waker};
/// # use twinring::testing::wait_readable;
/// use twinring::{Interest, Timeout};
///
/// # let (conn, peer) = twinring::testing::pair()?;
/// # let thread = std::thread::spawn(move || { peer.send(b"hello")?; peer.finish()?; peer.flush() });
/// let now = conn.within(Timeout::Now);
/// let doorbell = conn.doorbell(Interest::Recv);
/// let mut task = Context::from_waker(Waker::noop());
/// loop {
///     match now.recv() {
///         Ok(Some(message)) => println!("{message:?}"),
///         Ok(None) => break,
///         Err(e) if e.is_timeout() => {
///             if doorbell.poll_ready(Interest::Recv, &mut task).is_pending() {
///                 wait_readable(&doorbell); // poll, epoll_wait, WaitForSingleObject, or what the loop has
///                 doorbell.heard();
///             }
///         }
///         Err(e) => return Err(e),
///     }
/// }
/// # Ok::<(), twinring::Error>(())
/// ```
pub struct Doorbell {
    duplex: Arc<Duplex>,
    what: Awaited,
}

impl Doorbell {
    pub(super) fn new(duplex: &Arc<Duplex>, what: Awaited) -> Doorbell {
        if !duplex.link.is_forked() {
            duplex.session.begin_to_listen(what);
        }
        Doorbell {
            duplex: duplex.clone(),
            what,
        }
    }

    /// As [`Connection::poll_ready`](crate::Connection::poll_ready), for who listens to this doorbell: the library's thread is not asked to. Of
    /// an interest that has another doorbell it is.
    pub fn poll_ready(&self, interest: Interest, task: &mut Context<'_>) -> Poll<()> {
        let has_listener = interest.awaited() == self.what;
        poll_ready(&self.duplex, interest, task, has_listener)
    }

    /// To be called when the loop has found it readable, or signalled, before the next look: takes the ring back, and wakes
    /// the tasks that wait for it.
    pub fn heard(&self) {
        // The ring is the parent's.
        if !self.duplex.link.is_forked() {
            self.duplex.session.heard(self.what);
        }
    }

    pub(crate) fn waitable(&self) -> Waitable<'_> {
        let doorbells = &self.duplex.session.doorbells;
        match self.what {
            Awaited::Data => doorbells.data_waitable(),
            Awaited::Room => doorbells.space_waitable(),
        }
    }
}

impl_waitable!(Doorbell);

/// Tasks that have asked it are woken, to ask again.
impl Drop for Doorbell {
    fn drop(&mut self) {
        if !self.duplex.link.is_forked() {
            self.duplex.session.end_to_listen(self.what);
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("connection", &self.duplex.session.id)
            .field("what", &self.what)
            .finish()
    }
}
