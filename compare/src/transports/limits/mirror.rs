//! The limit for those who read in place: a ring mapped twice, end to end, so that every message
//! lies in one piece; one copy in, none out.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::end::End;
use super::hybrid::Hybrid;
use super::spin::Spin;
use super::words::{Side, WORDS, Wait};
use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::SharedMemory;
use crate::transports::entry::{Entry, Waits};

/// Of the bytes before each message.
const PREFIX: usize = 8;

pub(super) fn entries() -> Vec<Entry> {
    let longest = 64 * MIB;
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
    type Listener = SharedMemory;

    fn listen(&self, spec: &Spec) -> Result<(SharedMemory, String)> {
        SharedMemory::create(memory_len(spec))
    }

    fn accept(
        &self,
        memory: SharedMemory,
        spec: &Spec,
    ) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
        ends(&memory, 0, capacity(spec))
    }

    fn connect(&self, token: &str, spec: &Spec) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
        ends(
            &SharedMemory::open(token, memory_len(spec))?,
            1,
            capacity(spec),
        )
    }
}

fn ends<W: Wait>(
    memory: &SharedMemory,
    side: usize,
    capacity: usize,
) -> Result<(MirrorSender<W>, MirrorReceiver<W>)> {
    let end = |index: usize| -> Result<End<W>> {
        let start = index * (WORDS + capacity);
        let bytes = memory.mirrored(start + WORDS, capacity)?;
        // SAFETY: the words lie within the memory, in a page before the ring; both are mapped for
        // ever; a ring has a power of two of bytes, 4096 at least.
        Ok(unsafe { End::new(memory.address().add(start), bytes, capacity) })
    };
    Ok((MirrorSender(end(side)?), MirrorReceiver(end(1 - side)?)))
}

/// Where the next bytes lie, in one piece: behind the ring it is there again.
fn place<W: Wait>(end: &End<W>) -> *mut u8 {
    // SAFETY: the offset is within the ring.
    unsafe { end.bytes().add(end.offset()) }
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
        while end.capacity() - (end.mine - end.theirs) < room {
            end.theirs = words.wait(Side::Head, end.theirs);
        }
        // SAFETY: there is room for both; the consumer leaves it alone; it is a whole number of
        // words from the start of a page.
        unsafe {
            place(end).cast::<u64>().write(message.len() as u64);
            place(end)
                .add(PREFIX)
                .copy_from_nonoverlapping(message.as_ptr(), message.len());
        }
        end.mine += room;
        words.publish(Side::Tail, end.mine);
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
                end.theirs = words.wait(Side::Tail, end.mine);
            }
        }
        // SAFETY: whole messages are published; the producer leaves them alone until the head
        // has moved, and both processes are ours.
        let message = unsafe {
            let len = place(end).cast::<u64>().read() as usize;
            std::slice::from_raw_parts(place(end).add(PREFIX), len)
        };
        read(message);
        end.mine += room(message.len());
        words.publish(Side::Head, end.mine);
        Ok(())
    }
}
