//! Receiving a message while it is still coming.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::Link;
use super::connection::closed_here;
use super::core::Core;
use super::incoming::{Incoming, Peeked};
use super::recv::{Current, Event, aborted};
use super::view::{Source, View};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Piece};
use crate::os::event::Deadline;
use crate::segment::Span;

/// One message, received while it is still coming: read it ([`std::io::Read`]), or take
/// [chunk after chunk](RecvStream::next_chunk) where it lies in the ring. Made by
/// [`Link::recv_stream`].
///
/// The end of the message is the end of the stream. If the peer gives the message up or goes, that
/// is an error, once: what has been read was not a whole message. Dropped before its end, the rest of
/// the message is skipped.
///
/// While it is held, other receivers of this link wait; one on the same thread gets
/// [`ErrorKind::Deadlock`]. Small messages may overtake a large one: those that come between its chunks
/// are kept for the receivers after this, or for [`overtaking`](RecvStream::overtaking).
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// use std::io::Read;
///
/// # fn main() -> std::io::Result<()> {
/// # let name = format!("recv-stream-type-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
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
/// # Ok(()) }
/// ```
pub struct RecvStream<'a> {
    core: &'a Core,
    current: Current<'a>,
    timeout: Option<Duration>,
    piece: Option<Here>,
    /// Nothing comes after `piece`.
    last: bool,
    /// Stays with the thread that is known to hold it.
    _here: PhantomData<*const ()>,
}

/// A piece of the message that is being read.
enum Here {
    /// In memory of our own: it had come before somebody asked for a stream. Read up to `at`.
    Own { bytes: Vec<u8>, at: usize },
    /// In the ring; what is left of the frame.
    InRing { frame: Frame, rest: Span },
}

/// Messages that have overtaken a stream are kept up to so many bytes in all.
const MOST_PARKED: usize = 64 * 1024 * 1024;

impl Link {
    /// Receives the next message as a stream, waiting until it begins, and for a peer, as long as it
    /// takes. A message that is longer than the ring, or endless, needs no more memory than the ring.
    /// It must not be longer than this side's [`max_message`](crate::Builder::max_message).
    ///
    /// # Errors
    /// As [`recv`](Link::recv), and [`Deadlock`](ErrorKind::Deadlock) if this thread holds a message
    /// or a stream of this link.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-stream-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// host.send(b"short ones come in one chunk")?;
    /// let mut stream = guest.recv_stream()?;
    /// assert_eq!(stream.next_chunk()?.unwrap().len(), 28);
    /// assert!(stream.next_chunk()?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn recv_stream(&self) -> Result<RecvStream<'_>> {
        self.core.recv_stream(None).map_err(|e| self.core.named(e))
    }

    /// As [`recv_stream`](Link::recv_stream), but gives up with
    /// [`TimedOut`](ErrorKind::TimedOut) when no message began within `timeout`. Each later wait may
    /// take as long; see [`set_timeout`](RecvStream::set_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-stream-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// let error = guest.recv_stream_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(()) }
    /// ```
    pub fn recv_stream_timeout(&self, timeout: Duration) -> Result<RecvStream<'_>> {
        self.core
            .recv_stream(Some(timeout))
            .map_err(|e| self.core.named(e))
    }
}

impl Core {
    fn recv_stream(&self, timeout: Option<Duration>) -> Result<RecvStream<'_>> {
        let deadline = timeout.map_or(Deadline::Never, Deadline::after);
        let mut stream = RecvStream {
            core: self,
            current: self.take_current(deadline)?,
            timeout,
            piece: None,
            last: true,
            _here: PhantomData,
        };
        stream.begin(deadline)?;
        self.inbox.holder.hold();
        Ok(stream)
    }
}

