//! One connection between two processes, whose calls are awaited.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use twinring::{Batch, End, Interest, Peer, Result, Timeout, View};

use super::byte_stream::ByteStream;
use super::messages::Messages;
use super::os::Listening;
use super::pace::Pace;
use super::wait::{Waiting, poll_call};

/// A [`twinring::Connection`] whose calls are awaited; made by [`Link::next`](crate::Link::next) and
/// [`Listener::accept`](crate::Listener::accept), or from a blocking one.
///
/// Clones are handles to the same connection, for other tasks. The last one that is dropped without
/// [`finish`](Connection::finish) abandons the connection, and the peer is told so.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> twinring::Result<()> {
/// use twinring_tokio::Connection;
///
/// let (one, other) = twinring::Link::pair()?;
/// let (one, other) = (Connection::from(one), Connection::from(other));
/// one.send(b"hello").await?;
/// one.finish()?;
/// assert_eq!(other.recv().await?, Some(b"hello".to_vec()));
/// assert_eq!(other.recv().await?, None);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connection {
    /// Its calls do not wait.
    now: twinring::Connection,
    waits: Arc<Waits>,
}

/// For each thing to wait for, and for each doorbell.
#[derive(Debug, Default)]
struct Waits {
    recv: Pace,
    send: Pace,
    flush: Pace,
    data: Listening,
    room: Listening,
}

impl From<twinring::Connection> for Connection {
    fn from(conn: twinring::Connection) -> Connection {
        Connection {
            now: conn.within(Timeout::Now),
            waits: Arc::default(),
        }
    }
}

/// The blocking handle. Its calls do not wait ([`Timeout::Now`]); [`within`](twinring::Connection::within) gives one whose
/// calls do.
impl AsRef<twinring::Connection> for Connection {
    fn as_ref(&self) -> &twinring::Connection {
        &self.now
    }
}

impl Connection {
    pub(crate) fn poll_recv<T>(
        &self,
        task: &mut Context<'_>,
        waiting: &mut Waiting,
        call: impl FnMut() -> Result<T>,
    ) -> Poll<Result<T>> {
        poll_call(task, &self.waits.recv, waiting, call, |task| {
            self.poll_ready(&self.waits.data, Interest::Recv, task)
        })
    }

    pub(crate) fn poll_send<T>(
        &self,
        len: usize,
        task: &mut Context<'_>,
        waiting: &mut Waiting,
        call: impl FnMut() -> Result<T>,
    ) -> Poll<Result<T>> {
        self.poll_room(Interest::Send(len), task, waiting, call)
    }

    fn poll_room<T>(
        &self,
        interest: Interest,
        task: &mut Context<'_>,
        waiting: &mut Waiting,
        call: impl FnMut() -> Result<T>,
    ) -> Poll<Result<T>> {
        poll_call(task, &self.waits.send, waiting, call, |task| {
            self.poll_ready(&self.waits.room, interest, task)
        })
    }

    fn poll_ready(
        &self,
        listening: &Listening,
        interest: Interest,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        let now = &self.now;
        let ask = |task: &mut Context<'_>| now.poll_ready(interest, task);
        listening.poll_ready(interest, task, || now.doorbell(interest), ask)
    }

    /// Receives what one call gives, once there is something.
    async fn receive<T>(
        &self,
        mut call: impl FnMut(&twinring::Connection) -> Result<T>,
    ) -> Result<T> {
        let mut waiting = Waiting::default();
        poll_fn(|task| self.poll_recv(task, &mut waiting, || call(&self.now))).await
    }

