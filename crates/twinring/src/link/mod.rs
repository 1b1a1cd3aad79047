//! A link: the handles that a program holds, and the life behind them.
//!
//! ```text
//! Link, SendHalf, RecvHalf ──► core ◄── host, guest ◄── desk     one thread for all links:
//!        │                      ▲       vigil            keeper   finds peers, notices their ends
//!        ▼                      └────── callbacks                 a thread, if there are any
//!   send, recv ──► frame ──► ring ──► segment                     on the caller's own thread
//! ```

mod callbacks;
mod connection;
mod core;
mod desk;
mod errand;
mod guest;
mod handshake;
mod holder;
mod host;
mod incoming;
mod keeper;
mod message;
pub(crate) mod name;
mod net;
pub(crate) mod options;
mod outgoing;
mod pace;
pub(crate) mod packet;
mod recv;
pub(crate) mod recv_stream;
pub(crate) mod reservation;
mod send;
pub(crate) mod send_stream;
pub(crate) mod status;
pub(crate) mod view;
mod vigil;
pub(crate) mod wait;

use std::fmt;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use self::core::Core;
use self::options::Builder;
use self::status::Status;
use crate::error::{ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::process::Peer;
use crate::segment::Side;

/// One end of a full-duplex link between two processes.
///
/// A *host* owns the link's name, a *guest* comes to it; either may be first, and once connected
/// they are equal. When the peer goes, however it goes, the link says so and connects again as
/// soon as there is a peer. Each connection has a [generation](Link::generation), new memory, and
/// nothing of an earlier one in it.
///
/// All methods may be called from any thread. Clones are handles to the same link; it is closed
/// by [`close`](Link::close) or when the last handle (halves included) is dropped.
///
/// ```
/// use std::time::Duration;
/// use twinring::Link;
///
/// # fn main() -> twinring::Result<()> {
/// # let name = format!("link-example-{}", std::process::id());
/// // The two ends are usually in two processes.
/// let host = Link::host(&name).open()?;
/// let guest = Link::guest(&name).open()?;
/// host.wait_connected(Duration::from_secs(5))?;
///
/// host.send(b"hello")?;
/// assert_eq!(guest.recv()?, b"hello");
/// # Ok(()) }
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
        if self.0.is_forked() {
            // Nothing of the parent's is given back, for it is not ours to give.
            mem::forget(self.0.clone());
        }
        self.0.close();
    }
}

impl Link {
    /// Begins to open the end that owns the name. There is one host per name and user.
    ///
    /// `name` is any text of 1 to [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes without control
    /// characters; both ends must use the same, byte for byte. It is checked by
    /// [`Builder::open`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("host-example-{}", std::process::id());
    /// let link = Link::host(&name).open()?;
    /// assert_eq!(link.name(), name);
    /// # Ok(()) }
    /// ```
    pub fn host(name: &str) -> Builder {
        Builder::new(Side::Host, name)
    }

    /// Begins to open the end that comes to the name.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("guest-example-{}", std::process::id());
    /// let link = Link::guest(&name).open()?;
    /// assert_eq!(link.status(), Status::Waiting); // no host yet
    /// # Ok(()) }
    /// ```
    pub fn guest(name: &str) -> Builder {
        Builder::new(Side::Guest, name)
    }

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
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("name-example-{}", std::process::id());
    /// assert_eq!(Link::guest(&name).open()?.name(), name);
    /// # Ok(()) }
    /// ```
    pub fn name(&self) -> &str {
        self.core.name.as_str()
    }

