//! Receiving in place: a message that stays in the ring until it is dropped.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::os::event::Deadline;
use crate::segment::Span;
use crate::transfer::{Duplex, InPlace};

/// A received message, or a chunk of one, in place in the ring. Dropping it returns its room to the
/// peer. Made by [`Connection::recv_in_place`](crate::Connection::recv_in_place) and
/// [`RecvStream::next_chunk`](crate::RecvStream::next_chunk).
///
/// It is a slice of bytes (`Deref`, `AsRef`), and its own owner: `'static`, `Send` and `Sync`, so that
/// libraries can keep it, as `bytes::Bytes::from_owner` or an Arrow buffer does. In the ring (with
/// [`trust_peer`](crate::Builder::trust_peer), at its beginning) it is aligned to 8 bytes; a copy need not be.
/// Its bytes stay there after the connection and the link are closed.
///
/// The peer can reach the same memory. A peer that keeps to the protocol does not touch what it has
/// sent; one that does not can change bytes while they are read. So the slice is a private copy, made when
/// it is first asked for, unless the link [trusts its peer](crate::Builder::trust_peer):
/// then it is the ring itself. [`copy_to`](View::copy_to) copies a part only.
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// host.send(b"\x07\0\0\0seven")?;
/// let message = guest.recv_in_place()?.unwrap();
/// assert_eq!(message[0], 7);
/// let mut text = [0; 5];
/// message.copy_to(4, &mut text);
/// assert_eq!(&text, b"seven");
/// # Ok::<(), twinring::Error>(())
/// ```
pub struct View {
    bytes: Bytes,
}

enum Bytes {
    /// It came in chunks, which were assembled here, or had been received before.
    Own(
        Vec<u8>,
        #[expect(dead_code, reason = "for its drop")] Option<Hold>,
    ),
    /// It is still in the ring.
    InRing {
        hold: Hold,
        span: Span,
        /// Made at the first look.
        copy: OnceLock<Vec<u8>>,
    },
}

/// A place in the ring that is returned to the peer when this is dropped.
pub(super) struct Hold {
    duplex: Arc<Duplex>,
    place: Range<u64>,
}

impl Hold {
    #[inline(always)]
    pub(super) fn new(duplex: &Arc<Duplex>, place: Range<u64>) -> Hold {
        let duplex = duplex.clone();
        Hold { duplex, place }
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        self.duplex.inbox.done(self.place.start, self.place.end);
    }
}

impl View {
    #[inline(always)]
    pub(super) fn receive(duplex: &Arc<Duplex>, deadline: Deadline) -> Result<Option<View>> {
        let mut message = Vec::new();
        let received = duplex.inbox.recv_in_place(&mut message, deadline)?;
        Ok(received.map(|place| match place {
            InPlace::InRing(place, span) => View::in_ring(span, Hold::new(duplex, place)),
            InPlace::InBuffer(place) => {
                View::own(message, place.map(|place| Hold::new(duplex, place)))
            }
        }))
    }

    #[inline(always)]
    pub(super) fn own(bytes: Vec<u8>, hold: Option<Hold>) -> View {
        View {
            bytes: Bytes::Own(bytes, hold),
        }
    }

    /// Views a part of the ring.
    #[inline(always)]
    pub(super) fn in_ring(span: Span, hold: Hold) -> View {
        View {
            bytes: Bytes::InRing {
                hold,
                span,
                copy: OnceLock::new(),
            },
        }
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "the slice has both")]
    pub fn len(&self) -> usize {
        match &self.bytes {
            Bytes::Own(bytes, _) => bytes.len(),
            Bytes::InRing { span, .. } => span.len(),
        }
    }

    /// Copies the bytes from `offset` on into `to`, filling it, without a copy of the rest. Two copies of the
    /// same byte may differ, if the peer does not keep to the protocol: check what you have copied, not what
    /// you will copy again.
    ///
    /// # Panics
    /// If there are fewer bytes, as slicing does; and in a forked child, which has no link.
    #[inline]
    pub fn copy_to(&self, offset: usize, to: &mut [u8]) {
        match &self.bytes {
            Bytes::Own(bytes, _) => to.copy_from_slice(&bytes[offset..][..to.len()]),
            Bytes::InRing { hold, span, .. } => {
                check_forked(&hold.duplex);
                span.read(hold.duplex.session.incoming_ring(), offset, to);
            }
        }
    }
}

/// # Panics
/// In a forked child, which has nothing mapped there.
#[inline]
fn check_forked(duplex: &Duplex) {
    assert!(!duplex.link.is_forked(), "a forked child has no link");
}

impl Deref for View {
    type Target = [u8];

    /// # Panics
    /// In a forked child, which has no link.
    #[inline]
    fn deref(&self) -> &[u8] {
        let (duplex, span, copy) = match &self.bytes {
            Bytes::Own(bytes, _) => return bytes,
            Bytes::InRing { hold, span, copy } => (&hold.duplex, span, copy),
        };
        check_forked(duplex);
        let ring = duplex.session.incoming_ring();
        if duplex.link.options.trusts_peer {
            // SAFETY: whoever opened the link has promised that its peers do not touch what they have
            // sent, and a producer writes only to room that has been returned to it; this place has not.
            return unsafe { span.as_slice(ring) };
        }
        copy.get_or_init(|| {
            let mut bytes = vec![0; span.len()];
            span.read(ring, 0, &mut bytes);
            bytes
        })
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
