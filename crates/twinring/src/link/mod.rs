//! The handles that a program uses.

mod batch;
mod builder;
mod connection;
mod connections;
mod doorbell;
mod halves;
mod link_end;
mod listener;
mod recv_stream;
mod reservation;
mod send_stream;
mod serve;
mod status;
mod unread;
mod view;
mod wait_set;

pub use batch::Batch;
pub use builder::Builder;
pub use connection::Connection;
pub use connections::Connections;
pub use doorbell::Doorbell;
pub use halves::{RecvHalf, SendHalf};
pub use link_end::LinkEnd;
pub use listener::Listener;
pub use recv_stream::RecvStream;
pub use reservation::Reservation;
pub use send_stream::SendStream;
pub use status::Status;
pub use unread::Unread;
pub use view::View;
pub use wait_set::WaitSet;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::driver::Core;
use crate::error::Result;
use crate::os::event::Deadline;
use crate::os::threads_can_start;
use crate::segment::Cause;
use crate::transfer::{Name, State, Timeout, send};

/// One end of a link: a name under which two processes find each other, again and again.
///
/// A *host* owns the link's name and a *guest* connects to it. Either may start first, and once connected
/// they are equal. A link finds a peer by itself, and again whenever it has gone; each time, the program gets
/// a new [`Connection`], on which it sends and receives: by [`next`](Link::next), or by
/// [callbacks](Builder::on_message).
///
/// All methods may be called from any thread. Clones are handles to the same link, which is closed by
/// [`close`](Link::close) or when the last handle is dropped. Dropping it gives up the name, and the
/// connections that the program has not taken; those that it has go on. A link that is still there when its
/// connection ends connects again at once: drop it first if it is not to.
///
/// ```
/// use std::time::Duration;
/// use twinring::Link;
///
/// # let name = twinring::testing::unique_name();
/// // The two ends are usually in two processes.
/// let host = Link::host(&name).open()?;
/// let guest = Link::guest(&name).open()?;
///
/// let to_guest = host.within(Duration::from_secs(5)).next()?;
/// to_guest.send(b"hello")?;
/// assert_eq!(guest.next()?.recv()?, Some(b"hello".to_vec()));
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone)]
pub struct Link {
    core: Arc<Core>,
    timeout: Timeout,
    _closer: Arc<Closer>,
}

/// A link that is dropped waits until its name is free. After this long it looks whether that may ever be: it may be
/// dropped where no thread can start, as within the loader's lock of Windows, while the driver waits for one.
const DROP_WAIT: Duration = Duration::from_millis(500);

/// Closes the link with its last handle.
struct Closer(Arc<Core>);

impl Drop for Closer {
    fn drop(&mut self) {
        if self.0.link.is_forked() {
            // Nothing of the parent's is released: it is not ours to release.
            mem::forget(self.0.clone());
        }
        let free = self.0.close(None, Deadline::after(DROP_WAIT));
        if !free && threads_can_start() {
            self.0.close(None, Deadline::Never);
        }
    }
}

impl Link {
    pub(crate) fn new(core: Arc<Core>) -> Link {
        Link {
            _closer: Arc::new(Closer(core.clone())),
            timeout: Timeout::Never,
            core,
        }
    }