    /// Sends one message of any length, 0 included, waiting for room as long as it takes.
    ///
    /// `Ok` means committed: the peer gets it if it lives and keeps reading, even if this process
    /// dies at the next instruction. Messages of one thread arrive in order; messages of several
    /// threads never mix. A message too long for one frame (a quarter of the ring, at most 32 KiB)
    /// travels in chunks, between which other threads' messages pass.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected), at once, without a peer;
    /// [`Closed`](ErrorKind::Closed), [`PeerGone`](ErrorKind::PeerGone) or
    /// [`Protocol`](ErrorKind::Protocol) when the connection ends meanwhile;
    /// [`TooLarge`](ErrorKind::TooLarge) if the peer does not take messages of this length;
    /// [`ClosedHere`](ErrorKind::ClosedHere) after [`close`](Link::close). Nothing of a message
    /// whose `send` failed is ever delivered.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("send-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let reader = std::thread::spawn(move || -> Result<usize> {
    ///     Ok(guest.recv()?.len() + guest.recv()?.len())
    /// });
    /// host.send(b"any bytes")?;
    /// host.send(&vec![7; 3_000_000])?; // any length
    /// assert_eq!(reader.join().unwrap()?, 3_000_009);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.core.send(message, Deadline::Never)
    }

    /// As [`send`](Link::send), but gives up with [`TimedOut`](ErrorKind::TimedOut) when there was
    /// no room within `timeout`. The peer is told to drop what it has of the message.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("send-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// // Nobody receives, and the ring is full at some time.
    /// let timeout = Duration::from_millis(10);
    /// let error = loop {
    ///     if let Err(e) = host.send_timeout(&[0; 10_000], timeout) {
    ///         break e;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(()) }
    /// ```
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<()> {
        self.core.send(message, Deadline::after(timeout))
    }

    /// As [`send`](Link::send), but never waits: [`Full`](ErrorKind::Full) if there is no room for
    /// all of the message, or another thread is sending, right now. A message longer than the ring
    /// never fits.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("try-send-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// while host.try_send(&[0; 10_000]).is_ok() {}
    /// assert_eq!(host.try_send(&[0; 10_000]).unwrap_err().kind(), ErrorKind::Full);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.core.send(message, Deadline::Now)
    }

    /// Sends one message that lies in several places, as [`send`](Link::send) would send them put
    /// together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// use std::io::IoSlice;
    ///
    /// # fn main() -> Result<()> {
    /// # let name = format!("send-vectored-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// let (head, body) = (7u32.to_le_bytes(), b"seven");
    /// host.send_vectored(&[IoSlice::new(&head), IoSlice::new(body)])?;
    /// assert_eq!(guest.recv()?, b"\x07\0\0\0seven");
    /// # Ok(()) }
    /// ```
    pub fn send_vectored(&self, message: &[IoSlice<'_>]) -> Result<()> {
        self.core.send(message, Deadline::Never)
    }

    /// Sends messages one after the other, waiting for room as long as it takes. Small ones are
    /// published together, as many as there is room for, and wake the peer once: that is faster than
    /// [`send`](Link::send) for each. Returns how many were sent, each committed by itself.
    ///
    /// # Errors
    /// As [`send`](Link::send), if not even the first was sent. If something stops it later, the
    /// number is less than that of `messages`, and sending the next one tells why.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("send-batch-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(host.send_batch(&["one", "two", "three"])?, 3);
    /// assert_eq!(guest.recv()?, b"one");
    /// # Ok(()) }
    /// ```
    pub fn send_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<usize> {
        self.core.send_batch(messages, Deadline::Never)
    }

    /// Receives the next message, waiting for it, and for a peer, as long as it takes.
    ///
    /// Several threads may receive; each message goes to one of them.
    ///
    /// # Errors
    /// The end of a connection is an error once, after the last message of that connection:
    /// [`Closed`](ErrorKind::Closed) if the peer said goodbye, [`PeerGone`](ErrorKind::PeerGone) if
    /// its process ended, [`Protocol`](ErrorKind::Protocol), [`TooLarge`](ErrorKind::TooLarge) or
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) if it had to be ended for what the peer sent. The
    /// next call waits for the next connection's messages.
    /// [`Aborted`](ErrorKind::Aborted): the peer gave up a message half-way.
    /// [`ClosedHere`](ErrorKind::ClosedHere) after [`close`](Link::close),
    /// [`Unsupported`](ErrorKind::Unsupported) with an `on_message` callback.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// host.send(b"last words")?;
    /// drop(host);
    /// assert_eq!(guest.recv()?, b"last words");
    /// assert_eq!(guest.recv().unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    pub fn recv(&self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.core.recv(&mut message, Deadline::Never)?;
        Ok(message)
    }

    /// As [`recv`](Link::recv), but gives up with [`TimedOut`](ErrorKind::TimedOut) when no message
    /// was complete within `timeout`. What has come of a large one is kept for the next call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let error = guest.recv_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(()) }
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.core.recv(&mut message, Deadline::after(timeout))?;
        Ok(message)
    }

    /// The next message if it is there right now, else `None`.
    ///
    /// # Errors
    /// As [`recv`](Link::recv).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("try-recv-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(guest.try_recv()?, None);
    /// host.send(b"now")?;
    /// assert_eq!(guest.try_recv()?, Some(b"now".to_vec()));
    /// # Ok(()) }
    /// ```
    pub fn try_recv(&self) -> Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        match self.core.recv(&mut message, Deadline::Now) {
            Ok(()) => Ok(Some(message)),
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// As [`recv`](Link::recv), into a buffer of the caller's, which is cleared first and keeps its
    /// memory: receiving into the same one again and again allocates nothing. Returns the length.
    ///
    /// A large message is put together in the memory of the buffer that is there when it begins, if
    /// that is the longer one; what overtakes it comes in another.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-into-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let mut buffer = Vec::new();
    /// for text in ["one", "two"] {
    ///     host.send(text.as_bytes())?;
    ///     assert_eq!(guest.recv_into(&mut buffer)?, 3);
    ///     assert_eq!(buffer, text.as_bytes());
    /// }
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn recv_into(&self, message: &mut Vec<u8>) -> Result<usize> {
        self.core.recv(message, Deadline::Never)?;
        Ok(message.len())
    }

    /// As [`recv_into`](Link::recv_into), with the deadline of [`recv_timeout`](Link::recv_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-into-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let mut buffer = Vec::new();
    /// host.send(b"")?;
    /// assert_eq!(guest.recv_into_timeout(&mut buffer, Duration::from_secs(5))?, 0);
    /// # Ok(()) }
    /// ```
    pub fn recv_into_timeout(&self, message: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.core.recv(message, Deadline::after(timeout))?;
        Ok(message.len())
    }

    /// Waits for a message as [`recv`](Link::recv) does, and takes all others that are there with it:
    /// `f` gets each. Returns how many there were, at least one. Their room is given back to the peer
    /// many at a time: that is faster than [`recv_into`](Link::recv_into) for each.
    ///
    /// `f` may send, but not receive: that is a [`Deadlock`](ErrorKind::Deadlock).
    ///
    /// # Errors
    /// As [`recv`](Link::recv). What goes wrong after the first message is told by the next call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-batch-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// host.send_batch(&["one", "two", "three"])?;
    /// let mut lengths = Vec::new();
    /// assert_eq!(guest.recv_batch(|message| lengths.push(message.len()))?, 3);
    /// assert_eq!(lengths, [3, 3, 5]);
    /// # Ok(()) }
    /// ```
    pub fn recv_batch(&self, f: impl FnMut(&[u8])) -> Result<usize> {
        self.core.recv_batch(f, Deadline::Never)
    }

    /// An iterator over the messages to come, as [`recv`](Link::recv) gives them, errors included.
    /// It ends when this side is closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::Link;
    /// # fn main() -> twinring::Result<()> {
    /// # let name = format!("messages-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
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
    /// # Ok(()) }
    /// ```
    pub fn messages(&self) -> Messages<'_> {
        Messages { link: self }
    }

    /// Waits until a peer is connected and returns it; at once if one is. A peer that connects and
    /// leaves again while this waits counts: what it sent is there to be received.
    ///
    /// A receiver need not call this: [`recv`](Link::recv) waits for a peer as well.
    ///
    /// # Errors
    /// At the end of `timeout`: why the last attempt to connect failed
    /// ([`Busy`](ErrorKind::Busy), [`Version`](ErrorKind::Version),
    /// [`WrongOwner`](ErrorKind::WrongOwner)...), or [`TimedOut`](ErrorKind::TimedOut) if there was
    /// none. [`ClosedHere`](ErrorKind::ClosedHere) once the link is closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("wait-connected-example-{}", std::process::id());
    /// let host = Link::host(&name).open()?;
    /// let error = host.wait_connected(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    ///
    /// let guest = Link::guest(&name).open()?;
    /// let peer = host.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(peer.pid, std::process::id()); // here both are one process
    /// # Ok(()) }
    /// ```
    pub fn wait_connected(&self, timeout: Duration) -> Result<Peer> {
        self.core
            .wait_connected(Deadline::after(timeout))
            .map_err(|e| self.core.named(e))
    }

    /// The link's state now. A [`Disconnected`](Status::Disconnected) is followed by
    /// [`Waiting`](Status::Waiting) at once, so this shows it hardly ever; `on_status` tells each.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("status-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// assert!(host.status().is_connected());
    /// # Ok(()) }
    /// ```
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// The process at the other end, while there is one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("peer-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(host.peer().unwrap().user, User::current().unwrap());
    /// # Ok(()) }
    /// ```
    pub fn peer(&self) -> Option<Peer> {
        self.core.peer()
    }

    /// The number of the current or last connection: 1 for the first, 0 before it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("generation-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(host.generation(), 1);
    /// # Ok(()) }
    /// ```
    pub fn generation(&self) -> u64 {
        self.core.generation()
    }

    /// How often the net under the wake-ups has found something, on the present connection.
    #[cfg(feature = "_testing")]
    pub(crate) fn caught(&self) -> u64 {
        self.core.outbox.caught()
    }

    /// Closes this side: the peer is told and still gets all that was sent; every call that waits
    /// returns [`ClosedHere`](ErrorKind::ClosedHere); messages not received yet are dropped.
    ///
    /// Returns when the peer has been told and the name, if this is the host, is free; that never
    /// waits for the peer, nor for a callback that is running. Closing twice does nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("close-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let waiting = std::thread::spawn({
    ///     let guest = guest.clone();
    ///     move || guest.recv()
    /// });
    /// guest.close();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::ClosedHere);
    /// # Ok(()) }
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// Splits the link into a sending and a receiving half, for two parts of a program that should
    /// not do each other's work. The link is closed when both are dropped.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("split-method-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let (sender, receiver) = host.split();
    /// guest.send(b"question")?;
    /// let question = receiver.recv()?;
    /// sender.send(&question)?;
    /// assert_eq!(guest.recv()?, b"question");
    /// # Ok(()) }
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
/// # use std::time::Duration;
/// # use twinring::*;
/// # fn main() -> Result<()> {
/// # let name = format!("messages-type-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// host.send(b"one")?;
/// host.send(b"two")?;
/// let two: Result<Vec<_>> = guest.messages().take(2).collect();
/// assert_eq!(two?, [b"one", b"two"]);
/// # Ok(()) }
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
/// # use std::time::Duration;
/// # use twinring::Link;
/// # fn main() -> twinring::Result<()> {
/// # let name = format!("split-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// let (sender, _) = host.split();
/// let (_, receiver) = guest.split();
/// let thread = std::thread::spawn(move || sender.send(b"from a thread"));
/// assert_eq!(receiver.recv()?, b"from a thread");
/// thread.join().unwrap()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SendHalf(Link);

/// The half of a link that receives; made by [`Link::split`].
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// # fn main() -> Result<()> {
/// # let name = format!("recv-half-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// let (_sender, receiver) = guest.split();
/// host.send(b"here")?;
/// assert_eq!(receiver.recv_timeout(Duration::from_secs(5))?, b"here");
/// assert_eq!(receiver.link().generation(), 1);
/// # Ok(()) }
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
