//! The limit: a single-producer ring in shared memory with nothing around it. No kinds of frames,
//! no threads, no reconnecting, no distrust: a length word and the bytes, copied in and copied out.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::end::End;
use super::spin::Spin;
use super::words::{Side, WORDS, Wait};
use crate::cell::Spec;
use crate::common::Result;
use crate::link::{Receiver, Sender, Transport};
use crate::machine::SharedMemory;
use crate::payload::Buffer;
use crate::transports::entry::{Entry, Waits};

/// Bytes published at a time, so that the two copies of a long message overlap.
const CHUNK: usize = 16 * 1024;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "bare-spin",
        "bare ring, spinning",
        Waits::Spins,
        Bare::<Spin>(PhantomData),
        "own single-producer ring, 1 MiB per direction (as twinring's; --ring changes both), \
         cached positions, long messages published in 16 KiB chunks, two copies; spins with PAUSE, \
         after 200 of which it yields its processor after every 64, as twinring does; a full fence \
         after each publication, as every ring needs whose other side may sleep",
    )]
}

pub(super) struct Bare<W>(pub(super) PhantomData<W>);

impl<W: Wait> Transport for Bare<W> {
    type Tx = BareSender<W>;
    type Rx = BareReceiver<W>;
    type Listener = SharedMemory;

    fn listen(&self, spec: &Spec) -> Result<(SharedMemory, String)> {
        SharedMemory::create(2 * (WORDS + spec.ring))
    }

    fn accept(
        &self,
        memory: SharedMemory,
        spec: &Spec,
    ) -> Result<(BareSender<W>, BareReceiver<W>)> {
        Ok(ends(&memory, 0, spec.ring))
    }

    fn connect(&self, token: &str, spec: &Spec) -> Result<(BareSender<W>, BareReceiver<W>)> {
        let memory = SharedMemory::open(token, 2 * (WORDS + spec.ring))?;
        Ok(ends(&memory, 1, spec.ring))
    }
}

fn ends<W: Wait>(
    memory: &SharedMemory,
    side: usize,
    ring: usize,
) -> (BareSender<W>, BareReceiver<W>) {
    // SAFETY: both rings lie within the memory, which is mapped for ever, one page of words before
    // each; a ring has a power of two of bytes, 4096 at least.
    let end = |index: usize| unsafe {
        let words = memory.address().add(index * (WORDS + ring));
        End::new(words, words.add(WORDS), ring)
    };
    let receiver = BareReceiver {
        end: end(1 - side),
        message: Buffer::received(),
    };
    (BareSender(end(side)), receiver)
}

/// Where the next bytes lie, and how many of `len` until the ring begins anew.
fn place<W: Wait>(end: &End<W>, len: usize) -> (*mut u8, usize) {
    let first = len.min(end.capacity() as usize - end.offset());
    // SAFETY: the offset is within the ring.
    (unsafe { end.bytes().add(end.offset()) }, first)
}

pub(super) struct BareSender<W>(End<W>);

impl<W: Wait> BareSender<W> {
    #[inline]
    fn put(&mut self, from: &[u8]) {
        let end = &mut self.0;
        let words = end.words();
        while end.capacity() - (end.mine - end.theirs) < from.len() as u64 {
            if words.position(Side::Tail).load(Ordering::Relaxed) != end.mine {
                words.publish(Side::Tail, end.mine);
            }
            end.theirs = words.wait(Side::Head, end.theirs);
        }
        let (to, first) = place(end, from.len());
        // SAFETY: there is room for `from`; the consumer leaves it alone.
        unsafe {
            to.copy_from_nonoverlapping(from.as_ptr(), first);
            let rest = from.len() - first;
            end.bytes()
                .copy_from_nonoverlapping(from.as_ptr().add(first), rest);
        }
        end.mine += from.len() as u64;
    }
}

impl<W: Wait> Sender for BareSender<W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.put(&(message.len() as u64).to_ne_bytes());
        let chunk = CHUNK.min(self.0.capacity() as usize / 4);
        for piece in message.chunks(chunk) {
            self.put(piece);
            self.0.words().publish(Side::Tail, self.0.mine);
        }
        Ok(())
    }
}

pub(super) struct BareReceiver<W> {
    end: End<W>,
    message: Buffer,
}

impl<W: Wait> Receiver for BareReceiver<W> {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut len = [0; 8];
        take(&mut self.end, &mut len);
        let message = self.message.take(u64::from_ne_bytes(len) as usize);
        let chunk = CHUNK.min(self.end.capacity() as usize / 4);
        for piece in message.chunks_mut(chunk) {
            take(&mut self.end, piece);
            let words = self.end.words();
            words.publish(Side::Head, self.end.mine);
        }
        read(message);
        Ok(())
    }
}

#[inline]
fn take<W: Wait>(end: &mut End<W>, to: &mut [u8]) {
    while end.theirs - end.mine < to.len() as u64 {
        end.theirs = end.words().wait(Side::Tail, end.theirs);
    }
    let (from, first) = place(end, to.len());
    // SAFETY: the bytes were published; the producer leaves them alone.
    unsafe {
        to.as_mut_ptr().copy_from_nonoverlapping(from, first);
        let rest = to.len() - first;
        to.as_mut_ptr()
            .add(first)
            .copy_from_nonoverlapping(end.bytes(), rest);
    }
    end.mine += to.len() as u64;
}
