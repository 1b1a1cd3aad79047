//! A clock, and processor time, from the clocks and /proc.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use crate::common::Result;

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
