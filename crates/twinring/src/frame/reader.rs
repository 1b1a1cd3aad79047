//! Takes messages out of the ring.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::handles::split_handles;
use super::{ABORT, BEGIN, END, HANDLES, HEADER, Header, Kind, max_claim};
use crate::os::handles::HandleEntry;
use crate::ring::{Consumer, Fault, Kept, Wake};
use crate::segment::layout::SENDING_OPEN;
use crate::segment::{Cause, RingMemory, Span};

const WHOLE: u8 = BEGIN | END;
const WITH_HANDLES: u8 = WHOLE | HANDLES;

/// What [`Reader::take`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A chunk of a large message was taken; the message is not complete.
    Chunk,
    /// A message is complete.
    Message,
    /// The peer gave up the large message that it had begun.
    Aborted,
    /// A large message has become too long; the rest of it will be skipped.
    TooLong,
    /// A whole message is there, which came with handles: [`Reader::take_entries`] has them. Its frame stays where it is, as after
    /// [`Reader::copy`].
    WithHandles,
}

/// Reads frames; the only consumer of its ring.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Consumer,
    /// The large message that is being received.
    large: Large,
    /// A buffer to receive the next large message in.
    spare: Vec<u8>,
    max_message: u64,
    /// The longest stream that is accepted, in bytes.
    max_stream: u64,
    /// The longest payload of a frame.
    longest: u64,
    /// How many large messages have begun.
    begun: u64,
    /// Why the last one was given up, if the peer said so.
    cause: Option<Cause>,
    /// What the last message came with.
    entries: Vec<HandleEntry>,
    /// The most handles that are accepted with a message.
    max_handles: u32,
    /// While something that was read is kept: what knows how far all has been released.
    kept: Option<Arc<Kept>>,
    /// Something was released since the last call of [`Reader::wake`].
    released: bool,
}

/// What is done with a large message.
#[derive(Debug, Default)]
enum Large {
    /// None has begun.
    #[default]
    None,
    /// It is assembled here.
    Collected(Vec<u8>),
    /// It is read as a stream, of which this many bytes have come.
    Streamed(u64),
    /// The peer has been told to stop it; this many bytes of frames have been skipped since.
    Skipped(u64),
}

const TOO_MANY_HANDLES: Fault = Fault::Peer("it sends more handles than this side takes");
const NEVER_BEGUN: Fault = Fault::Peer("it goes on with a message never begun");

/// What is in the ring when the peer is told to stop, and what it is about to write, is less than this many rings.
const MOST_SKIPPED: u64 = 2;

/// A frame at the head of the ring, whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame(Header);

impl Frame {
    /// Whether it is a whole message.
    #[inline]
    pub(crate) fn is_whole(self) -> bool {
        self.0.flags() == WHOLE
    }
}

/// What [`Reader::piece`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A message by itself.
    Whole,
    /// A chunk of the stream.
    Chunk {
        /// There are no more.
        last: bool,
    },
    /// The peer gave the stream up.
    Aborted,
    /// A chunk to skip; it has to be given back.
    Skipped,
    /// The stream has become too long: a chunk to give back, and the rest will be skipped.
    TooLong,
    /// A message by itself, with handles, to be taken like any other.
    WithHandles,
}

/// A spare buffer above this size, in bytes, is returned to the system.
const SPARE_MAX: usize = 64 * 1024 * 1024;

impl Reader {
    /// `max_message` and `max_stream`: the longest message and stream that are accepted, in bytes.
    pub(crate) fn new(ring: Consumer, max_message: u64, max_stream: u64) -> Reader {
        Reader {
            longest: max_claim(ring.capacity()) as u64,
            ring,
            large: Large::None,
            spare: Vec::new(),
            max_message,
            max_stream,
            begun: 0,
            cause: None,
            entries: Vec::new(),
            max_handles: 0,
            kept: None,
            released: false,
        }
    }

