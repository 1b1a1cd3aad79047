//! The segment byte by byte: fixed offsets, fixed-width words, no logic. `docs/format.md` describes the
//! same in prose.
//!
//! ```text
//!      0  header: magic, version, capacities, connection id      written once, by the host
//!    128  checkpoint of the host, 336 bytes
//!    512  checkpoint of the guest
//!    896  which pair of the host's is being read                 by the guest
//!    960  which pair of the guest's is being read                by the host
//!   1024  words of ring 0 (host → guest)   ┐ each word in a 128-byte line of its own,
//!   3072  words of ring 1 (guest → host)   ┘ written by one side only
//!   5120  causes: why something ended      three for the host, three for the guest, 512 bytes each
//!   8192  bytes of ring 0, then of ring 1                        capacity each
//!         zeros up to a multiple of 16 KiB
//! ```

#[cfg(not(loom))]
use super::checkpoint::CheckpointWords;
use super::shared::{Shared32, Shared64};
use crate::sync::Ordering;

/// Two adjacent 64-byte cache lines: processors fetch them in pairs.
pub(crate) const LINE: usize = 128;

/// A word with a line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct Line<T>(pub(crate) T);

/// The words of one ring. "Producer" and "Consumer" say who writes a word.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct RingWords {
    /// Producer: bytes written since the connection began.
    pub(crate) tail: Line<Shared64>,
    /// Consumer: bytes read since the connection began.
    pub(crate) head: Line<Shared64>,
    /// Consumer: one of the `WAIT` values: whether it waits for data. Cleared by the producer that
    /// wakes it.
    pub(crate) data_wait: Line<Shared32>,
    /// Producer: the same for room, cleared by the consumer.
    pub(crate) space_wait: Line<Shared32>,
    /// Producer: one of the `GOODBYE` values; not zero once its side of the connection is over.
    pub(crate) goodbye: Line<Shared32>,
    /// Producer: how it wants to be woken, for both rings: one of the `WAKE_BY` values.
    pub(crate) wake_mode: Line<Shared32>,
    /// Producer: one of the `SENDING` values: whether more comes in this ring.
    pub(crate) sending: Line<Shared32>,
    /// Consumer: one of the `RECEIVING` values: whether it takes more out of this ring.
    pub(crate) receiving: Line<Shared32>,
    /// Consumer: the number, from 1, of the last large message that it wanted no more of.
    pub(crate) stopped_stream: Line<Shared64>,
    /// Consumer: the most handles that it takes with a message. Stored during the handshake.
    pub(crate) max_handles: Line<Shared32>,
}

/// It does not wait.
pub(crate) const WAIT_NONE: u32 = 0;
/// It sleeps, or is about to. Any other value is taken to mean the same.
pub(crate) const WAIT_ASLEEP: u32 = 1;

/// The connection goes on, as far as this side is concerned.
pub(crate) const GOODBYE_NONE: u32 = 0;
/// This side has closed the connection; its cause says why.
pub(crate) const GOODBYE_CLOSED: u32 = 1;
/// This side ends the connection because its peer broke the protocol.
pub(crate) const GOODBYE_FAULT: u32 = 2;
/// This side has dropped the connection without having finished.
pub(crate) const GOODBYE_ABANDONED: u32 = 3;
/// This side has finished, and takes no more.
pub(crate) const GOODBYE_FINISHED: u32 = 4;

/// More may come.
pub(crate) const SENDING_OPEN: u32 = 0;
/// Nothing more comes: the producer has said all.
pub(crate) const SENDING_FINISHED: u32 = 1;
/// Nothing more comes: the producer dropped its sending half without having finished.
pub(crate) const SENDING_ABANDONED: u32 = 2;

/// The consumer takes what comes.
pub(crate) const RECEIVING_OPEN: u32 = 0;
/// The consumer wants no more, and takes what is there; its cause says why.
pub(crate) const RECEIVING_STOPPED: u32 = 1;
/// The consumer takes nothing more: `head` is final.
pub(crate) const RECEIVING_SEALED: u32 = 2;

/// This side sleeps until its doorbell rings.
pub(crate) const WAKE_BY_DOORBELL: u32 = 0;
/// This side sleeps on its wait flag, as a futex (Linux).
pub(crate) const WAKE_BY_WORD: u32 = 1;
/// This side sleeps until its doorbell rings, except for threads that were already asleep on a flag.
pub(crate) const WAKE_BY_BOTH: u32 = 2;

