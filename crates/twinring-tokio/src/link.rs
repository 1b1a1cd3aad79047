//! A name for one peer, or for many.

use std::future::poll_fn;
use std::task::{Context, Poll};

use twinring::{ErrorKind, Result, Timeout};

use super::connection::Connection;
use super::connections::Connections;

/// A [`twinring::Link`] whose connections are awaited. Made from one: `Link::from(twinring::Link::guest(name).open()?)`.
///
/// It connects again whenever a connection has ended, also if nobody asks for the next one: who wants one only drops the link
/// then, or says so by [`one_connection`](twinring::Builder::one_connection).
///
/// Opening a guest may take 2 ms, and dropping or closing the last handle waits until the name is free, mostly less than
/// a millisecond; neither depends on the peer. Whoever cannot spare that does it in `spawn_blocking`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> twinring::Result<()> {
/// use twinring_tokio::Link;
///
/// # let name = twinring::testing::unique_name();
/// let host = Link::from(twinring::Link::host(&name).open()?);
/// let guest = Link::from(twinring::Link::guest(&name).open()?);
/// guest.next().await?.send(b"hello").await?;
/// assert_eq!(host.next().await?.recv().await?, Some(b"hello".to_vec()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    /// Its calls do not wait.
    now: twinring::Link,
}

/// A [`twinring::Listener`] whose clients are awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> twinring::Result<()> {
/// use twinring_tokio::Listener;
///
/// # let name = twinring::testing::unique_name();
/// let listener = Listener::bind(&name)?;
/// # let guest = twinring::Link::guest(&name).open()?;
/// let conn = listener.accept().await?;
/// println!("{} has come", conn.peer());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its calls do not wait.
    now: twinring::Listener,
}

/// What gives connections, one after the other.
pub(crate) trait Source {
    fn try_next(&self) -> Result<twinring::Connection>;

    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()>;

    fn poll_next(&self, task: &mut Context<'_>) -> Poll<Result<Connection>> {
        loop {
            match self.try_next() {
                Ok(conn) => return Poll::Ready(Ok(conn.into())),
                Err(e) if is_final(e.kind()) => return Poll::Ready(Err(e)),
                // Nobody yet, or why the last one did not get in.
                Err(_) if self.poll_ready(task).is_pending() => return Poll::Pending,
                Err(_) => {}
            }
        }
    }
}

fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Closed | ErrorKind::Unsupported | ErrorKind::Forked
    )
}

impl Source for twinring::Link {
    fn try_next(&self) -> Result<twinring::Connection> {
        self.next()
    }

    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(task)
    }
}

impl Source for twinring::Listener {
    fn try_next(&self) -> Result<twinring::Connection> {
        self.accept()
    }

    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(task)
    }
}

impl From<twinring::Link> for Link {
    fn from(link: twinring::Link) -> Link {
        Link {
            now: link.within(Timeout::Now),
        }
    }
}

impl From<twinring::Listener> for Listener {
    fn from(listener: twinring::Listener) -> Listener {
        Listener {
            now: listener.within(Timeout::Now),
        }
    }
}

/// The blocking handle, whose calls do not wait ([`Timeout::Now`]).
impl AsRef<twinring::Link> for Link {
    fn as_ref(&self) -> &twinring::Link {
        &self.now
    }
}

/// The blocking handle, whose calls do not wait ([`Timeout::Now`]).
impl AsRef<twinring::Listener> for Listener {
    fn as_ref(&self) -> &twinring::Listener {
        &self.now
    }
}

impl Link {
    /// The next connection that the program has not got yet. Waits through failed attempts to connect, which
    /// [`on_error`](twinring::Builder::on_error) reports.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after [`close`](Link::close); [`Unsupported`](ErrorKind::Unsupported) with an
    /// `on_message` callback, which gets the connections.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, the connection is still there for the next call.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// # let host = twinring::Link::host(&name).open()?;
    /// let link = twinring_tokio::Link::from(twinring::Link::guest(&name).open()?);
    /// let conn = link.next().await?;
    /// # Ok(()) }
    /// ```
    pub async fn next(&self) -> Result<Connection> {
        poll_fn(|task| self.now.poll_next(task)).await
    }

