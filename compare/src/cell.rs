//! What is measured: workloads, how long, and the figures that come out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;
/// The message that a small one has to overtake.
pub(crate) const BULK: usize = 1024 * MIB;
/// Size of the messages that are said to be small.
pub(crate) const SMALL: usize = 64;

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
}

impl Workload {
    /// The longest message in it.
    pub(crate) fn longest(self) -> usize {
        match self {
            Workload::RoundTrip(len) | Workload::OneWay(len) | Workload::BothWays(len) => len,
            Workload::Overtake => BULK,
            Workload::Connect | Workload::Footprint | Workload::Threads(_) => SMALL,
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
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Workload, String> {
        let wrong = || {
            format!(
                "no workload {text:?}: expected round-trip/LEN, one-way/LEN, both-ways/LEN, \
                 threads/N, connect, footprint or overtake"
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
            ("connect", None) => Workload::Connect,
            ("footprint", None) => Workload::Footprint,
            ("overtake", None) => Workload::Overtake,
            _ => return Err(wrong()),
        };
        let len = workload.longest();
        if !(SMALL..=BULK).contains(&len) {
            return Err(format!("messages have {SMALL} to {BULK} bytes, not {len}"));
        }
        if !(1..=crate::payload::THREADS).contains(&workload.senders()) {
            return Err(format!("1 to {} threads", crate::payload::THREADS));
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

    fn try_from(text: String) -> std::result::Result<Workload, String> {
        text.parse()
    }
}

pub(crate) const ROUND_TRIPS: [usize; 3] = [64, KIB, 64 * KIB];
pub(crate) const STREAMS: [usize; 6] = [64, KIB, 16 * KIB, 64 * KIB, MIB, 16 * MIB];
pub(crate) const SENDERS: [usize; 4] = [1, 2, 4, 8];

/// Every workload, in the order of the report.
pub(crate) fn all() -> Vec<Workload> {
    let mut cells = Vec::new();
    cells.extend(ROUND_TRIPS.map(Workload::RoundTrip));
    cells.extend(STREAMS.map(Workload::OneWay));
    cells.extend(STREAMS.map(Workload::BothWays));
    cells.extend([Workload::Connect, Workload::Footprint, Workload::Overtake]);
    cells.extend(SENDERS.map(Workload::Threads));
    cells
}

/// One run of one cell: all that its two processes must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) transport: String,
    pub(crate) workload: Workload,
    /// The timed part.
    pub(crate) ms: u64,
    /// The part before it, for as many milliseconds.
    pub(crate) warm_ms: u64,
    pub(crate) idle_ms: u64,
    /// Capacity of each ring of twinring and of the bare rings.
    pub(crate) ring: usize,
    /// Alters a byte of the message with this number: the cell must fail. For the tests.
    pub(crate) spoil: Option<u64>,
}

/// What a run gave. Each end fills in what it knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p999_us: Option<f64>,
    /// How many times the three above are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<u64>,
    /// Of both directions together where both are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_s: Option<f64>,
    /// Processor seconds of both processes per gigabyte (10^9 bytes) moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_s_per_gb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_ms_per_s: Option<f64>,
    /// Added by the link, in both processes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handles: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_kib: Option<i64>,
    /// Of both processes, with the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rss_in_all_kib: Option<i64>,
    /// Shared mappings of one process (the one with more of them).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_kib: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_resident_kib: Option<i64>,
    /// Most messages of one sending thread over the fewest of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) most_to_fewest: Option<f64>,
    /// Messages that were checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checked: Option<u64>,
}

impl Figures {
    /// Both ends' figures together: what both have is added up.
    pub(crate) fn and(self, other: Figures) -> Figures {
        fn add<T: std::ops::Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            }
        }
        Figures {
            p50_us: self.p50_us.or(other.p50_us),
            p99_us: self.p99_us.or(other.p99_us),
            p999_us: self.p999_us.or(other.p999_us),
            samples: self.samples.or(other.samples),
            messages_per_s: add(self.messages_per_s, other.messages_per_s),
            bytes_per_s: add(self.bytes_per_s, other.bytes_per_s),
            cpu_s_per_gb: add(self.cpu_s_per_gb, other.cpu_s_per_gb),
            connect_us: self.connect_us.or(other.connect_us),
            idle_ms_per_s: self.idle_ms_per_s.or(other.idle_ms_per_s),
            threads: add(self.threads, other.threads),
            handles: add(self.handles, other.handles),
            rss_kib: add(self.rss_kib, other.rss_kib),
            rss_in_all_kib: add(self.rss_in_all_kib, other.rss_in_all_kib),
            shared_kib: self.shared_kib.max(other.shared_kib),
            shared_resident_kib: self.shared_resident_kib.max(other.shared_resident_kib),
            most_to_fewest: self.most_to_fewest.or(other.most_to_fewest),
            checked: add(self.checked, other.checked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_read_as_it_is_written() {
        for workload in all() {
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
    }

    #[test]
    fn figures_of_two_ends_are_put_together() {
        let guest = Figures {
            bytes_per_s: Some(2.0),
            connect_us: Some(5.0),
            shared_kib: Some(8),
            ..Figures::default()
        };
        let host = Figures {
            bytes_per_s: Some(3.0),
            shared_kib: Some(9),
            ..Figures::default()
        };
        let both = guest.and(host);
        assert_eq!(both.bytes_per_s, Some(5.0));
        assert_eq!(both.connect_us, Some(5.0));
        assert_eq!(both.shared_kib, Some(9));
        assert_eq!(both.p50_us, None);
    }
}
