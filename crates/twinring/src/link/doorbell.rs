//! What a loop of the program's own waits for, instead of the library's thread.

use std::fmt;
use std::sync::Arc;

use crate::os::event::{Waitable, impl_waitable};
use crate::transfer::{Awaited, Session};

/// A doorbell of a connection, for an event loop of the program's own: a descriptor to be polled for reading (`AsFd`), on
/// Windows an event to be waited for (`AsHandle`).
///
/// Without one, the library's thread listens for tasks and wakes them: two wake-ups on the way. While there is one, only
/// the program listens, and the loop itself is woken. `twinring-tokio` does this for its tasks, in the runtime's reactor.
///
/// The peer rings only for who [has asked](crate::Connection::poll_ready), so a loop asks before it waits: while a call
/// times out, `poll_ready`; then wait; then [`heard`](Doorbell::heard), and call again. A loop that is the only user of the
/// connection in its process may pass [`Waker::noop`](std::task::Waker::noop). Otherwise the waker has to make it look again:
/// what other threads of the process do to the connection does not ring. One loop listens to a doorbell at a time.
///
/// It may ring without a reason, and it does when the connection ends. Then the descriptor stays readable: take it out of
/// the loop once a call has told the end. (After a crash that may be a moment later, for which it is readable in vain.)
///
/// It does not keep the connection open. Its methods may be called from any thread, and do not wait.
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::task::{Context, Waker};
/// use rustix::event::{PollFd, PollFlags, poll};
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
///             if now.poll_ready(Interest::Recv, &mut task).is_pending() {
///                 poll(&mut [PollFd::new(&doorbell, PollFlags::IN)], None)?; // or any other loop
///                 doorbell.heard();
///             }
///         }
///         Err(e) => return Err(e.into()),
///     }
/// }
/// # Ok(()) }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
pub struct Doorbell {
    session: Arc<Session>,
    what: Awaited,
}

impl Doorbell {
    pub(super) fn new(session: &Arc<Session>, what: Awaited) -> Doorbell {
        session.begin_to_listen(what);
        Doorbell {
            session: session.clone(),
            what,
        }
    }

    /// To be called when the loop has found it readable, or signalled, before the next look: takes the ring back, and wakes
    /// the tasks that wait for it.
    pub fn heard(&self) {
        self.session.heard(self.what);
    }

    fn waitable(&self) -> Waitable<'_> {
        match self.what {
            Awaited::Data => self.session.doorbells.data_waitable(),
            Awaited::Room => self.session.doorbells.space_waitable(),
        }
    }
}

impl_waitable!(Doorbell);

/// The library's thread listens again.
impl Drop for Doorbell {
    fn drop(&mut self) {
        self.session.end_to_listen(self.what);
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("connection", &self.session.id)
            .field("what", &self.what)
            .finish()
    }
}
