//! Other libraries that are Rust only.

mod iceoryx;
mod interprocess;
mod ipc_channel;
mod shmem_ipc;

use super::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = iceoryx::entries();
    all.extend(ipc_channel::entries());
    all.extend(interprocess::entries());
    all.extend(shmem_ipc::entries());
    all
}
