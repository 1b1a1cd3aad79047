//! What hyper and tonic read and write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use twinring::Peer;
use twinring_tokio::ByteStream;

/// One connection: a [`ByteStream`] that also tells hyper and tonic who is at the other end.
///
/// Reads, writes and ends are those of [`ByteStream`]; hyper takes it in a [`TokioIo`](hyper_util::rt::TokioIo). The [`Peer`] is in the
/// extensions of each response of hyper-util's `Client`, and of each request that a tonic server handles (feature `tonic`).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use twinring_tower::Io;
///
/// # let (one, other) = twinring::Link::pair()?;
/// let (mut one, mut other) = (Io::from(one), Io::from(other));
/// one.write_all(b"hello").await?;
/// one.shutdown().await?;
/// let mut text = String::new();
/// other.read_to_string(&mut text).await?;
/// assert_eq!((text.as_str(), other.peer().pid), ("hello", std::process::id()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Io(ByteStream);

impl From<twinring_tokio::Connection> for Io {
    fn from(conn: twinring_tokio::Connection) -> Io {
        Io(conn.into_byte_stream())
    }
}

impl From<twinring::Connection> for Io {
    fn from(conn: twinring::Connection) -> Io {
        Io(conn.into())
    }
}

impl Io {
    /// The process at the other end.
    pub fn peer(&self) -> &Peer {
        self.0.peer()
    }

    /// The stream without what is for HTTP.
    pub fn into_inner(self) -> ByteStream {
        self.0
    }
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.peer().clone())
    }
}

#[cfg(feature = "tonic")]
impl tonic::transport::server::Connected for Io {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer().clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(task, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}
