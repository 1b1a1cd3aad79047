//! Frames against a simple model, and against nonsense.

use proptest::prelude::*;

use super::*;
use crate::ring::{Consumer, Producer};
use crate::segment::{RingMemory, test_ring};

const CAPACITY: u64 = 4096;

fn pair(max_message: u64) -> (Writer, Reader) {
    let (out, into) = test_ring(CAPACITY);
    (
        Writer::new(Producer::new(out)),
        Reader::new(Consumer::new(into), max_message),
    )
}

fn read(reader: &mut Reader, message: &mut Vec<u8>) -> Result<Option<Next>, Fault> {
    reader.next(message)
}

#[derive(Clone, Debug)]
enum Step {
    /// Send a small message of this length.
    Whole(usize),
    /// Begin, go on with or end the large message.
    Chunk(usize),
    End(usize),
    Abort,
    /// Read this many frames.
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = || 0..=max_payload(CAPACITY);
    prop::collection::vec(
        prop_oneof![
            4 => len().prop_map(Step::Whole),
            3 => (1..=max_payload(CAPACITY)).prop_map(Step::Chunk),
            2 => len().prop_map(Step::End),
            1 => Just(Step::Abort),
            6 => (1usize..5).prop_map(Step::Read),
        ],
        1..300,
    )
}

fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed * 31 + i * 7) as u8).collect()
}

proptest! {
    /// Whatever is written comes out, in order, wherever the ring wraps, however large and small
    /// messages are mixed; and there is always room to abort.
    #[test]
    fn what_goes_in_comes_out(steps in steps()) {
        let (mut writer, mut reader) = pair(u64::MAX);
        let mut expected = std::collections::VecDeque::new();
        let mut large: Option<Vec<u8>> = None;
        let mut message = Vec::new();
        let mut check = |reader: &mut Reader, expected: &mut std::collections::VecDeque<_>, most: usize| {
            for _ in 0..most {
                match read(reader, &mut message).unwrap() {
                    None => break,
                    Some(Next::Chunk) => {}
                    Some(Next::Message) => assert_eq!(Some(Some(message.clone())), expected.pop_front()),
                    Some(Next::Aborted) => assert_eq!(Some(None), expected.pop_front()),
                }
            }
        };
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Whole(len) => {
                    if writer.write(Part::Whole, &payload(i, len)).unwrap().is_some() {
                        expected.push_back(Some(payload(i, len)));
                    }
                }
                Step::Chunk(len) => {
                    let part = if large.is_some() { Part::Middle } else { Part::First };
                    if writer.write(part, &payload(i, len)).unwrap().is_some() {
                        large.get_or_insert_default().extend(payload(i, len));
                    }
                }
                Step::End(len) => {
                    if large.is_some() && writer.write(Part::Last, &payload(i, len)).unwrap().is_some() {
                        let mut whole = large.take().unwrap();
                        whole.extend(payload(i, len));
                        expected.push_back(Some(whole));
                    }
                }
                Step::Abort => {
                    if large.take().is_some() {
                        writer.abort().expect("room for it is kept");
                        expected.push_back(None);
                    }
                }
                Step::Read(most) => check(&mut reader, &mut expected, most),
            }
        }
        check(&mut reader, &mut expected, usize::MAX);
        prop_assert!(expected.is_empty());
    }

    /// Nonsense in the ring yields an error or messages of bounded size, never a panic.
    #[test]
    fn nonsense_is_judged(
        words in prop::collection::vec(prop_oneof![
            any::<u64>(),
            // Nearly right headers, which get further.
            (0u64..2000, 0u64..4, 0u64..8).prop_map(|(len, kind, flags)| len | kind << 32 | flags << 40),
        ], 1..512),
        tail in prop_oneof![any::<u64>(), (0u64..=512).prop_map(|n| n * 8)],
    ) {
        let (evil, into) = test_ring(CAPACITY);
        for (i, word) in words.iter().enumerate() {
            evil.write_word(i as u64 * 8, *word);
        }
        set_tail(&evil, tail);
        let mut reader = Reader::new(Consumer::new(into), 3000);
        let mut message = Vec::new();
        // Each step takes at least a header, so there cannot be more than this.
        for _ in 0..=CAPACITY / 8 {
            match read(&mut reader, &mut message) {
                Ok(None) | Err(_) => return Ok(()),
                Ok(Some(Next::Message)) => prop_assert!(message.len() <= 3000),
                Ok(Some(Next::Chunk | Next::Aborted)) => {}
            }
        }
        prop_assert!(false, "the reader went round in circles");
    }

    #[test]
    fn headers(word in any::<u64>()) {
        if let Ok(header) = Header::decode(word) {
            prop_assert_eq!(header.encode(), word);
        }
    }
}

