//! Who is who, and how far each has got: so that no file has a record twice.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A client as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Client(pub(super) u64);

impl Client {
    /// The client whose link has this number. Who knows that proves by it who he is, so what everybody can read must not
    /// tell it.
    pub(super) fn of(secret: u128) -> Client {
        let hash = Sha256::digest(secret.to_le_bytes());
        Client(
            hash.iter()
                .take(8)
                .fold(0, |id, byte| id << 8 | u64::from(*byte)),
        )
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Client {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Client, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What a client says here is replaced, whatever it is.
        Ok(Client(u64::from_str_radix(&text, 16).unwrap_or(0)))
    }
}

/// So many clients are remembered. Of more, those that were heard of longest ago are forgotten.
const MOST: usize = 20_000;

/// The last number of each client that is in the files.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: HashMap<Client, Heard>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    number: u64,
    at: u64,
}

impl Numbers {
    /// Whether this number is new, which it is only once.
    pub(super) fn is_new(&mut self, client: Client, number: u64) -> bool {
        self.clock += 1;
        let at = self.clock;
        match self.last.get_mut(&client) {
            Some(heard) => {
                heard.at = at;
                let is_new = number > heard.number;
                heard.number = heard.number.max(number);
                is_new
            }
            None => {
                self.last.insert(client, Heard { number, at });
                self.forget();
                true
            }
        }
    }

    /// Half of them at once, so that this is rare.
    fn forget(&mut self) {
        if self.last.len() <= MOST {
            return;
        }
        let mut times: Vec<u64> = self.last.values().map(|heard| heard.at).collect();
        let (_, middle, _) = times.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.last.retain(|_, heard| heard.at > middle);
    }

    /// All of them, those that were heard of longest ago first.
    pub(super) fn all(&self) -> Vec<(Client, u64)> {
        let mut all: Vec<_> = self.last.iter().collect();
        all.sort_unstable_by_key(|(_, heard)| heard.at);
        all.into_iter()
            .map(|(client, heard)| (*client, heard.number))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let mut numbers = Numbers::default();
        let (one, other) = (Client(1), Client(2));
        assert!(numbers.is_new(one, 1) && numbers.is_new(one, 5) && numbers.is_new(other, 1));
        assert!(!numbers.is_new(one, 5) && !numbers.is_new(one, 2));
        assert_eq!(numbers.all(), [(other, 1), (one, 5)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut numbers = Numbers::default();
        for client in 0..3 * MOST as u64 {
            assert!(numbers.is_new(Client(client), 1));
            assert!(!numbers.is_new(Client(0), 1));
            assert!(numbers.last.len() <= MOST);
        }
    }
}
