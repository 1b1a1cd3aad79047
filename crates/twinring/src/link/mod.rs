//! The handles that a program uses.

mod builder;
mod recv_stream;
mod reservation;
mod send_stream;
mod view;

pub use builder::Builder;
pub use recv_stream::RecvStream;
pub use reservation::Reservation;
pub use send_stream::SendStream;
pub use view::{View, ViewReader};

use std::fmt;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Core;
use crate::error::{ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::process::Peer;
use crate::transfer::{Status, send, send_batch};

/// One end of a full-duplex link between two processes.
///
/// A *host* owns the link's name and a *guest* connects to it. Either may start first, and once connected
/// they are equal. When the peer goes, for whatever reason, the link reports it and connects again as soon
/// as there is a peer. Each connection has its own [generation](Link::generation) and new memory, and holds
/// nothing of an earlier one.
///
/// All methods may be called from any thread. Clones are handles to the same link, which is closed by
/// [`close`](Link::close) or when the last handle (halves included) is dropped.
///
/// ```
/// use std::time::Duration;
/// use twinring::Link;
///
/// # let name = twinring::testing::unique_name();
/// // The two ends are usually in two processes.
/// let host = Link::host(&name).open()?;
/// let guest = Link::guest(&name).open()?;
/// host.wait_connected(Duration::from_secs(5))?;
///
/// host.send(b"hello")?;
/// assert_eq!(guest.recv()?, b"hello");
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone)]
pub struct Link {
    core: Arc<Core>,
    /// `None` in callbacks: a callback must not keep its own link open.
    _owner: Option<Arc<Owner>>,
}

/// Closes the link with its last handle.
struct Owner(Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.link.is_forked() {
            // Nothing of the parent's is released: it is not ours to release.
            mem::forget(self.0.clone());
        }
        self.0.close();
    }
}

impl Link {
    pub(crate) fn owning(core: Arc<Core>) -> Link {
        Link {
            _owner: Some(Arc::new(Owner(core.clone()))),
            core,
        }
    }

    pub(crate) fn passing(core: Arc<Core>) -> Link {
        Link { core, _owner: None }
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

    /// Sends one message of any length, 0 included. Waits for room as long as it takes.
    ///
    /// `Ok` means committed: the peer gets the message if it lives and keeps reading, even if this process
    /// dies at the next instruction. Messages of one thread arrive in order; messages of several threads
    /// never mix. A message too long for one frame (a quarter of the ring, at most 32 KiB) is sent in
    /// chunks, and other threads' messages may go between them.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected), at once, if there is no peer;
    /// [`Closed`](ErrorKind::Closed), [`PeerGone`](ErrorKind::PeerGone) or
    /// [`Protocol`](ErrorKind::Protocol) if the connection ends during the call;
    /// [`TooLarge`](ErrorKind::TooLarge) if the peer does not accept messages of this length;
    /// [`ClosedHere`](ErrorKind::ClosedHere) after [`close`](Link::close). A message whose `send` failed
    /// is never delivered, not even in part.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let reader = std::thread::spawn(move || -> Result<usize> {
    ///     Ok(guest.recv()?.len() + guest.recv()?.len())
    /// });
    /// host.send(b"any bytes")?;
    /// host.send(&vec![7; 3_000_000])?; // any length
    /// assert_eq!(reader.join().unwrap()?, 3_000_009);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        send(&self.core.outbox, message, Deadline::Never)
    }

