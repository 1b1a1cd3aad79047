//! Frames against a simple model, and against nonsense.

use proptest::prelude::*;

use super::*;
use crate::page::says;
use crate::ring::{Consumer, Kept, Producer};
use crate::segment::{Cause, RingMemory, test_ring};

const CAPACITY: u64 = 4096;

fn pair(max_message: u64) -> (Writer, Reader) {
    let (out, into) = test_ring(CAPACITY);
    (
        Writer::new(Producer::new(out)),
        Reader::new(Consumer::new(into), max_message, u64::MAX),
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
                    Some(Next::TooLong) => unreachable!("no length is too long"),
                    Some(Next::WithHandles) => unreachable!("there are none"),
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
        let mut reader = Reader::new(Consumer::new(into), 3000, u64::MAX);
        let mut message = Vec::new();
        // Each step takes at least a header, so there cannot be more than this.
        for _ in 0..=CAPACITY / 8 {
            match read(&mut reader, &mut message) {
                Ok(None) | Err(_) => return Ok(()),
                Ok(Some(Next::Message)) => prop_assert!(message.len() <= 3000),
                Ok(Some(Next::Chunk | Next::Aborted | Next::TooLong)) => {}
                Ok(Some(Next::WithHandles)) => unreachable!("none are accepted"),
            }
        }
        prop_assert!(false, "the reader went round in circles");
    }

    #[test]
    fn headers(word in any::<u64>()) {
        if let Ok(header) = Header::decode(word, 2040) {
            prop_assert_eq!(header.0, word);
        }
    }

    /// What the comparison for most frames lets pass is what the full check does.
    #[test]
    fn headers_of_whole_messages(len in any::<u32>(), longest in 0u64..4096) {
        let word = Header::new(Kind::Data, BEGIN | END, len).0;
        let allowed = u64::from(len) <= longest;
        prop_assert_eq!(Header::decode(word, longest).is_ok(), allowed);
        prop_assert_eq!(Header::decode_other(word, longest).is_ok(), allowed);
    }
}

#[test]
fn the_page_says_the_same() {
    let (data, padding) = (Kind::Data as u8, Kind::Padding as u8);
    for row in [
        format!("| {data} data | BEGIN ({BEGIN}) + END ({END}) | a whole message"),
        format!(
            "| {data} data | ABORT ({ABORT}), `len` 0 or {} to {} |",
            CAUSE_LENS.start(),
            CAUSE_LENS.end()
        ),
        format!("| {padding} padding | 0 |"),
        format!("longest payload is `capacity / 2 - {HEADER}`"),
        format!("more than `min(capacity / 4, 32 KiB) - {HEADER}` only"),
    ] {
        says("Frames", &row);
    }
    assert_eq!(max_claim(CAPACITY), CAPACITY as usize / 2 - 8);
    assert_eq!(max_payload(1 << 30), 32 * 1024 - 8);
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
    let mut reader = Reader::new(Consumer::new(into), 500, u64::MAX);
    read(&mut reader, &mut Vec::new())
}

