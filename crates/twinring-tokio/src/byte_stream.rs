//! A connection as a stream of bytes, for what is written for sockets.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use twinring::{Error, ErrorKind, Interest, Peer, RecvHalf, Result, SendHalf, Timeout, View};

use super::connection::Connection;
use super::os::Listening;
use super::pace::Pace;
use super::wait::{Waiting, poll_call};

/// A connection as a stream of bytes: `AsyncRead` and `AsyncWrite`; made by [`Connection::into_byte_stream`].
///
/// Each write sends one message of at most 16 KiB; a read gives what has arrived. Both sides have to use it like this,
/// and one task at a time for each direction.
///
/// `shutdown` [finishes](Connection::finish) this direction: the peer reads what was written, then the end (0 bytes); the
/// other direction goes on. **Any other end is an error, never an end of file:** a stream that is dropped without `shutdown` was
/// abandoned, and the peer's read says `ConnectionAborted`; after a crash it is `ConnectionReset`. Writing to a peer that wants
/// no more is `BrokenPipe`. The error [inside](io::Error::get_ref) is a [`twinring::Error`].
///
/// `flush` does nothing: what is written is committed. The peer gets it even if this process ends.
///
/// # Cancel safety
/// As for sockets: a `read` or `write` that is dropped before it is done has read or written nothing; `read_exact` and
/// `write_all` may have done a part.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use twinring_tokio::Connection;
///
/// # let (one, other) = twinring::Link::pair()?;
/// let mut one = Connection::from(one).into_byte_stream();
/// let mut other = Connection::from(other).into_byte_stream();
/// one.write_all(b"hello").await?;
/// one.shutdown().await?;
/// let mut text = String::new();
/// other.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ByteStream {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

/// The reading half of a [`ByteStream`]; made by [`ByteStream::into_split`]. Dropped before the end, it tells the peer that this
/// side wants no more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::io::AsyncReadExt;
///
/// # let (one, other) = twinring::Link::pair()?;
/// let (mut read, _write) = twinring_tokio::ByteStream::from(other).into_split();
/// one.send(b"hello")?;
/// assert_eq!(read.read_u8().await?, b'h');
/// # Ok(()) }
/// ```
pub struct OwnedReadHalf {
    /// Its calls do not wait.
    now: RecvHalf,
    pace: Pace,
    listening: Listening,
    waiting: Waiting,
    /// What has been read in part, and how much of it.
    rest: Option<(View, usize)>,
}

/// The writing half of a [`ByteStream`]; made by [`ByteStream::into_split`]. Dropped without `shutdown`, it has abandoned its
/// direction.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::io::AsyncWriteExt;
///
/// # let (one, other) = twinring::Link::pair()?;
/// let (_read, mut write) = twinring_tokio::ByteStream::from(one).into_split();
/// write.write_all(b"hello").await?;
/// write.shutdown().await?;
/// assert_eq!(other.recv()?, Some(b"hello".to_vec()));
/// assert_eq!(other.recv()?, None);
/// # Ok(()) }
/// ```
pub struct OwnedWriteHalf {
    /// Its calls do not wait.
    now: SendHalf,
    pace: Pace,
    listening: Listening,
    waiting: Waiting,
    /// The longest message.
    longest: usize,
}

/// A frame of the rings that listeners have by default (64 KiB) and of all larger ones.
const LONGEST: usize = 16 * 1024 - 64;
/// Fits into the smallest ring (4 KiB).
const SHORTEST: usize = 1024 - 64;
/// How many slices go into one message.
const SLICES: usize = 16;

impl From<Connection> for ByteStream {
    fn from(conn: Connection) -> ByteStream {
        ByteStream::from(conn.into_inner())
    }
}