    /// Accepts as many handles with a message; none otherwise.
    pub(crate) fn accept_handles(mut self, max_handles: u32) -> Reader {
        self.max_handles = max_handles;
        self
    }

    /// Takes the next frame, if there is one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn next(&mut self, message: &mut Vec<u8>) -> Result<Option<Next>, Fault> {
        let Some(frame) = self.peek()? else {
            return Ok(None);
        };
        let next = self.take(frame, message)?;
        if next == Next::WithHandles {
            self.give_back(frame);
        }
        Ok(Some(next))
    }

    /// Whether the peer has to be woken for what was released, if anything was; if so, this call
    /// obliges us to do it. Must be called before a wait, and before another thread may read.
    #[inline]
    pub(crate) fn wake(&mut self) -> Wake {
        match mem::take(&mut self.released) {
            true => self.ring.wake(),
            false => Wake::NotNeeded,
        }
    }

    /// Whether anything was released since this or [`Reader::wake`] was last asked. If so, the caller is
    /// to look at [`Reader::is_awaited`] behind a fence, and to call [`Reader::wake_now`] if it says so.
    #[inline]
    pub(crate) fn take_released(&mut self) -> bool {
        mem::take(&mut self.released)
    }

    /// As [`Consumer::is_awaited`].
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.ring.is_awaited()
    }

    /// As [`Consumer::wake`].
    pub(crate) fn wake_now(&self) -> Wake {
        self.ring.wake()
    }

    /// The next frame, if there is one; it stays where it is.
    ///
    /// One call does a bounded amount of work, whatever the peer wrote.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Option<Frame>, Fault> {
        let readable = self.ring.readable()?;
        if readable == 0 {
            return Ok(None);
        }
        let mut header = self.header(readable)?;
        if header.kind() == Kind::Padding {
            header = self.behind_padding(header, readable)?;
        }
        if header.frame_len() > self.ring.until_wrap() {
            return Err(Fault::Peer("a frame crosses the end of the ring"));
        }
        Ok(Some(Frame(header)))
    }

    /// Releases padding, and returns the header of the frame for which it made room.
    #[cold]
    fn behind_padding(&mut self, padding: Header, readable: u64) -> Result<Header, Fault> {
        if padding.frame_len() != self.ring.until_wrap() {
            return Err(Fault::Peer("padding does not reach the end of the ring"));
        }
        let behind = readable - padding.frame_len();
        if behind == 0 {
            return Err(Fault::Peer("padding is published without a frame after it"));
        }
        self.release(padding);
        let header = self.header(behind)?;
        if header.kind() == Kind::Padding {
            return Err(Fault::Peer("padding follows padding"));
        }
        Ok(header)
    }

    /// Takes the frame that was peeked at. After [`Next::Message`], `message` holds the message and
    /// nothing else; otherwise its contents are meaningless.
    #[inline]
    pub(crate) fn take(&mut self, frame: Frame, message: &mut Vec<u8>) -> Result<Next, Fault> {
        let next = self.copy(frame, message)?;
        if next != Next::WithHandles {
            self.release(frame.0);
        }
        Ok(next)
    }

    /// As [`Reader::take`], but the frame stays where it is until [`Reader::give_back`] or
    /// [`Reader::keep`], one of which has to follow.
    #[inline]
    pub(crate) fn copy(
        &mut self,
        Frame(header): Frame,
        message: &mut Vec<u8>,
    ) -> Result<Next, Fault> {
        if header.flags() != WHOLE {
            return self.copy_part(header, message);
        }
        let len = header.len() as usize;
        message.clear();
        self.admit(message, len)?;
        self.ring.append_to(message, HEADER, len)?;
        Ok(Next::Message)
    }

    /// Appends a whole message to others in one buffer; otherwise as [`Reader::copy`].
    pub(crate) fn append_whole(
        &mut self,
        Frame(header): Frame,
        messages: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if u64::from(header.len()) > self.max_message {
            return Err(Fault::TooLarge);
        }
        self.ring.append_to(messages, HEADER, header.len() as usize)
    }

    /// Takes a frame that is part of a large message.
    fn copy_part(&mut self, header: Header, message: &mut Vec<u8>) -> Result<Next, Fault> {
        let (flags, len) = (header.flags(), header.len() as usize);
        if flags == ABORT {
            return self.abort(header);
        }
        if flags == WITH_HANDLES {
            return self.copy_behind_handles(header, message);
        }
        if flags == BEGIN {
            // The longer buffer is the one that may have held such a message before: memory that was
            // touched is many times as fast as new memory.
            if message.capacity() > self.spare.capacity() {
                mem::swap(message, &mut self.spare);
                self.spare.clear();
            }
            let spare = mem::take(&mut self.spare);
            self.begin(Large::Collected(spare))?;
        }
        match mem::take(&mut self.large) {
            Large::None => Err(NEVER_BEGUN),
            Large::Collected(mut large) => {
                if (large.len() + len) as u64 > self.max_message {
                    self.store(large);
                    if flags != END {
                        self.large = Large::Skipped(0);
                    }
                    return Ok(Next::TooLong);
                }
                // Memory grows with what has arrived, never with what is announced.
                self.admit(&mut large, len)?;
                self.ring.append_to(&mut large, HEADER, len)?;
                if flags == END {
                    mem::swap(message, &mut large);
                    self.store(large);
                    Ok(Next::Message)
                } else {
                    self.large = Large::Collected(large);
                    Ok(Next::Chunk)
                }
            }
            Large::Skipped(before) => self.skip_chunk(before, header).map(|()| Next::Chunk),
            // Whoever reads a stream skips its rest before another receives, so this cannot be.
            Large::Streamed(_) => Err(NEVER_BEGUN),
        }
    }

    /// Takes a message that came with handles.
    #[cold]
    fn copy_behind_handles(
        &mut self,
        header: Header,
        message: &mut Vec<u8>,
    ) -> Result<Next, Fault> {
        self.check_handles()?;
        // Into memory of our own before any of it is looked at.
        let mut payload = Vec::new();
        self.ring
            .append_to(&mut payload, HEADER, header.len() as usize)?;
        let Some((entries, behind)) = split_handles(&payload) else {
            return Err(Fault::Peer("what it says of a message's handles is wrong"));
        };
        if entries.len() > self.max_handles as usize {
            return Err(TOO_MANY_HANDLES);
        }
        self.entries = entries;
        message.clear();
        self.admit(message, behind.len())?;
        message
            .try_reserve(behind.len())
            .map_err(|_| Fault::OutOfMemory)?;
        message.extend_from_slice(behind);
        Ok(Next::WithHandles)
    }

    /// Whether a message may come with handles now.
    fn check_handles(&self) -> Result<(), Fault> {
        match self.large {
            _ if self.max_handles == 0 => Err(TOO_MANY_HANDLES),
            Large::None => Ok(()),
            _ => Err(Fault::Peer("it sends handles within a large message")),
        }
    }

    /// What the message that was copied last came with.
    pub(crate) fn take_entries(&mut self) -> Vec<HandleEntry> {
        mem::take(&mut self.entries)
    }

    /// What the frame that was peeked at means to a caller that reads a large message as a stream. To be
    /// called once for each frame, which stays where it is until [`Reader::give_back`] or, if it is a
    /// [`Piece::Whole`], may be taken.
    pub(crate) fn piece(&mut self, Frame(header): Frame) -> Result<Piece, Fault> {
        let flags = header.flags();
        if flags == WHOLE {
            return match u64::from(header.len()) > self.max_message {
                true => Err(Fault::TooLarge),
                false => Ok(Piece::Whole),
            };
        }
        if flags == WITH_HANDLES {
            self.check_handles()?;
            return Ok(Piece::WithHandles);
        }
        if flags == ABORT {
            return Ok(match self.abort(header)? {
                Next::Aborted => Piece::Aborted,
                _ => Piece::Skipped,
            });
        }
        if flags == BEGIN {
            self.begin(Large::Streamed(0))?;
        }
        let last = flags == END;
        match mem::take(&mut self.large) {
            Large::None => Err(NEVER_BEGUN),
            Large::Skipped(before) => self.skip_chunk(before, header).map(|()| Piece::Skipped),
            // A stream takes over what was collected before it looks at a chunk, so this cannot be.
            Large::Collected(_) => Err(NEVER_BEGUN),
            Large::Streamed(before) => {
                let len = before.saturating_add(header.len().into());
                if len > self.max_stream {
                    if !last {
                        self.large = Large::Skipped(0);
                    }
                    return Ok(Piece::TooLong);
                }
                if !last {
                    self.large = Large::Streamed(len);
                }
                Ok(Piece::Chunk { last })
            }
        }
    }

    /// What has been collected of a large message, which is a stream from now on.
    pub(crate) fn take_over(&mut self) -> Option<Vec<u8>> {
        match mem::take(&mut self.large) {
            Large::Collected(begun) => {
                self.large = Large::Streamed(begun.len() as u64);
                Some(begun)
            }
            other => {
                self.large = other;
                None
            }
        }
    }

    /// Skips the rest of the stream, which the peer is to be told. Returns its number, unless it is over.
    pub(crate) fn skip(&mut self) -> Option<u64> {
        let streamed = matches!(self.large, Large::Streamed(_));
        streamed.then(|| {
            self.large = Large::Skipped(0);
            self.begun
        })
    }

    /// Whether a large message has begun that this side still wants, and has not ended.
    pub(crate) fn is_within_message(&self) -> bool {
        matches!(self.large, Large::Collected(_) | Large::Streamed(_))
    }

    /// The number of the last large message, from 1.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Why the last large message was given up, if the peer said so.
    pub(crate) fn take_cause(&mut self) -> Option<Cause> {
        self.cause.take()
    }

    /// The payload of the frame that was peeked at.
    pub(crate) fn span(&self, Frame(header): Frame) -> Span {
        self.ring.span(HEADER, header.len() as usize)
    }

    /// Where the frame that was peeked at ends in the ring.
    pub(crate) fn end_of(&self, Frame(header): Frame) -> u64 {
        self.ring.position() + header.frame_len()
    }

    /// The memory that its spans are of.
    #[inline]
    pub(crate) fn memory(&self) -> &RingMemory {
        self.ring.memory()
    }

    /// Returns the frame that was peeked at to the peer, read or not.
    pub(crate) fn give_back(&mut self, Frame(header): Frame) {
        self.release(header);
    }

    /// Leaves the frame that was peeked at in the ring, and goes on behind it. It is not released before
    /// `kept` is told so. Returns where it is.
    #[inline(always)]
    pub(crate) fn keep(&mut self, frame: Frame, kept: &Arc<Kept>) -> Range<u64> {
        let start = self.ring.position();
        let end = self.go_behind(frame);
        kept.add(start..end);
        self.kept.get_or_insert_with(|| kept.clone());
        start..end
    }

    /// Goes on behind the frame that was peeked at, which belongs to what was kept last: when all such frames
    /// are known, [`Kept::extend`] has to be told. Returns where it ends.
    #[inline(always)]
    pub(crate) fn go_behind(&mut self, Frame(header): Frame) -> u64 {
        self.ring.advance(header.frame_len());
        self.ring.position()
    }

    /// Whether there is a frame that is known without another look at the tail.
    pub(crate) fn knows_of_more(&self) -> bool {
        self.known() > 0
    }

    /// Bytes of the ring that are known to be there.
    pub(crate) fn known(&self) -> u64 {
        self.ring.known()
    }

    fn begin(&mut self, large: Large) -> Result<(), Fault> {
        if !matches!(self.large, Large::None) {
            return Err(Fault::Peer("it begins a large message within another"));
        }
        self.large = large;
        self.begun += 1;
        Ok(())
    }

    fn abort(&mut self, header: Header) -> Result<Next, Fault> {
        self.cause = None;
        if header.len() > 0 {
            let mut cause = Vec::new();
            self.ring
                .append_to(&mut cause, HEADER, header.len() as usize)?;
            self.cause = Some(Cause::decode(&cause));
        }
        match mem::take(&mut self.large) {
            Large::None => Err(Fault::Peer("it gives up a message never begun")),
            Large::Collected(begun) => {
                self.store(begun);
                Ok(Next::Aborted)
            }
            Large::Streamed(_) => Ok(Next::Aborted),
            Large::Skipped(_) => Ok(Next::Chunk),
        }
    }

    /// Skips a chunk of a message that the peer was told to stop, if there is an end of it in sight.
    fn skip_chunk(&mut self, before: u64, chunk: Header) -> Result<(), Fault> {
        let skipped = before + chunk.frame_len();
        if skipped > MOST_SKIPPED * self.ring.capacity() {
            return Err(Fault::Peer(
                "it goes on with a message that it was told to stop",
            ));
        }
        if chunk.flags() != END {
            self.large = Large::Skipped(skipped);
        }
        Ok(())
    }

    #[inline]
    fn header(&self, readable: u64) -> Result<Header, Fault> {
        let header = Header::decode(self.ring.read_word(), self.longest)?;
        if header.frame_len() > readable {
            return Err(Fault::Peer("a frame is longer than what was written"));
        }
        Ok(header)
    }

    /// Checks that `more` bytes of a message may follow those in `to`. A buffer doubles as it grows,
    /// but not beyond the longest message that is accepted.
    #[inline(always)]
    fn admit(&self, to: &mut Vec<u8>, more: usize) -> Result<(), Fault> {
        // Cannot overflow: a buffer in memory and a part of the ring.
        let len = to.len() + more;
        if len as u64 > self.max_message {
            return Err(Fault::TooLarge);
        }
        if len > to.capacity() && to.capacity() as u64 > self.max_message / 2 {
            self.grow_to_longest(to)?;
        }
        Ok(())
    }

    #[cold]
    fn grow_to_longest(&self, to: &mut Vec<u8>) -> Result<(), Fault> {
        // Fits: less than two such buffers.
        to.try_reserve_exact(self.max_message as usize - to.len())
            .map_err(|_| Fault::OutOfMemory)
    }

    #[inline]
    fn release(&mut self, header: Header) {
        self.ring.advance(header.frame_len());
        if self.kept.is_some() {
            return self.release_beside_kept();
        }
        self.ring.release();
        self.released = true;
    }

    #[cold]
    fn release_beside_kept(&mut self) {
        let position = self.ring.position();
        if self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.read_to(position))
        {
            // Nothing is kept any more, and only we keep.
            self.kept = None;
        }
        self.released = true;
    }

    fn store(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(SPARE_MAX);
        self.spare = buffer;
    }

    /// The memory held for large messages, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.large {
            Large::Collected(begun) => begun.capacity() + self.spare.capacity(),
            _ => self.spare.capacity(),
        }
    }

    /// Whether there is a frame to take, or the peer says that there will be none.
    #[inline]
    pub(crate) fn has_news(&mut self) -> Result<bool, Fault> {
        Ok(self.ring.readable()? > 0 || self.is_last())
    }

    /// Whether the peer says that nothing more comes.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.memory().words().sending() != SENDING_OPEN
    }

    /// As [`Consumer::seal`].
    pub(crate) fn seal(&mut self) -> Result<(), Fault> {
        self.ring.seal()
    }

    /// As [`Consumer::begin_wait`]; `true` also if the peer says that nothing more comes.
    pub(crate) fn begin_wait(&mut self) -> Result<bool, Fault> {
        Ok(self.ring.begin_wait()? || self.is_last())
    }

    /// As [`Consumer::end_wait`].
    pub(crate) fn end_wait(&mut self) {
        self.ring.end_wait();
    }
}
