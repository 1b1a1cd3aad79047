//! The connections of a link or a listener, as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::connection::Connection;
use super::link::Source;

/// A `Stream` of connections; made by [`Link::connections`](crate::Link::connections) and
/// [`Listener::incoming`](crate::Listener::incoming). Ends once the link or the listener is closed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> twinring::Result<()> {
/// use futures_util::StreamExt;
///
/// # let name = twinring::testing::unique_name();
/// let listener = twinring_tokio::Listener::bind(&name)?;
/// listener.close(0, "");
/// assert!(listener.incoming().next().await.is_none());
/// # Ok(()) }
/// ```
pub struct Connections<'a> {
    source: &'a (dyn Source + Send + Sync),
}

impl<'a> Connections<'a> {
    pub(crate) fn new(source: &'a (dyn Source + Send + Sync)) -> Connections<'a> {
        Connections { source }
    }
}

impl Stream for Connections<'_> {
    type Item = Connection;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Connection>> {
        self.source.poll_next(task).map(Result::ok)
    }
}

impl fmt::Debug for Connections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
