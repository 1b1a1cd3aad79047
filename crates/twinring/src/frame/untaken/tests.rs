//! What is found in a ring, beside what a reference remembers of it; and in a ring that the peer has changed.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::frame::{Next, Part, Reader, Writer, max_payload};
use crate::ring::{Consumer, Producer};
use crate::segment::test_ring;
use crate::sync::Ordering::Relaxed;

const CAPACITY: u64 = 4096;

#[derive(Clone, Debug)]
enum Step {
    Whole(usize),
    /// Begin the large message, go on with it, or end it.
    Chunk(usize),
    End(usize),
    /// Give it up, with a cause of this length or without one.
    Abort(usize),
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = || prop_oneof![0usize..40, 0..=max_payload(CAPACITY)];
    prop::collection::vec(
        prop_oneof![
            4 => len().prop_map(Step::Whole),
            3 => len().prop_map(|len| Step::Chunk(len.max(1))),
            2 => len().prop_map(Step::End),
            1 => (0usize..264).prop_map(Step::Abort),
            4 => (1usize..5).prop_map(Step::Read),
        ],
        1..200,
    )
}

/// One frame in the ring.
#[derive(Debug)]
struct InRing {
    message: usize,
    part: Part,
    len: usize,
}

/// A writer that remembers all that it has written and that was not read.
struct Reference {
    writer: Writer,
    frames: VecDeque<InRing>,
    /// The bytes of each message, by its number.
    messages: Vec<Vec<u8>>,
    large: Option<usize>,
}

impl Reference {
    fn write(&mut self, part: Part, payload: &[u8]) {
        if self.writer.write(part, payload).unwrap().is_none() {
            return;
        }
        let message = match (part, self.large) {
            (Part::Middle | Part::Last | Part::Abort, Some(large)) => large,
            _ => {
                self.messages.push(Vec::new());
                self.messages.len() - 1
            }
        };
        self.large = match part {
            Part::Whole | Part::WithHandles => self.large,
            Part::First | Part::Middle => Some(message),
            Part::Last | Part::Abort => None,
        };
        if part != Part::Abort {
            self.messages[message].extend_from_slice(payload);
        }
        let len = payload.len();
        self.frames.push_back(InRing { message, part, len });
    }

    /// The whole messages in the ring, in the order of their last frames, and whether one is there in
    /// part only, with its end.
    fn untaken(&self) -> (Vec<&[u8]>, bool) {
        let (mut whole, mut partial) = (Vec::new(), false);
        for frame in &self.frames {
            let begins = |f: &InRing| {
                f.message == frame.message && matches!(f.part, Part::Whole | Part::First)
            };
            match frame.part {
                Part::Whole | Part::Last if self.frames.iter().any(begins) => {
                    whole.push(&*self.messages[frame.message]);
                }
                Part::Last => partial = true,
                _ => {}
            }
        }
        (whole, partial)
    }

    fn waiting(&self) -> Waiting {
        let ends = |f: &&InRing| matches!(f.part, Part::Whole | Part::Last);
        let bytes = self.frames.iter().filter(|f| f.part != Part::Abort);
        Waiting {
            messages: self.frames.iter().filter(ends).count() as u64,
            bytes: bytes.map(|f| f.len as u64).sum(),
        }
    }
}

fn played(steps: Vec<Step>) -> (Reference, RingMemory) {
    let (out, into) = test_ring(CAPACITY);
    let mut reader = Reader::new(Consumer::new(into.clone()), u64::MAX, u64::MAX);
    let mut all = Reference {
        writer: Writer::new(Producer::new(out)),
        frames: VecDeque::new(),
        messages: Vec::new(),
        large: None,
    };
    for (i, step) in steps.into_iter().enumerate() {
        let bytes = |len: usize| {
            (0..len)
                .map(|at| (i * 31 + at * 7) as u8)
                .collect::<Vec<_>>()
        };
        let begun = all.large.is_some();
        match step {
            Step::Whole(len) => all.write(Part::Whole, &bytes(len)),
            Step::Chunk(len) if begun => all.write(Part::Middle, &bytes(len)),
            Step::Chunk(len) => all.write(Part::First, &bytes(len)),
            Step::End(len) if begun => all.write(Part::Last, &bytes(len)),
            Step::Abort(len) if begun && len >= 8 => all.write(Part::Abort, &bytes(len)),
            Step::Abort(_) if begun => {
                all.writer.abort().unwrap();
                let message = all.large.take().unwrap();
                let (part, len) = (Part::Abort, 0);
                all.frames.push_back(InRing { message, part, len });
            }
            Step::End(_) | Step::Abort(_) => {}
            Step::Read(most) => {
                for _ in 0..most {
                    let next = reader.next(&mut Vec::new()).unwrap();
                    assert_eq!(next.is_some(), all.frames.pop_front().is_some());
                    assert_ne!(next, Some(Next::TooLong));
                }
            }
        }
    }
    (all, into)
}

