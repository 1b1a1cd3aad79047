//! The limit on the size of the files that a process writes, which counts for shared memory too (Linux).

use rustix::process::{Resource, getrlimit};

/// Whether a file of this length is allowed. Asked before one is made: the kernel kills a process that goes
/// beyond the limit, by SIGXFSZ.
pub(super) fn is_allowed(len: u64) -> bool {
    getrlimit(Resource::Fsize)
        .current
        .is_none_or(|most| len <= most)
}
