//! Users and groups, the same on Linux and macOS.

use std::io;

use nix::unistd;

pub(crate) type UserId = u32;
pub(crate) type GroupId = u32;

pub(super) const USER_FORM: &str = "a numeric user id";
pub(super) const GROUP_FORM: &str = "a numeric group id";

pub(super) fn current_user() -> io::Result<UserId> {
    Ok(rustix::process::geteuid().as_raw())
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    text.parse().ok()
}

pub(super) fn parse_group(text: &str) -> Option<GroupId> {
    text.parse().ok()
}

pub(super) fn user_named(name: &str) -> io::Result<UserId> {
    match unistd::User::from_name(name)? {
        Some(user) => Ok(user.uid.as_raw()),
        None => Err(none("user", name)),
    }
}

pub(super) fn group_named(name: &str) -> io::Result<GroupId> {
    match unistd::Group::from_name(name)? {
        Some(group) => Ok(group.gid.as_raw()),
        None => Err(none("group", name)),
    }
}

fn none(kind: &str, name: &str) -> io::Error {
    let why = format!("this machine knows no {kind} named {name:?}");
    io::Error::new(io::ErrorKind::NotFound, why)
}

/// Root.
pub(super) fn service_users() -> [UserId; 1] {
    [0]
}

pub(super) const LOCAL_USERS: &str = "the users of this machine";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert_eq!(user_named("root").unwrap(), 0);
        // Of macOS `wheel`.
        let first = if cfg!(target_os = "macos") {
            "wheel"
        } else {
            "root"
        };
        assert_eq!(group_named(first).unwrap(), 0);
        for name in ["", "0", "no such name", "root\0"] {
            for e in [
                user_named(name).unwrap_err(),
                group_named(name).unwrap_err(),
            ] {
                assert_eq!(e.kind(), io::ErrorKind::NotFound, "{e}");
                assert!(e.to_string().contains(&format!("{name:?}")), "{e}");
            }
        }
    }
}
