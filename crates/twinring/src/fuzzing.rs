//! What `fuzz/` calls: the modules that check what the peer or the user gives, with arbitrary bytes.
//!
//! Each function panics if something that it checks does not hold. Not part of the interface: it is only
//! compiled with `--cfg fuzzing`, as the fuzzer does.

use std::collections::VecDeque;
use std::sync::OnceLock;

use crate::error::ErrorKind;
use crate::frame::{Next, Part, Reader, Writer, handles_len};
use crate::handshake::{Message, agree};
use crate::os::endpoint::{HANDOVER, PACKET};
use crate::ring::{Consumer, Fault, Producer};
use crate::segment::{RingMemory, test_ring};
use crate::sync::Ordering::Relaxed;
use crate::transfer::{MAX_NAME_LEN, Name};

/// A handshake message: checked, and again after being encoded and decoded.
pub fn hello(bytes: &[u8]) {
    let mut packet = [0; PACKET];
    let len = bytes.len().min(PACKET);
    packet[..len].copy_from_slice(&bytes[..len]);
    match Message::decode(&packet) {
        Ok(message) => {
            let again = Message::decode(&message.encode()).expect("we wrote it ourselves");
            assert_eq!(again, message);
            // A refusal, and what a later version may have added, are taken as they are; otherwise
            // every part of a message was checked.
            let whole = match &message {
                Message::Knock { versions, .. } => agree(*versions).is_ok(),
                Message::Refuse { .. } => false,
                _ => true,
            };
            let judged = ..HANDOVER.start;
            assert!(!whole || message.encode()[judged] == packet[judged]);
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::Protocol),
    }
}

/// A link's name: accepted as it is, or refused with a text that can be shown.
pub fn name(text: &str) {
    match Name::new(text) {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert!((1..=MAX_NAME_LEN).contains(&text.len()));
            assert!(!text.contains(char::is_control));
            let key = name.key();
            assert_eq!(key, Name::new(text).unwrap().key());
            assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::InvalidName);
            let shown = e.to_string();
            assert!(!shown.is_empty() && shown.len() < 1024);
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }
}

const CAPACITY: u64 = 4096;
const MAX_HANDLES: u32 = 4;

/// A ring that is all zero. Always the same one: mapping takes longer than reading.
fn ring() -> RingMemory {
    static RING: OnceLock<RingMemory> = OnceLock::new();
    let ring = RING.get_or_init(|| test_ring(CAPACITY).0).clone();
    ring.write(0, &[0; CAPACITY as usize]);
    let words = ring.words();
    words.tail.0.store(0, Relaxed);
    words.head.0.store(0, Relaxed);
    words.data_wait.0.store(0, Relaxed);
    words.space_wait.0.store(0, Relaxed);
    words.sending.0.store(0, Relaxed);
    ring
}

/// The fuzzer's bytes as orders, one after another; zeros when there are none left.
struct Orders<'a>(&'a [u8]);

impl Orders<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        let mut all = [0; N];
        all[..taken.len()].copy_from_slice(taken);
        all
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn short(&mut self) -> u64 {
        u16::from_le_bytes(self.take()).into()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        let mut all = taken.to_vec();
        all.resize(len, 0);
        all
    }
}

/// How one side of a ring takes what the other wrote. Depending on the first byte, `bytes` are the
/// actions of an evil producer, of an evil consumer, or of two honest ones.
pub fn frames(bytes: &[u8]) {
    let mut orders = Orders(bytes);
    match orders.byte() % 3 {
        0 => evil_producer(orders),
        1 => evil_consumer(orders),
        _ => honest(orders),
    }
}

