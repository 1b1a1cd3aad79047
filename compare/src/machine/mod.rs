//! What the machine and its kernel tell: clocks, processor time, memory, and what machine it is.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

use serde::{Deserialize, Serialize};

pub(crate) use system::{
    busy_ms, cpu_of, cpu_of_this_process, cpu_with_ended_threads, free_memory, look, now_ns,
};

/// What a process has at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) rss_kib: i64,
    /// Shared mappings, and how much of them is in memory, where the system tells.
    pub(crate) shared_kib: Option<i64>,
    pub(crate) shared_resident_kib: Option<i64>,
    pub(crate) threads: i64,
    pub(crate) handles: i64,
}

/// Where and with what a file of rows was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) system: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    /// Version of Wine: its kernel waits are not those of Windows.
    pub(crate) wine: Option<String>,
    pub(crate) rust: String,
    pub(crate) commit: String,
}

pub(crate) fn describe() -> Machine {
    Machine {
        system: system::name(),
        processor: system::processor(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: system::memory() >> 30,
        wine: system::wine(),
        rust: env!("COMPARE_RUSTC").into(),
        commit: env!("COMPARE_COMMIT").into(),
    }
}

/// Now, as `2026-11-23 14:05 UTC`.
pub(crate) fn date() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    date_of(since.as_secs())
}

fn date_of(seconds: u64) -> String {
    // Howard Hinnant's civil_from_days, for days after 1970.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date_of(0), "1970-01-01 00:00 UTC");
        assert_eq!(date_of(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date_of(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date_of(1_795_477_500), "2026-11-23 23:45 UTC");
    }

    #[test]
    fn the_machine_tells_of_this_process() {
        let me = std::process::id();
        let look = look(me).unwrap();
        assert!(look.rss_kib > 0 && look.threads > 0);
        // Wine counts no handles.
        assert!(look.handles > 0 || describe().wine.is_some());
        assert!(cpu_of(me).unwrap() >= 0.0);
        assert!(busy_ms() > 0.0);
        let before = now_ns();
        assert!(now_ns() >= before);
        assert!(!describe().system.is_empty());
        assert!(free_memory() > 1 << 20);
    }
}
