//! Handles that were sent and not taken yet.

use std::collections::VecDeque;

use crate::os::handles::{Handle, HandleChannel};

/// So many that the peer has not taken are under way at most. A system counts them against the sender: Linux refuses more than
/// the sender may have open.
const MOST_UNDER_WAY: usize = 128;

/// Handles that were sent and that the peer has not taken yet, by message.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    messages: VecDeque<SentHandles>,
    handles: usize,
}

#[derive(Debug)]
struct SentHandles {
    /// Where its frame ends in the ring.
    end: u64,
    count: usize,
    /// Those that this side has to keep until then.
    _kept: Vec<Handle>,
}

impl UnderWay {
    /// How far to wait for the peer to read before so many more are sent; `None` if they may be sent now. Half of those under way,
    /// so that a sender is not woken for each.
    pub(crate) fn awaits(&self, more: usize) -> Option<u64> {
        let mut left = self.handles;
        let fits = |left: usize| left + more <= MOST_UNDER_WAY;
        if fits(left) {
            return None;
        }
        let enough = self.messages.iter().find(|sent| {
            left -= sent.count;
            fits(left) && left <= MOST_UNDER_WAY / 2
        });
        enough.map(|sent| sent.end)
    }

    pub(crate) fn add(&mut self, end: u64, handles: &mut Vec<Handle>) {
        let (count, sent) = (handles.len(), handles.drain(..));
        let _kept = match HandleChannel::KEEPS {
            true => sent.collect(),
            // The system has them now.
            false => Vec::new(),
        };
        self.handles += count;
        self.messages.push_back(SentHandles { end, count, _kept });
    }

    /// The peer has read up to this position.
    pub(crate) fn taken(&mut self, position: u64) {
        while self
            .messages
            .front()
            .is_some_and(|sent| sent.end <= position)
        {
            self.handles -= self.messages.pop_front().map_or(0, |sent| sent.count);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
