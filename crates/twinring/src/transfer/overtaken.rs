//! Messages that come before the rest of the ring: those that have overtaken one that is being read as a
//! stream, and those of a batch that were not taken.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::{RingMemory, Span};

/// Once they have this many bytes in all, no more are kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where a message is kept in the ring, if it is: the part that it belongs to, and its end.
pub(crate) type Hold = Option<(u64, u64)>;

/// Whole messages in memory of our own, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Overtaken {
    messages: VecDeque<(Vec<u8>, Hold)>,
    bytes: usize,
}

impl Overtaken {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Keeps a copy of the message.
    pub(crate) fn push(&mut self, memory: &RingMemory, span: Span) -> Result<()> {
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
        self.messages.push_back((message, None));
        Ok(())
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(Vec<u8>, Hold)> {
        let (message, hold) = self.messages.pop_front()?;
        self.bytes -= taken_by(&message);
        Some((message, hold))
    }

    /// A message that was received and not taken comes first again.
    pub(crate) fn put_back(&mut self, message: Vec<u8>, hold: Hold) {
        self.bytes += taken_by(&message);
        // Behind those of an earlier batch.
        let end = |hold: &Hold| hold.map_or(0, |(_, end)| end);
        let before = |other: &Hold| other.is_some() && end(other) < end(&hold);
        let earlier = self.messages.iter().take_while(|(_, other)| before(other));
        let at = earlier.count();
        self.messages.insert(at, (message, hold));
    }
}

fn taken_by(message: &[u8]) -> usize {
    message.len() + size_of::<(Vec<u8>, Hold)>()
}
