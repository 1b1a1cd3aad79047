//! The limit for those who read in place: a ring mapped twice, end to end, so that every message
//! lies in one piece; one copy in, none out.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::bare::{Side, Spin, WORDS, Wait, Words};
use super::hybrid::Hybrid;
use super::shared::{Shared, mirrored};
use super::{Entry, Receiver, Sender, Transport, Waits};
use crate::cell::{Result, Spec};

/// Of the bytes before each message.
const PREFIX: usize = 8;

pub(super) fn entries() -> Vec<Entry> {
    let longest = 64 * crate::cell::MIB;
    vec![
        Entry::new(
            "mirror-spin",
            "mirrored ring in place, spinning",
            Waits::Spins,
            Mirror::<Spin>(PhantomData),
            "own ring, each mapped twice in a row, 1 MiB per direction or two of the longest \
             message; one copy in, read where it lies; spins as bare-spin",
        )
        .longest(longest),
        Entry::new(
            "mirror-hybrid",
            "mirrored ring in place, spin then futex",
            Waits::Sleeps,
            Mirror::<Hybrid>(PhantomData),
            "the same ring; waits as bare-hybrid",
        )
        .longest(longest),
    ]
}

struct Mirror<W>(PhantomData<W>);

/// Bytes of each ring.
fn capacity(spec: &Spec) -> usize {
    let two = 2 * (spec.workload.longest() + PREFIX);
    spec.ring.max(two.next_power_of_two())
}

fn memory_len(spec: &Spec) -> usize {
    2 * (WORDS + capacity(spec))
}

impl<W: Wait> Transport for Mirror<W> {
    type Tx = MirrorSender<W>;
    type Rx = MirrorReceiver<W>;
    type Listener = Shared;

    fn listen(&self, spec: &Spec) -> Result<(Shared, String)> {
        Shared::create(memory_len(spec))
    }

    fn accept(&self, memory: Shared, spec: &Spec) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
        ends(&memory, 0, capacity(spec))
    }

    fn connect(&self, token: &str, spec: &Spec) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
        ends(&Shared::open(token, memory_len(spec))?, 1, capacity(spec))
    }
}

fn ends<W>(
    memory: &Shared,
    side: usize,
    capacity: usize,
) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
    let end = |index: usize| -> Result<End<W>> {
        let start = index * (WORDS + capacity);
        Ok(End {
            // SAFETY: within the memory, which is mapped for ever.
            words: unsafe { memory.address().add(start) }.cast(),
            bytes: mirrored(memory, start + WORDS, capacity)?,
            capacity: capacity as u64,
            mine: 0,
            theirs: 0,
            wait: PhantomData,
        })
    };
    Ok((MirrorSender(end(side)?), MirrorReceiver(end(1 - side)?)))
}

/// One end of one ring.
struct End<W> {
    words: *const Words,
    /// Twice the capacity, the second half being the first again.
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

    fn at(&self) -> *mut u8 {
        // SAFETY: an offset within the ring.
        unsafe { self.bytes.add((self.mine & (self.capacity - 1)) as usize) }
    }
}

/// A message with its length, in whole words.
fn room(len: usize) -> u64 {
    (PREFIX + len.next_multiple_of(8)) as u64
}

pub(super) struct MirrorSender<W>(End<W>);

impl<W: Wait> Sender for MirrorSender<W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let end = &mut self.0;
        let words = end.words();
        let room = room(message.len());
        while end.capacity - (end.mine - end.theirs) < room {
            end.theirs = words.wait::<W>(Side::Head, end.theirs);
        }
        // SAFETY: there is room for both; the consumer leaves it alone; it is a whole number of
        // words from the start of a page.
        unsafe {
            end.at().cast::<u64>().write(message.len() as u64);
            end.at()
                .add(PREFIX)
                .copy_from_nonoverlapping(message.as_ptr(), message.len());
        }
        end.mine += room;
        words.publish::<W>(Side::Tail, end.mine);
        Ok(())
    }
}

pub(super) struct MirrorReceiver<W>(End<W>);

impl<W: Wait> Receiver for MirrorReceiver<W> {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let end = &mut self.0;
        let words = end.words();
        if end.theirs == end.mine {
            end.theirs = words.position(Side::Tail).load(Ordering::Acquire);
            if end.theirs == end.mine {
                end.theirs = words.wait::<W>(Side::Tail, end.mine);
            }
        }
        // SAFETY: whole messages are published; the producer leaves them alone until the head
        // has moved, and both processes are ours.
        let message = unsafe {
            let len = end.at().cast::<u64>().read() as usize;
            std::slice::from_raw_parts(end.at().add(PREFIX), len)
        };
        read(message);
        end.mine += room(message.len());
        words.publish::<W>(Side::Head, end.mine);
        Ok(())
    }
}