fn evil_producer(mut orders: Orders<'_>) {
    let ring = ring();
    let words = ring.words();
    let (max_message, max_stream) = (orders.short(), orders.short());
    let mut reader = Reader::new(Consumer::new(ring.clone()), max_message, max_stream)
        .accept_handles(MAX_HANDLES);
    let mut message = Vec::new();
    // Where the next word is written; the next "tail" publishes what is before it.
    let mut position = 0u64;
    while !orders.0.is_empty() {
        let outcome = match orders.byte() % 12 {
            0 => {
                // A correct header, or nearly so, with the bytes after it as they are.
                let [kind, flags] = orders.take();
                let len = orders.short();
                let header = len | u64::from(kind) << 32 | u64::from(flags) << 40;
                ring.write_word(position % CAPACITY, header);
                position += 8 + len.next_multiple_of(8);
                Ok(())
            }
            1 => {
                let word = u64::from_le_bytes(orders.take());
                ring.write_word(position % CAPACITY, word);
                position += 8;
                Ok(())
            }
            2 => {
                words.tail.0.store(position, Relaxed);
                Ok(())
            }
            3 => {
                words
                    .tail
                    .0
                    .store(u64::from_le_bytes(orders.take()), Relaxed);
                Ok(())
            }
            4 => {
                position = position.wrapping_add(orders.short()) & !7;
                Ok(())
            }
            5 => reader.seal(),
            6 => {
                let outcome = reader.begin_wait().map(|_| ());
                reader.end_wait();
                outcome
            }
            7 => {
                words.space_wait.0.store(orders.byte().into(), Relaxed);
                Ok(())
            }
            8 => {
                words.sending.0.store(orders.byte().into(), Relaxed);
                reader.has_news().map(|_| ())
            }
            9 => read_as_stream(&mut reader),
            _ => reader.next(&mut message).map(|next| {
                let whole = matches!(next, Some(Next::Message | Next::WithHandles));
                assert!(!whole || message.len() as u64 <= max_message);
                let handles = reader.take_entries().len();
                assert_eq!(handles > 0, next == Some(Next::WithHandles));
                assert!(handles <= MAX_HANDLES as usize);
            }),
        };
        assert!(message.capacity() as u64 <= max_message + CAPACITY);
        assert_ne!(outcome, Err(Fault::OutOfMemory));
        if outcome.is_err() {
            break;
        }
    }
    // Whatever is there, the reader comes to an end.
    for frames in 0.. {
        assert!(frames <= CAPACITY / 8, "the reader goes round in circles");
        match reader.next(&mut message) {
            Ok(None) | Err(_) => break,
            Ok(_) => {}
        }
    }
}

/// Takes one frame as the reader of a stream does.
fn read_as_stream(reader: &mut Reader) -> Result<(), Fault> {
    reader.take_over();
    if let Some(frame) = reader.peek()? {
        reader.piece(frame)?;
        reader.take_cause();
        reader.give_back(frame);
    }
    Ok(())
}

fn evil_consumer(mut orders: Orders<'_>) {
    let ring = ring();
    let words = ring.words();
    let mut writer = Writer::new(Producer::new(ring.clone()));
    let payload = vec![0xA5; writer.max_payload()];
    // One handle, whatever it is.
    let mut handed = payload.clone();
    handed[..8].copy_from_slice(&1u64.to_le_bytes());
    let mut large = false;
    while !orders.0.is_empty() {
        let order = orders.byte();
        let len = usize::from(order >> 3) * 8 + usize::from(order & 7);
        let outcome = match orders.byte() % 10 {
            0 => {
                words
                    .head
                    .0
                    .store(u64::from_le_bytes(orders.take()), Relaxed);
                Ok(())
            }
            1 | 2 => {
                // Everything that was written, or a part of it.
                let tail = words.tail.0.load(Relaxed);
                let back = u64::from(order) * 16;
                words.head.0.store(tail.saturating_sub(back), Relaxed);
                Ok(())
            }
            3 => {
                words.data_wait.0.store(order.into(), Relaxed);
                Ok(())
            }
            4 if large => {
                large = false;
                let abort = writer.abort().map(|_| ());
                assert_ne!(
                    abort,
                    Err(Fault::Peer("it took back room that it had given")),
                    "room for giving up is always kept"
                );
                abort
            }
            5 => {
                let outcome = writer.begin_wait(writer.need(len)).map(|_| ());
                writer.end_wait();
                outcome
            }
            6 => writer.has_room_for(len * 40).map(|_| ()),
            7 => {
                let word = u64::from_le_bytes(orders.take());
                ring.write_word(u64::from(order) * 16 % CAPACITY, word);
                Ok(())
            }
            8 => untaken(&mut writer),
            _ => {
                let part = match (large, order & 3) {
                    (false, 0) if order & 4 != 0 => Part::WithHandles,
                    (_, 0) => Part::Whole,
                    (false, _) => Part::First,
                    (true, 1) => Part::Last,
                    (true, _) => Part::Middle,
                };
                let (payload, least) = match part {
                    Part::WithHandles => (&handed, handles_len(1)),
                    _ => (&payload, 1),
                };
                let len = (len * 4).clamp(least, payload.len());
                writer.write(part, &payload[..len]).map(|wrote| {
                    if wrote.is_some() {
                        large = match part {
                            Part::Whole | Part::WithHandles => large,
                            Part::First | Part::Middle => true,
                            Part::Last | Part::Abort => false,
                        };
                    }
                })
            }
        };
        if outcome.is_err() {
            return;
        }
    }
}

