//! What a writer has written and its reader has not released: how much it is, and the messages.
//!
//! The writer reads its own frames back, out of memory that the peer can write to as well: so they are
//! checked like those of a peer.

use std::collections::VecDeque;

use super::handles::len_before_message;
use super::{ABORT, BEGIN, END, HANDLES, HEADER, Header, Kind, max_claim};
use crate::ring::Fault;
use crate::segment::{RingMemory, Span};

/// How much has not been released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Messages of which at least the end has not.
    pub(crate) messages: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
}

const CHANGED: Fault = Fault::Peer("it has changed what was sent to it");

/// The frames between two positions of a ring.
struct Frames<'a> {
    ring: &'a RingMemory,
    at: u64,
    end: u64,
}

impl Frames<'_> {
    /// The next one that is not padding: its flags, and where the bytes of its message are and how many.
    fn next(&mut self) -> Result<Option<(u8, u64, u32)>, Fault> {
        while self.at != self.end {
            let left = self.end.wrapping_sub(self.at);
            let offset = self.at & (self.ring.capacity() - 1);
            let longest = max_claim(self.ring.capacity()) as u64;
            let header =
                Header::decode(self.ring.read_word(offset), longest).map_err(|_| CHANGED)?;
            let len = header.frame_len();
            if len > left || len > self.ring.capacity() - offset {
                return Err(CHANGED);
            }
            self.at = self.at.wrapping_add(len);
            if header.kind() == Kind::Data {
                return self.message(header, offset + HEADER).map(Some);
            }
        }
        Ok(None)
    }

    /// What of a frame's payload, which begins there, is of a message.
    fn message(&self, header: Header, at: u64) -> Result<(u8, u64, u32), Fault> {
        let (flags, len) = (header.flags(), header.len());
        if flags & HANDLES == 0 {
            return Ok((flags, at, len));
        }
        if len < 8 {
            return Err(CHANGED);
        }
        let first = self.ring.read_word(at);
        let before = len_before_message(first, len as usize).ok_or(CHANGED)?;
        // Fits: not more than the payload.
        Ok((flags & !HANDLES, at + before as u64, len - before as u32))
    }
}

/// Counts the frames from `head` to `tail`, which are not more than the ring has room for.
pub(super) fn count(ring: &RingMemory, head: u64, tail: u64) -> Result<Waiting, Fault> {
    let mut frames = Frames {
        ring,
        at: head,
        end: tail,
    };
    let mut waiting = Waiting::default();
    while let Some((flags, _, len)) = frames.next()? {
        if flags != ABORT {
            waiting.bytes += u64::from(len);
        }
        waiting.messages += u64::from(flags & END != 0);
    }
    Ok(waiting)
}

/// The whole messages that were not released, in the order in which they were completed.
#[derive(Debug)]
pub(crate) struct Untaken {
    ring: RingMemory,
    messages: VecDeque<Vec<Span>>,
    /// A large message was taken in part.
    pub(crate) partial: bool,
}

impl Untaken {
    /// Finds them between `head` and `tail`, which are not further apart than the ring is long.
    pub(super) fn find(ring: &RingMemory, head: u64, tail: u64) -> Result<Untaken, Fault> {
        let mut frames = Frames {
            ring,
            at: head,
            end: tail,
        };
        let (mut messages, mut large, mut partial) = (VecDeque::new(), None, false);
        while let Some((flags, at, len)) = frames.next()? {
            let span = Span::new(ring, at, len as usize);
            match (flags, &mut large) {
                (flags, _) if flags == BEGIN | END => messages.push_back(vec![span]),
                (ABORT, _) => large = None,
                (BEGIN, _) => large = Some(vec![span]),
                (flags, Some(spans)) => {
                    spans.push(span);
                    if flags == END {
                        messages.extend(large.take());
                    }
                }
                // Its beginning is no longer there.
                (flags, None) => partial |= flags == END,
            }
        }
        Ok(Untaken {
            ring: ring.clone(),
            messages,
            partial,
        })
    }

    /// There are none.
    pub(crate) fn none(ring: &RingMemory) -> Untaken {
        Untaken {
            ring: ring.clone(),
            messages: VecDeque::new(),
            partial: false,
        }
    }

    fn read(&self, spans: &[Span]) -> Vec<u8> {
        let mut message = vec![0; spans.iter().map(Span::len).sum()];
        let mut at = 0;
        for span in spans {
            span.read(&self.ring, 0, &mut message[at..at + span.len()]);
            at += span.len();
        }
        message
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let spans = self.messages.pop_front()?;
        Some(self.read(&spans))
    }

    pub(crate) fn next_back(&mut self) -> Option<Vec<u8>> {
        let spans = self.messages.pop_back()?;
        Some(self.read(&spans))
    }
}

#[cfg(test)]
mod tests;
