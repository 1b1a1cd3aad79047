//! Where the files of a link lie if the program does not say so.

use std::path::{Path, PathBuf};

use super::files::own_uid;
use crate::error::{Error, ErrorKind};
use crate::os::process::{Access, User};

/// The directory for links between different users if root is one of them.
const SYSTEM_DIRECTORY: &str = if cfg!(target_os = "macos") {
    "/var/run/twinring"
} else {
    "/run/twinring"
};

/// The directory for this user's links: the user's own, which lasts as long as the login. Root's is always the
/// same: its services start before any login, and have to be found after it.
///
/// Never a shared one such as /tmp, where anybody could take the name first.
pub(super) fn runtime_directory() -> Result<PathBuf, Error> {
    let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(own) = from_env("TWINRING_RUNTIME_DIR") {
        if own.is_absolute() {
            return Ok(own);
        }
        return Err(Error::new(
            ErrorKind::InvalidOption,
            format!(
                "TWINRING_RUNTIME_DIR is {own:?}, which is not an absolute path; set it to one, or \
                 unset it"
            ),
        ));
    }
    let uid = own_uid();
    let login = PathBuf::from(format!("/run/user/{uid}"));
    // What is relative does not count, by its specification.
    let from_env = |name: &str| from_env(name).filter(|path| path.is_absolute());
    if let Some(xdg) = from_env("XDG_RUNTIME_DIR").filter(|xdg| uid != 0 || *xdg != login) {
        return Ok(xdg.join("twinring"));
    }
    #[cfg(target_os = "macos")]
    if let Some(own) = from_env("TMPDIR") {
        return Ok(own.join("twinring"));
    }
    // Not the system directory itself, which others can reach.
    if uid == 0 && Path::new("/run").is_dir() {
        return Ok(PathBuf::from("/run/twinring-0"));
    }
    if login.is_dir() {
        return Ok(login.join("twinring"));
    }
    Err(Error::new(
        ErrorKind::RuntimeDirectory,
        format!(
            "user {uid} has no runtime directory: neither TWINRING_RUNTIME_DIR nor XDG_RUNTIME_DIR \
             is set and /run/user/{uid} does not exist; set TWINRING_RUNTIME_DIR to a directory \
             that only this user can write"
        ),
    ))
}

/// The directory for a link between users who have not named one.
pub(super) fn shared_directory(access: &Access) -> Result<PathBuf, Error> {
    let root = |users: &Vec<User>| users.iter().any(|user| user.0 == 0);
    let with_root = match access {
        Access::Users(users) => own_uid() == 0 || root(users),
        Access::Group { host, .. } => host.0 == 0,
        _ => true,
    };
    if with_root {
        return Ok(PathBuf::from(SYSTEM_DIRECTORY));
    }
    Err(Error::new(
        ErrorKind::RuntimeDirectory,
        "a link between different users, none of them root, has no directory of its own; name one on \
         both sides with Builder::directory: it must belong to the host's user, only that user may \
         write to it, and the guests must be able to reach it (mode 755)",
    ))
}
