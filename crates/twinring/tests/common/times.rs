//! How long something took, many times over.

use std::time::{Duration, SystemTime};

#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// `percent` of them are not longer than this.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    pub(crate) fn print(&self, what: &str) {
        if self.0.is_empty() {
            return println!("{what}: never");
        }
        println!(
            "{what}: p50 {:?}, p99 {:?}, longest {:?}, of {}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.0.len()
        );
    }
}

/// The time now, for processes to compare.
pub(crate) fn microseconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap().as_micros() as u64
}

/// From one of [`microseconds`] to another.
pub(crate) fn between(from: u64, to: u64) -> Duration {
    Duration::from_micros(to.saturating_sub(from))
}
