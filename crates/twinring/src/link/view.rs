//! Receiving in place: a message that stays in the ring until it is dropped.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::Link;
use crate::error::Result;
use crate::frame::Frame;
use crate::os::event::Deadline;
use crate::segment::{RingMemory, Span};
use crate::transfer::{Current, Inbox, Incoming, ReceiveMode, release};

/// A received message, or a chunk of one, in place in the ring. Dropping it returns its room to the
/// peer. Made by [`Link::recv_in_place`] and [`RecvStream::next_chunk`](crate::RecvStream::next_chunk).
///
/// The peer can reach the same memory. A peer that keeps to the protocol does not touch what it has
/// sent; one that does not can change bytes while they are read. So the safe methods copy what they
/// are asked for: a copy no longer changes, but two copies of the same byte may differ. Check what you
/// have copied, not what you will copy again.
///
/// While it is held, other receivers of this link wait; one on the same thread fails with
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// host.send(b"\x07\0\0\0seven")?;
/// let message = guest.recv_in_place()?;
/// let number = u32::from_le_bytes(message.get(0).unwrap());
/// let mut text = [0; 5];
/// message.copy_to(4, &mut text);
/// assert_eq!((number, &text), (7, b"seven"));
/// # Ok::<(), twinring::Error>(())
/// ```
pub struct View<'a> {
    bytes: Bytes<'a>,
    /// Not `Send`: the thread that holds it is known.
    _here: PhantomData<*const ()>,
}

enum Bytes<'a> {
    /// It came in chunks, which were assembled here.
    Own(Vec<u8>),
    /// It is still in the ring.
    InRing {
        inbox: &'a Inbox,
        span: Span,
        frame: Frame,
        owner: ViewOwner<'a>,
    },
}

/// What has to be returned at the end.
pub(crate) enum ViewOwner<'a> {
    /// The message, and the right to receive.
    Message(Current<'a>),
    /// A chunk; the right to receive is the stream's.
    Chunk(&'a mut Incoming),
}

impl ViewOwner<'_> {
    #[inline]
    fn memory(&self) -> &RingMemory {
        let incoming = match self {
            ViewOwner::Message(current) => current.as_ref(),
            ViewOwner::Chunk(incoming) => Some(&**incoming),
        };
        match incoming {
            Some(incoming) => incoming.reader.memory(),
            None => unreachable!("a view of no connection"),
        }
    }
}

impl Link {
    /// Receives the next message in place. Waits for it, and for a peer, as long as it takes. A message
    /// that came in chunks (longer than a frame; see [`send`](Link::send)) is assembled in memory of its
    /// own; [`recv_stream`](Link::recv_stream) reads such a message in place.
    ///
    /// # Errors
    /// As [`recv`](Link::recv), and [`Deadlock`](crate::ErrorKind::Deadlock) if this thread holds a
    /// message or a stream of this link.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"hello")?;
    /// assert_eq!(guest.recv_in_place()?.to_vec(), b"hello");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_in_place(&self) -> Result<View<'_>> {
        recv_in_place(&self.core.inbox, Deadline::Never)
    }

    /// Like [`recv_in_place`](Link::recv_in_place), but fails with
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if no message is complete within `timeout`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let error = guest.recv_in_place_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn recv_in_place_timeout(&self, timeout: Duration) -> Result<View<'_>> {
        recv_in_place(&self.core.inbox, Deadline::after(timeout))
    }

    /// Returns the next message in place if it is there right now, else `None`.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// assert!(guest.try_recv_in_place()?.is_none());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn try_recv_in_place(&self) -> Result<Option<View<'_>>> {
        match recv_in_place(&self.core.inbox, Deadline::Now) {
            Ok(view) => Ok(Some(view)),
            Err(e) if e.kind() == crate::ErrorKind::TimedOut => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn recv_in_place(inbox: &Inbox, deadline: Deadline) -> Result<View<'_>> {
    let received = inbox.take_current(deadline).and_then(|mut current| {
        let mut message = Vec::new();
        let mode = ReceiveMode::InPlace(&mut message);
        let frame = inbox.next_message(&mut current, mode, deadline)?;
        if let Some(incoming) = current.as_mut() {
            // The program may hold the message for long.
            incoming.wake_peer();
        }
        Ok(match (frame, current.as_ref()) {
            (Some(frame), Some(incoming)) => {
                let span = incoming.reader.span(frame);
                inbox.holder.hold();
                View::in_ring(inbox, span, frame, ViewOwner::Message(current))
            }
            _ => View::own(message),
        })
    });
    received.map_err(|e| inbox.link.named(e))
}

