//! Whose files are, and which.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Stat, statat};

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn users(uids: &[u32]) -> String {
    let users: Vec<_> = uids.iter().map(|uid| format!("user {uid}")).collect();
    users.join(" or ")
}

/// What distinguishes a file from every other, whatever its name.
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    // These have other types on macOS.
    #[allow(clippy::unnecessary_cast, reason = "not on every system")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Whether `path` leads to the file of this identity.
pub(super) fn leads_to(path: &Path, file: (u64, u64)) -> bool {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|named| identity(&named) == file)
}