proptest! {
    #[test]
    fn all_that_was_not_read_is_found(steps in steps(), from_the_back in any::<u64>()) {
        let (mut all, _ring) = played(steps);
        let waiting = all.writer.waiting().unwrap();
        prop_assert_eq!(waiting, all.waiting());
        let mut found = all.writer.unread().unwrap();
        let (mut expected, partial) = all.untaken();
        prop_assert_eq!(found.partial, partial);
        // From both ends, in any mixture.
        for turn in 0.. {
            prop_assert_eq!(found.len(), expected.len());
            if expected.is_empty() {
                break;
            }
            if from_the_back >> (turn % 64) & 1 == 1 {
                prop_assert_eq!(found.next_back().unwrap(), expected.pop().unwrap());
            } else {
                prop_assert_eq!(found.next().unwrap(), expected.remove(0));
            }
        }
        prop_assert!(found.next().is_none() && found.next_back().is_none());
    }

    /// A peer that has changed the ring, or its position, gets an error or messages that are no more than
    /// the ring holds, and changes nothing by changing it again later.
    #[test]
    fn what_the_peer_has_changed_is_judged(
        steps in steps(),
        words in prop::collection::vec((0..CAPACITY / 8, prop_oneof![
            any::<u64>(),
            // Nearly right headers, which get further.
            (0u64..1100, 0u64..4, 0u64..8).prop_map(|(len, kind, flags)| len | kind << 32 | flags << 40),
        ]), 0..64),
        back in prop_oneof![Just(None), (0..=CAPACITY).prop_map(Some)],
        again in prop::collection::vec((0..CAPACITY / 8, any::<u64>()), 0..64),
    ) {
        let (mut all, evil) = played(steps);
        if let Some(back) = back {
            let head = all.writer.position().wrapping_sub(back);
            evil.words().head.0.store(head, Relaxed);
        }
        for (at, word) in words {
            evil.write_word(at * 8, word);
        }
        let waiting = all.writer.waiting();
        let found = all.writer.unread();
        // The same frames are refused by both.
        prop_assert_eq!(waiting.map(drop), found.as_ref().map(drop).map_err(|fault| *fault));
        let Ok(mut found) = found else {
            return Ok(());
        };
        prop_assert!(waiting.unwrap().bytes < CAPACITY);
        prop_assert!(found.len() as u64 <= waiting.unwrap().messages);
        for (at, word) in again {
            evil.write_word(at * 8, word);
        }
        let mut bytes = 0;
        while let Some(message) = found.next() {
            bytes += message.len() as u64;
        }
        prop_assert!(bytes <= waiting.unwrap().bytes);
    }
}

/// The header at the end of what is written, and those around the end of the ring's memory.
#[test]
fn frames_that_reach_too_far_are_refused() {
    let (out, evil) = test_ring(CAPACITY);
    let mut writer = Writer::new(Producer::new(out));
    let _ = writer.write(Part::Whole, &[1; 24]).unwrap();
    let header = |len: u64, kind: u64| len | kind << 32 | 3 << 40;
    assert_eq!(writer.waiting().unwrap().bytes, 24);
    for (word, bytes) in [
        (header(24, 1), Ok(24)),
        (header(25, 1), Err(CHANGED)),
        (header(u32::MAX.into(), 1), Err(CHANGED)),
        // What is left begins within the payload.
        (header(8, 1), Err(CHANGED)),
        (header(24, 2), Err(CHANGED)),
    ] {
        evil.write_word(0, word);
        assert_eq!(
            writer.waiting().map(|waiting| waiting.bytes),
            bytes,
            "{word:x}"
        );
    }
    // A position between two words.
    evil.words().head.0.store(4, Relaxed);
    assert!(matches!(writer.waiting(), Err(Fault::Peer(_))));
    assert!(matches!(writer.unread(), Err(Fault::Peer(_))));
}
