//! Receiving a message while it is still arriving.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::Link;
use super::view::{View, ViewOwner};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::os::event::Deadline;
use crate::segment::Span;
use crate::transfer::{Current, Event, Inbox, ReceiveMode, aborted};

/// One message, received while it is still arriving: read it ([`std::io::Read`]), or take
/// [chunk after chunk](RecvStream::next_chunk) in place in the ring. Made by [`Link::recv_stream`].
///
/// The stream ends where the message ends. If the peer gives the message up or goes, that is
/// reported once, as an error: what has been read was not a whole message. If the stream is dropped
/// before its end, the rest of the message is skipped.
///
/// While it is held, other receivers of this link wait; one on the same thread fails with
/// [`ErrorKind::Deadlock`]. Small messages may overtake a large one: those that arrive between its
/// chunks are kept for later receivers, or for [`overtaking`](RecvStream::overtaking).
///
/// ```
/// use std::io::Read;
///
/// # let (host, guest) = twinring::testing::pair()?;
/// let sender = std::thread::spawn(move || host.send(&vec![7; 10_000_000]));
/// let mut stream = guest.recv_stream()?;
/// let mut buffer = [0; 10_000];
/// let mut len = 0;
/// loop {
///     match stream.read(&mut buffer)? {
///         0 => break,
///         n => len += n,
///     }
/// }
/// assert_eq!(len, 10_000_000);
/// # sender.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RecvStream<'a> {
    inbox: &'a Inbox,
    current: Current<'a>,
    timeout: Option<Duration>,
    piece: Option<Here>,
    /// Nothing comes after `piece`.
    last: bool,
    /// Not `Send`: the thread that holds it is known.
    _here: PhantomData<*const ()>,
}

/// A piece of the message that is being read.
enum Here {
    /// In memory of our own: it had arrived before anyone asked for a stream. Read up to `at`.
    Own { bytes: Vec<u8>, at: usize },
    /// In the ring; `rest` is what is left of the frame.
    InRing { frame: Frame, rest: Span },
}

impl Link {
    /// Receives the next message as a stream. Waits until one begins, and for a peer, as long as it
    /// takes. A message that is longer than the ring, or endless, needs no more memory than the ring.
    /// It must not be longer than this side's [`max_message`](crate::Builder::max_message).
    ///
    /// # Errors
    /// As [`recv`](Link::recv), and [`Deadlock`](ErrorKind::Deadlock) if this thread holds a view or a
    /// stream of this link.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"short ones come in one chunk")?;
    /// let mut stream = guest.recv_stream()?;
    /// assert_eq!(stream.next_chunk()?.unwrap().len(), 28);
    /// assert!(stream.next_chunk()?.is_none());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_stream(&self) -> Result<RecvStream<'_>> {
        recv_stream(&self.core.inbox, None)
    }

    /// Like [`recv_stream`](Link::recv_stream), but fails with
    /// [`TimedOut`](ErrorKind::TimedOut) if no message begins within `timeout`. Each later wait has the
    /// same timeout; see [`set_timeout`](RecvStream::set_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let error = guest.recv_stream_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_stream_timeout(&self, timeout: Duration) -> Result<RecvStream<'_>> {
        recv_stream(&self.core.inbox, Some(timeout))
    }
}

fn recv_stream(inbox: &Inbox, timeout: Option<Duration>) -> Result<RecvStream<'_>> {
    let deadline = timeout.map_or(Deadline::Never, Deadline::after);
    let begun = inbox.take_current(deadline).and_then(|current| {
        let mut stream = RecvStream {
            inbox,
            current,
            timeout,
            piece: None,
            last: true,
            _here: PhantomData,
        };
        stream.begin(deadline)?;
        inbox.holder.hold();
        Ok(stream)
    });
    begun.map_err(|e| inbox.link.named(e))
}

