//! Users, the same on Linux and macOS.

pub(crate) type UserId = u32;

pub(super) const USER_FORM: &str = "a numeric user id";

pub(super) fn current_user() -> std::io::Result<UserId> {
    Ok(rustix::process::geteuid().as_raw())
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    text.parse().ok()
}

/// Root.
pub(super) fn service_users() -> [UserId; 1] {
    [0]
}

pub(super) const LOCAL_USERS: &str = "the users of this machine";