    /// Like [`send`](Link::send), but fails with [`TimedOut`](ErrorKind::TimedOut) if there is no room
    /// within `timeout`. The peer is told to drop what it has of the message.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// // Nobody receives, so the ring fills up.
    /// let timeout = Duration::from_millis(10);
    /// let error = loop {
    ///     if let Err(e) = host.send_timeout(&[0; 10_000], timeout) {
    ///         break e;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<()> {
        send(&self.core.outbox, message, Deadline::after(timeout))
    }

    /// Like [`send`](Link::send), but never waits: fails with [`Full`](ErrorKind::Full) if there is no room
    /// for the whole message right now, or another thread is sending. A message longer than the ring never
    /// fits.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// while host.try_send(&[0; 10_000]).is_ok() {}
    /// assert_eq!(host.try_send(&[0; 10_000]).unwrap_err().kind(), ErrorKind::Full);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        send(&self.core.outbox, message, Deadline::Now)
    }

    /// Sends one message whose bytes are in several places, as if [`send`](Link::send) were called with all
    /// of them concatenated.
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let (head, body) = (7u32.to_le_bytes(), b"seven");
    /// host.send_vectored(&[IoSlice::new(&head), IoSlice::new(body)])?;
    /// assert_eq!(guest.recv()?, b"\x07\0\0\0seven");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_vectored(&self, message: &[IoSlice<'_>]) -> Result<()> {
        send(&self.core.outbox, message, Deadline::Never)
    }

    /// Sends messages one after the other. Waits for room as long as it takes. Small messages are
    /// published together, as many as there is room for, and wake the peer once, which is faster than
    /// calling [`send`](Link::send) for each. Returns how many were sent; each is committed by itself.
    ///
    /// # Errors
    /// As [`send`](Link::send), if not even the first message was sent. If a later one fails, the returned
    /// number is less than the number of `messages`, and sending the next one returns the error.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(host.send_batch(&["one", "two", "three"])?, 3);
    /// assert_eq!(guest.recv()?, b"one");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<usize> {
        send_batch(&self.core.outbox, messages, Deadline::Never)
    }

    /// Receives the next message. Waits for it, and for a peer, as long as it takes.
    ///
    /// Several threads may receive at the same time; each message goes to one of them.
    ///
    /// # Errors
    /// The end of a connection is reported once, after the last message of that connection:
    /// [`Closed`](ErrorKind::Closed) if the peer said goodbye; [`PeerGone`](ErrorKind::PeerGone) if
    /// its process ended; [`Protocol`](ErrorKind::Protocol), [`TooLarge`](ErrorKind::TooLarge) or
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) if this side ended it because of what the peer sent. The
    /// next call waits for messages of the next connection.
    /// [`Aborted`](ErrorKind::Aborted): the peer gave up a message half-way.
    /// [`ClosedHere`](ErrorKind::ClosedHere) after [`close`](Link::close).
    /// [`Unsupported`](ErrorKind::Unsupported) with an `on_message` callback.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"last words")?;
    /// drop(host);
    /// assert_eq!(guest.recv()?, b"last words");
    /// assert_eq!(guest.recv().unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv(&self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.core.inbox.recv(&mut message, Deadline::Never)?;
        Ok(message)
    }

    /// Like [`recv`](Link::recv), but fails with [`TimedOut`](ErrorKind::TimedOut) if no message is
    /// complete within `timeout`. What has arrived of a large message is kept for the next call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let error = guest.recv_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.core
            .inbox
            .recv(&mut message, Deadline::after(timeout))?;
        Ok(message)
    }

    /// Returns the next message if it is there right now, else `None`.
    ///
    /// # Errors
    /// As [`recv`](Link::recv).
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(guest.try_recv()?, None);
    /// host.send(b"now")?;
    /// assert_eq!(guest.try_recv()?, Some(b"now".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn try_recv(&self) -> Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        match self.core.inbox.recv(&mut message, Deadline::Now) {
            Ok(()) => Ok(Some(message)),
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Like [`recv`](Link::recv), but into the caller's buffer, which is cleared first and keeps its
    /// memory: calls that reuse one buffer allocate nothing. Returns the message's length.
    ///
    /// A large message is assembled in the buffer that the call which sees its beginning was given, if
    /// that is the longer one; a message that overtakes it comes in another buffer.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut buffer = Vec::new();
    /// for text in ["one", "two"] {
    ///     host.send(text.as_bytes())?;
    ///     assert_eq!(guest.recv_into(&mut buffer)?, 3);
    ///     assert_eq!(buffer, text.as_bytes());
    /// }
    /// # Ok::<(), twinring::Error>(())
    /// ```
    #[inline]
    pub fn recv_into(&self, message: &mut Vec<u8>) -> Result<usize> {
        self.core.inbox.recv(message, Deadline::Never)?;
        Ok(message.len())
    }

    /// Like [`recv_into`](Link::recv_into), with the timeout of [`recv_timeout`](Link::recv_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut buffer = Vec::new();
    /// host.send(b"")?;
    /// assert_eq!(guest.recv_into_timeout(&mut buffer, Duration::from_secs(5))?, 0);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_into_timeout(&self, message: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.core.inbox.recv(message, Deadline::after(timeout))?;
        Ok(message.len())
    }

    /// Waits for a message as [`recv`](Link::recv) does, then also takes all others that are there, and
    /// calls `f` with each. Returns how many there were, at least one. Their room in the ring is returned
    /// to the peer for many at a time, which is faster than calling [`recv_into`](Link::recv_into) for each.
    ///
    /// `f` may send, but not receive: that is a [`Deadlock`](ErrorKind::Deadlock).
    ///
    /// # Errors
    /// As [`recv`](Link::recv). An error after the first message is returned by the next call.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send_batch(&["one", "two", "three"])?;
    /// let mut lengths = Vec::new();
    /// assert_eq!(guest.recv_batch(|message| lengths.push(message.len()))?, 3);
    /// assert_eq!(lengths, [3, 3, 5]);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_batch(&self, f: impl FnMut(&[u8])) -> Result<usize> {
        self.core.inbox.recv_batch(f, Deadline::Never)
    }

    /// An iterator over the messages as [`recv`](Link::recv) returns them, errors included. It ends
    /// when this side is closed.
    ///
    /// ```
    /// # use twinring::Link;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"one")?;
    /// host.send(b"two")?;
    /// host.close();
    /// let mut got = Vec::new();
    /// for message in guest.messages() {
    ///     match message {
    ///         Ok(message) => got.push(message),
    ///         Err(e) if e.is_disconnect() => break,
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// assert_eq!(got, [b"one", b"two"]);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn messages(&self) -> Messages<'_> {
        Messages { link: self }
    }

    /// Waits until a peer is connected and returns it, at once if one is connected already. A peer that
    /// connects and leaves during the wait counts: what it sent can be received.
    ///
    /// A receiver need not call this: [`recv`](Link::recv) waits for a peer too.
    ///
    /// # Errors
    /// If `timeout` expires: why the last attempt to connect failed
    /// ([`Busy`](ErrorKind::Busy), [`Version`](ErrorKind::Version),
    /// [`WrongOwner`](ErrorKind::WrongOwner)...), or [`TimedOut`](ErrorKind::TimedOut) if there was no
    /// attempt. [`ClosedHere`](ErrorKind::ClosedHere) once the link is closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).open()?;
    /// let error = host.wait_connected(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    ///
    /// let guest = Link::guest(&name).open()?;
    /// let peer = host.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(peer.pid, std::process::id()); // here both are one process
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn wait_connected(&self, timeout: Duration) -> Result<Peer> {
        let link = &self.core.link;
        link.wait_connected(Deadline::after(timeout))
            .map_err(|e| link.named(e))
    }

    /// The link's state now. [`Disconnected`](Status::Disconnected) is followed by
    /// [`Waiting`](Status::Waiting) at once, so this rarely returns it; `on_status` reports every change.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert!(host.status().is_connected());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn status(&self) -> Status {
        self.core.link.status()
    }

    /// The process at the other end, if there is one.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(host.peer().unwrap().user, User::current().unwrap());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer(&self) -> Option<Peer> {
        self.core.link.peer()
    }

    /// The number of the current or last connection: 1 for the first, 0 before it.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(host.generation(), 1);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn generation(&self) -> u64 {
        self.core.link.generation()
    }

    /// How often the net under the wake-ups has found something, on the present connection.
    #[cfg(feature = "_testing")]
    pub(crate) fn caught(&self) -> u64 {
        self.core.outbox.caught()
    }

    /// Closes this side. The peer is told and still gets everything that was sent; every waiting call
    /// returns [`ClosedHere`](ErrorKind::ClosedHere); messages not received yet are dropped.
    ///
    /// Returns when the peer has been told and, on a host, the name is free. It never waits for the peer,
    /// nor for a running callback. Closing twice does nothing.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let waiting = std::thread::spawn({
    ///     let guest = guest.clone();
    ///     move || guest.recv()
    /// });
    /// guest.close();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::ClosedHere);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// Splits the link into a sending and a receiving half, for two parts of a program that should
    /// not do each other's work. The link is closed when both halves are dropped.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let (sender, receiver) = host.split();
    /// guest.send(b"question")?;
    /// let question = receiver.recv()?;
    /// sender.send(&question)?;
    /// assert_eq!(guest.recv()?, b"question");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (SendHalf(self.clone()), RecvHalf(self))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The messages to come; made by [`Link::messages`].