impl RecvStream<'_> {
    /// How long each wait for the peer may take at most; `None`: as long as it takes. A stream that
    /// timed out can go on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The next chunk in place in the ring, or `None` at the end of the message. If some of the present
    /// chunk was read, the rest of it.
    ///
    /// # Errors
    /// [`Aborted`](ErrorKind::Aborted) if the peer gave the message up; as [`recv`](Link::recv) if the
    /// connection ended before the message did; [`TimedOut`](ErrorKind::TimedOut) by
    /// [`set_timeout`](RecvStream::set_timeout); [`Full`](ErrorKind::Full) if so many messages have
    /// overtaken this one that some must be [taken](RecvStream::overtaking) first.
    pub fn next_chunk(&mut self) -> Result<Option<View<'_>>> {
        let inbox = self.inbox;
        if !self.find().map_err(|e| inbox.link.named(e))? {
            return Ok(None);
        }
        Ok(match (self.piece.take(), self.current.as_mut()) {
            (Some(Here::Own { mut bytes, at }), _) => {
                bytes.drain(..at);
                Some(View::own(bytes))
            }
            (Some(Here::InRing { frame, rest }), Some(incoming)) => Some(View::in_ring(
                inbox,
                rest,
                frame,
                ViewOwner::Chunk(incoming),
            )),
            _ => None,
        })
    }

    /// The next message that has overtaken this one, if there is one so far. What is not taken here goes
    /// to later receivers.
    pub fn overtaking(&mut self) -> Option<Vec<u8>> {
        self.current.as_mut()?.overtaken.pop()
    }

    /// Waits until a message begins.
    fn begin(&mut self, deadline: Deadline) -> Result<()> {
        let (mut begun, mut steps) = (Vec::new(), 0);
        while self.piece.is_none() {
            let (current, mode) = (&mut self.current, ReceiveMode::StreamBegins(&mut begun));
            match self.inbox.step(current, mode, deadline, None, &mut steps)? {
                event @ (Event::Copied | Event::Begun) => {
                    self.last = matches!(event, Event::Copied);
                    let bytes = std::mem::take(&mut begun);
                    self.piece = Some(Here::Own { bytes, at: 0 });
                }
                Event::InRing { frame, last } => self.found(frame, last),
                Event::Aborted => return Err(aborted()),
                Event::Ended => {
                    if let Some(end) = self.inbox.next_connection(&mut self.current) {
                        return Err(end.error());
                    }
                }
                Event::Connected | Event::Interrupted | Event::Again => {}
            }
        }
        Ok(())
    }

    /// Waits for a piece to read; `false` at the end of the message.
    fn find(&mut self) -> Result<bool> {
        self.inbox.link.check_forked()?;
        let deadline = self.timeout.map_or(Deadline::Never, Deadline::after);
        let mut steps = 0;
        while self.piece.is_none() {
            if self.last {
                return Ok(false);
            }
            if self.current.is_none() {
                return Err(ended_before());
            }
            let (current, mode) = (&mut self.current, ReceiveMode::StreamGoesOn);
            match self.inbox.step(current, mode, deadline, None, &mut steps)? {
                Event::InRing { frame, last } => self.found(frame, last),
                Event::Aborted => {
                    self.last = true;
                    return Err(aborted());
                }
                Event::Ended => {
                    self.last = true;
                    let end = self.inbox.next_connection(&mut self.current);
                    return Err(end.map_or_else(ended_before, |end| end.error()));
                }
                Event::Copied
                | Event::Begun
                | Event::Connected
                | Event::Interrupted
                | Event::Again => {}
            }
        }
        Ok(true)
    }

    fn found(&mut self, frame: Frame, last: bool) {
        if let Some(incoming) = self.current.as_mut() {
            // Reading it may take long.
            incoming.wake_peer();
            let rest = incoming.reader.span(frame);
            self.piece = Some(Here::InRing { frame, rest });
            self.last = last;
        }
    }
}

fn ended_before() -> Error {
    Error::new(
        ErrorKind::NotConnected,
        "the connection of this stream has ended, as an earlier call reported",
    )
}

impl io::Read for RecvStream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.find().map_err(|e| self.inbox.link.named(e))? {
                return Ok(0);
            }
            let (len, done) = match &mut self.piece {
                Some(Here::Own { bytes, at }) => {
                    let len = to.len().min(bytes.len() - *at);
                    to[..len].copy_from_slice(&bytes[*at..][..len]);
                    *at += len;
                    (len, *at == bytes.len())
                }
                Some(Here::InRing { rest, .. }) => {
                    let len = to.len().min(rest.len());
                    if let Some(incoming) = self.current.as_ref() {
                        rest.read(incoming.reader.memory(), 0, &mut to[..len]);
                    }
                    rest.skip(len);
                    (len, rest.len() == 0)
                }
                None => (0, false),
            };
            if done {
                self.give_back();
            }
            // A chunk may be empty, but 0 would look like the end of the message.
            if len > 0 {
                return Ok(len);
            }
        }
    }
}

impl RecvStream<'_> {
    /// Returns the room of the piece, which has been read.
    fn give_back(&mut self) {
        if let (Some(Here::InRing { frame, .. }), Some(incoming)) =
            (self.piece.take(), self.current.as_mut())
        {
            incoming.give_back(frame);
        }
    }
}

impl std::fmt::Debug for RecvStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvStream").finish_non_exhaustive()
    }
}

impl Drop for RecvStream<'_> {
    fn drop(&mut self) {
        if self.inbox.link.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        self.give_back();
        if let Some(incoming) = self.current.as_mut() {
            incoming.reader.skip();
        }
        self.inbox.holder.let_go();
    }
}
