//! One connection between two processes.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
#[cfg(feature = "_testing")]
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use super::batch::Batch;
use super::doorbell::Doorbell;
use super::recv_stream::RecvStream;
use super::reservation::Reservation;
use super::send_stream::SendStream;
use super::unread::Unread;
use super::view::View;
use crate::error::{End, Result};
use crate::os::handles::Handle;
use crate::os::process::Peer;
use crate::segment::Cause;
use crate::transfer::{
    Checkpoint, Duplex, Interest, Owner, Share, Taken, Timeout, peer_max_handles, poll_ready, send,
    send_batch, send_with_handles,
};

/// A connection between this process and a peer: two directions, each of which ends by itself.
///
/// It never becomes another one. Once it has ended, sending on it fails for good and says how it ended; what
/// had arrived stays readable, and then `recv` says how the peer's direction ended. A [`Link`](crate::Link)
/// gives the next connection.
///
/// | on this side | the peer's `recv`, after all that had arrived | the peer's `send` |
/// |---|---|---|
/// | [`finish`](Connection::finish) | `Ok(None)` | goes on |
/// | [`close`](Connection::close) | [`End::Closed`] | [`End::Closed`] |
/// | the last handle is dropped | [`End::Abandoned`] | [`End::Abandoned`] |
/// | the last handle is dropped after `finish` | `Ok(None)` | [`End::Stopped`] |
/// | [`stop`](Connection::stop) | goes on | [`End::Stopped`] |
/// | the process ends, however | [`End::Crashed`] | [`End::Crashed`] |
///
/// All methods may be called from any thread. Clones are handles to the same connection. Whatever is made
/// from it (a stream, a reservation, a batch) keeps it open as a handle does; a [`View`] does not.
///
/// ```
/// # use twinring::*;
/// fn answer(conn: &Connection) -> Result<()> {
///     // `Ok(None)`: the peer has finished, and this side has everything. Any other end is an error.
///     while let Some(question) = conn.recv()? {
///         conn.send(&question.to_ascii_uppercase())?;
///     }
///     conn.finish()
/// }
/// # let (host, guest) = twinring::testing::pair()?;
/// # let server = std::thread::spawn(move || answer(&host));
/// guest.send(b"hello")?;
/// guest.finish()?;
/// assert_eq!(guest.recv()?, Some(b"HELLO".to_vec()));
/// assert_eq!(guest.recv()?, None);
/// # server.join().unwrap()?;
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone)]
pub struct Connection {
    pub(super) duplex: Arc<Duplex>,
    pub(super) share: Arc<Share>,
    pub(super) timeout: Timeout,
}

impl From<Arc<Share>> for Connection {
    fn from(share: Arc<Share>) -> Connection {
        Connection {
            duplex: share.owner.duplex.clone(),
            share,
            timeout: Timeout::Never,
        }
    }
}

impl Connection {
    pub(crate) fn new(owner: &Arc<Owner>) -> Connection {
        Connection::from(Share::new(owner, true, true))
    }

