//! What makes a client's connections.

use std::fmt;
use std::future::pending;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower_service::Service;
use twinring::{Builder, Error, Result};
use twinring_tokio::Link;

use super::io::Io;

/// How long a [`Connector`] waits for a server, unless [`within`](Connector::within) says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Makes connections to the server of one name: for hyper-util's `Client` and tonic's `Endpoint`.
///
/// Each call makes one new connection, through a link of its own, so a client may have several at once. A connection
/// that has ended is not made again by itself: the client calls the connector again when it next needs one. The URI is
/// not looked at: it is the server's, for its `Host` header and `:authority`.
///
/// A server that is not there, or has no place for this client, is waited for, [`DEFAULT_WAIT`] or as long as
/// [`within`](Connector::within) says; then it is a [`twinring::Error`] that says why. hyper and tonic give it as a source of
/// theirs. A call that is dropped gives up its place.
///
/// May be used from any thread, within a tokio runtime that has `enable_all`.
///
/// ```
/// use std::time::Duration;
/// use tower_service::Service;
/// use twinring_tower::Connector;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = twinring::testing::unique_name();
/// let mut hasty = Connector::new(&name).within(Duration::from_millis(20));
/// let error = hasty.call("http://nobody/".parse()?).await.unwrap_err();
/// assert_eq!(error.kind(), twinring::ErrorKind::TimedOut);
///
/// let incoming = twinring_tower::Incoming::bind(&name)?;
/// let mut patient = Connector::new(&name).within(Duration::from_secs(10));
/// let io = patient.call("http://somebody/".parse()?).await?;
/// println!("the server is {}", io.inner().peer());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connector {
    guest: Arc<dyn Fn() -> Builder + Send + Sync>,
    wait: Duration,
}

impl Connector {
    /// To the server of this name.
    pub fn new(name: impl Into<String>) -> Connector {
        let name = name.into();
        Connector::with(move || twinring::Link::guest(&name))
    }

    /// To a server whose link needs options. `guest` is called for each connection, on a thread that may block.
    ///
    /// ```
    /// use twinring::{Access, Link};
    /// use twinring_tower::Connector;
    ///
    /// // A service of the system, not of this user.
    /// let connector = Connector::with(|| Link::guest("inventory").access(Access::Service));
    /// ```
    pub fn with(guest: impl Fn() -> Builder + Send + Sync + 'static) -> Connector {
        Connector {
            guest: Arc::new(guest),
            wait: DEFAULT_WAIT,
        }
    }

    /// How long to wait for a server. While a tonic `Channel` waits, so do its calls, whatever their deadlines.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twinring_tower::Connector;
    ///
    /// // The server may be started after the client.
    /// let connector = Connector::new("inventory").within(Duration::from_secs(10));
    /// ```
    pub fn within(mut self, wait: Duration) -> Connector {
        self.wait = wait;
        self
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Io>;
    type Error = Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Connecting {
        Connecting(Box::pin(connect(self.guest.clone(), self.wait)))
    }
}

async fn connect(
    guest: Arc<dyn Fn() -> Builder + Send + Sync>,
    wait: Duration,
) -> Result<TokioIo<Io>> {
    let link = open(guest).await?;
    let conn = match timeout(wait, link.next()).await {
        Ok(conn) => conn.map(Io::from),
        // It may have come by now; otherwise this says why not.
        Err(_) => link.as_ref().next().map(Io::from),
    };
    spawn_blocking(move || drop(link));
    conn.map(TokioIo::new)
}

/// Opening a link may take 2 ms, and closing it as long: too long for a thread that runs tasks.
async fn open(guest: Arc<dyn Fn() -> Builder + Send + Sync>) -> Result<Link> {
    match spawn_blocking(move || guest().one_connection().open()).await {
        Ok(link) => link.map(Link::from),
        Err(e) => match e.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is being shut down, and with it this task.
            Err(_) => pending().await,
        },
    }
}

/// A connection that is being made, by a [`Connector`].
pub struct Connecting(Pin<Box<dyn Future<Output = Result<TokioIo<Io>>> + Send>>);

impl Future for Connecting {
    type Output = Result<TokioIo<Io>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(task)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}
