//! Sizes in bytes.

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;
