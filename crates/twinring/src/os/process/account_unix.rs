//! Users and groups, the same on Linux and macOS.

use std::io;

use nix::unistd;

use crate::error::quoted;

pub(crate) type UserId = u32;
pub(crate) type GroupId = u32;

pub(super) const USER_FORM: &str = "a numeric user id";
pub(super) const GROUP_FORM: &str = "a numeric group id";

pub(super) fn current_user() -> io::Result<UserId> {
    Ok(rustix::process::geteuid().as_raw())
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    // As it is printed; the last number stands for no user.
    let id: u32 = text.parse().ok()?;
    (id != u32::MAX && id.to_string() == text).then_some(id)
}

pub(super) fn parse_group(text: &str) -> Option<GroupId> {
    parse_user(text)
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
    let why = format!("this machine knows no {kind} named {}", quoted(name));
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
    fn numbers_are_read_as_they_are_printed() {
        for number in ["0", "1000", "4294967294"] {
            assert_eq!(parse_user(number).unwrap().to_string(), number);
        }
        for other in [
            "",
            "+5",
            "-1",
            "000",
            "01",
            " 1",
            "4294967295",
            "4294967296",
            "root",
        ] {
            assert_eq!(parse_user(other), None, "{other:?}");
        }
    }

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
