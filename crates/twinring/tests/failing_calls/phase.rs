//! What the victim does while a call fails.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From before `open` to the connection.
    Open,
    /// Messages both ways, small ones and one larger than the ring.
    Talk,
    Close,
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Phase, String> {
        [Phase::Open, Phase::Talk, Phase::Close]
            .into_iter()
            .find(|phase| format!("{phase:?}") == text)
            .ok_or_else(|| format!("{text:?} is no phase"))
    }
}

/// Bytes of a ring: the smallest there is, so that large messages wait for room.
pub(crate) const CAPACITY: u64 = 4096;
