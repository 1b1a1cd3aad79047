//! What a process has, from /proc.

use std::fs;

use crate::common::Result;
use crate::machine::process::Usage;

pub(crate) fn usage(pid: u32) -> Result<Usage> {
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
    Ok(Usage {
        rss_kib: rss,
        shared_kib: Some(shared),
        shared_resident_kib: Some(resident),
        threads: fs::read_dir(format!("/proc/{pid}/task"))?.count() as i64,
        handles: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as i64,
    })
}
