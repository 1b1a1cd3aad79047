//! The figures that come out of a cell.

use serde::{Deserialize, Serialize};

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
    /// Messages there and back, of all links together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trips_per_s: Option<f64>,
    /// Processor microseconds of both processes for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us_per_trip: Option<f64>,
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
            trips_per_s: self.trips_per_s.or(other.trips_per_s),
            cpu_us_per_trip: self.cpu_us_per_trip.or(other.cpu_us_per_trip),
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