impl<'a> View<'a> {
    pub(crate) fn own(bytes: Vec<u8>) -> View<'a> {
        View {
            bytes: Bytes::Own(bytes),
            _here: PhantomData,
        }
    }

    /// Views a frame that was peeked at; dropping the view returns the frame's room.
    pub(crate) fn in_ring(
        inbox: &'a Inbox,
        span: Span,
        frame: Frame,
        owner: ViewOwner<'a>,
    ) -> View<'a> {
        View {
            bytes: Bytes::InRing {
                inbox,
                span,
                frame,
                owner,
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

    /// Copies the bytes from `offset` on into `to`, filling it.
    ///
    /// # Panics
    /// If there are fewer bytes, as slicing does; and in a forked child, which has no link.
    #[inline]
    pub fn copy_to(&self, offset: usize, to: &mut [u8]) {
        match &self.bytes {
            Bytes::Own(bytes) => to.copy_from_slice(&bytes[offset..][..to.len()]),
            Bytes::InRing {
                inbox, span, owner, ..
            } => {
                // A forked child has nothing mapped there.
                assert!(!inbox.link.is_forked(), "a forked child has no link");
                span.read(owner.memory(), offset, to);
            }
        }
    }

    /// The `N` bytes from `offset` on, or `None` if there are fewer.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(&258u16.to_le_bytes())?;
    /// let message = guest.recv_in_place()?;
    /// assert_eq!(message.get(0).map(u16::from_le_bytes), Some(258));
    /// assert_eq!(message.get(1).map(u16::from_le_bytes), None);
    /// # Ok::<(), twinring::Error>(())
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

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.copy_to(0, &mut bytes);
        bytes
    }

    /// A reader over the bytes.
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// host.send(b"some text")?;
    /// let message = guest.recv_in_place()?;
    /// let mut text = String::new();
    /// message.reader().read_to_string(&mut text)?;
    /// assert_eq!(text, "some text");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reader(&self) -> ViewReader<'_> {
        ViewReader { view: self, at: 0 }
    }

    /// All bytes, in memory that the peer can also reach.
    ///
    /// # Safety
    /// The peer must not touch what it has sent: a reference to bytes that another process writes at the
    /// same time is undefined behaviour. A peer that uses this library keeps to that; a hostile one need
    /// not. Nor may the process fork and the child use the slice.
    pub unsafe fn as_slice_trusting_peer(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::InRing { span, owner, .. } => {
                // SAFETY: the caller vouches for the peer, and a producer writes only to room that has
                // been returned to it; this frame's has not.
                unsafe { span.as_slice(owner.memory()) }
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
        let bytes = std::mem::replace(&mut self.bytes, Bytes::Own(Vec::new()));
        let Bytes::InRing {
            inbox,
            frame,
            owner,
            ..
        } = bytes
        else {
            return;
        };
        if inbox.link.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        match owner {
            ViewOwner::Chunk(incoming) => incoming.give_back(frame),
            ViewOwner::Message(mut current) => {
                if let Some(incoming) = current.as_mut() {
                    incoming.reader.give_back(frame);
                }
                inbox.holder.let_go();
                release(current);
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