/// First bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"twinring";
/// Version of this layout, and of the frames in the rings.
pub(crate) const LAYOUT_VERSION: u32 = 1;

pub(crate) const HEADER_AT: usize = 0;
pub(crate) const HEADER_LEN: usize = 48;
/// Of the host's, and of the guest's: the checkpoint, and the word of the other side that says what it reads of it.
pub(crate) const CHECKPOINTS_AT: [usize; 2] = [128, 512];
pub(crate) const READING_AT: [usize; 2] = [896, 960];
pub(crate) const WORDS_AT: [usize; 2] = [1024, 3072];
pub(crate) const CAUSES_AT: usize = 5120;
pub(crate) const CAUSE_LEN: usize = 512;
pub(crate) const BYTES_AT: usize = 8192;
/// Lengths are a multiple of this, and so of every page size in use.
pub(crate) const GRANULE: usize = 16 * 1024;

#[cfg(not(loom))]
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<RingWords>() == 10 * LINE && align_of::<RingWords>() == LINE);
    assert!(offset_of!(RingWords, tail) == 0);
    assert!(offset_of!(RingWords, head) == LINE);
    assert!(offset_of!(RingWords, data_wait) == 2 * LINE);
    assert!(offset_of!(RingWords, space_wait) == 3 * LINE);
    assert!(offset_of!(RingWords, goodbye) == 4 * LINE);
    assert!(offset_of!(RingWords, wake_mode) == 5 * LINE);
    assert!(offset_of!(RingWords, sending) == 6 * LINE);
    assert!(offset_of!(RingWords, receiving) == 7 * LINE);
    assert!(offset_of!(RingWords, stopped_stream) == 8 * LINE);
    assert!(offset_of!(RingWords, max_handles) == 9 * LINE);
    assert!(size_of::<CheckpointWords>() == 336 && align_of::<CheckpointWords>() == 8);
    assert!(HEADER_AT + HEADER_LEN <= CHECKPOINTS_AT[0]);
    assert!(CHECKPOINTS_AT[0] % LINE == 0 && CHECKPOINTS_AT[1] % LINE == 0);
    assert!(CHECKPOINTS_AT[0] + size_of::<CheckpointWords>() <= CHECKPOINTS_AT[1]);
    assert!(CHECKPOINTS_AT[1] + size_of::<CheckpointWords>() <= READING_AT[0]);
    assert!(READING_AT[0] + 4 <= READING_AT[1] && READING_AT[1] + 4 <= WORDS_AT[0]);
    assert!(WORDS_AT[0] % LINE == 0 && WORDS_AT[1] % LINE == 0);
    assert!(WORDS_AT[0] + size_of::<RingWords>() <= WORDS_AT[1]);
    assert!(WORDS_AT[1] + size_of::<RingWords>() <= CAUSES_AT);
    assert!(CAUSES_AT + 6 * CAUSE_LEN <= BYTES_AT);
};

impl RingWords {
    /// What the producer said when it ended: one of the `GOODBYE` values, or anything if it is
    /// hostile.
    pub(crate) fn goodbye(&self) -> u32 {
        // Acquire: pairs with `say_goodbye`; we see what was published before it.
        self.goodbye.0.load(Ordering::Acquire)
    }

    /// Says why nothing more comes, and that nothing more is taken: one of the `GOODBYE` values.
    pub(crate) fn say_goodbye(&self, goodbye: u32) {
        // Release: pairs with `goodbye`; all that was published, and the cause, is seen before it.
        self.goodbye.0.store(goodbye, Ordering::Release);
    }

    /// Whether more comes: one of the `SENDING` values, or anything if the producer is hostile.
    #[inline]
    pub(crate) fn sending(&self) -> u32 {
        // Acquire: pairs with `end_sending`; we see all that was published before it.
        self.sending.0.load(Ordering::Acquire)
    }

    /// Nothing more comes: one of the `SENDING` values.
    pub(crate) fn end_sending(&self, how: u32) {
        // Release: pairs with `sending`.
        self.sending.0.store(how, Ordering::Release);
    }

    /// Whether more is taken: one of the `RECEIVING` values, or anything if the consumer is hostile.
    #[inline]
    pub(crate) fn receiving(&self) -> u32 {
        // Acquire: pairs with `end_receiving`; we see the cause, and the last head.
        self.receiving.0.load(Ordering::Acquire)
    }

