//! Takes messages out of the ring.

use super::{ABORT, BEGIN, END, HEADER, Header, Kind};
use crate::ring::{Consumer, Fault, Wake};
use crate::segment::{RingMemory, Span};

const WHOLE: u8 = BEGIN | END;

/// What [`Reader::take`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A chunk of a large message was taken; the message is not complete.
    Chunk,
    /// A message is complete.
    Message,
    /// The peer gave up the large message that it had begun.
    Aborted,
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
    /// Within a batch: bytes that were read and not released.
    batch: Option<u64>,
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
    /// The rest of it is skipped.
    Skipped,
}

const NEVER_BEGUN: Fault = Fault::Peer("it goes on with a message never begun");

/// A frame at the head of the ring, whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame(Header);

impl Frame {
    /// Whether it gives up a large message.
    pub(crate) fn gives_up(self) -> bool {
        self.0.flags == ABORT
    }

    /// Whether it is a whole message.
    #[inline]
    pub(crate) fn is_whole(self) -> bool {
        self.0.flags == WHOLE
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
}

/// A spare buffer above this size, in bytes, is returned to the system.
const SPARE_MAX: usize = 64 * 1024 * 1024;

impl Reader {
    /// `max_message`: the longest message that is accepted, in bytes.
    pub(crate) fn new(ring: Consumer, max_message: u64) -> Reader {
        Reader {
            ring,
            large: Large::None,
            spare: Vec::new(),
            max_message,
            batch: None,
            released: false,
        }
    }

    /// Takes the next frame, if there is one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn next(&mut self, message: &mut Vec<u8>) -> Result<Option<Next>, Fault> {
        let frame = self.peek()?;
        frame.map(|frame| self.take(frame, message)).transpose()
    }

    /// Whether the peer has to be woken for what was released, if anything was; if so, this call
    /// obliges us to do it. Must be called before a wait, and before another thread may read.
    #[inline]
    pub(crate) fn wake(&mut self) -> Wake {
        match std::mem::take(&mut self.released) {
            true => self.ring.wake(),
            false => Wake::NotNeeded,
        }
    }

