//! Memory of the machine, from /proc.

use std::fs;

/// Bytes that programs can still get.
pub(crate) fn free_memory() -> u64 {
    meminfo("MemAvailable:")
}

/// Bytes that there are.
pub(crate) fn memory() -> u64 {
    meminfo("MemTotal:")
}

fn meminfo(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
