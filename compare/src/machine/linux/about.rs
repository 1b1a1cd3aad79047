//! Which machine it is, from uname and /proc.

use std::fs;

pub(crate) fn name() -> String {
    let system = rustix::system::uname();
    format!(
        "Linux {} {}",
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    )
}

pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown".into(), |(_, name)| name.to_owned())
}

/// Wine is for programs of Windows.
pub(crate) fn wine() -> Option<String> {
    None
}
