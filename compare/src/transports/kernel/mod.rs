//! What the system's kernel carries.

#[cfg(windows)]
mod joined;
#[cfg(windows)]
mod named_pipe;
#[cfg(target_os = "linux")]
mod pipe;
mod tcp;
mod udp;
#[cfg(target_os = "linux")]
mod unix;

use super::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    #[cfg(target_os = "linux")]
    all.extend(pipe::entries());
    #[cfg(target_os = "linux")]
    all.extend(unix::entries());
    #[cfg(windows)]
    all.extend(named_pipe::entries());
    all.extend(udp::entries());
    all.extend(tcp::entries());
    all
}
