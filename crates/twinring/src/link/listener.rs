//! One name, many guests.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Closer;
use super::connection::Connection;
use super::connections::Connections;
use crate::driver::Core;
use crate::error::{Error, Result};
use crate::os::event::Deadline;
use crate::segment::Cause;
use crate::transfer::{Timeout, broadcast};

/// The host of a name for many guests, each of which gets a [`Connection`] of its own.
///
/// A guest is a [`Link`](crate::Link) like any other: it connects when there is a listener, and again when that has been started
/// anew. Each time it is a new client, with a new connection; [`Peer::client`](crate::Peer::client) tells which
/// are of one link. What one client does, or does not do, delays no other.
///
/// All methods may be called from any thread. Clones are handles to the same listener, which is closed by
/// [`close`](Listener::close) or when the last handle is dropped. Dropping it gives up the name, and the connections
/// that the program has not accepted; those that it has go on.
///
/// ```
/// use std::thread;
/// use twinring::{Link, Listener};
///
/// # let name = twinring::testing::unique_name();
/// let listener = Listener::bind(&name)?;
/// # let server = listener.clone();
/// thread::spawn(move || {
///     for conn in listener.incoming() {
///         thread::spawn(move || -> twinring::Result<()> {
///             while let Some(message) = conn.recv()? {
///                 conn.send(&message)?; // an echo
///             }
///             conn.finish()
///         });
///     }
/// });
///
/// // In other processes:
/// let (one, other) = (Link::guest(&name).open()?.next()?, Link::guest(&name).open()?.next()?);
/// one.send(b"one")?;
/// other.send(b"other")?;
/// assert_eq!(one.recv()?, Some(b"one".to_vec()));
/// assert_eq!(other.recv()?, Some(b"other".to_vec()));
/// # server.close(0, "");
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone)]
pub struct Listener {
    core: Arc<Core>,
    timeout: Timeout,
    _closer: Arc<Closer>,
}

impl Listener {
    pub(crate) fn new(core: Arc<Core>) -> Listener {
        Listener {
            _closer: Arc::new(Closer(core.clone())),
            timeout: Timeout::Never,
            core,
        }
    }

    /// The name.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// assert_eq!(twinring::Listener::bind(&name)?.name(), name);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        self.core.link.name.as_str()
    }

    /// The same listener, whose calls wait at most this long, as [`Link::within`](crate::Link::within). The connections that it gives do
    /// not inherit it.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Listener::bind(&name)?;
    /// assert!(listener.within(Timeout::Now).accept().unwrap_err().is_timeout());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn within(&self, timeout: impl Into<Timeout>) -> Listener {
        Listener {
            timeout: timeout.into(),
            ..self.clone()
        }
    }

    /// The next client that the program has not got yet, waiting for one. One that has gone by now is given
    /// too: it may have sent something. While 128 wait to be accepted, others are connected later.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) or, if the last attempt of a guest has failed, the kind of that failure;
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Listener::close).
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let listener = Listener::bind(&name)?;
    /// # let guest = Link::guest(&name).open()?;
    /// let conn = listener.accept()?;
    /// println!("{} has come", conn.peer());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn accept(&self) -> Result<Connection> {
        let owner = self.core.next(self.timeout.deadline())?;
        Ok(Connection::new(&owner))
    }

    /// For tasks: ready if [`accept`](Listener::accept) would not wait, or would fail; otherwise the task is woken when that may
    /// have changed. As [`Connection::poll_ready`]. A call in vain may tell why the last attempt failed: wait on
    /// unless the kind is `Closed`, `Unsupported` or `Forked`.
    ///
    /// ```
    /// # use std::task::{Context, Waker};
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let mut task = Context::from_waker(Waker::noop());
    /// let listener = Listener::bind(&name)?;
    /// assert!(listener.poll_ready(&mut task).is_pending());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.core.poll_ready(task)
    }

    /// The clients, one after the other, as [`accept`](Listener::accept) gives them. Ends once the listener is closed
    /// or the time is over; other errors do not end it, and are not reported.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let listener = Listener::bind(&name)?;
    /// # let guests = [Link::guest(&name).open()?, Link::guest(&name).open()?];
    /// let mut clients = Vec::new();
    /// for conn in listener.incoming() {
    ///     println!("{} has come", conn.peer());
    ///     clients.push(conn);
    ///     # if clients.len() == 2 { break; }
    /// }
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn incoming(&self) -> Connections<'_> {
        Connections::new(&self.core, self.timeout)
    }

    /// The clients that the program has accepted, still has, and whose connections have not ended, the oldest first.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let listener = Listener::bind(&name)?;
    /// # let guest = Link::guest(&name).open()?;
    /// let conn = listener.accept()?;
    /// assert_eq!(listener.clients()[0].id(), conn.id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn clients(&self) -> Vec<Connection> {
        let clients = self.core.clients();
        clients.iter().map(Connection::new).collect()
    }

    /// How many clients may be connected at once: what [`Builder::max_clients`](crate::Builder::max_clients) said, or as many as
    /// the limit of open files allows. Who comes beyond that waits for its turn.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Link::host(&name).max_clients(10, 10).listen()?;
    /// assert_eq!(listener.max_clients(), 10);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn max_clients(&self) -> usize {
        self.core.link.options.seats.all()
    }

    /// Sends one message to all [`clients`](Listener::clients). Returns those that did not get it, each with the
    /// reason: mostly that it had no room ([`TimedOut`](crate::ErrorKind::TimedOut)), because it does not read. The program may
    /// then skip it, [`close`](Connection::close) it, or send to it again.
    ///
    /// Waits for room as long as [`within`](Listener::within) says, for all of them together; without it, not at all, so that
    /// no client delays the others. A message that is longer than a client's ring needs time.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let listener = Listener::bind(&name)?;
    /// # let guest = Link::guest(&name).open()?;
    /// # let conn = listener.accept()?;
    /// for (client, error) in listener.broadcast(b"prices have changed") {
    ///     if error.is_timeout() {
    ///         client.close(1, "too slow");
    ///     }
    /// }
    /// assert_eq!(guest.next()?.recv()?, Some(b"prices have changed".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn broadcast(&self, message: &[u8]) -> Vec<(Connection, Error)> {
        let deadline = match self.timeout {
            Timeout::Never => Deadline::Now,
            other => other.deadline(),
        };
        broadcast(self.core.clients(), message, deadline)
            .into_iter()
            .map(|(owner, e)| (Connection::new(&owner), self.core.link.named(e)))
            .collect()
    }

    /// Closes the listener and its connections, as [`Connection::close`] does. Returns once the name is free; that does
    /// not depend on any peer.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let listener = Listener::bind(&name)?;
    /// # let guest = Link::guest(&name).open()?;
    /// let conn = listener.accept()?;
    /// listener.close(0, "back at noon");
    /// assert!(matches!(guest.next()?.recv().unwrap_err().end(), Some(End::Closed { .. })));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.core
            .close(Some(&Cause::new(code, reason)), Deadline::Never);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