    /// The connections one after the other, as a `Stream`. Ends once the link is closed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// use futures_util::StreamExt;
    ///
    /// # let name = twinring::testing::unique_name();
    /// # let host = twinring::Link::host(&name).open()?;
    /// let link = twinring_tokio::Link::from(twinring::Link::guest(&name).open()?);
    /// let mut connections = link.connections();
    /// while let Some(conn) = connections.next().await {
    ///     println!("the host is {}", conn.peer());
    ///     # break;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn connections(&self) -> Connections<'_> {
        Connections::new(&self.now)
    }

    /// The link's name.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// let link = twinring_tokio::Link::from(twinring::Link::guest(&name).open()?);
    /// assert_eq!(link.name(), name);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        self.now.name()
    }

    /// Closes the link and its connections, as [`twinring::Link::close`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// let link = twinring_tokio::Link::from(twinring::Link::guest(&name).open()?);
    /// link.close(0, "");
    /// assert!(link.next().await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.now.close(code, reason);
    }

    /// The blocking handle, whose calls wait for as long as it takes.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// let link = twinring_tokio::Link::from(twinring::Link::guest(&name).open()?);
    /// assert!(!link.into_inner().status().is_connected());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn into_inner(self) -> twinring::Link {
        self.now.within(Timeout::Never)
    }
}

impl Listener {
    /// Listens for guests of this name, as [`twinring::Listener::bind`]; a [`Builder`](twinring::Builder) has options:
    /// `Listener::from(builder.listen()?)`.
    ///
    /// ```
    /// use twinring_tokio::Listener;
    ///
    /// # let name = twinring::testing::unique_name();
    /// let listener = Listener::bind(&name)?;
    /// # drop(listener);
    /// let few = Listener::from(twinring::Link::host(&name).max_clients(8, 8).listen()?);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn bind(name: &str) -> Result<Listener> {
        twinring::Listener::bind(name).map(Listener::from)
    }

    /// The next client that the program has not got yet.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after [`close`](Listener::close).
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, the client is still there for the next call.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// let listener = twinring_tokio::Listener::bind(&name)?;
    /// # let guest = twinring::Link::guest(&name).open()?;
    /// let conn = listener.accept().await?;
    /// # Ok(()) }
    /// ```
    pub async fn accept(&self) -> Result<Connection> {
        poll_fn(|task| self.poll_accept(task)).await
    }

    /// As [`accept`](Listener::accept), for what is written by hand: if nobody has come yet, the task is woken when somebody has.
    ///
    /// ```
    /// # use std::task::{Context, Waker};
    /// # let name = twinring::testing::unique_name();
    /// let listener = twinring_tokio::Listener::bind(&name)?;
    /// let mut task = Context::from_waker(Waker::noop());
    /// assert!(listener.poll_accept(&mut task).is_pending());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn poll_accept(&self, task: &mut Context<'_>) -> Poll<Result<Connection>> {
        self.now.poll_next(task)
    }

    /// The clients one after the other, as a `Stream`. Ends once the listener is closed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// use futures_util::StreamExt;
    ///
    /// # let name = twinring::testing::unique_name();
    /// let listener = twinring_tokio::Listener::bind(&name)?;
    /// # let guest = twinring::Link::guest(&name).open()?;
    /// let mut clients = listener.incoming();
    /// while let Some(conn) = clients.next().await {
    ///     println!("{} has come", conn.peer());
    ///     # break;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn incoming(&self) -> Connections<'_> {
        Connections::new(&self.now)
    }

    /// The name.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// assert_eq!(twinring_tokio::Listener::bind(&name)?.name(), name);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        self.now.name()
    }

    /// Closes the listener and its connections, as [`twinring::Listener::close`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// let listener = twinring_tokio::Listener::bind(&name)?;
    /// listener.close(0, "back at noon");
    /// assert!(listener.accept().await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.now.close(code, reason);
    }

    /// The blocking handle, whose calls wait for as long as it takes.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// let listener = twinring_tokio::Listener::bind(&name)?;
    /// assert!(listener.into_inner().clients().is_empty());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn into_inner(self) -> twinring::Listener {
        self.now.within(Timeout::Never)
    }
}