///
/// ```
/// # use twinring::*;
/// # let (host, guest) = twinring::testing::pair()?;
/// host.send(b"one")?;
/// host.send(b"two")?;
/// let two: Result<Vec<_>> = guest.messages().take(2).collect();
/// assert_eq!(two?, [b"one", b"two"]);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Debug)]
pub struct Messages<'a> {
    link: &'a Link,
}

impl Iterator for Messages<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Result<Vec<u8>>> {
        match self.link.recv() {
            Err(e) if e.kind() == ErrorKind::ClosedHere => None,
            other => Some(other),
        }
    }
}

/// The half of a link that sends; made by [`Link::split`]. Clones are handles to the same half.
///
/// ```
/// # use twinring::Link;
/// # let (host, guest) = twinring::testing::pair()?;
/// let (sender, _) = host.split();
/// let (_, receiver) = guest.split();
/// let thread = std::thread::spawn(move || sender.send(b"from a thread"));
/// assert_eq!(receiver.recv()?, b"from a thread");
/// thread.join().unwrap()?;
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SendHalf(Link);

/// The half of a link that receives; made by [`Link::split`].
///
/// ```
/// # use std::time::Duration;
/// # let (host, guest) = twinring::testing::pair()?;
/// let (_sender, receiver) = guest.split();
/// host.send(b"here")?;
/// assert_eq!(receiver.recv_timeout(Duration::from_secs(5))?, b"here");
/// assert_eq!(receiver.link().generation(), 1);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Debug)]
pub struct RecvHalf(Link);