impl RecvStream<'_> {
    /// How long each wait for the peer may take at most; `None`: as long as it takes. A stream that
    /// was late can go on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The next chunk where it lies in the ring, or `None` at the end of the message; what is left
    /// of the present one, if some of it was read.
    ///
    /// # Errors
    /// [`Aborted`](ErrorKind::Aborted) if the peer gave the message up; the end of the connection, as
    /// [`recv`](Link::recv), if it ended before the message did; [`TimedOut`](ErrorKind::TimedOut) by
    /// [`set_timeout`](RecvStream::set_timeout); [`Full`](ErrorKind::Full) if so many messages have
    /// overtaken this one that some must be [taken](RecvStream::overtaking) first.
    pub fn next_chunk(&mut self) -> Result<Option<View<'_>>> {
        let core = self.core;
        if !self.find().map_err(|e| core.named(e))? {
            return Ok(None);
        }
        Ok(match (self.piece.take(), self.current.as_mut()) {
            (Some(Here::Own { mut bytes, at }), _) => {
                bytes.drain(..at);
                Some(View::own(bytes))
            }
            (Some(Here::InRing { frame, rest }), Some(incoming)) => {
                Some(View::in_ring(core, rest, frame, Source::Chunk(incoming)))
            }
            _ => None,
        })
    }

    /// The next of the messages that have overtaken this one, if there is any so far. What is not
    /// taken here is received by the next receiver.
    pub fn overtaking(&mut self) -> Option<Vec<u8>> {
        self.current.as_mut()?.parked.pop()
    }

    /// Waits until a message begins.
    fn begin(&mut self, deadline: Deadline) -> Result<()> {
        loop {
            let Some(incoming) = self.core.arrived(&mut self.current, deadline)? else {
                continue;
            };
            if let Some(bytes) = incoming.parked.pop() {
                self.piece = Some(Here::Own { bytes, at: 0 });
                return Ok(());
            }
            if let Some(bytes) = incoming.reader.take_over() {
                self.piece = Some(Here::Own { bytes, at: 0 });
                self.last = false;
                return Ok(());
            }
            if self.step(deadline, false)? {
                return Ok(());
            }
        }
    }

    /// Whether there is a piece to read; waits for it.
    fn find(&mut self) -> Result<bool> {
        self.core.check_forked()?;
        let deadline = self.timeout.map_or(Deadline::Never, Deadline::after);
        while self.piece.is_none() {
            if self.last {
                return Ok(false);
            }
            self.step(deadline, true)?;
        }
        Ok(true)
    }

    /// Takes the next frame; `true` if it brought a piece of the message.
    fn step(&mut self, deadline: Deadline, begun: bool) -> Result<bool> {
        if self.core.is_closing() {
            return Err(closed_here());
        }
        let Some(incoming) = self.current.as_mut() else {
            return Err(ended_before());
        };
        let peeked = incoming.peek(deadline, None);
        let frame = match self.core.judged(incoming, peeked)? {
            Peeked::Frame(frame) => frame,
            Peeked::Event(Some(Event::Ended { end, told, .. })) => {
                self.last = true;
                if incoming.parked.is_empty() {
                    self.core.forget(&mut self.current);
                } else {
                    // They are whole, and come to the receivers after this.
                    incoming.set_told();
                }
                return if told && !begun {
                    Ok(false)
                } else {
                    Err(end.error())
                };
            }
            Peeked::Event(_) => return Ok(false),
        };
        let piece = incoming.reader.piece(frame).map_err(Into::into);
        match self.core.judged(incoming, piece)? {
            Piece::Whole if begun => {
                park(incoming, frame)?;
                Ok(false)
            }
            Piece::Whole => {
                self.found(frame, true);
                Ok(true)
            }
            Piece::Chunk { last } => {
                self.found(frame, last);
                Ok(true)
            }
            Piece::Aborted => {
                incoming.give_back(frame);
                self.last = true;
                Err(aborted())
            }
            Piece::Skipped => {
                incoming.give_back(frame);
                Ok(false)
            }
        }
    }

    fn found(&mut self, frame: Frame, last: bool) {
        if let Some(incoming) = self.current.as_ref() {
            let rest = incoming.reader.span(frame);
            self.piece = Some(Here::InRing { frame, rest });
            self.last = last;
        }
    }
}

/// Keeps a message that has overtaken the stream.
fn park(incoming: &mut Incoming, frame: Frame) -> Result<()> {
    if incoming.parked.bytes() >= MOST_PARKED {
        return Err(Error::new(
            ErrorKind::Full,
            format!(
                "messages of {MOST_PARKED} bytes have overtaken the stream and wait to be received; \
                 take them with `overtaking`"
            ),
        ));
    }
    let span = incoming.reader.span(frame);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(span.len()).map_err(|_| {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("a message of {} bytes has overtaken the stream, and there is no memory to keep it in", span.len()),
        )
    })?;
    bytes.resize(span.len(), 0);
    span.read(0, &mut bytes);
    incoming.parked.push(bytes);
    incoming.give_back(frame);
    Ok(())
}

fn ended_before() -> Error {
    Error::new(
        ErrorKind::NotConnected,
        "the connection of this stream has ended, which has been told",
    )
}

impl io::Read for RecvStream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.find().map_err(|e| self.core.named(e))? {
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
                    rest.read(0, &mut to[..len]);
                    rest.skip(len);
                    (len, rest.len() == 0)
                }
                None => (0, false),
            };
            if done {
                self.give_back();
            }
            // A chunk may be empty, the message's end may not look like one.
            if len > 0 {
                return Ok(len);
            }
        }
    }
}

impl RecvStream<'_> {
    /// The piece has been read.
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
        if self.core.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        self.give_back();
        if let Some(incoming) = self.current.as_mut() {
            incoming.reader.skip();
        }
        self.core.inbox.holder.let_go();
    }
}
