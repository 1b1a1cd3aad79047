//! What is seen of a process from outside.

/// What a process has at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) rss_kib: i64,
    /// Shared mappings, and how much of them is in memory, where the system tells.
    pub(crate) shared_kib: Option<i64>,
    pub(crate) shared_resident_kib: Option<i64>,
    pub(crate) threads: i64,
    pub(crate) handles: i64,
}