impl SendHalf {
    /// As [`Link::send`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.0.send(message)
    }

    /// As [`Link::send_timeout`].
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<()> {
        self.0.send_timeout(message, timeout)
    }

    /// As [`Link::try_send`].
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.0.try_send(message)
    }

    /// The link, for its other methods.
    pub fn link(&self) -> &Link {
        &self.0
    }
}

impl RecvHalf {
    /// As [`Link::recv`].
    pub fn recv(&self) -> Result<Vec<u8>> {
        self.0.recv()
    }

    /// As [`Link::recv_timeout`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>> {
        self.0.recv_timeout(timeout)
    }

    /// As [`Link::try_recv`].
    pub fn try_recv(&self) -> Result<Option<Vec<u8>>> {
        self.0.try_recv()
    }

    /// As [`Link::recv_into`].
    #[inline]
    pub fn recv_into(&self, message: &mut Vec<u8>) -> Result<usize> {
        self.0.recv_into(message)
    }

    /// As [`Link::recv_into_timeout`].
    pub fn recv_into_timeout(&self, message: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.0.recv_into_timeout(message, timeout)
    }

    /// As [`Link::messages`].
    pub fn messages(&self) -> Messages<'_> {
        self.0.messages()
    }

    /// The link, for its other methods.
    pub fn link(&self) -> &Link {
        &self.0
    }
}
