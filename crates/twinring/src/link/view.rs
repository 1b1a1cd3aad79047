//! Receiving in place: a message where it lies in the ring, until it is dropped.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::Link;
use super::core::Core;
use super::incoming::{Incoming, Taking};
use super::recv::Current;
use crate::error::Result;
use crate::frame::Frame;
use crate::os::event::Deadline;
use crate::segment::Span;

/// A received message, or a chunk of one, where it lies in the ring; its room is given back to the
/// peer when this is dropped. Made by [`Link::recv_in_place`] and
/// [`RecvStream::next_chunk`](crate::RecvStream::next_chunk).
///
/// The peer can reach the same memory. One that keeps to the protocol does not touch what it has
/// sent; one that does not can change bytes while they are looked at. So the safe methods copy what
/// they are asked for, and each copy is as steady as any value, but two looks at the same byte may
/// differ. Check what you have copied, not what you will copy again.
///
/// While it is held, other receivers of this link wait; one on the same thread gets
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// # fn main() -> Result<()> {
/// # let name = format!("view-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// host.send(b"\x07\0\0\0seven")?;
/// let message = guest.recv_in_place()?;
/// let number = u32::from_le_bytes(message.get(0).unwrap());
/// let mut text = [0; 5];
/// message.copy_to(4, &mut text);
/// assert_eq!((number, &text), (7, b"seven"));
/// # Ok(()) }
/// ```
pub struct View<'a> {
    bytes: Bytes<'a>,
    /// Stays with the thread that is known to hold it.
    _here: PhantomData<*const ()>,
}

enum Bytes<'a> {
    /// It came in chunks, which were put together.
    Own(Vec<u8>),
    /// It lies in the ring.
    InRing {
        core: &'a Core,
        span: Span,
        frame: Frame,
        source: Source<'a>,
    },
}

/// What has to be given back.
pub(crate) enum Source<'a> {
    /// The message, and the right to receive.
    Message(Current<'a>),
    /// A chunk; the right to receive is the stream's.
    Chunk(&'a mut Incoming),
}

impl Link {
    /// Receives the next message in place, waiting for it, and for a peer, as long as it takes. One
    /// that came in chunks (longer than a frame; see [`send`](Link::send)) is put together in memory
    /// of its own; [`recv_stream`](Link::recv_stream) reads such a message in place.
    ///
    /// # Errors
    /// As [`recv`](Link::recv), and [`Deadlock`](crate::ErrorKind::Deadlock) if this thread holds a
    /// message or a stream of this link.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-in-place-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// host.send(b"hello")?;
    /// assert_eq!(guest.recv_in_place()?.to_vec(), b"hello");
    /// # Ok(()) }
    /// ```
    pub fn recv_in_place(&self) -> Result<View<'_>> {
        self.core.recv_in_place(Deadline::Never)
    }

    /// As [`recv_in_place`](Link::recv_in_place), but gives up with
    /// [`TimedOut`](crate::ErrorKind::TimedOut) when no message was complete within `timeout`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("recv-in-place-timeout-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// let error = guest.recv_in_place_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(()) }
    /// ```
    pub fn recv_in_place_timeout(&self, timeout: Duration) -> Result<View<'_>> {
        self.core.recv_in_place(Deadline::after(timeout))
    }

    /// The next message in place if it is there right now, else `None`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("try-recv-in-place-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// assert!(guest.try_recv_in_place()?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn try_recv_in_place(&self) -> Result<Option<View<'_>>> {
        match self.core.recv_in_place(Deadline::Now) {
            Ok(view) => Ok(Some(view)),
            Err(e) if e.kind() == crate::ErrorKind::TimedOut => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Core {
    fn recv_in_place(&self, deadline: Deadline) -> Result<View<'_>> {
        let received = self.take_current(deadline).and_then(|mut current| {
            let mut message = Vec::new();
            let taking = Taking::InPlace(&mut message);
            let frame = self.next_message(&mut current, taking, deadline)?;
            if let Some(incoming) = current.as_mut() {
                // The program may take its time.
                incoming.wake_peer();
            }
            Ok(match (frame, current.as_ref()) {
                (Some(frame), Some(incoming)) => {
                    let span = incoming.reader.span(frame);
                    self.inbox.holder.hold();
                    View::in_ring(self, span, frame, Source::Message(current))
                }
                _ => View::own(message),
            })
        });
        received.map_err(|e| self.named(e))
    }
}