    /// Whether anything was released since this or [`Reader::wake`] was last asked. If so, the caller is
    /// to look at [`Reader::is_awaited`] behind a fence, and to call [`Reader::wake_now`] if it says so.
    #[inline]
    pub(crate) fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
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
        if header.kind == Kind::Padding {
            header = match self.behind_padding(header)? {
                Some(header) => header,
                None => return Ok(None),
            };
        }
        if header.frame_len() > self.ring.until_wrap() {
            return Err(Fault::Peer("a frame crosses the end of the ring"));
        }
        Ok(Some(Frame(header)))
    }

    /// Releases padding, and returns the header of what comes next, if it is there.
    #[cold]
    fn behind_padding(&mut self, padding: Header) -> Result<Option<Header>, Fault> {
        if padding.frame_len() != self.ring.until_wrap() {
            return Err(Fault::Peer("padding does not reach the end of the ring"));
        }
        self.release(padding);
        // The frame for which the padding made room is published with it.
        let readable = self.ring.readable()?;
        if readable == 0 {
            return Ok(None);
        }
        let header = self.header(readable)?;
        if header.kind == Kind::Padding {
            return Err(Fault::Peer("padding follows padding"));
        }
        Ok(Some(header))
    }

    /// Takes the frame that was peeked at. After [`Next::Message`], `message` holds the message and
    /// nothing else; otherwise its contents are meaningless.
    #[inline]
    pub(crate) fn take(
        &mut self,
        Frame(header): Frame,
        message: &mut Vec<u8>,
    ) -> Result<Next, Fault> {
        let next = if header.flags == WHOLE {
            let len = header.len as usize;
            message.clear();
            self.admit(message, len)?;
            self.ring.append_to(message, HEADER, len)?;
            Next::Message
        } else {
            self.take_part(header, message)?
        };
        self.release(header);
        Ok(next)
    }

    /// Takes a frame that is part of a large message.
    fn take_part(&mut self, header: Header, message: &mut Vec<u8>) -> Result<Next, Fault> {
        let (flags, len) = (header.flags, header.len as usize);
        if flags == ABORT {
            return self.abort();
        }
        if flags == BEGIN {
            // The longer buffer is the one that may have held such a message before: memory that was
            // touched is many times as fast as new memory.
            if message.capacity() > self.spare.capacity() {
                std::mem::swap(message, &mut self.spare);
                self.spare.clear();
            }
            let spare = std::mem::take(&mut self.spare);
            self.begin(Large::Collected(spare))?;
        }
        match std::mem::take(&mut self.large) {
            Large::None => Err(NEVER_BEGUN),
            Large::Collected(mut large) => {
                // Memory grows with what has arrived, never with what is announced.
                self.admit(&mut large, len)?;
                self.ring.append_to(&mut large, HEADER, len)?;
                if flags == END {
                    std::mem::swap(message, &mut large);
                    self.keep(large);
                    Ok(Next::Message)
                } else {
                    self.large = Large::Collected(large);
                    Ok(Next::Chunk)
                }
            }
            unwanted @ (Large::Streamed(_) | Large::Skipped) => {
                if flags != END {
                    self.large = unwanted;
                }
                Ok(Next::Chunk)
            }
        }
    }

    /// What the frame that was peeked at means to a caller that reads a large message as a stream. To be
    /// called once for each frame, which stays where it is until [`Reader::give_back`] or, if it is a
    /// [`Piece::Whole`], may be taken.
    pub(crate) fn piece(&mut self, Frame(header): Frame) -> Result<Piece, Fault> {
        let flags = header.flags;
        if flags == WHOLE {
            return match u64::from(header.len) > self.max_message {
                true => Err(Fault::TooLarge),
                false => Ok(Piece::Whole),
            };
        }
        if flags == ABORT {
            return Ok(match self.abort()? {
                Next::Aborted => Piece::Aborted,
                _ => Piece::Skipped,
            });
        }
        if flags == BEGIN {
            self.begin(Large::Streamed(0))?;
        }
        let last = flags == END;
        match std::mem::take(&mut self.large) {
            Large::None => Err(NEVER_BEGUN),
            Large::Skipped => {
                if !last {
                    self.large = Large::Skipped;
                }
                Ok(Piece::Skipped)
            }
            // A stream takes over what was collected before it looks at a chunk, so this cannot be.
            Large::Collected(_) => Err(NEVER_BEGUN),
            Large::Streamed(before) => {
                let len = before.saturating_add(header.len.into());
                if len > self.max_message {
                    return Err(Fault::TooLarge);
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
        match std::mem::take(&mut self.large) {
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

    /// Skips the rest of the stream.
    pub(crate) fn skip(&mut self) {
        if let Large::Streamed(_) = self.large {
            self.large = Large::Skipped;
        }
    }

    /// The payload of the frame that was peeked at.
    pub(crate) fn span(&self, Frame(header): Frame) -> Span {
        self.ring.span(HEADER, header.len as usize)
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

    /// From now on many frames are released at a time, unless the peer waits for room. Changes nothing
    /// if a batch has begun already.
    pub(crate) fn begin_batch(&mut self) {
        self.batch.get_or_insert(0);
    }

    /// Ends what [`Reader::begin_batch`] began.
    pub(crate) fn end_batch(&mut self) {
        if self.batch.take().is_some_and(|held| held > 0) {
            self.ring.release();
            self.released = true;
        }
    }

    /// Whether there is a frame that is known without another look at the tail.
    pub(crate) fn knows_of_more(&self) -> bool {
        self.ring.known() > 0
    }

    fn begin(&mut self, large: Large) -> Result<(), Fault> {
        if !matches!(self.large, Large::None) {
            return Err(Fault::Peer("it begins a large message within another"));
        }
        self.large = large;
        Ok(())
    }

    fn abort(&mut self) -> Result<Next, Fault> {
        match std::mem::take(&mut self.large) {
            Large::None => Err(Fault::Peer("it gives up a message never begun")),
            Large::Collected(begun) => {
                self.keep(begun);
                Ok(Next::Aborted)
            }
            Large::Streamed(_) => Ok(Next::Aborted),
            Large::Skipped => Ok(Next::Chunk),
        }
    }

    #[inline]
    fn header(&self, readable: u64) -> Result<Header, Fault> {
        let header = Header::decode(self.ring.read_word())?;
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
        if let Some(held) = &mut self.batch {
            *held += header.frame_len();
            if *held < self.ring.capacity() / 8 && !self.ring.is_awaited() {
                return;
            }
            *held = 0;
        }
        self.ring.release();
        self.released = true;
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
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

    /// Whether there is a frame to take.
    #[inline]
    pub(crate) fn has_frame(&mut self) -> Result<bool, Fault> {
        Ok(self.ring.readable()? > 0)
    }

    /// As [`Consumer::seal`].
    pub(crate) fn seal(&mut self) -> Result<(), Fault> {
        self.ring.seal()
    }

    /// As [`Consumer::begin_wait`].
    pub(crate) fn begin_wait(&mut self) -> Result<bool, Fault> {
        self.ring.begin_wait()
    }

    /// As [`Consumer::end_wait`].
    pub(crate) fn end_wait(&mut self) {
        self.ring.end_wait();
    }
}