#[test]
fn each_violation_has_its_name() {
    let header = |len: u64, kind: u64, flags: u8| len | kind << 32 | u64::from(flags) << 40;
    let cases: &[(&[u64], u64, &str)] = &[
        (&[header(8, 1, BEGIN | END) | 1 << 63], 16, "reserved bits"),
        (&[header(8, 3, BEGIN | END)], 16, "unknown kind"),
        (&[header(8, 0, BEGIN | END)], 16, "unknown kind"),
        (&[header(8, 1, 8)], 16, "flags"),
        (&[header(8, 1, BEGIN | END | HANDLES)], 16, "more handles"),
        (&[header(7, 1, ABORT)], 16, "flags"),
        (&[header(264, 1, ABORT)], 272, "flags"),
        (&[header(8, 1, ABORT | END)], 16, "flags"),
        (&[header(0, 1, 0)], 8, "flags"),
        (&[header(8, 2, BEGIN)], 16, "flags"),
        (&[header(8, 1, 0)], 16, "never begun"),
        (&[header(8, 1, END)], 16, "never begun"),
        (&[header(0, 1, ABORT)], 8, "never begun"),
        (&[header(263, 1, ABORT)], 272, "never begun"),
        (
            &[header(16, 1, BEGIN | END)],
            16,
            "longer than what was written",
        ),
        (
            &[header(u64::from(u32::MAX), 1, BEGIN | END)],
            4096,
            "longer than half of the ring",
        ),
        (
            &[header(2041, 1, BEGIN | END)],
            4096,
            "longer than half of the ring",
        ),
        (
            &[header(2041, 1, BEGIN)],
            4096,
            "longer than half of the ring",
        ),
        (&[header(4088, 2, 0)], 4096, "longer than half of the ring"),
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

/// The rest of it is skipped, and what comes after it is read.
#[test]
fn a_large_message_is_limited_as_it_arrives() {
    for ends_too_long in [false, true] {
        let (mut writer, mut reader) = pair(1000);
        let mut message = Vec::new();
        let _ = writer.write(Part::First, &[0; 600]).unwrap();
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Chunk)));
        let part = if ends_too_long {
            Part::Last
        } else {
            Part::Middle
        };
        let _ = writer.write(part, &[0; 401]).unwrap();
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::TooLong)));
        if !ends_too_long {
            for part in [Part::Middle, Part::Last] {
                let _ = writer.write(part, &[0; 1000]).unwrap();
                assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Chunk)));
            }
        }
        for (part, next) in [(Part::First, Next::Chunk), (Part::Last, Next::Message)] {
            let _ = writer.write(part, &[1; 500]).unwrap();
            assert_eq!(read(&mut reader, &mut message), Ok(Some(next)));
        }
        assert_eq!(message, [1; 1000]);
    }
}

/// What a stream's reader is shown of the frame at the head, which is given back.
fn piece(reader: &mut Reader) -> Result<Piece, Fault> {
    let frame = reader.peek()?.expect("a frame");
    let piece = reader.piece(frame)?;
    reader.give_back(frame);
    Ok(piece)
}

#[test]
fn a_stream_is_limited_by_itself() {
    let (out, into) = test_ring(CAPACITY);
    let mut writer = Writer::new(Producer::new(out));
    let mut reader = Reader::new(Consumer::new(into), 100, 1000);
    let mut put = |part, len: usize| {
        let _ = writer.write(part, &payload(1, len)).unwrap().expect("room");
    };
    put(Part::First, 600);
    assert_eq!(piece(&mut reader), Ok(Piece::Chunk { last: false }));
    put(Part::Middle, 400);
    assert_eq!(piece(&mut reader), Ok(Piece::Chunk { last: false }));
    put(Part::Middle, 1);
    assert_eq!(piece(&mut reader), Ok(Piece::TooLong));
    assert_eq!(reader.skip(), None, "it is skipped already");
    put(Part::Last, 1);
    assert_eq!(piece(&mut reader), Ok(Piece::Skipped));
    // The next one is counted anew.
    put(Part::First, 1000);
    assert_eq!(piece(&mut reader), Ok(Piece::Chunk { last: false }));
    put(Part::Last, 1);
    assert_eq!(piece(&mut reader), Ok(Piece::TooLong));
    assert_eq!(reader.begun(), 2);
    // A message of its own has the other limit.
    put(Part::Whole, 101);
    assert_eq!(piece(&mut reader), Err(Fault::TooLarge));
}

#[test]
fn why_a_message_is_given_up() {
    let (mut writer, mut reader) = pair(u64::MAX);
    let message = &mut Vec::new();
    for cause in [None, Some(Cause::new(7, "out of paper")), None] {
        let _ = writer.write(Part::First, &[1]).unwrap();
        match &cause {
            None => writer.abort().unwrap(),
            Some(cause) => {
                let _ = writer.write(Part::Abort, &cause.encode()).unwrap();
            }
        }
        assert_eq!(read(&mut reader, message), Ok(Some(Next::Chunk)));
        assert_eq!(read(&mut reader, message), Ok(Some(Next::Aborted)));
        assert_eq!(reader.take_cause(), cause);
    }
}