fn set_tail(ring: &RingMemory, tail: u64) {
    ring.words()
        .tail
        .0
        .store(tail, crate::sync::Ordering::Release);
}

/// What a reader says about these words at the head of a ring, with `tail` bytes written.
fn verdict(words: &[u64], tail: u64) -> Result<Option<Next>, Fault> {
    let (evil, into) = test_ring(CAPACITY);
    for (i, word) in words.iter().enumerate() {
        evil.write_word(i as u64 * 8, *word);
    }
    set_tail(&evil, tail);
    read(&mut Reader::new(Consumer::new(into), 500), &mut Vec::new())
}

#[test]
fn each_violation_has_its_name() {
    let header = |len: u64, kind: u64, flags: u8| len | kind << 32 | u64::from(flags) << 40;
    let cases: &[(&[u64], u64, &str)] = &[
        (&[header(8, 1, BEGIN | END) | 1 << 63], 16, "reserved bits"),
        (&[header(8, 3, BEGIN | END)], 16, "unknown kind"),
        (&[header(8, 0, BEGIN | END)], 16, "unknown kind"),
        (&[header(8, 1, 8)], 16, "flags"),
        (&[header(8, 1, ABORT)], 16, "flags"),
        (&[header(0, 1, BEGIN)], 8, "flags"),
        (&[header(8, 2, BEGIN)], 16, "flags"),
        (&[header(8, 1, 0)], 16, "never begun"),
        (&[header(8, 1, END)], 16, "never begun"),
        (&[header(0, 1, ABORT)], 8, "never begun"),
        (
            &[header(16, 1, BEGIN | END)],
            16,
            "longer than what was written",
        ),
        (
            &[header(u64::from(u32::MAX), 1, BEGIN | END)],
            4096,
            "longer than what was written",
        ),
        (&[header(8, 2, 0)], 16, "padding does not reach"),
        (&[header(8, 1, BEGIN | END)], 4104, "overran"),
        (&[header(8, 1, BEGIN | END)], u64::MAX, "overran"),
        (&[header(8, 1, BEGIN | END)], 12, "multiple of 8"),
    ];
    for (words, tail, expected) in cases {
        match verdict(words, *tail) {
            Err(Fault::Peer(what)) => {
                assert!(what.contains(expected), "{what:?}, not {expected:?}")
            }
            other => panic!("{other:?} instead of {expected:?}"),
        }
    }
    assert_eq!(
        verdict(&[header(501, 1, BEGIN | END)], 512),
        Err(Fault::TooLarge)
    );
    assert_eq!(
        verdict(&[header(0, 1, BEGIN | END)], 8),
        Ok(Some(Next::Message))
    );
}

#[test]
fn two_large_messages_at_once_are_refused() {
    let (mut writer, mut reader) = pair(u64::MAX);
    for _ in 0..2 {
        let _ = writer.write(Part::First, &[1]).unwrap();
    }
    let mut message = Vec::new();
    assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Chunk)));
    assert!(matches!(
        read(&mut reader, &mut message),
        Err(Fault::Peer(_))
    ));
}

#[test]
fn a_large_message_is_limited_as_it_arrives() {
    let (mut writer, mut reader) = pair(1000);
    let mut message = Vec::new();
    let _ = writer.write(Part::First, &[0; 600]).unwrap();
    assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Chunk)));
    let _ = writer.write(Part::Middle, &[0; 401]).unwrap();
    assert_eq!(read(&mut reader, &mut message), Err(Fault::TooLarge));
}