    /// No more is wanted, or taken: one of the `RECEIVING` values.
    pub(crate) fn end_receiving(&self, how: u32) {
        // Release: pairs with `receiving`.
        self.receiving.0.store(how, Ordering::Release);
    }

    /// The last large message of which no more was wanted.
    #[inline]
    pub(crate) fn stopped_stream(&self) -> u64 {
        // Acquire: pairs with `stop_stream`; we see the cause.
        self.stopped_stream.0.load(Ordering::Acquire)
    }

    /// No more is wanted of the large message of this number.
    pub(crate) fn stop_stream(&self, number: u64) {
        // Release: pairs with `stopped_stream`.
        self.stopped_stream.0.store(number, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::os::memory::{Memory, Pages};
    use crate::page::says;
    use crate::segment::cause::place;
    use crate::segment::{
        CAPACITIES, Cause, CauseOf, MAX_CHECKPOINT, MAX_TEXT, Segment, Shape, Side, Stored,
    };

    /// A segment, each of whose words has a value of its own.
    #[test]
    fn each_word_and_each_cause_has_a_place_of_its_own() {
        let shape = Shape {
            capacities: [4096, 8192],
            id: [7; 16],
        };
        let (memory, _handle) = Memory::create(shape.len().unwrap(), Pages::Reserved).unwrap();
        let segment = Segment::format(memory, shape).unwrap();
        let sides = [Side::Host, Side::Guest];
        let causes = [CauseOf::Goodbye, CauseOf::Stop, CauseOf::StopStream];
        // The longest ones, which reach as far as any.
        let cause = |side: Side, what: CauseOf| {
            let letter = ["g", "s", "t"][what as usize];
            Cause::new(side.outgoing() as u32 + 1, &letter.repeat(1000))
        };
        let checkpoint = |side: Side, number| Stored {
            number,
            len: MAX_CHECKPOINT - number as usize,
            bytes: [side.outgoing() as u8 + 1; MAX_CHECKPOINT],
        };
        for (i, side) in sides.into_iter().enumerate() {
            let ring = segment.ring_from(side);
            ring.write(0, &vec![0xff; ring.capacity() as usize]);
            let (words, n) = (ring.words(), 100 * (i as u32 + 1));
            words.tail.0.store(u64::from(n) + 1, Ordering::Relaxed);
            words.head.0.store(u64::from(n) + 2, Ordering::Relaxed);
            words.data_wait.0.store(n + 3, Ordering::Relaxed);
            words.space_wait.0.store(n + 4, Ordering::Relaxed);
            words.say_goodbye(n + 5);
            segment.set_wake_mode(side, n + 6);
            words.end_sending(n + 7);
            words.end_receiving(n + 8);
            words.stop_stream(u64::from(n) + 9);
            segment.set_max_handles(side.opposite(), n + 10);
            for what in causes {
                segment.write_cause(side, what, &cause(side, what));
            }
            // All four slots: its reader is in either pair by turns.
            for number in 1..=8 {
                segment.set_checkpoint(side, &checkpoint(side, number));
                assert_eq!(segment.checkpoint(side), checkpoint(side, number));
            }
        }
        for (i, side) in sides.into_iter().enumerate() {
            let ring = segment.ring_from(side);
            let (words, n) = (ring.words(), 100 * (i as u32 + 1));
            assert_eq!(words.tail.0.load(Ordering::Relaxed), u64::from(n) + 1);
            assert_eq!(words.head.0.load(Ordering::Relaxed), u64::from(n) + 2);
            assert_eq!(words.data_wait.0.load(Ordering::Relaxed), n + 3);
            assert_eq!(words.space_wait.0.load(Ordering::Relaxed), n + 4);
            assert_eq!(words.goodbye(), n + 5);
            assert_eq!(segment.wake_mode_of(side), n + 6);
            assert_eq!(words.sending(), n + 7);
            assert_eq!(words.receiving(), n + 8);
            assert_eq!(words.stopped_stream(), u64::from(n) + 9);
            assert_eq!(segment.max_handles_of(side.opposite()), n + 10);
            for what in causes {
                assert_eq!(segment.read_cause(side, what), cause(side, what));
            }
            assert_eq!(segment.checkpoint(side), checkpoint(side, 8));
            for at in (0..ring.capacity()).step_by(8) {
                assert_eq!(ring.read_word(at), u64::MAX);
            }
        }
    }

    #[test]
    fn the_page_says_the_same() {
        let offsets = [
            (offset_of!(RingWords, tail), "`tail` of ring 0, u64"),
            (offset_of!(RingWords, head), "`head` of ring 0, u64"),
            (
                offset_of!(RingWords, data_wait),
                "`data_wait` of ring 0, u32",
            ),
            (
                offset_of!(RingWords, space_wait),
                "`space_wait` of ring 0, u32",
            ),
            (offset_of!(RingWords, goodbye), "`goodbye` of ring 0, u32"),
            (
                offset_of!(RingWords, wake_mode),
                "`wake_mode` of ring 0, u32",
            ),
            (offset_of!(RingWords, sending), "`sending` of ring 0, u32"),
            (
                offset_of!(RingWords, receiving),
                "`receiving` of ring 0, u32",
            ),
            (
                offset_of!(RingWords, stopped_stream),
                "`stopped_stream` of ring 0, u64",
            ),
            (
                offset_of!(RingWords, max_handles),
                "`max_handles` of ring 0, u32",
            ),
        ];
        for (offset, word) in offsets {
            says("Segment", &format!("| {} | {word}", WORDS_AT[0] + offset));
        }
        let second = offsets.map(|(offset, _)| (WORDS_AT[1] + offset).to_string());
        says("Segment", &format!("| {} | the same", second.join(", ")));
        let [host, guest] = [Side::Host, Side::Guest].map(|side| {
            [CauseOf::Goodbye, CauseOf::Stop, CauseOf::StopStream]
                .map(|what| place(side, what).to_string())
                .join(", ")
        });
        says(
            "Segment",
            &format!(
                "| {host} | the host's causes: of its goodbye, its stop, its stop of a stream |"
            ),
        );
        says("Segment", &format!("| {guest} | the guest's |"));
        let of = |at: usize| format!("{at}..{}", at + size_of::<CheckpointWords>());
        let [host, guest] = CHECKPOINTS_AT.map(of);
        says(
            "Segment",
            &format!("| {host}, {guest} | the host's checkpoint"),
        );
        let [host, guest] = READING_AT;
        says("Segment", &format!("| {host}, {guest} | `reading`, u32"));
        says(
            "Segment",
            &format!("checkpoint, 0 to {MAX_CHECKPOINT} bytes"),
        );
        says("Segment", &format!("has {CAUSE_LEN} bytes to itself"));
        says("Segment", &format!("at most {MAX_TEXT} bytes"));
        says("Segment", &format!("| {BYTES_AT} | the bytes of ring 0"));
        says("Segment", &format!("has {LINE} bytes to itself"));
        says("Segment", &format!("the bytes {HEADER_AT}..{HEADER_LEN}"));
        says("Segment", &format!("layout version, {LAYOUT_VERSION}"));
        says(
            "Segment",
            &format!("{BYTES_AT} plus both capacities, rounded up to a multiple of {GRANULE}"),
        );
        let [least, most] = [CAPACITIES.start(), CAPACITIES.end()];
        says(
            "Segment",
            &format!("a power of two from {least} to 2^{}", most.ilog2()),
        );

        says("Waking", &format!("sets the flag to {WAIT_ASLEEP}"));
        says(
            "Waking",
            &format!("if the flag is not {WAIT_NONE}: swaps it with {WAIT_NONE}"),
        );
        says(
            "Waking",
            &format!("| {WAKE_BY_DOORBELL} | rings the doorbell |"),
        );
        says("Waking", &format!("| {WAKE_BY_WORD} (Linux) | FUTEX_WAKE"));
        assert!(![WAKE_BY_DOORBELL, WAKE_BY_WORD].contains(&WAKE_BY_BOTH));
        for (value, meaning) in [
            (SENDING_OPEN, "more may come"),
            (SENDING_FINISHED, "it has finished"),
            (SENDING_ABANDONED, "it gives up"),
            (RECEIVING_OPEN, "it takes what comes"),
            (RECEIVING_STOPPED, "it wants no more"),
            (RECEIVING_SEALED, "it takes nothing more"),
            (GOODBYE_NONE, "it has not ended"),
            (GOODBYE_CLOSED, "it has closed"),
            (GOODBYE_FAULT, "it ends the connection because"),
            (GOODBYE_ABANDONED, "it has left without"),
            (GOODBYE_FINISHED, "it has finished, and leaves"),
        ] {
            says("Ends", &format!("| {value} | {meaning}"));
        }
    }
}
