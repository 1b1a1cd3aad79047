//! Messages that come before the rest of the ring: those that have overtaken one that is being read as a
//! stream, and those of a batch that were not taken.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::{RingMemory, Span};

/// Once they have this many bytes in all, no more are kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where a message was in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingPlace {
    /// Where it begins, if it is still kept there.
    pub(crate) start: Option<u64>,
    pub(crate) end: u64,
}

/// Whole messages in memory of our own, in the order of their places.
#[derive(Debug, Default)]
pub(crate) struct Overtaken {
    messages: VecDeque<(Vec<u8>, RingPlace)>,
    bytes: usize,
}

impl Overtaken {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Keeps a copy of the message, which ends there in the ring.
    pub(crate) fn push(&mut self, memory: &RingMemory, span: Span, end: u64) -> Result<()> {
        if self.bytes >= MAX_BYTES {
            return Err(Error::new(
                ErrorKind::Held,
                format!(
                    "messages of {MAX_BYTES} bytes have overtaken the stream and wait to be \
                     received; `recv` takes them"
                ),
            ));
        }
        let len = span.len();
        let mut message = Vec::new();
        message.try_reserve_exact(len).map_err(|_| {
            Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "a message of {len} bytes has overtaken the stream, and there is no memory to \
                     keep it in"
                ),
            )
        })?;
        message.resize(len, 0);
        span.read(memory, 0, &mut message);
        self.bytes += taken_by(&message);
        self.messages
            .push_back((message, RingPlace { start: None, end }));
        Ok(())
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(Vec<u8>, RingPlace)> {
        let (message, place) = self.messages.pop_front()?;
        self.bytes -= taken_by(&message);
        Some((message, place))
    }

    /// A message that was received and not taken comes again, before all that were behind it.
    pub(crate) fn put_back(&mut self, message: Vec<u8>, place: RingPlace) {
        self.bytes += taken_by(&message);
        let before = |(_, other): &(Vec<u8>, RingPlace)| other.end < place.end;
        let at = self.messages.partition_point(before);
        self.messages.insert(at, (message, place));
    }
}

fn taken_by(message: &[u8]) -> usize {
    message.len() + size_of::<(Vec<u8>, RingPlace)>()
}