    /// The same connection, whose calls wait at most this long: a [`Duration`](std::time::Duration) for each
    /// call, an [`Instant`](std::time::Instant) for all of them, or [`Timeout::Now`] for not at all. A
    /// connection begins with [`Timeout::Never`].
    ///
    /// Whatever a call waits for (a message, room, another thread), once the time is over it fails with
    /// [`TimedOut`](crate::ErrorKind::TimedOut), and has done nothing; what has arrived of a large message is
    /// kept for the next call. Streams inherit the time for each of their own calls. This is cheap: it
    /// counts two references.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let at_once = guest.within(Timeout::Now);
    /// assert!(at_once.recv().unwrap_err().is_timeout());
    /// host.send(b"now")?;
    /// assert_eq!(at_once.recv()?, Some(b"now".to_vec()));
    ///
    /// // Nobody receives, so the ring fills up.
    /// let patient = host.within(Duration::from_millis(10));
    /// let error = loop {
    ///     if let Err(e) = patient.send(&[0; 10_000]) {
    ///         break e;
    ///     }
    /// };
    /// assert!(error.is_timeout());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn within(&self, timeout: impl Into<Timeout>) -> Connection {
        Connection {
            timeout: timeout.into(),
            ..self.clone()
        }
    }

    /// Sends one message of any length, 0 included.
    ///
    /// `Ok` means committed: the peer gets the message if it lives and keeps reading, even if this process
    /// dies at the next instruction; if it does not get it, [`take_unread`](Connection::take_unread) has it.
    /// Messages of one thread arrive in order; messages of several threads never mix. A message too long for
    /// one frame (a quarter of the ring, at most 32 KiB) is sent in chunks, and other threads' messages may
    /// go between them.
    ///
    /// # Errors
    /// [`Ended`](crate::ErrorKind::Ended): the connection has ended, or the peer wants no more.
    /// [`StreamEnded`](crate::ErrorKind::StreamEnded): the peer reads a long message as a stream and has
    /// stopped it. [`TooLarge`](crate::ErrorKind::TooLarge): the peer does not accept messages of this
    /// length; or the message is longer than the ring and the call was not to wait.
    /// [`Closed`](crate::ErrorKind::Closed) after [`finish`](Connection::finish). A message whose `send`
    /// failed is never delivered, not even in part.
    ///
    /// What the peer had not taken when the connection ends, [`take_unread`](Connection::take_unread) gives back; of
    /// a message longer than a frame (32 KiB, or a quarter of the ring) of which the peer had taken a part, only
    /// that there was one.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let reader = std::thread::spawn(move || -> Result<usize> {
    ///     Ok(guest.recv()?.unwrap().len() + guest.recv()?.unwrap().len())
    /// });
    /// host.send(b"any bytes")?;
    /// host.send(&vec![7; 3_000_000])?; // any length
    /// assert_eq!(reader.join().unwrap()?, 3_000_009);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        send(&self.duplex, message, self.timeout.deadline())
    }

    /// Sends one message whose bytes are in several places, as if [`send`](Connection::send) were called with
    /// all of them concatenated.
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let (head, body) = (7u32.to_le_bytes(), b"seven");
    /// host.send_vectored(&[IoSlice::new(&head), IoSlice::new(body)])?;
    /// assert_eq!(guest.recv()?, Some(b"\x07\0\0\0seven".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_vectored(&self, message: &[IoSlice<'_>]) -> Result<()> {
        send(&self.duplex, message, self.timeout.deadline())
    }

    /// Sends one message with handles: files, sockets, pipes, events, ends of links. They are gone from the list once the message is
    /// committed, and are the peer's; after an error, all of them are still there. The peer gets them with the message, by
    /// [`recv_with_handles`](Connection::recv_with_handles), in order with all others. What it never receives is closed.
    ///
    /// The message fits in a frame: 32 KiB or a quarter of the ring, less 16 bytes and 24 for each handle. It waits for room, for a large
    /// message of this side to end, and while 128 handles of this connection have not been taken. On Windows the handles stay in this process
    /// until the peer takes them: let go of the connection only after a [`flush`](Connection::flush), or they are lost with it, or
    /// with this process.
    ///
    /// # Errors
    /// As [`send`](Connection::send). [`Unsupported`](crate::ErrorKind::Unsupported) if the peer takes none
    /// ([`max_handles`](crate::Builder::max_handles)), [`TooLarge`](crate::ErrorKind::TooLarge) if not so many or if the message is too
    /// long; [`OutOfHandles`](crate::ErrorKind::OutOfHandles) if the system has too many of this user's under way, on all its connections
    /// and sockets (Linux: as many as a process may have open): try again when some have been taken, and not at once;
    /// [`NotConnected`](crate::ErrorKind::NotConnected) if the peer has gone, and that has not been noticed otherwise.
    ///
    /// ```
    /// # use std::{fs::File, io::Read, time::Duration};
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).max_handles(1).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// let conn = guest.within(Duration::from_secs(5)).next()?;
    /// # let path = std::env::current_exe().unwrap();
    /// let file = File::open(path).unwrap();
    /// conn.send_with_handles(b"a file for you", &mut vec![file.into()])?;
    ///
    /// let conn = host.within(Duration::from_secs(5)).next()?;
    /// let (message, mut handles) = conn.recv_with_handles()?.unwrap();
    /// let mut file = File::try_from(handles.remove(0)).unwrap();
    /// # assert_eq!(message, b"a file for you");
    /// # assert!(file.read(&mut [0; 10]).unwrap() == 10);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_with_handles(&self, message: &[u8], handles: &mut Vec<Handle>) -> Result<()> {
        send_with_handles(&self.duplex, message, handles, self.timeout.deadline())
    }

    /// The most handles that the peer receives with a message: what its [`max_handles`](crate::Builder::max_handles) says, or 0 if it may
    /// not take any (Windows).
    pub fn peer_max_handles(&self) -> u32 {
        peer_max_handles(&self.duplex.session)
    }

    /// Sends messages one after the other. Small messages are published together, as many as there is room
    /// for, and wake the peer once, which is faster than calling [`send`](Connection::send) for each. Returns
    /// how many were sent; each is committed by itself.
    ///
    /// # Errors
    /// As [`send`](Connection::send), if not even the first message was sent. If a later one fails, the
    /// returned number is less than the number of `messages`, and sending the next one returns the error.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(host.send_batch(&["one", "two", "three"])?, 3);
    /// assert_eq!(guest.recv()?, Some(b"one".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<usize> {
        send_batch(&self.duplex, messages, self.timeout.deadline())
    }

    /// Reserves room for one message of at most `len` bytes, to be filled in place.
    ///
    /// The message is contiguous in the ring, so it can be no longer than half of the ring's capacity (the
    /// host's [`ring_capacity`](crate::Builder::ring_capacity)) less 8 bytes;
    /// [`send_stream`](Connection::send_stream) has no such limit.
    ///
    /// # Errors
    /// As [`send`](Connection::send); [`TooLarge`](crate::ErrorKind::TooLarge) also if the ring is too small
    /// for it; [`Held`](crate::ErrorKind::Held) if this thread already holds a reservation of this connection.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut message = host.reserve(3)?;
    /// message.put(b"ab")?;
    /// message.put(b"c")?;
    /// message.commit()?;
    ///
    /// drop(host.reserve(3)?); // nothing is sent
    ///
    /// host.send(b"d")?;
    /// assert_eq!(guest.recv()?, Some(b"abc".to_vec()));
    /// assert_eq!(guest.recv()?, Some(b"d".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn reserve(&self, len: usize) -> Result<Reservation> {
        Reservation::make(&self.share.owner, len, self.timeout.deadline())
    }

    /// Begins a message that is sent while it is being produced. Waits while another large message is
    /// being sent.
    ///
    /// # Errors
    /// As [`send`](Connection::send); [`Held`](crate::ErrorKind::Held) if this thread is already sending a
    /// stream on this connection.
    ///
    /// ```
    /// # use twinring::*;
    /// use std::io::Write;
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut stream = host.send_stream()?;
    /// stream.write_all(&[7; 100_000])?;
    /// stream.abort(1, "no more paper");
    /// let error = guest.recv().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::StreamEnded);
    /// assert!(matches!(error.end(), Some(End::Aborted { code: 1, .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_stream(&self) -> Result<SendStream> {
        SendStream::begin(&self.share.owner, self.timeout)
    }

    /// Says that nothing more comes from this side. The peer's `recv` returns `Ok(None)` when it has taken
    /// everything; the other direction goes on. Comes after all that this side has begun to send, open
    /// streams and reservations included. Never waits, and need not be waited for: what is sent outlives
    /// this process. Once both sides have finished and have everything, the connection has ended well.
    ///
    /// # Errors
    /// [`Ended`](crate::ErrorKind::Ended): the connection has ended before, other than well. A peer that has
    /// finished or stopped and left, with all that was sent to it, has ended it well.
    ///
    /// Whoever then drops its handles without having received `None` is told to the peer as one that
    /// [wants no more](crate::End::Stopped), with code 0.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"last words")?;
    /// host.finish()?;
    /// drop(host);
    /// assert_eq!(guest.recv()?, Some(b"last words".to_vec()));
    /// assert_eq!(guest.recv()?, None);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn finish(&self) -> Result<()> {
        self.duplex.finish()
    }

    /// Waits until the peer has [taken](Connection::taken) all that was sent before this call. Other threads
    /// may send meanwhile.
    ///
    /// # Errors
    /// [`Ended`](crate::ErrorKind::Ended): the connection ended before the peer had taken it all;
    /// [`take_unread`](Connection::take_unread) has the rest.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"one")?;
    /// assert!(host.within(Timeout::Now).flush().unwrap_err().is_timeout());
    /// guest.recv()?;
    /// host.flush()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.duplex.outbox.flush(self.timeout.deadline())
    }

    /// How much of what was sent the peer has taken: what `recv` has returned to its program, the messages
    /// of a [`Batch`] that it has [taken](Batch::take), those whose `on_message` has returned, and views that
    /// it has dropped; in order: what is done behind a view or a batch that is still held counts with that. It looks at
    /// each message that is still waiting, so it is not for each message.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if another thread is sending all the time;
    /// [`Ended`](crate::ErrorKind::Ended) if the peer has changed what was sent to it.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"one")?;
    /// assert_eq!(host.taken()?.waiting, 1);
    /// guest.recv()?;
    /// assert_eq!(host.taken()?.messages, 1);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn taken(&self) -> Result<Taken> {
        self.duplex.outbox.taken(self.timeout.deadline())
    }

    /// After the end, or after the peer's [`stop`](Connection::stop): the messages that were sent and that the peer
    /// has not taken and will not take, in order. A second call returns none. Waits until the peer can take no more:
    /// not at all if it is gone; after this side's own [`close`](Connection::close), or the peer's `stop`, until the peer has read what was sent
    /// or has dropped its handles.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) before the end; [`TimedOut`](crate::ErrorKind::TimedOut)
    /// if the peer still reads; [`Ended`](crate::ErrorKind::Ended) if the peer has changed what was sent to it.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"one")?;
    /// host.send(b"two")?;
    /// guest.recv()?;
    /// drop(guest);
    /// assert!(host.flush().is_err());
    /// let unread: Vec<_> = host.take_unread()?.collect();
    /// assert_eq!(unread, [b"two"]);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn take_unread(&self) -> Result<Unread> {
        let unread = self.duplex.outbox.take_unread(self.timeout.deadline())?;
        Ok(Unread(unread))
    }

    /// Says how far this side is, in at most [`MAX_CHECKPOINT_LEN`](crate::MAX_CHECKPOINT_LEN) bytes, which replace those of the
    /// call before. The peer reads them by [`peer_checkpoint`](Connection::peer_checkpoint), also after this process has been killed:
    /// the last that were set by then, never a mixture. Costs some 50 ns, never waits, and wakes nobody: what the peer
    /// is to notice at once is a message. With a message it is not one step: what was done between the two is done again.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge), and [`Ended`](crate::ErrorKind::Ended) if the connection has; either changes nothing.
    ///
    /// ```
    /// # let (worker, supervisor) = twinring::testing::pair()?;
    /// for page in 0..10u64 {
    ///     // Print it, then:
    ///     worker.set_checkpoint(&(page + 1).to_le_bytes())?;
    /// }
    /// drop(worker);
    /// let checkpoint = supervisor.peer_checkpoint().unwrap();
    /// assert_eq!(u64::from_le_bytes(checkpoint[..].try_into().unwrap()), 10);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn set_checkpoint(&self, checkpoint: &[u8]) -> Result<()> {
        self.duplex.set_checkpoint(checkpoint)
    }

    /// What the peer has set last by [`set_checkpoint`](Connection::set_checkpoint) on this connection, while it lives and
    /// after its end; `None` if nothing, and in a forked child. Never waits. Of a peer that lies the bytes are anything, and may
    /// change half-way.
    ///
    /// ```
    /// # let (worker, supervisor) = twinring::testing::pair()?;
    /// assert_eq!(supervisor.peer_checkpoint(), None);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer_checkpoint(&self) -> Option<Checkpoint> {
        self.duplex.peer_checkpoint()
    }

    /// Receives the next message; `None` once the peer has finished and this side has everything.
    ///
    /// Several threads may receive at the same time; each message goes to one of them. While one of them holds a
    /// [`Batch`], `None` is not final for the others: what it does not take comes again.
    ///
    /// # Errors
    /// [`Ended`](crate::ErrorKind::Ended), after the last message, each time: how the peer's direction ended,
    /// if not well. [`StreamEnded`](crate::ErrorKind::StreamEnded): the peer gave up a message half-way;
    /// [`TooLarge`](crate::ErrorKind::TooLarge): it streamed one that is longer than this side accepts; after either the
    /// connection goes on. [`OutOfMemory`](crate::ErrorKind::OutOfMemory): the message does not fit into
    /// memory, and the connection has been ended. [`Unsupported`](crate::ErrorKind::Unsupported) with an
    /// `on_message` callback. [`Held`](crate::ErrorKind::Held) while this thread receives a stream that no
    /// message has overtaken.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"last words")?;
    /// host.close(0, "good night");
    /// assert_eq!(guest.recv()?, Some(b"last words".to_vec()));
    /// assert!(matches!(guest.recv().unwrap_err().end(), Some(End::Closed { .. })));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv(&self) -> Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        let received = self
            .duplex
            .inbox
            .recv(&mut message, self.timeout.deadline())?;
        Ok(received.then_some(message))
    }

    /// Like [`recv`](Connection::recv), but into the caller's buffer, which is cleared first and keeps its
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
    ///     assert_eq!(guest.recv_into(&mut buffer)?, Some(3));
    ///     assert_eq!(buffer, text.as_bytes());
    /// }
    /// # Ok::<(), twinring::Error>(())
    /// ```
    #[inline]
    pub fn recv_into(&self, message: &mut Vec<u8>) -> Result<Option<usize>> {
        let received = self.duplex.inbox.recv(message, self.timeout.deadline())?;
        Ok(received.then_some(message.len()))
    }

    /// Receives the next message as [`recv`](Connection::recv) does, and the handles that came with it; an empty list for most
    /// messages. All other calls that receive close them unseen.
    ///
    /// # Errors
    /// As [`recv`](Connection::recv). [`OutOfHandles`](crate::ErrorKind::OutOfHandles) if this process may have no more
    /// descriptors (close some, or wait, before the next try), and [`HandlesGone`](crate::ErrorKind::HandlesGone) if the peer has let go of them (Windows): the message stays,
    /// and comes again by this call or, without its handles, by `recv`. (macOS has no way to look first: there the handles are
    /// lost.)
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"hello")?;
    /// let (message, handles) = guest.recv_with_handles()?.unwrap();
    /// assert_eq!((&message[..], handles.len()), (&b"hello"[..], 0));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_with_handles(&self) -> Result<Option<(Vec<u8>, Vec<Handle>)>> {
        let mut message = Vec::new();
        let deadline = self.timeout.deadline();
        let handles = self
            .duplex
            .inbox
            .recv_with_handles(&mut message, deadline)?;
        Ok(handles.map(|handles| (message, handles)))
    }

    /// Receives the next message in place: it stays in the ring until the view is dropped, and is taken
    /// then. A message that came in chunks (longer than a frame; see [`send`](Connection::send)) is assembled
    /// in memory of its own; [`recv_stream`](Connection::recv_stream) reads such a message in place.
    ///
    /// Several views may be held, and dropped in any order. Their room, and that of what was received behind
    /// the oldest of them, is the peer's again once they are dropped: a program that keeps views keeps the
    /// ring full.
    ///
    /// # Errors
    /// As [`recv`](Connection::recv); [`Held`](crate::ErrorKind::Held) while views and batches hold more than
    /// half of the ring.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"hello")?;
    /// let view = guest.recv_in_place()?.unwrap();
    /// assert_eq!(&view[..], b"hello");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_in_place(&self) -> Result<Option<View>> {
        View::receive(&self.duplex, self.timeout.deadline())
    }

    /// Waits for a message as [`recv`](Connection::recv) does, then also takes others that are there, up to
    /// some 256 KiB. Faster than a call for each, and the messages count as taken only when the program says
    /// so; see [`Batch::take`].
    ///
    /// # Errors
    /// As [`recv`](Connection::recv).
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send_batch(&["one", "two", "three"])?;
    /// let mut batch = guest.recv_batch()?.unwrap();
    /// let mut lengths = Vec::new();
    /// while let Some(message) = batch.next_message() {
    ///     lengths.push(message.len());
    /// }
    /// batch.take(); // the work is done
    /// assert_eq!(lengths, [3, 3, 5]);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_batch(&self) -> Result<Option<Batch>> {
        Batch::receive(&self.share, self.timeout.deadline())
    }

    /// Receives the next message as a stream. Waits until one begins. A message that is longer than the
    /// ring, or endless, needs no more memory than the ring. It must not be longer than this side's
    /// [`max_stream`](crate::Builder::max_stream).
    ///
    /// # Errors
    /// As [`recv`](Connection::recv); [`Held`](crate::ErrorKind::Held) if this thread receives another one.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"short ones come in one chunk")?;
    /// let mut stream = guest.recv_stream()?.unwrap();
    /// assert_eq!(stream.next_chunk()?.unwrap().len(), 28);
    /// assert!(stream.next_chunk()?.is_none());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_stream(&self) -> Result<Option<RecvStream>> {
        RecvStream::receive(&self.share, self.timeout)
    }

    /// Wants no more messages than those that are there: the peer's next `send` fails with
    /// [`End::Stopped`], and this side's `recv` gives what had arrived, and then says the same. Never waits.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"one")?;
    /// guest.stop(2, "full");
    /// let error = host.send(b"two").unwrap_err();
    /// assert!(matches!(error.end(), Some(End::Stopped { code: 2, .. })));
    /// assert_eq!(guest.recv()?, Some(b"one".to_vec()));
    /// assert!(guest.recv().is_err());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn stop(&self, code: u32, reason: &str) {
        self.duplex.stop(&Cause::new(code, reason));
    }

    /// Ends the connection at once, in both directions; wakes every call that waits on it. The peer gets what
    /// was sent, and then the code and the text, of which more than 255 bytes are cut. What this side had not
    /// received the peer may take back. Does nothing after the end. Once it has returned the process may exit; what it wakes in
    /// other threads runs before that.
    ///
    /// Does not wait for the peer, and for other threads of this process at most 20 ms each (unless they copy
    /// from slow memory, they leave at once).
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.close(7, "the printer is on fire");
    /// let error = guest.recv().unwrap_err();
    /// assert!(matches!(error.end(), Some(End::Closed { by: By::Peer, code: 7, .. })));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn close(&self, code: u32, reason: &str) {
        self.duplex.close(Cause::new(code, reason));
    }

    /// How the connection ended, once both directions have: the first end that is not
    /// [`End::Finished`], if there is one. Messages may still be there to be received.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(guest.end(), None);
    /// guest.close(0, "");
    /// assert!(matches!(guest.end(), Some(End::Closed { by: By::Local, .. })));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn end(&self) -> Option<End> {
        let ended = self.duplex.session.end();
        ended.map(|ended| ended.whole().clone())
    }

    /// Whether this side has ended it.
    pub(super) fn is_closed_here(&self) -> bool {
        let ended = self.duplex.session.end();
        ended.is_some_and(|ended| ended.local)
    }

    /// For tasks: ready if a call for this would not wait now, or would fail. Otherwise the task is woken when that may have
    /// changed; it then asks again. Never waits, takes nothing, and may be ready without a reason.
    ///
    /// So every call can be awaited, in any executor: make it on a handle [`within`](Connection::within)
    /// [`Timeout::Now`](crate::Timeout::Now); if the error [is a timeout](crate::Error::is_timeout), wait for this, and call again. A
    /// future that is dropped meanwhile has received or sent nothing. What is being received as a stream by another handle is
    /// not there for this one. A message that is longer than the ring cannot go like this; it is
    /// [`TooLarge`](crate::ErrorKind::TooLarge).
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::{Poll, ready};
    /// use twinring::{Connection, Interest, Timeout};
    ///
    /// async fn recv(conn: &Connection) -> twinring::Result<Option<Vec<u8>>> {
    ///     let now = conn.within(Timeout::Now);
    ///     poll_fn(|task| loop {
    ///         match now.recv() {
    ///             Err(e) if e.is_timeout() => ready!(now.poll_ready(Interest::Recv, task)),
    ///             received => return Poll::Ready(received),
    ///         }
    ///     })
    ///     .await
    /// }
    /// # let (host, guest) = twinring::testing::pair()?;
    /// # host.send(b"hello")?;
    /// # let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let mut recv = std::pin::pin!(recv(&guest));
    /// # assert!(recv.as_mut().poll(&mut task).is_ready());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn poll_ready(&self, interest: Interest, task: &mut Context<'_>) -> Poll<()> {
        poll_ready(&self.duplex, interest, task, false)
    }

    /// For an event loop of the program's own: what to wait for instead of the library's thread. `Send` and `Flush` have the
    /// same one, `Recv` has another.
    pub fn doorbell(&self, interest: Interest) -> Doorbell {
        Doorbell::new(&self.duplex, interest.awaited())
    }

    /// The process at the other end.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(guest.peer().pid, std::process::id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer(&self) -> &Peer {
        &self.duplex.session.peer
    }

    /// The longest message that the peer accepts, in bytes: its [`Builder::max_message`](crate::Builder::max_message).
    /// What is longer can go as a stream.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_eq!(guest.peer_max_message(), twinring::DEFAULT_MAX_MESSAGE);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn peer_max_message(&self) -> u64 {
        self.duplex.session.peer_max_message
    }

    /// A number that no other connection of this process has.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert_ne!(host.id(), guest.id());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn id(&self) -> u64 {
        self.duplex.session.id
    }

    #[cfg(feature = "_testing")]
    pub(crate) fn caught(&self) -> u64 {
        self.duplex.session.caught.load(Relaxed)
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
