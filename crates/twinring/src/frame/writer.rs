//! Writes messages into the ring.

use std::ops::Range;

use super::payload::Payload;
use super::untaken::{self, Untaken, Waiting};
use super::{ABORT, BEGIN, END, HANDLES, HEADER, Header, Kind, frame_len, max_payload};
use crate::ring::{Fault, Producer, Wake};
#[cfg(test)]
use crate::segment::RingMemory;
use crate::segment::Span;
use crate::segment::layout::RECEIVING_OPEN;

/// Which part of a message a frame holds.
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
    /// The cause why a large message that was begun is given up.
    Abort,
    /// All of it, behind what is said of its handles.
    WithHandles,
}

impl Part {
    pub(crate) fn of(begins: bool, ends: bool) -> Part {
        match (begins, ends) {
            (true, true) => Part::Whole,
            (true, false) => Part::First,
            (false, false) => Part::Middle,
            (false, true) => Part::Last,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Part::Whole => BEGIN | END,
            Part::First => BEGIN,
            Part::Middle => 0,
            Part::Last => END,
            Part::Abort => ABORT,
            Part::WithHandles => BEGIN | END | HANDLES,
        }
    }
}

/// Room for a frame that is being filled in place.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Bytes of padding before it.
    padding: u64,
    /// The longest payload that it has room for.
    most: usize,
}

impl Claim {
    #[inline]
    fn payload_at(&self) -> u64 {
        self.padding + HEADER
    }
}

