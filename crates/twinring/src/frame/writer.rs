//! Messages into the ring.

use super::{ABORT, BEGIN, END, HEADER, Header, Kind, max_payload};
use crate::ring::{Fault, Producer, Wake};

/// Which part of a message a frame brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// The first chunk of a large message.
    First,
    /// A chunk in the middle.
    Middle,
    /// The last chunk.
    Last,
}

impl Part {
    fn flags(self) -> u8 {
        match self {
            Part::Whole => BEGIN | END,
            Part::First => BEGIN,
            Part::Middle => 0,
            Part::Last => END,
        }
    }
}

/// Writes frames; the one producer of its ring.
#[derive(Debug)]
pub(crate) struct Writer {
    ring: Producer,
    max_payload: usize,
}

impl Writer {
    pub(crate) fn new(ring: Producer) -> Writer {
        let max_payload = max_payload(ring.capacity());
        Writer { ring, max_payload }
    }

    /// The longest payload of one frame in bytes.
    #[inline]
    pub(crate) fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Writes one frame of at most [`Writer::max_payload`] bytes, or returns `None` if there is no
    /// room for it now.
    #[inline]
    pub(crate) fn write(&mut self, part: Part, payload: &[u8]) -> Result<Option<Wake>, Fault> {
        assert!(payload.len() <= self.max_payload, "payload too long");
        let header = Header {
            kind: Kind::Data,
            flags: part.flags(),
            // Fits: at most 32 KiB.
            len: payload.len() as u32,
        };
        let frame = header.frame_len();
        let padding = self.padding_for(frame);
        if !self.ring.has_room(padding + frame + HEADER)? {
            return Ok(None);
        }
        if padding > 0 {
            let header = Header {
                kind: Kind::Padding,
                flags: 0,
                // Fits: shorter than the frame it makes way for.
                len: (padding - HEADER) as u32,
            };
            self.ring.write_word(0, header.encode());
        }
        self.ring.write_word(padding, header.encode());
        if !payload.len().is_multiple_of(8) {
            // The gap behind the payload would show the peer what lay there before.
            self.ring.write_word(padding + frame - 8, 0);
        }
        self.ring.write(padding + HEADER, payload);
        Ok(Some(self.ring.publish(padding + frame)))
    }

    /// Whether a message of this length fits without waiting, in as many frames as it takes.
    pub(crate) fn has_room_for(&mut self, message: usize) -> Result<bool, Fault> {
        let chunk = self.max_payload as u64;
        let message = message as u64;
        // Each chunk with its header and gap, one padding shorter than a chunk's frame, and the
        // header kept for an ABORT.
        let frames = message.div_ceil(chunk).max(1);
        let need = message + frames * 2 * HEADER + (chunk + 2 * HEADER) + HEADER;
        Ok(need <= self.ring.capacity() && self.ring.has_room(need)?)
    }

    /// Gives up the large message that was begun. There is always room for that.
    pub(crate) fn abort(&mut self) -> Result<Wake, Fault> {
        let header = Header {
            kind: Kind::Data,
            flags: ABORT,
            len: 0,
        };
        if !self.ring.has_room(HEADER)? {
            return Err(Fault::Peer("it took back room that it had given"));
        }
        self.ring.write_word(0, header.encode());
        Ok(self.ring.publish(HEADER))
    }

    /// Bytes to skip so that a frame of this length does not cross the end of the ring's memory.
    #[inline]
    fn padding_for(&self, frame: u64) -> u64 {
        let until_wrap = self.ring.until_wrap();
        if frame <= until_wrap { 0 } else { until_wrap }
    }

    /// What a frame with a payload of this length needs.
    #[inline]
    fn need(&self, payload: usize) -> u64 {
        let frame = HEADER + (payload as u64).next_multiple_of(HEADER);
        self.padding_for(frame) + frame + HEADER
    }

    /// Whether [`Writer::write`] would find room for a payload of this length.
    #[inline]
    pub(crate) fn has_room(&mut self, payload: usize) -> Result<bool, Fault> {
        let need = self.need(payload);
        self.ring.has_room(need)
    }

    /// As [`Producer::begin_wait`], for a frame with a payload of this length.
    pub(crate) fn begin_wait(&mut self, payload: usize) -> Result<bool, Fault> {
        let need = self.need(payload);
        self.ring.begin_wait(need)
    }

    /// As [`Producer::end_wait`].
    pub(crate) fn end_wait(&mut self) {
        self.ring.end_wait();
    }

    /// As [`Producer::say_goodbye`].
    pub(crate) fn say_goodbye(&mut self, goodbye: u32) {
        self.ring.say_goodbye(goodbye);
    }
}
