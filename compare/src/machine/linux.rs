//! From /proc and the clocks.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use super::Look;
use crate::cell::Result;

/// A clock that both processes share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Seconds that this process has used, ended threads included.
pub(crate) fn cpu_of_this_process() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Seconds that the living threads of a process have used, to the nanosecond.
pub(crate) fn cpu_of(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text.split(' ').next().unwrap_or("").parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Seconds that a process has used, ended threads included, in hundredths.
pub(crate) fn cpu_with_ended_threads(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15; the name before them may have spaces, and is in brackets.
    let after = text.rsplit(')').next().unwrap_or("");
    let mut fields = after.split_whitespace().skip(11);
    let mut next = || fields.next().unwrap_or("").parse::<f64>();
    Ok((next()? + next()?) / 100.0)
}

/// Milliseconds that all processors have been busy, or were taken by the hypervisor.
pub(crate) fn busy_ms() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let busy = fields.iter().take(8).sum::<f64>() - fields.iter().skip(3).take(2).sum::<f64>();
    busy * 10.0
}

pub(crate) fn look(pid: u32) -> Result<Look> {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let (mut rss, mut shared, mut resident) = (0, 0, 0);
    let mut is_shared = false;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else {
            continue;
        };
        let number = || {
            second
                .and_then(|text| text.parse::<i64>().ok())
                .unwrap_or(0)
        };
        match first {
            "Size:" if is_shared => shared += number(),
            "Rss:" => {
                rss += number();
                resident += if is_shared { number() } else { 0 };
            }
            // The first line of a mapping: addresses, permissions.
            _ if !first.ends_with(':') => {
                is_shared = second.is_some_and(|permissions| permissions.ends_with('s'));
            }
            _ => {}
        }
    }
    Ok(Look {
        rss_kib: rss,
        shared_kib: Some(shared),
        shared_resident_kib: Some(resident),
        threads: fs::read_dir(format!("/proc/{pid}/task"))?.count() as i64,
        handles: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as i64,
    })
}

/// Bytes that programs can still get.
pub(crate) fn free_memory() -> u64 {
    meminfo("MemAvailable:")
}

pub(super) fn memory() -> u64 {
    meminfo("MemTotal:")
}

fn meminfo(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

pub(super) fn name() -> String {
    let system = rustix::system::uname();
    format!(
        "Linux {} {}",
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    )
}

pub(super) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown".into(), |(_, name)| name.to_owned())
}

pub(super) fn wine() -> Option<String> {
    None
}
