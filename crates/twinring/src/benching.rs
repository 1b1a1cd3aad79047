//! What `benches/rooms.rs` measures: the modules below `link`, each by itself, in one thread.
//!
//! All memory has been touched before it is measured. Otherwise the first samples, by which divan decides
//! how many calls to take together, would show the kernel providing pages.
//!
//! Not part of the interface: it is only compiled with `--cfg twinring_bench`.

use std::sync::Arc;

use crate::frame::{Next, Part, Reader, Writer};
use crate::ring::{Consumer, Kept, Producer};
use crate::segment::{RingMemory, Span, test_ring};

/// Bytes in each ring; the default.
const CAPACITY: u64 = 1024 * 1024;

/// The most that is written at once, in bytes; a frame with its header is no longer.
const LONGEST: usize = 32 * 1024;

/// The memory of a ring, without any knowledge of its content.
pub struct Memory {
    ring: RingMemory,
    out: Span,
}

impl Memory {
    /// New memory, of which [`Memory::copy_out`] takes `len` bytes at `offset`.
    pub fn new(offset: u64, len: usize) -> Memory {
        let (ring, _) = test_ring(CAPACITY);
        ring.write(0, &vec![0; CAPACITY as usize]);
        let out = Span::new(&ring, offset, len);
        Memory { ring, out }
    }

    /// Copies into the ring's memory.
    #[inline]
    pub fn copy_in(&self, offset: u64, from: &[u8]) {
        self.ring.write(offset, from);
    }

    /// Copies out of it.
    #[inline]
    pub fn copy_out(&self, to: &mut [u8]) {
        self.out.read(&self.ring, 0, to);
    }
}

/// Both ends of a ring: positions and bytes, no frames.
pub struct Positions {
    producer: Producer,
    consumer: Consumer,
    buffer: Vec<u8>,
}

impl Default for Positions {
    fn default() -> Positions {
        let (to, from) = test_ring(CAPACITY);
        let mut positions = Positions {
            producer: Producer::new(to),
            consumer: Consumer::new(from),
            buffer: Vec::with_capacity(LONGEST),
        };
        for _ in 0..CAPACITY / LONGEST as u64 {
            positions.write(&[0; LONGEST]);
            positions.read(LONGEST);
        }
        positions
    }
}

impl Positions {
    /// Writes and publishes bytes, a multiple of 8 that divides the ring.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        let len = bytes.len() as u64;
        assert_eq!(self.producer.has_room(len), Ok(true));
        self.producer.write(0, bytes);
        self.producer.advance(len);
        self.producer.publish();
        let _ = self.producer.wake();
    }

    /// Reads as many bytes and releases them.
    #[inline]
    pub fn read(&mut self, len: usize) -> &[u8] {
        assert!(self.consumer.readable().is_ok_and(|n| n >= len as u64));
        self.buffer.clear();
        let read = self.consumer.append_to(&mut self.buffer, 0, len);
        assert_eq!(read, Ok(()));
        self.consumer.advance(len as u64);
        self.consumer.release();
        let _ = self.consumer.wake();
        &self.buffer
    }
}

/// Both ends of a ring with frames in it.
pub struct Frames {
    writer: Writer,
    reader: Reader,
    kept: Arc<Kept>,
    message: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Frames {
        let (to, from) = test_ring(CAPACITY);
        let mut frames = Frames {
            writer: Writer::new(Producer::new(to)),
            kept: Arc::new(Kept::new(from.clone())),
            reader: Reader::new(Consumer::new(from), LONGEST as u64, u64::MAX),
            message: Vec::with_capacity(LONGEST),
        };
        let payload = vec![0; frames.writer.max_payload()];
        for _ in 0..=CAPACITY / payload.len() as u64 {
            frames.write(&payload);
            frames.publish();
            frames.take();
        }
        frames
    }
}

impl Frames {
    /// Writes one frame, a whole message.
    #[inline]
    pub fn write(&mut self, payload: &[u8]) {
        let written = self.writer.append(Part::Whole, payload, 0..payload.len());
        assert_eq!(written, Ok(true));
    }

    /// Publishes what was written.
    #[inline]
    pub fn publish(&mut self) {
        self.writer.publish();
        let _ = self.writer.wake();
    }

    /// Takes one frame.
    #[inline]
    pub fn take(&mut self) -> &[u8] {
        let frame = self.reader.peek().expect("an honest peer");
        let frame = frame.expect("a frame");
        let next = self.reader.take(frame, &mut self.message);
        assert_eq!(next, Ok(Next::Message));
        let _ = self.reader.wake();
        &self.message
    }

    /// Gives one frame back unread.
    #[inline]
    pub fn skip(&mut self) {
        let frame = self.reader.peek().expect("an honest peer");
        self.reader.give_back(frame.expect("a frame"));
        let _ = self.reader.wake();
    }

    /// Takes so many frames at once; releases them when all have been copied.
    #[inline]
    pub fn take_batch(&mut self, count: usize) -> &[u8] {
        self.message.clear();
        let mut place = 0..0;
        for i in 0..count {
            let frame = self.reader.peek().expect("an honest peer");
            let frame = frame.expect("a frame");
            let read = self.reader.append_whole(frame, &mut self.message);
            assert_eq!(read, Ok(()));
            if i == 0 {
                place = self.reader.keep(frame, &self.kept);
            } else {
                place.end = self.reader.go_behind(frame);
            }
        }
        self.kept.extend(place.end);
        let _ = self.kept.done(place.start, place.end);
        &self.message
    }
}