/// Writes frames; the only producer of its ring.
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

    /// The longest payload of one frame in bytes, unless it is claimed.
    #[inline]
    pub(crate) fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Writes one frame of at most [`Writer::max_payload`] bytes and publishes it, or returns `None`
    /// if there is no room for it now.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn write(&mut self, part: Part, payload: &[u8]) -> Result<Option<Wake>, Fault> {
        let written = self.append(part, payload, 0..payload.len())?;
        Ok(written.then(|| {
            self.publish();
            self.wake()
        }))
    }

    /// Writes one frame with these bytes of the payload, at most [`Writer::max_payload`]. The reader
    /// sees it after the next [`Writer::publish`]. `false` if there is no room for it now.
    #[inline(always)]
    pub(crate) fn append<P: Payload + ?Sized>(
        &mut self,
        part: Part,
        payload: &P,
        range: Range<usize>,
    ) -> Result<bool, Fault> {
        let len = range.len();
        assert!(len <= self.max_payload, "payload too long");
        let Some(claim) = self.claim(len)? else {
            return Ok(false);
        };
        self.fill(&claim, part, payload, range);
        Ok(true)
    }

    /// Writes one frame into a claim that has room for it. The reader sees it after the next [`Writer::publish`].
    #[inline(always)]
    pub(crate) fn fill<P: Payload + ?Sized>(
        &mut self,
        claim: &Claim,
        part: Part,
        payload: &P,
        range: Range<usize>,
    ) {
        let (mut at, len) = (claim.payload_at(), range.len());
        for piece in payload.pieces(range) {
            self.ring.write(at, piece);
            at += piece.len() as u64;
        }
        self.complete(claim, part, len);
    }

    /// Shows the reader all frames that were written. Call [`Writer::wake`] afterwards.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.ring.publish();
    }

    /// As [`Producer::wake`].
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        self.ring.wake()
    }

    /// As [`Producer::is_awaited`].
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.ring.is_awaited()
    }

    /// Finds room for one frame with a payload of at most `most` bytes; `None` if there is none
    /// now. Until [`Writer::commit`] uses the claim, or it is dropped, nothing else may be written.
    #[inline]
    pub(crate) fn claim(&mut self, most: usize) -> Result<Option<Claim>, Fault> {
        let frame = frame_len(most as u64);
        let padding = self.padding_for(frame);
        let room = self.ring.has_room(padding + frame + HEADER)?;
        Ok(room.then_some(Claim { padding, most }))
    }

    /// Where the payload of a claim goes.
    #[inline(always)]
    pub(crate) fn span(&self, claim: &Claim) -> Span {
        self.ring.span(claim.payload_at(), claim.most)
    }

    /// The memory that its spans are of.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> &RingMemory {
        self.ring.memory()
    }

    /// Publishes the frame of a claim: a whole message, the first `len` bytes of the payload. To be
    /// followed by [`Writer::wake`].
    pub(crate) fn commit(&mut self, claim: &Claim, len: usize) {
        assert!(len <= claim.most, "payload too long");
        self.complete(claim, Part::Whole, len);
        self.publish();
    }

    #[inline]
    fn complete(&mut self, claim: &Claim, part: Part, len: usize) {
        // The length fits: at most half of a ring.
        let header = Header::new(Kind::Data, part.flags(), len as u32);
        let padding = claim.padding;
        if padding > 0 {
            // Fits: shorter than the frame for which it makes room.
            let len = (padding - HEADER) as u32;
            let header = Header::new(Kind::Padding, 0, len);
            self.ring.write_word(0, header.0);
        }
        let frame = header.frame_len();
        self.ring.write_word(padding, header.0);
        let gap = (frame - HEADER) as usize - len;
        if gap > 0 {
            // The gap after the payload would show the peer what the memory held before.
            self.ring
                .write(padding + frame - gap as u64, &[0; HEADER as usize][..gap]);
        }
        self.ring.advance(padding + frame);
    }

    /// Whether a message of this length fits without waiting, in as many frames as it takes.
    pub(crate) fn has_room_for(&mut self, message: usize) -> Result<bool, Fault> {
        Ok(self.could_hold(message) && self.ring.has_room(self.need_for(message))?)
    }

    /// Whether it would fit into an empty ring.
    pub(crate) fn could_hold(&self, message: usize) -> bool {
        self.need_for(message) <= self.ring.capacity()
    }

    /// The room that a message of this length needs, in as many frames as it takes.
    pub(crate) fn need_for(&self, message: usize) -> u64 {
        let chunk = self.max_payload as u64;
        let message = message as u64;
        // Each chunk with its header and gap, one padding shorter than a chunk's frame, and the
        // header kept for an ABORT.
        let frames = message.div_ceil(chunk).max(1);
        message + frames * 2 * HEADER + (chunk + 2 * HEADER) + HEADER
    }

    /// Gives up the large message that was begun, and publishes that. There is always room for it. Call
    /// [`Writer::wake`] afterwards.
    pub(crate) fn abort(&mut self) -> Result<(), Fault> {
        let header = Header::new(Kind::Data, ABORT, 0);
        if !self.ring.has_room(HEADER)? {
            return Err(Fault::Peer("it took back room that it had given"));
        }
        self.ring.write_word(0, header.0);
        self.ring.advance(HEADER);
        self.publish();
        Ok(())
    }

    /// Bytes to skip so that a frame of this length does not cross the end of the ring's memory.
    #[inline]
    fn padding_for(&self, frame: u64) -> u64 {
        let until_wrap = self.ring.until_wrap();
        if frame <= until_wrap { 0 } else { until_wrap }
    }

    /// The room that a frame with a payload of this length needs.
    #[inline]
    pub(crate) fn need(&self, payload: usize) -> u64 {
        let frame = frame_len(payload as u64);
        self.padding_for(frame) + frame + HEADER
    }

    /// As [`Producer::position`].
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.ring.position()
    }

    /// As [`Producer::backlog`].
    pub(crate) fn backlog(&mut self) -> Result<u64, Fault> {
        self.ring.backlog()
    }

    /// The room that there is only once the reader has read up to this position.
    pub(crate) fn need_read(&self, position: u64) -> u64 {
        let beside = self.ring.position().saturating_sub(position);
        self.ring.capacity().saturating_sub(beside)
    }

    /// Whether the reader wants no more.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.ring.memory().words().receiving() != RECEIVING_OPEN
    }

    /// Whether there is this much room: what [`Writer::need`] says, or more.
    #[inline]
    pub(crate) fn has_room(&mut self, need: u64) -> Result<bool, Fault> {
        self.ring.has_room(need)
    }

    /// As [`Producer::begin_wait`].
    pub(crate) fn begin_wait(&mut self, need: u64) -> Result<bool, Fault> {
        self.ring.begin_wait(need)
    }

    /// As [`Producer::end_wait`].
    pub(crate) fn end_wait(&mut self) {
        self.ring.end_wait();
    }

    /// How much the reader has not released.
    pub(crate) fn waiting(&mut self) -> Result<Waiting, Fault> {
        let head = self.ring.head()?;
        untaken::count(self.ring.memory(), head, self.ring.position())
    }

    /// The messages that the reader has not released, and will not.
    pub(crate) fn unread(&mut self) -> Result<Untaken, Fault> {
        let head = self.ring.head()?;
        Untaken::find(self.ring.memory(), head, self.ring.position())
    }
}