    /// The link's name.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// assert_eq!(Link::guest(&name).open()?.name(), name);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        self.core.link.name.as_str()
    }

    /// The same link, whose calls wait at most this long: a [`Duration`](std::time::Duration) for each call,
    /// an [`Instant`](std::time::Instant) for all of them, or [`Timeout::Now`] for not at all. A link begins
    /// with [`Timeout::Never`]. The connections that it gives do not inherit it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let guest = Link::guest(&name).open()?;
    /// assert!(guest.within(Duration::from_millis(10)).next().unwrap_err().is_timeout());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn within(&self, timeout: impl Into<Timeout>) -> Link {
        Link {
            timeout: timeout.into(),
            ..self.clone()
        }
    }

    /// The next connection that the program has not got yet, waiting for it. One that has ended by now
    /// is given too: it may have messages.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) or, if the last attempt to connect has failed, the kind of that
    /// failure; [`Closed`](crate::ErrorKind::Closed) after [`close`](Link::close);
    /// [`Unsupported`](crate::ErrorKind::Unsupported) with an `on_message` callback, which gets the connections.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let (host, guest) = (Link::host(&name).open()?, Link::guest(&name).open()?);
    /// let conn = guest.next()?;
    /// println!("the host is {}", conn.peer());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn next(&self) -> Result<Connection> {
        let owner = self.core.next(self.timeout.deadline())?;
        Ok(Connection::new(&owner))
    }

    /// For tasks: ready if [`next`](Link::next) would not wait, or would fail; otherwise the task is woken when that may
    /// have changed. As [`Connection::poll_ready`]. A call in vain may tell why the last attempt failed: wait on
    /// unless the kind is `Closed`, `Unsupported` or `Forked`.
    ///
    /// ```
    /// # use std::task::{Context, Waker};
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let mut task = Context::from_waker(Waker::noop());
    /// let guest = Link::guest(&name).open()?;
    /// assert!(guest.poll_ready(&mut task).is_pending());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.core.poll_ready(task)
    }

    /// The connections of this link, one after the other, as [`next`](Link::next) gives them. Ends once the
    /// link is closed or the time is over; other errors do not end it, and are not reported.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let (host, guest) = (Link::host(&name).open()?, Link::guest(&name).open()?);
    /// # guest.next()?.send(b"hello")?;
    /// for conn in host.connections() {
    ///     while let Ok(Some(message)) = conn.recv() {
    ///         println!("{}", message.len());
    ///     }
    ///     # break;
    /// }
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn connections(&self) -> Connections<'_> {
        Connections::new(&self.core, self.timeout)
    }

    /// Sends one message on the connection that the program was told of last, by [`next`](Link::next) or
    /// by `on_status`. Otherwise as [`Connection::send`].
    ///
    /// # Errors
    /// As [`Connection::send`]; [`NotConnected`](crate::ErrorKind::NotConnected), at once, if the program has no
    /// connection.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let (host, guest) = (Link::host(&name).open()?, Link::guest(&name).open()?);
    /// let conn = guest.next()?;
    /// guest.send(b"hello")?;
    /// # assert_eq!(host.next()?.recv()?, Some(b"hello".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send(&self, message: &[u8]) -> Result<()> {
        let owner = self.core.told()?;
        send(&owner.duplex, message, self.timeout.deadline())
    }

    /// What the link is doing now: [`Waiting`](Status::Waiting), [`Connected`](Status::Connected) or
    /// [`Closed`](Status::Closed).
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// assert_eq!(Link::guest(&name).open()?.status().to_string(), "waiting");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn status(&self) -> Status {
        match self.core.link.state() {
            State::Closed => Status::Closed,
            State::Waiting => Status::Waiting,
            State::Connected => match self.core.connected() {
                Some(owner) => Status::Connected(Connection::new(&owner)),
                None => Status::Waiting,
            },
        }
    }

    /// Closes the link and its connections, as [`Connection::close`] does. Returns once the name is free;
    /// that does not depend on any peer.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let (host, guest) = (Link::host(&name).open()?, Link::guest(&name).open()?);
    /// let conn = guest.next()?;
    /// host.close(0, "end of input");
    /// assert_eq!(
    ///     conn.recv().unwrap_err().to_string(),
    ///     format!("link {name:?}: the peer closed the connection: end of input")
    /// );
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.core
            .close(Some(&Cause::new(code, reason)), Deadline::Never);
    }

    /// Both ends of a connection, in this process and without a name: for tests, and for threads.
    ///
    /// ```
    /// # use twinring::*;
    /// let (one, other) = Link::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv()?, Some(b"hello".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn pair() -> Result<(Connection, Connection)> {
        let name = Name::random()?;
        let host = Link::host(name.as_str()).open()?;
        let guest = Link::guest(name.as_str()).open()?;
        // In one process nobody else knows the name, so nothing but the system can be in the way.
        Ok((host.next()?, guest.next()?))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name())
            .field("state", &self.core.link.state())
            .finish_non_exhaustive()
    }
}