impl From<twinring::Connection> for ByteStream {
    fn from(conn: twinring::Connection) -> ByteStream {
        let (send, recv) = conn.within(Timeout::Now).split();
        ByteStream {
            read: OwnedReadHalf {
                now: recv,
                pace: Pace::default(),
                listening: Listening::default(),
                waiting: Waiting::default(),
                rest: None,
            },
            write: OwnedWriteHalf {
                now: send,
                pace: Pace::default(),
                listening: Listening::default(),
                waiting: Waiting::default(),
                longest: LONGEST,
            },
        }
    }
}

impl ByteStream {
    /// Two halves, for two tasks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use twinring_tokio::ByteStream;
    ///
    /// # let (one, other) = twinring::Link::pair()?;
    /// let (mut read, mut write) = ByteStream::from(other).into_split();
    /// // An echo, to the end.
    /// # one.finish()?;
    /// tokio::io::copy(&mut read, &mut write).await?;
    /// # Ok(()) }
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (self.read, self.write)
    }

    /// The process at the other end.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::ByteStream::from(one);
    /// assert_eq!(one.peer().pid, std::process::id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer(&self) -> &Peer {
        self.read.now.peer()
    }
}

impl OwnedReadHalf {
    fn poll_message(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<View>>> {
        let now = &self.now;
        poll_call(
            task,
            &self.pace,
            &mut self.waiting,
            || now.recv_in_place(),
            |task| {
                let interest = Interest::Recv;
                let ask = |task: &mut Context<'_>| now.poll_ready(interest, task);
                self.listening
                    .poll_ready(interest, task, || now.doorbell(interest), ask)
            },
        )
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let (view, done) = loop {
            // A message of no bytes would look like the end.
            match this.rest.take() {
                Some((view, done)) if done < view.len() => break (view, done),
                _ => {}
            }
            match ready!(this.poll_message(task))? {
                Some(view) => this.rest = Some((view, 0)),
                None => return Poll::Ready(Ok(())),
            }
        };
        let len = (view.len() - done).min(buf.remaining());
        view.copy_to(done, buf.initialize_unfilled_to(len));
        buf.advance(len);
        if done + len < view.len() {
            this.rest = Some((view, done + len));
        }
        Poll::Ready(Ok(()))
    }
}

impl OwnedWriteHalf {
    /// Sends as much of this as goes into one message.
    fn poll_send(
        &mut self,
        task: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut message = [IoSlice::new(&[]); SLICES];
            let mut len = 0;
            let filled = bufs.iter().filter(|buf| !buf.is_empty());
            for (slice, buf) in message.iter_mut().zip(filled) {
                let part = &buf[..buf.len().min(self.longest - len)];
                *slice = IoSlice::new(part);
                len += part.len();
            }
            if len == 0 {
                return Poll::Ready(Ok(0));
            }
            let now = &self.now;
            let sent = ready!(poll_call(
                task,
                &self.pace,
                &mut self.waiting,
                || now.send_vectored(&message),
                |task| {
                    let interest = Interest::Send(len);
                    let ask = |task: &mut Context<'_>| now.poll_ready(interest, task);
                    self.listening
                        .poll_ready(interest, task, || now.doorbell(interest), ask)
                },
            ));
            match sent {
                Ok(()) => return Poll::Ready(Ok(len)),
                // A small ring.
                Err(e) if e.kind() == ErrorKind::TooLarge && len > SHORTEST => {
                    self.longest = (len / 2).max(SHORTEST);
                }
                Err(e) => return Poll::Ready(Err(of_write(e))),
            }
        }
    }
}

/// As sockets say it: nothing can be written after `shutdown`.
fn of_write(e: Error) -> io::Error {
    match e.kind() {
        ErrorKind::Closed => io::Error::new(io::ErrorKind::BrokenPipe, e),
        _ => e.into(),
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(task, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(task, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.now.finish().map_err(of_write))
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(task, buf)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(task, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(task, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(task)
    }
}

impl fmt::Debug for OwnedReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedReadHalf")
            .field("end", &self.now.end())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedWriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedWriteHalf").finish_non_exhaustive()
    }
}