    /// Sends one message, waiting for room. `Ok` means committed, as for [`twinring::Connection::send`].
    ///
    /// # Errors
    /// As [`twinring::Connection::send`]. [`TooLarge`](twinring::ErrorKind::TooLarge) also if the message never fits into the
    /// ring at once: about the ring's capacity, 64 KiB for a client of a listener and 1 MiB for a link unless the host
    /// says otherwise. What may be longer goes as bytes ([`ByteStream`]), or by the blocking handle on a thread.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, nothing has been sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let one = twinring_tokio::Connection::from(one);
    /// one.send(b"any bytes").await?;
    /// assert_eq!(other.recv()?, Some(b"any bytes".to_vec()));
    /// let error = one.send(&vec![0; 2 << 20]).await.unwrap_err();
    /// assert_eq!(error.kind(), twinring::ErrorKind::TooLarge);
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, message: &[u8]) -> Result<()> {
        let mut waiting = Waiting::default();
        poll_fn(|task| self.poll_send(message.len(), task, &mut waiting, || self.now.send(message)))
            .await
    }

    /// Sends one message with handles, waiting for room; otherwise as [`twinring::Connection::send_with_handles`]. They are gone from
    /// the list once it is committed.
    ///
    /// # Errors
    /// As [`twinring::Connection::send_with_handles`].
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, nothing has been sent, and the handles are in the list.
    ///
    /// ```
    /// # use std::{fs::File, time::Duration};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let name = twinring::testing::unique_name();
    /// # let host = twinring::Link::host(&name).max_handles(1).open()?;
    /// # let guest = twinring::Link::guest(&name).max_handles(1).open()?;
    /// # let one = twinring_tokio::Connection::from(guest.within(Duration::from_secs(5)).next()?);
    /// # let other = twinring_tokio::Connection::from(host.within(Duration::from_secs(5)).next()?);
    /// let file = File::open(std::env::current_exe().unwrap()).unwrap();
    /// one.send_with_handles(b"a file", &mut vec![file.into()]).await?;
    /// let (message, handles) = other.recv_with_handles().await?.unwrap();
    /// assert_eq!((&message[..], handles.len()), (&b"a file"[..], 1));
    /// # Ok(()) }
    /// ```
    pub async fn send_with_handles(
        &self,
        message: &[u8],
        handles: &mut Vec<twinring::Handle>,
    ) -> Result<()> {
        let mut waiting = Waiting::default();
        let interest = Interest::SendWithHandles(message.len(), handles.len());
        let mut send = || self.now.send_with_handles(message, handles);
        poll_fn(|task| self.poll_room(interest, task, &mut waiting, &mut send)).await
    }

    /// Sends messages one after the other: waits until there is room for the first, then sends as many as there is room
    /// for, and wakes the peer once. Returns how many, at least one of any.
    ///
    /// # Errors
    /// As [`send`](Connection::send), if the first was not sent.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, none has been sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let one = twinring_tokio::Connection::from(one);
    /// let mut rest = &["one", "two", "three"][..];
    /// while !rest.is_empty() {
    ///     rest = &rest[one.send_batch(rest).await?..];
    /// }
    /// assert_eq!(other.recv()?, Some(b"one".to_vec()));
    /// # Ok(()) }
    /// ```
    pub async fn send_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<usize> {
        let Some(first) = messages.first() else {
            return Ok(0);
        };
        let len = first.as_ref().len();
        let mut waiting = Waiting::default();
        poll_fn(|task| self.poll_send(len, task, &mut waiting, || self.now.send_batch(messages)))
            .await
    }

    /// Receives the next message; `None` once the peer has finished and this side has everything. While another task holds a
    /// [`Batch`], `None` is not final: what it does not take comes again.
    ///
    /// # Errors
    /// As [`twinring::Connection::recv`]: any other end of the peer's direction is an error, each time.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, nothing has been received: no message is lost in a `select!`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let other = twinring_tokio::Connection::from(other);
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv().await?, Some(b"hello".to_vec()));
    /// # Ok(()) }
    /// ```
    pub async fn recv(&self) -> Result<Option<Vec<u8>>> {
        self.receive(twinring::Connection::recv).await
    }

    /// Receives the next message and the handles that came with it, as [`twinring::Connection::recv_with_handles`] does.
    ///
    /// # Errors
    /// As [`twinring::Connection::recv_with_handles`].
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, nothing has been taken.
    pub async fn recv_with_handles(&self) -> Result<Option<(Vec<u8>, Vec<twinring::Handle>)>> {
        self.receive(twinring::Connection::recv_with_handles).await
    }

    /// Like [`recv`](Connection::recv), but into the caller's buffer, which is cleared and keeps its memory. Returns the
    /// message's length.
    ///
    /// # Cancel safety
    /// As [`recv`](Connection::recv); what the buffer has then is not a message.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let other = twinring_tokio::Connection::from(other);
    /// let mut buffer = Vec::new();
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv_into(&mut buffer).await?, Some(5));
    /// assert_eq!(buffer, b"hello");
    /// # Ok(()) }
    /// ```
    pub async fn recv_into(&self, message: &mut Vec<u8>) -> Result<Option<usize>> {
        self.receive(|now| now.recv_into(message)).await
    }

    /// Receives the next message in place, as [`twinring::Connection::recv_in_place`]: it stays in the ring until the view
    /// is dropped.
    ///
    /// # Cancel safety
    /// As [`recv`](Connection::recv).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let other = twinring_tokio::Connection::from(other);
    /// one.send(b"hello")?;
    /// let view = other.recv_in_place().await?.unwrap();
    /// assert_eq!(&view[..], b"hello");
    /// # Ok(()) }
    /// ```
    pub async fn recv_in_place(&self) -> Result<Option<View>> {
        self.receive(twinring::Connection::recv_in_place).await
    }

    /// Waits for a message, then also takes others that are there, as [`twinring::Connection::recv_batch`].
    ///
    /// # Cancel safety
    /// As [`recv`](Connection::recv). What is not [taken](Batch::take) of a batch that was received comes again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let other = twinring_tokio::Connection::from(other);
    /// one.send_batch(&["one", "two"])?;
    /// let mut batch = other.recv_batch().await?.unwrap();
    /// assert_eq!(batch.next_message(), Some(&b"one"[..]));
    /// assert_eq!(batch.next_message(), Some(&b"two"[..]));
    /// batch.take();
    /// # Ok(()) }
    /// ```
    pub async fn recv_batch(&self) -> Result<Option<Batch>> {
        self.receive(twinring::Connection::recv_batch).await
    }

    /// Waits for a moment at which the peer has taken all that was sent. While other tasks go on sending there may be none
    /// for long.
    ///
    /// # Errors
    /// As [`twinring::Connection::flush`].
    ///
    /// # Cancel safety
    /// It only waits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let one = twinring_tokio::Connection::from(one);
    /// one.send(b"hello").await?;
    /// other.recv()?;
    /// one.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<()> {
        let mut waiting = Waiting::default();
        poll_fn(|task| {
            poll_call(
                task,
                &self.waits.flush,
                &mut waiting,
                || self.now.flush(),
                |task| self.poll_ready(&self.waits.room, Interest::Flush, task),
            )
        })
        .await
    }

    /// Says that nothing more comes from this side; never waits. The peer's `recv` gives `None` after the last message, and
    /// the other direction goes on.
    ///
    /// # Errors
    /// As [`twinring::Connection::finish`].
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// one.finish()?;
    /// assert_eq!(other.recv()?, None);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn finish(&self) -> Result<()> {
        self.now.finish()
    }

    /// Ends the connection at once, in both directions, as [`twinring::Connection::close`]. Does not wait for the peer.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// one.close(3, "out of paper");
    /// assert!(other.recv().is_err());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.now.close(code, reason);
    }

    /// Wants no more messages than those that are there, as [`twinring::Connection::stop`]; never waits.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// one.stop(2, "full");
    /// assert!(other.send(b"more").is_err());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn stop(&self, code: u32, reason: &str) {
        self.now.stop(code, reason);
    }

    /// How the connection ended, once both directions have.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// assert_eq!(one.end(), None);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn end(&self) -> Option<End> {
        self.now.end()
    }

    /// The process at the other end.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// assert_eq!(one.peer().pid, std::process::id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer(&self) -> &Peer {
        self.now.peer()
    }

    /// A number that no other connection of this process has.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let (one, other) = (twinring_tokio::Connection::from(one), other);
    /// assert_ne!(one.id(), other.id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn id(&self) -> u64 {
        self.now.id()
    }

    /// The messages as a `Stream` and a `Sink`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> twinring::Result<()> {
    /// use futures_util::SinkExt;
    ///
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let one = twinring_tokio::Connection::from(one);
    /// one.into_messages().send(b"hello".to_vec()).await?;
    /// assert_eq!(other.recv()?, Some(b"hello".to_vec()));
    /// # Ok(()) }
    /// ```
    pub fn into_messages(self) -> Messages {
        Messages::from(self)
    }

    /// The connection as a stream of bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # let (one, other) = twinring::Link::pair()?;
    /// # let one = twinring_tokio::Connection::from(one);
    /// one.into_byte_stream().write_all(b"hello").await?;
    /// assert_eq!(other.recv()?, Some(b"hello".to_vec()));
    /// # Ok(()) }
    /// ```
    pub fn into_byte_stream(self) -> ByteStream {
        ByteStream::from(self)
    }

    /// The blocking handle, whose calls wait for as long as it takes.
    ///
    /// ```
    /// # let (one, other) = twinring::Link::pair()?;
    /// let one = twinring_tokio::Connection::from(one);
    /// one.into_inner().send(b"hello")?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn into_inner(self) -> twinring::Connection {
        self.now.within(Timeout::Never)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("peer", self.peer())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}