#[test]
fn the_gap_behind_a_payload_is_zero() {
    let (out, into) = test_ring(CAPACITY);
    let look = &mut Vec::new();
    let mut writer = Writer::new(Producer::new(out));
    let mut reader = Reader::new(Consumer::new(into.clone()), u64::MAX);
    // Once round the ring, so that a short message is where a long one was.
    for _ in 0..CAPACITY / 32 {
        let _ = writer.write(Part::Whole, &[0xFF; 24]).unwrap();
        assert_eq!(read(&mut reader, look), Ok(Some(Next::Message)));
    }
    let _ = writer.write(Part::Whole, &[0xFF; 1]).unwrap();
    assert_eq!(into.read_word(8), 0xFF);
}

#[test]
fn a_frame_always_fits_an_empty_ring() {
    let (mut writer, mut reader) = pair(u64::MAX);
    let mut message = Vec::new();
    let longest = vec![5; writer.max_payload()];
    for step in 0..1000 {
        let _ = writer.write(Part::Whole, &longest).unwrap().expect("room");
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
        let short = step % 120;
        let _ = writer
            .write(Part::Whole, &longest[..short])
            .unwrap()
            .expect("room");
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
        assert_eq!(message, &longest[..short]);
    }
}

/// Wherever the ring's tail is, an empty ring has room for the longest claim; and the error that refuses a
/// longer claim names a capacity that is enough for it, and no larger than necessary.
#[test]
fn a_claim_of_half_the_ring_always_fits_an_empty_one() {
    let mut message = Vec::new();
    for at in (0..CAPACITY as usize).step_by(8) {
        let (mut writer, mut reader) = pair(u64::MAX);
        let mut left = at;
        while left > 0 {
            let frame = left.min(1024);
            let _ = writer
                .write(Part::Whole, &vec![1; frame - 8])
                .unwrap()
                .unwrap();
            assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
            left -= frame;
        }
        let most = writer.max_claim();
        let claim = writer.claim(most).unwrap().expect("room");
        writer
            .span(&claim)
            .write(writer.memory(), 0, &vec![9; most]);
        writer.commit(&claim, most);
        // And for giving up a large message.
        writer.abort().unwrap();
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
        assert_eq!(message, vec![9; most]);
    }
    for payload in [
        0,
        1000,
        CAPACITY as usize / 2 - 8,
        CAPACITY as usize / 2 - 7,
        1 << 20,
        1 << 29,
    ] {
        match capacity_to_claim(payload) {
            Some(capacity) => {
                assert!(max_claim(capacity) >= payload);
                assert!(capacity == 4096 || max_claim(capacity / 2) < payload);
            }
            None => assert!(payload > max_claim(1 << 30)),
        }
    }
}

#[test]
fn a_consumer_that_goes_back_is_found_out() {
    let (out, into) = test_ring(CAPACITY);
    let head = |position: u64| {
        into.words()
            .head
            .0
            .store(position, crate::sync::Ordering::Release);
    };
    let mut writer = Writer::new(Producer::new(out));
    let full = [0; 1000];
    while writer.write(Part::Whole, &full).unwrap().is_some() {}
    head(2016);
    assert!(writer.write(Part::Whole, &full).unwrap().is_some());
    for wrong in [0, 1000, u64::MAX, 1 << 40] {
        head(wrong);
        assert!(
            matches!(writer.write(Part::Whole, &full), Err(Fault::Peer(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_batch_gives_back_an_eighth_of_the_ring_at_a_time() {
    let (mut writer, mut reader) = pair(u64::MAX);
    for _ in 0..50 {
        let _ = writer.write(Part::Whole, &[7; 64]).unwrap().unwrap();
    }
    let need = writer.need(1000);
    assert_eq!(writer.has_room(need), Ok(false));
    let mut message = Vec::new();
    for _ in 0..20 {
        // Before each message, as a receiver does.
        reader.begin_batch();
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
    }
    // The batch has not ended, but a sender that has not announced a wait does not wait for it.
    assert_eq!(writer.has_room(need), Ok(true));
}
