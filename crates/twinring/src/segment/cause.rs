//! Why something ended: a code and a text of the program's, in a place of its own in the segment.

use super::layout::{CAUSE_LEN, CAUSES_AT};
use super::shape::Side;

/// The longest text in bytes.
pub(crate) const MAX_TEXT: usize = 255;

/// What a cause is about. Each side has a place for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CauseOf {
    /// Its goodbye.
    Goodbye = 0,
    /// That it wants no more of what comes.
    Stop = 1,
    /// That it wants no more of a large message.
    StopStream = 2,
}

/// A code and a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) code: u32,
    pub(crate) text: String,
}

/// `code` and the length of the text, then the text.
pub(super) const HEAD: usize = 8;

impl Cause {
    /// Cuts a text that is too long.
    pub(crate) fn new(code: u32, text: &str) -> Cause {
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Cause {
            code,
            text: text[..end].to_owned(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.text.len());
        bytes.extend(self.code.to_le_bytes());
        bytes.extend((self.text.len() as u32).to_le_bytes());
        bytes.extend(self.text.as_bytes());
        bytes
    }

    /// Whatever the bytes are, this makes a cause of them: a length beyond the end is cut, and what is
    /// not UTF-8 is replaced.
    pub(crate) fn decode(bytes: &[u8]) -> Cause {
        let word = |at: usize| match bytes.get(at..at + 4) {
            Some(word) => u32::from_le_bytes([word[0], word[1], word[2], word[3]]),
            None => 0,
        };
        let rest = bytes.get(HEAD..).unwrap_or_default();
        let len = (word(4) as usize).min(MAX_TEXT).min(rest.len());
        Cause {
            code: word(0),
            text: String::from_utf8_lossy(&rest[..len]).into_owned(),
        }
    }
}

/// Where a cause is in the segment.
pub(super) fn place(side: Side, what: CauseOf) -> usize {
    CAUSES_AT + (side.outgoing() * 3 + what as usize) * CAUSE_LEN
}

const _: () = assert!(HEAD + MAX_TEXT <= CAUSE_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["", "out of paper", "ü\u{1f980}"] {
            let cause = Cause::new(7, text);
            assert_eq!(cause.text, text);
            assert_eq!(Cause::decode(&cause.encode()), cause);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cause = Cause::new(0, &"ü".repeat(200));
        assert_eq!(cause.text, "ü".repeat(127));
    }

    #[test]
    fn anything_is_a_cause() {
        let mut bytes = vec![0xff; CAUSE_LEN];
        assert_eq!(Cause::decode(&bytes).text.chars().count(), MAX_TEXT);
        bytes.truncate(10);
        assert_eq!(Cause::decode(&bytes).text.chars().count(), 2);
        assert_eq!(Cause::decode(&[1, 0]), Cause::default());
    }
}