/// A peer that was told to stop a message may send what it has in hand, and no more; whole messages between do
/// not count.
#[test]
fn what_is_skipped_is_limited() {
    for streamed in [false, true] {
        let (mut writer, mut reader) = pair(0);
        let mut put = |part, len: usize| {
            let _ = writer.write(part, &payload(1, len)).unwrap().expect("room");
        };
        let see = |reader: &mut Reader| match streamed {
            true => piece(reader).map(|piece| piece == Piece::Skipped),
            false => read(reader, &mut Vec::new()).map(|next| next == Some(Next::Chunk)),
        };
        put(Part::First, 8);
        match streamed {
            true => {
                assert_eq!(piece(&mut reader), Ok(Piece::Chunk { last: false }));
                assert_eq!(reader.skip(), Some(1));
            }
            false => assert_eq!(read(&mut reader, &mut Vec::new()), Ok(Some(Next::TooLong))),
        }
        for _ in 0..2 * CAPACITY / 1024 {
            put(Part::Middle, 1016);
            assert_eq!(see(&mut reader), Ok(true));
            put(Part::Whole, 0);
            assert_eq!(see(&mut reader), Ok(false));
        }
        put(Part::Last, 0);
        match see(&mut reader) {
            Err(Fault::Peer(what)) => assert!(what.contains("told to stop"), "{what}"),
            other => panic!("{other:?}"),
        }
    }
}

/// What a reader says that has come so far round the ring and finds padding there, published up to
/// `tail` bytes behind its beginning.
fn verdict_on_padding(head: u64, padding: u64, behind: u64, tail: u64) -> Result<(), Fault> {
    let (evil, into) = test_ring(CAPACITY);
    let mut reader = Reader::new(Consumer::new(into), u64::MAX, u64::MAX);
    let empty = Header::new(Kind::Data, BEGIN | END, 0);
    for at in (0..head).step_by(8) {
        evil.write_word(at, empty.0);
    }
    set_tail(&evil, head);
    while reader.next(&mut Vec::new())?.is_some() {}
    evil.write_word(head, padding);
    evil.write_word(0, behind);
    set_tail(&evil, head + tail);
    reader.next(&mut Vec::new()).map(drop)
}

