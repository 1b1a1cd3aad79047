//! Names in the system.

use std::sync::atomic::{AtomicU32, Ordering};

/// A name for something that the system keeps, other than those of this and other processes.
pub(crate) fn unique_name(kind: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("compare-{kind}-{}-{number}", std::process::id())
}
