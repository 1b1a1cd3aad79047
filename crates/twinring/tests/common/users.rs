//! Children that run as other users, which only root can start.

use std::os::unix::process::CommandExt;
use std::path::Path;

use super::{Child, Place, Side};

/// Users of whom the system knows nothing but the number. It is all that matters here.
pub(crate) const ALICE: u32 = 54_321;
pub(crate) const BOB: u32 = 54_322;

/// Whether this process can start others as other users. If not, the test says so and has to give
/// up; in CI that is a failure.
pub(crate) fn are_there_other_users() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    println!(
        "skipped: only root can start processes of other users; \
         try `unshare --map-root-user --map-auto cargo test`"
    );
    assert!(std::env::var_os("CI").is_none(), "skipped in CI");
    false
}

/// A child that runs as this user.
pub(crate) fn start_as(user: u32, place: &Place, role: &str, side: Side) -> Child {
    place.start_with(role, side, |command| {
        command.uid(user).gid(user);
    })
}

/// Makes a directory or file this user's.
#[track_caller]
pub(crate) fn of_user(user: u32, path: &Path) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
}