#[test]
fn padding_comes_with_the_frame_after_it() {
    let head = CAPACITY - 512;
    let padding = 504 | 2 << 32;
    let whole = 8 | 1 << 32 | u64::from(BEGIN | END) << 40;
    assert_eq!(verdict_on_padding(head, padding, whole, 528), Ok(()));
    for (padding, behind, tail, expected) in [
        (padding, whole, 512, "without a frame after it"),
        (padding, whole, 520, "longer than what was written"),
        (padding, padding, 1024, "padding follows padding"),
        (496 | 2 << 32, whole, 528, "does not reach the end"),
    ] {
        match verdict_on_padding(head, padding, behind, tail) {
            Err(Fault::Peer(what)) => assert!(what.contains(expected), "{what:?}"),
            other => panic!("{other:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn the_gap_behind_a_payload_is_zero() {
    let (out, into) = test_ring(CAPACITY);
    let look = &mut Vec::new();
    let mut writer = Writer::new(Producer::new(out));
    let mut reader = Reader::new(Consumer::new(into.clone()), u64::MAX, u64::MAX);
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
        let most = max_claim(CAPACITY);
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
    for wrong in [0, 1000, 2020, u64::MAX, 1 << 40] {
        head(wrong);
        assert!(
            matches!(writer.write(Part::Whole, &full), Err(Fault::Peer(_))),
            "{wrong}"
        );
    }
}

/// What is kept stays in the ring while what comes behind it is read, and is released with it.
#[test]
fn what_is_kept_stays_in_the_ring() {
    let (out, into) = test_ring(CAPACITY);
    let kept = std::sync::Arc::new(Kept::new(into.clone()));
    let mut writer = Writer::new(Producer::new(out));
    let mut reader = Reader::new(Consumer::new(into), u64::MAX, u64::MAX);
    let mut message = Vec::new();
    while writer.write(Part::Whole, &[7; 1000]).unwrap().is_some() {}
    let need = writer.need(1000);
    let frame = reader.peek().unwrap().unwrap();
    let (span, place) = (reader.span(frame), reader.keep(frame, &kept));
    for _ in 0..3 {
        assert_eq!(read(&mut reader, &mut message), Ok(Some(Next::Message)));
    }
    assert_eq!(writer.has_room(need), Ok(false));
    let mut bytes = [0; 1000];
    span.read(reader.memory(), 0, &mut bytes);
    assert_eq!(bytes, [7; 1000]);
    let _ = kept.done(place.start, place.end);
    assert_eq!(writer.has_room(need), Ok(true));
    assert_eq!(writer.backlog(), Ok(0), "with what was read behind it");
}

/// A frame with handles and this payload, read by a side that takes 4.
fn with_handles(payload: &[u8], large: bool) -> Result<(Vec<u8>, usize), Fault> {
    let (evil, into) = test_ring(CAPACITY);
    let mut writer = Writer::new(Producer::new(evil));
    if large {
        writer.write(Part::First, b"large")?;
    }
    assert!(writer.write(Part::WithHandles, payload)?.is_some());
    let mut reader = Reader::new(Consumer::new(into), 100, u64::MAX).accept_handles(4);
    let mut message = b"something else".to_vec();
    if large {
        reader.next(&mut message)?;
    }
    let frame = reader.peek()?.unwrap();
    assert_eq!(reader.copy(frame, &mut message)?, Next::WithHandles);
    Ok((message, reader.take_entries().len()))
}

#[test]
fn what_is_said_of_handles_is_checked() {
    let mut entry = [0; 24];
    // An end of a link: the same on all systems.
    entry[0] = 5;
    entry[8..].fill(7);
    let payload = |count: u64, entries: &[[u8; 24]], message: &[u8]| {
        [&count.to_le_bytes(), entries.concat().as_slice(), message].concat()
    };
    let good = payload(2, &[entry; 2], b"message");
    assert_eq!(
        with_handles(&good, false).unwrap(),
        (b"message".to_vec(), 2)
    );
    let good = payload(4, &[entry; 4], b"");
    assert_eq!(with_handles(&good, false).unwrap(), (Vec::new(), 4));

    let wrong = "what it says of a message's handles is wrong";
    let [mut kind, mut detail] = [entry; 2];
    kind[0] = 7;
    detail[4] = 2;
    let cases = [
        (vec![], wrong),
        (vec![0; 7], wrong),
        (payload(0, &[entry], b"m"), wrong),
        (payload(2, &[entry], b"only one, and a message"), wrong),
        (payload(u64::MAX, &[entry], b"m"), wrong),
        (payload(1 << 32 | 1, &[entry], b"m"), wrong),
        (payload(1, &[kind], b"m"), wrong),
        (payload(1, &[detail], b"m"), wrong),
        (
            payload(5, &[entry; 5], b"m"),
            "more handles than this side takes",
        ),
    ];
    for (payload, why) in cases {
        let fault = with_handles(&payload, false).unwrap_err();
        assert!(format!("{fault:?}").contains(why), "{fault:?}: {payload:?}");
    }
    let fault = with_handles(&good, true).unwrap_err();
    assert!(
        format!("{fault:?}").contains("within a large message"),
        "{fault:?}"
    );
    let long = payload(1, &[entry], &[0; 101]);
    assert_eq!(with_handles(&long, false).unwrap_err(), Fault::TooLarge);
}

proptest! {
    #[test]
    fn any_bytes_about_handles_are_judged(payload in prop::collection::vec(any::<u8>(), 0..200), count in 0u64..9, kind in 0u8..9) {
        let mut payload = payload;
        if let Some(first) = payload.first_chunk_mut() {
            *first = count.to_le_bytes();
        }
        if let Some(byte) = payload.get_mut(8) {
            *byte = kind;
        }
        if let Ok((message, handles)) = with_handles(&payload, false) {
            prop_assert_eq!((handles as u64, &message[..]), (count, &payload[8 + 24 * handles..]));
        }
    }
}
