//! Names in the system.

/// A name that no other run uses.
pub(crate) fn unique_name(what: &str) -> String {
    format!("compare-{what}-{}", std::process::id())
}