/// What was not read is no more than the ring holds, whatever the peer has made of it.
fn untaken(writer: &mut Writer) -> Result<(), Fault> {
    let waiting = writer.waiting()?;
    assert!(waiting.bytes < CAPACITY);
    let mut bytes = 0;
    let mut unread = writer.unread()?;
    while let Some(message) = unread.next() {
        bytes += message.len() as u64;
    }
    assert!(bytes <= waiting.bytes);
    Ok(())
}

/// What the writer writes, the reader reads: every message once, whole, in order.
fn honest(mut orders: Orders<'_>) {
    let ring = ring();
    let mut writer = Writer::new(Producer::new(ring.clone()));
    let mut reader = Reader::new(Consumer::new(ring), u64::MAX, u64::MAX);
    let mut expected = VecDeque::new();
    let mut large: Option<Vec<u8>> = None;
    let mut message = Vec::new();
    let mut read = |most: u8, expected: &mut VecDeque<Option<Vec<u8>>>| {
        for _ in 0..most {
            match reader.next(&mut message).expect("an honest peer") {
                None => break,
                Some(Next::Chunk) => {}
                Some(Next::Message) => {
                    assert_eq!(expected.pop_front().unwrap().as_ref(), Some(&message))
                }
                Some(Next::Aborted) => assert_eq!(expected.pop_front(), Some(None)),
                Some(Next::TooLong) => unreachable!("no length is too long"),
                Some(Next::WithHandles) => unreachable!("there are none"),
            }
        }
    };
    while !orders.0.is_empty() {
        let order = orders.byte();
        if order & 3 == 0 {
            read(order >> 2, &mut expected);
            continue;
        }
        if order & 0x3F == 1 && large.take().is_some() {
            let _ = writer.abort().expect("room for giving up is always kept");
            expected.push_back(None);
            continue;
        }
        let part = match (large.is_some(), order & 3) {
            (_, 1) => Part::Whole,
            (false, _) => Part::First,
            (true, 2) => Part::Middle,
            (true, _) => Part::Last,
        };
        let len = (orders.short() as usize % (writer.max_payload() + 1)).max(1);
        let payload = orders.bytes(len);
        if writer
            .write(part, &payload)
            .expect("an honest peer")
            .is_none()
        {
            continue;
        }
        match part {
            Part::Whole => expected.push_back(Some(payload)),
            Part::First | Part::Middle => large.get_or_insert_default().extend(payload),
            Part::Abort | Part::WithHandles => unreachable!("there is none here"),
            Part::Last => {
                let mut whole = large.take().unwrap();
                whole.extend(payload);
                expected.push_back(Some(whole));
            }
        }
    }
    for _ in 0..CAPACITY / 8 {
        read(u8::MAX, &mut expected);
    }
    assert!(
        expected.is_empty(),
        "{} messages are missing",
        expected.len()
    );
}