impl<'a> View<'a> {
    pub(crate) fn own(bytes: Vec<u8>) -> View<'a> {
        View {
            bytes: Bytes::Own(bytes),
            _here: PhantomData,
        }
    }

    /// Of a frame that was peeked at and is given back when this is dropped.
    pub(crate) fn in_ring(
        core: &'a Core,
        span: Span,
        frame: Frame,
        source: Source<'a>,
    ) -> View<'a> {
        View {
            bytes: Bytes::InRing {
                core,
                span,
                frame,
                source,
            },
            _here: PhantomData,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        match &self.bytes {
            Bytes::Own(bytes) => bytes.len(),
            Bytes::InRing { span, .. } => span.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from `offset` on into `to`, which they must fill.
    ///
    /// # Panics
    /// If there are not so many bytes, as slicing does; and in a forked child, which has no link.
    #[inline]
    pub fn copy_to(&self, offset: usize, to: &mut [u8]) {
        match &self.bytes {
            Bytes::Own(bytes) => to.copy_from_slice(&bytes[offset..][..to.len()]),
            Bytes::InRing { core, span, .. } => {
                // Or there would be nothing where it reads from.
                assert!(!core.is_forked(), "a forked child has no link");
                span.read(offset, to);
            }
        }
    }

    /// The `N` bytes from `offset` on, or `None` if there are not so many.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("get-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// host.send(&258u16.to_le_bytes())?;
    /// let message = guest.recv_in_place()?;
    /// assert_eq!(message.get(0).map(u16::from_le_bytes), Some(258));
    /// assert_eq!(message.get(1).map(u16::from_le_bytes), None);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let end = offset.checked_add(N)?;
        (end <= self.len()).then(|| {
            let mut bytes = [0; N];
            self.copy_to(offset, &mut bytes);
            bytes
        })
    }

    /// All bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.copy_to(0, &mut bytes);
        bytes
    }

    /// Reads the bytes one after the other.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let name = format!("reader-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// host.send(b"some text")?;
    /// let message = guest.recv_in_place()?;
    /// let mut text = String::new();
    /// message.reader().read_to_string(&mut text)?;
    /// assert_eq!(text, "some text");
    /// # Ok(()) }
    /// ```
    pub fn reader(&self) -> ViewReader<'_> {
        ViewReader { view: self, at: 0 }
    }

    /// All bytes as they lie in memory that the peer can reach as well.
    ///
    /// # Safety
    /// The peer must be one that does not touch what it has sent: a reference to bytes that another
    /// process writes at the same time is undefined behaviour. A peer of this library keeps to that; a
    /// hostile one need not. Nor may the process fork while the slice is used by the child.
    pub unsafe fn as_slice_trusting_peer(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::InRing { span, .. } => {
                // SAFETY: the caller's promise; we write to the ring only behind what the peer
                // has been given back.
                unsafe { span.as_slice() }
            }
        }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let Bytes::InRing {
            core,
            frame,
            source,
            ..
        } = &mut self.bytes
        else {
            return;
        };
        if core.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        match source {
            Source::Chunk(incoming) => incoming.give_back(*frame),
            Source::Message(current) => {
                if let Some(incoming) = current.as_mut() {
                    incoming.give_back(*frame);
                }
                core.inbox.holder.let_go();
            }
        }
    }
}

/// Reads a [`View`]; made by [`View::reader`].
#[derive(Debug)]
pub struct ViewReader<'a> {
    view: &'a View<'a>,
    at: usize,
}

impl io::Read for ViewReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = to.len().min(self.view.len() - self.at);
        self.view.copy_to(self.at, &mut to[..len]);
        self.at += len;
        Ok(len)
    }
}
