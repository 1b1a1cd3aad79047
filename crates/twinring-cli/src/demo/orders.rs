//! The messages between the two processes of the demo. The first byte of a message says which it is.

use xxhash_rust::xxh3::xxh3_64;

/// Send this message back.
pub(super) const ECHO: u8 = b'e';
/// One of many small messages, numbered.
pub(super) const SMALL: u8 = b's';
/// How many small messages came, all in order? Answered with a [`Tally`].
pub(super) const SMALL_DONE: u8 = b'S';
/// A part of the stream.
pub(super) const STREAM: u8 = b'd';
/// How much of the stream came, and what is its checksum? Answered with a [`Sum`].
pub(super) const STREAM_DONE: u8 = b'D';
/// Send numbered, sealed messages until killed.
pub(super) const FLOOD: u8 = b'f';

/// Length of a small message.
pub(super) const SMALL_LEN: usize = 64;

/// A small message with its number.
pub(super) fn small(number: u64) -> [u8; SMALL_LEN] {
    let mut message = [SMALL; SMALL_LEN];
    message[8..16].copy_from_slice(&number.to_le_bytes());
    message
}

/// The number of a small message.
pub(super) fn small_number(message: &[u8]) -> Option<u64> {
    (message.len() == SMALL_LEN)
        .then(|| number_at(message, 8))
        .flatten()
}

/// The answer to [`SMALL_DONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    /// Messages that were not the next in order, or not whole.
    pub(super) wrong: u64,
}

impl Tally {
    pub(super) fn encode(self) -> [u8; 16] {
        (u128::from(self.wrong) << 64 | u128::from(self.count)).to_le_bytes()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Tally> {
        Some(Tally {
            count: number_at(message, 0)?,
            wrong: number_at(message, 8)?,
        })
    }
}

/// The answer to [`STREAM_DONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) hash: u64,
}

impl Sum {
    pub(super) fn encode(self) -> [u8; 16] {
        (u128::from(self.hash) << 64 | u128::from(self.bytes)).to_le_bytes()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Sum> {
        Some(Sum {
            bytes: number_at(message, 0)?,
            hash: number_at(message, 8)?,
        })
    }
}

/// The longest message of a flood: several chunks, so that a kill can hit one half-way.
const FLOOD_MAX: u64 = 300_000;

/// Makes message `number` of a flood: its number, the hash of the rest, and the rest, in a length
/// that differs from message to message.
pub(super) fn sealed(number: u64, message: &mut Vec<u8>) {
    let length = 16 + number.wrapping_mul(7919) % FLOOD_MAX;
    message.clear();
    message.extend_from_slice(&number.to_le_bytes());
    message.extend_from_slice(&[0; 8]);
    message.resize(length as usize, number as u8);
    let seal = xxh3_64(&message[16..]) ^ number;
    message[8..16].copy_from_slice(&seal.to_le_bytes());
}

/// The number of a flood's message, if it is whole.
pub(super) fn sealed_number(message: &[u8]) -> Option<u64> {
    let number = number_at(message, 0)?;
    let seal = number_at(message, 8)?;
    let whole = message.len() as u64 == 16 + number.wrapping_mul(7919) % FLOOD_MAX
        && seal == xxh3_64(&message[16..]) ^ number;
    whole.then_some(number)
}

fn number_at(message: &[u8], at: usize) -> Option<u64> {
    let bytes = message.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_messages_are_seen() {
        let mut message = Vec::new();
        for number in [0, 1, 37, 1000] {
            sealed(number, &mut message);
            assert_eq!(sealed_number(&message), Some(number));
            message.pop();
            assert_eq!(sealed_number(&message), None);
            message.push(!(number as u8));
            assert_eq!(sealed_number(&message), None);
        }
        assert_eq!(sealed_number(b""), None);
        assert_eq!(small_number(&small(7)), Some(7));
        assert_eq!(small_number(&small(7)[1..]), None);
    }

    #[test]
    fn answers() {
        let tally = Tally { count: 5, wrong: 1 };
        assert_eq!(Tally::decode(&tally.encode()), Some(tally));
        let sum = Sum { bytes: 9, hash: 3 };
        assert_eq!(Sum::decode(&sum.encode()), Some(sum));
        assert_eq!(Sum::decode(b"short"), None);
    }
}
