//! What a server takes for a listener.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use twinring::{DEFAULT_RING_CAPACITY, ErrorKind, Link, Result};
use twinring_tokio::Listener;

use super::io::Io;

/// The clients of a [`Listener`], for `serve_with_incoming` and its like: a `Stream` of [`Io`].
///
/// The stream ends once the listener is closed. A client that did not get in is no error: the stream goes on to the next. Any
/// other error is given once, and ends the stream.
///
/// Dropping it gives up the name; connections that were taken from it go on. tonic drops it at the beginning of a graceful
/// shutdown, so that new clients wait for the next server while the calls in flight finish.
///
/// May be used from any thread; only [`bind`](Incoming::bind) and the drop block, mostly for less than a millisecond.
///
/// ```
/// use twinring_tower::Incoming;
///
/// # let name = twinring::testing::unique_name();
/// let incoming = Incoming::bind(&name)?;
/// # drop(incoming);
/// // With options: see `twinring::Builder`.
/// let few = Incoming::from(twinring::Link::host(&name).max_clients(8, 8).listen()?);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Debug)]
pub struct Incoming {
    listener: Listener,
    has_ended: bool,
}

impl From<Listener> for Incoming {
    fn from(listener: Listener) -> Incoming {
        Incoming {
            listener,
            has_ended: false,
        }
    }
}

impl From<twinring::Listener> for Incoming {
    fn from(listener: twinring::Listener) -> Incoming {
        Listener::from(listener).into()
    }
}

impl Incoming {
    /// Listens for clients of this name: processes of this user. Their rings have the capacity of a link's
    /// ([`DEFAULT_RING_CAPACITY`](twinring::DEFAULT_RING_CAPACITY)), not the smaller one of a listener: HTTP/2 sends much ahead.
    ///
    /// # Errors
    /// As [`twinring::Builder::listen`].
    pub fn bind(name: &str) -> Result<Incoming> {
        let host = Link::host(name).ring_capacity(DEFAULT_RING_CAPACITY);
        host.listen().map(Incoming::from)
    }

    /// The next client, for servers that have a loop of their own.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) once the listener is closed.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, the client is still there for the next call.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// let incoming = twinring_tower::Incoming::bind(&name)?;
    /// # let guest = twinring::Link::guest(&name).open()?;
    /// let io = incoming.accept().await?;
    /// println!("{} has come", io.peer());
    /// # Ok(()) }
    /// ```
    pub async fn accept(&self) -> Result<Io> {
        self.listener.accept().await.map(Io::from)
    }

    /// The listener, to [`close`](Listener::close) it: that ends the stream, and all its connections.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// use tokio_stream::StreamExt;
    ///
    /// # let name = twinring::testing::unique_name();
    /// let mut incoming = twinring_tower::Incoming::bind(&name)?;
    /// let listener = incoming.listener().clone();
    /// listener.close(0, "back at noon");
    /// assert!(incoming.next().await.is_none());
    /// # Ok(()) }
    /// ```
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Stream for Incoming {
    type Item = io::Result<Io>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<io::Result<Io>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.listener
            .poll_accept(task)
            .map(|accepted| match accepted {
                Ok(conn) => Some(Ok(conn.into())),
                Err(e) => {
                    self.has_ended = true;
                    (e.kind() != ErrorKind::Closed).then(|| Err(e.into()))
                }
            })
    }
}
