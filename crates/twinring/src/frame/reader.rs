//! Messages out of the ring.

use super::{ABORT, BEGIN, END, HEADER, Header, Kind};
use crate::ring::{Consumer, Fault, Wake};

/// What [`Reader::next`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is nothing (more) in the ring.
    Empty,
    /// A chunk of a large message was taken; the message is not complete.
    Chunk,
    /// A message is complete.
    Message,
    /// The peer gave up the large message that it had begun.
    Aborted,
}

/// Reads frames; the one consumer of its ring.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Consumer,
    /// The large message that is being received.
    large: Option<Vec<u8>>,
    /// A buffer to receive the next large message in.
    spare: Vec<u8>,
    max_message: u64,
}

/// A spare buffer above this size is given back to the system, in bytes.
const SPARE_MAX: usize = 64 * 1024 * 1024;

impl Reader {
    /// `max_message`: the longest message that is taken, in bytes.
    pub(crate) fn new(ring: Consumer, max_message: u64) -> Reader {
        Reader {
            ring,
            large: None,
            spare: Vec::new(),
            max_message,
        }
    }

    /// Takes the next frame. After [`Next::Message`], `message` holds the message and nothing
    /// else; otherwise its contents mean nothing. `wake` is set if the peer has to be woken.
    ///
    /// One call does a bounded amount of work, whatever the peer wrote.
    #[inline]
    pub(crate) fn next(&mut self, message: &mut Vec<u8>, wake: &mut bool) -> Result<Next, Fault> {
        let mut readable = self.ring.readable()?;
        if readable == 0 {
            return Ok(Next::Empty);
        }
        let mut header = self.header(readable)?;
        if header.kind == Kind::Padding {
            if header.frame_len() != self.ring.until_wrap() {
                return Err(Fault::Peer("padding does not reach the end of the ring"));
            }
            self.release(header, wake);
            // The frame that the padding made way for is published with it.
            readable = self.ring.readable()?;
            if readable == 0 {
                return Ok(Next::Empty);
            }
            header = self.header(readable)?;
            if header.kind == Kind::Padding {
                return Err(Fault::Peer("padding follows padding"));
            }
        }
        if header.frame_len() > self.ring.until_wrap() {
            return Err(Fault::Peer("a frame crosses the end of the ring"));
        }
        let len = header.len as usize;
        let next = match header.flags {
            ABORT => {
                let large = self.large.take();
                self.keep(large.ok_or(Fault::Peer("it gives up a message never begun"))?);
                Next::Aborted
            }
            flags if flags == BEGIN | END => {
                message.clear();
                self.admit(message, len)?;
                self.ring.append_to(message, HEADER, len)?;
                Next::Message
            }
            flags => {
                if flags == BEGIN {
                    if self.large.is_some() {
                        return Err(Fault::Peer("it begins a large message within another"));
                    }
                    self.large = Some(std::mem::take(&mut self.spare));
                }
                let mut large = self
                    .large
                    .take()
                    .ok_or(Fault::Peer("it goes on with a message never begun"))?;
                // Memory grows by what has arrived, never by what is announced.
                self.admit(&mut large, len)?;
                self.ring.append_to(&mut large, HEADER, len)?;
                if flags == END {
                    std::mem::swap(message, &mut large);
                    self.keep(large);
                    Next::Message
                } else {
                    self.large = Some(large);
                    Next::Chunk
                }
            }
        };
        self.release(header, wake);
        Ok(next)
    }

    #[inline]
    fn header(&self, readable: u64) -> Result<Header, Fault> {
        let header = Header::decode(self.ring.read_word())?;
        if header.frame_len() > readable {
            return Err(Fault::Peer("a frame is longer than what was written"));
        }
        Ok(header)
    }

    /// Whether `more` bytes of a message may follow those that are in `to`. A buffer grows twofold,
    /// but not beyond the longest message that is taken.
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
    fn release(&mut self, header: Header, wake: &mut bool) {
        *wake |= self.ring.release(header.frame_len()) == Wake::Needed;
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(SPARE_MAX);
        self.spare = buffer;
    }

    /// The memory that is held for large messages, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.large.as_ref().map_or(0, Vec::capacity) + self.spare.capacity()
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
