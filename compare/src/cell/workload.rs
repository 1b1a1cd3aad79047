//! What two processes do with a link, and with messages of which size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::common::{KIB, MIB};

/// The message that a small one has to overtake.
pub(crate) const BULK: usize = 1024 * MIB;
/// Size of the messages that are said to be small.
pub(crate) const SMALL: usize = 64;
/// Sending threads at most.
pub(crate) const THREADS: usize = 8;
/// Links at most.
const MOST_LINKS: usize = 1000;

/// Sizes and numbers of threads that are measured unless others are asked for.
pub(crate) const ROUND_TRIPS: [usize; 3] = [64, KIB, 64 * KIB];
pub(crate) const STREAMS: [usize; 6] = [64, KIB, 16 * KIB, 64 * KIB, MIB, 16 * MIB];
pub(crate) const SENDERS: [usize; 4] = [1, 2, 4, 8];
pub(crate) const LINKS: [usize; 2] = [10, 100];

/// What two processes do with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Workload {
    /// A message there and one back, one at a time.
    RoundTrip(usize),
    /// Messages from one end to the other, as fast as it goes.
    OneWay(usize),
    /// The same in both directions at once, one thread per direction in each process.
    BothWays(usize),
    /// From the first call of a cold process to the first answer.
    Connect,
    /// Idle processor time, memory, handles and threads of a connected link.
    Footprint,
    /// Small messages of one thread while another sends [`BULK`] bytes as one message.
    Overtake,
    /// Small messages of so many threads at once.
    Threads(usize),
    /// Small messages there and back on so many links at once, one at a time on each.
    Links(usize),
}

impl Workload {
    /// Every workload, in the order of the report.
    pub(crate) fn all() -> Vec<Workload> {
        let mut all = Vec::new();
        all.extend(ROUND_TRIPS.map(Workload::RoundTrip));
        all.extend(STREAMS.map(Workload::OneWay));
        all.extend(STREAMS.map(Workload::BothWays));
        all.extend([Workload::Connect, Workload::Footprint, Workload::Overtake]);
        all.extend(SENDERS.map(Workload::Threads));
        all.extend(LINKS.map(Workload::Links));
        all
    }

    /// The longest message in it.
    pub(crate) fn longest(self) -> usize {
        match self {
            Workload::RoundTrip(len) | Workload::OneWay(len) | Workload::BothWays(len) => len,
            Workload::Overtake => BULK,
            Workload::Connect | Workload::Footprint | Workload::Threads(_) | Workload::Links(_) => {
                SMALL
            }
        }
    }

    /// How many threads of the guest send at once.
    pub(crate) fn senders(self) -> usize {
        match self {
            Workload::Overtake => 2,
            Workload::Threads(n) => n,
            _ => 1,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::RoundTrip(len) => write!(f, "round-trip/{len}"),
            Workload::OneWay(len) => write!(f, "one-way/{len}"),
            Workload::BothWays(len) => write!(f, "both-ways/{len}"),
            Workload::Connect => f.write_str("connect"),
            Workload::Footprint => f.write_str("footprint"),
            Workload::Overtake => f.write_str("overtake"),
            Workload::Threads(n) => write!(f, "threads/{n}"),
            Workload::Links(n) => write!(f, "links/{n}"),
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Workload, String> {
        let wrong = || {
            format!(
                "no workload {text:?}: expected round-trip/LEN, one-way/LEN, both-ways/LEN, \
                 threads/N, links/N, connect, footprint or overtake"
            )
        };
        let (name, number) = match text.split_once('/') {
            Some((name, number)) => (name, Some(number.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let workload = match (name, number) {
            ("round-trip", Some(len)) => Workload::RoundTrip(len),
            ("one-way", Some(len)) => Workload::OneWay(len),
            ("both-ways", Some(len)) => Workload::BothWays(len),
            ("threads", Some(n)) => Workload::Threads(n),
            ("links", Some(n)) => Workload::Links(n),
            ("connect", None) => Workload::Connect,
            ("footprint", None) => Workload::Footprint,
            ("overtake", None) => Workload::Overtake,
            _ => return Err(wrong()),
        };
        let len = workload.longest();
        if !(SMALL..=BULK).contains(&len) {
            return Err(format!("messages have {SMALL} to {BULK} bytes, not {len}"));
        }
        if !(1..=THREADS).contains(&workload.senders()) {
            return Err(format!("1 to {THREADS} threads"));
        }
        if let Workload::Links(n) = workload
            && !(1..=MOST_LINKS).contains(&n)
        {
            return Err(format!("1 to {MOST_LINKS} links"));
        }
        Ok(workload)
    }
}

impl From<Workload> for String {
    fn from(workload: Workload) -> String {
        workload.to_string()
    }
}

impl TryFrom<String> for Workload {
    type Error = String;

    fn try_from(text: String) -> Result<Workload, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_read_as_it_is_written() {
        for workload in Workload::all() {
            assert_eq!(workload.to_string().parse(), Ok(workload));
        }
    }

    #[test]
    fn a_wrong_workload_says_what_is_right() {
        for text in ["", "one-way", "connect/3", "one-way/x", "nonsense/64"] {
            let error = text.parse::<Workload>().unwrap_err();
            assert!(error.contains("round-trip/LEN"), "{error}");
        }
        assert!("one-way/63".parse::<Workload>().is_err());
        assert!("threads/9".parse::<Workload>().is_err());
        assert!("links/0".parse::<Workload>().is_err());
    }
}
