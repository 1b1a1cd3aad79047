//! The limit: a single-producer ring in shared memory with nothing around it. No kinds of frames,
//! no threads, no reconnecting, no distrust: a length word and the bytes, copied in and copied out.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::buffer::Buffer;
use super::shared::Shared;
use super::{Entry, Receiver, Sender, Transport, Waits};
use crate::cell::{Result, Spec};

/// Bytes published at a time, so that the two copies of a long message overlap.
const CHUNK: usize = 16 * 1024;
/// Room for the words of one ring: a page.
pub(super) const WORDS: usize = 4096;
/// Spins before the first yield and between two: two threads of each process may have to share two
/// processors. As twinring's.
const SPINS: u32 = 200;
const ROUND: u32 = 64;

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

/// How an end of a ring waits, and wakes the other.
pub(super) trait Wait: Send + 'static {
    /// Called again and again while there is nothing, with how often it has been so far.
    fn pause(line: &Words, side: Side, seen: u64, times: u32);
    /// Called after each publication.
    fn wake(line: &Words, side: Side);
}

/// Which position is meant: how far it is written, or how far it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Tail,
    Head,
}

#[repr(C, align(128))]
pub(super) struct Line<T>(T);

/// The words of one ring.
#[repr(C)]
pub(super) struct Words {
    tail: Line<AtomicU64>,
    head: Line<AtomicU64>,
    data_wait: Line<AtomicU32>,
    space_wait: Line<AtomicU32>,
}

const _: () = assert!(size_of::<Words>() <= WORDS);

impl Words {
    pub(super) fn position(&self, side: Side) -> &AtomicU64 {
        match side {
            Side::Tail => &self.tail.0,
            Side::Head => &self.head.0,
        }
    }

    /// Whether somebody sleeps until this position moves.
    #[cfg_attr(windows, allow(dead_code, reason = "no ring sleeps there"))]
    pub(super) fn sleeper(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Tail => &self.data_wait.0,
            Side::Head => &self.space_wait.0,
        }
    }

    /// Waits until the position is another one than `seen`.
    #[inline]
    pub(super) fn wait<W: Wait>(&self, side: Side, seen: u64) -> u64 {
        let mut times = 0;
        loop {
            let now = self.position(side).load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            W::pause(self, side, seen, times);
            times = times.wrapping_add(1);
        }
    }

    #[inline]
    pub(super) fn publish<W: Wait>(&self, side: Side, position: u64) {
        self.position(side).store(position, Ordering::Release);
        W::wake(self, side);
    }
}

/// A full fence, by the fastest means there is: any locked instruction is one.
#[inline]
pub(super) fn full_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: changes nothing: the word at the top of the stack is written as it is.
    unsafe {
        std::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// Spins for ever. It publishes as if the other side could sleep: the limit of a ring that has to ask
/// whether it does.
pub(super) struct Spin;

impl Wait for Spin {
    #[inline]
    fn pause(_: &Words, _: Side, _: u64, times: u32) {
        if times >= SPINS && times.is_multiple_of(ROUND) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn wake(_: &Words, _: Side) {
        full_fence();
    }
}

pub(super) struct Bare<W>(pub(super) PhantomData<W>);

impl<W: Wait> Transport for Bare<W> {
    type Tx = BareSender<W>;
    type Rx = BareReceiver<W>;
    type Listener = Shared;

    fn listen(&self, spec: &Spec) -> Result<(Shared, String)> {
        Shared::create(2 * (WORDS + spec.ring))
    }

    fn accept(&self, memory: Shared, spec: &Spec) -> Result<(BareSender<W>, BareReceiver<W>)> {
        Ok(ends(&memory, 0, spec.ring))
    }

    fn connect(&self, token: &str, spec: &Spec) -> Result<(BareSender<W>, BareReceiver<W>)> {
        let memory = Shared::open(token, 2 * (WORDS + spec.ring))?;
        Ok(ends(&memory, 1, spec.ring))
    }
}

fn ends<W>(memory: &Shared, side: usize, ring: usize) -> (BareSender<W>, BareReceiver<W>) {
    let end = |index: usize| {
        // SAFETY: both rings lie within the memory, which is mapped for ever.
        let words = unsafe { memory.address().add(index * (WORDS + ring)) };
        End {
            words: words.cast(),
            // SAFETY: as above.
            bytes: unsafe { words.add(WORDS) },
            capacity: ring as u64,
            mine: 0,
            theirs: 0,
            wait: PhantomData,
        }
    };
    let receiver = BareReceiver {
        end: end(1 - side),
        message: Buffer::received(),
    };
    (BareSender(end(side)), receiver)
}

/// One end of one ring.
struct End<W> {
    words: *const Words,
    bytes: *mut u8,
    capacity: u64,
    mine: u64,
    theirs: u64,
    wait: PhantomData<W>,
}

// SAFETY: the memory is mapped for ever, and only the one owner of this end uses it.
unsafe impl<W: Send> Send for End<W> {}

impl<W> End<W> {
    fn words(&self) -> &'static Words {
        // SAFETY: mapped for ever, aligned to a page, atomics only.
        unsafe { &*self.words }
    }

    /// Where the next bytes lie, and how many of `len` until the ring begins anew.
    fn at(&self, len: usize) -> (*mut u8, usize) {
        let offset = (self.mine & (self.capacity - 1)) as usize;
        let first = len.min(self.capacity as usize - offset);
        // SAFETY: the offset is within the ring.
        (unsafe { self.bytes.add(offset) }, first)
    }
}

pub(super) struct BareSender<W>(End<W>);

impl<W: Wait> BareSender<W> {
    #[inline]
    fn put(&mut self, from: &[u8]) {
        let end = &mut self.0;
        let words = end.words();
        while end.capacity - (end.mine - end.theirs) < from.len() as u64 {
            if words.position(Side::Tail).load(Ordering::Relaxed) != end.mine {
                words.publish::<W>(Side::Tail, end.mine);
            }
            end.theirs = words.wait::<W>(Side::Head, end.theirs);
        }
        let (to, first) = end.at(from.len());
        // SAFETY: there is room for `from`; the consumer leaves it alone.
        unsafe {
            to.copy_from_nonoverlapping(from.as_ptr(), first);
            let rest = from.len() - first;
            end.bytes
                .copy_from_nonoverlapping(from.as_ptr().add(first), rest);
        }
        end.mine += from.len() as u64;
    }
}

impl<W: Wait> Sender for BareSender<W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.put(&(message.len() as u64).to_ne_bytes());
        let chunk = CHUNK.min(self.0.capacity as usize / 4);
        for piece in message.chunks(chunk) {
            self.put(piece);
            self.0.words().publish::<W>(Side::Tail, self.0.mine);
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
        let chunk = CHUNK.min(self.end.capacity as usize / 4);
        for piece in message.chunks_mut(chunk) {
            take(&mut self.end, piece);
            let words = self.end.words();
            words.publish::<W>(Side::Head, self.end.mine);
        }
        read(message);
        Ok(())
    }
}

#[inline]
fn take<W: Wait>(end: &mut End<W>, to: &mut [u8]) {
    while end.theirs - end.mine < to.len() as u64 {
        end.theirs = end.words().wait::<W>(Side::Tail, end.theirs);
    }
    let (from, first) = end.at(to.len());
    // SAFETY: the bytes were published; the producer leaves them alone.
    unsafe {
        to.as_mut_ptr().copy_from_nonoverlapping(from, first);
        let rest = to.len() - first;
        to.as_mut_ptr()
            .add(first)
            .copy_from_nonoverlapping(end.bytes, rest);
    }
    end.mine += to.len() as u64;
}
