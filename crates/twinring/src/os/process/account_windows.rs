//! Windows: users and groups are SIDs.

use std::fmt;
use std::io;
use std::os::windows::io::OwnedHandle;

use windows_sys::Win32::Security::{
    SidTypeAlias, SidTypeComputer, SidTypeGroup, SidTypeUser, SidTypeWellKnownGroup, TOKEN_USER,
    TokenUser,
};

use crate::error::quoted;
use crate::os::windows::{account_named, canonical_sid, own_token, sid_text, token_information};

pub(in crate::os) type GroupId = UserId;

/// A SID in the system's own spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::os) struct UserId(pub(super) String);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) const USER_FORM: &str = "a security identifier such as S-1-5-18";
pub(super) const GROUP_FORM: &str = "a security identifier such as S-1-5-32-545";

pub(super) const LOCAL_USERS: &str = "the users who are logged on to this machine";

/// SYSTEM, LocalService, NetworkService.
pub(super) fn service_users() -> [UserId; 3] {
    ["S-1-5-18", "S-1-5-19", "S-1-5-20"].map(|sid| UserId(sid.to_owned()))
}

pub(super) fn current_user() -> io::Result<UserId> {
    token_user(&own_token()?)
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    // The system may make other numbers of those that are too large.
    let mut numbers = text.get(2..).unwrap_or_default().split('-');
    let is_kept = |(i, text): (usize, &str)| match text.strip_prefix("0x") {
        // The authority, which has 48 bits, and is printed like this if it needs more than 32.
        Some(digits) => i == 1 && u64::from_str_radix(digits, 16).is_ok_and(|it| it < 1 << 48),
        None => text.parse::<u32>().is_ok_and(|it| it.to_string() == text),
    };
    // Abbreviations of known accounts have none.
    let abbreviated = !text.contains('-');
    let kept = abbreviated || numbers.by_ref().enumerate().all(is_kept);
    canonical_sid(text).filter(|_| kept).map(UserId)
}

pub(super) fn parse_group(text: &str) -> Option<GroupId> {
    parse_user(text)
}

pub(super) fn user_named(name: &str) -> io::Result<UserId> {
    const USERS: [i32; 2] = [SidTypeUser, SidTypeComputer];
    named("user", name, |sid, kind| {
        // So the system calls its own accounts, and the virtual ones, those of services and of pools of IIS.
        let is_own = service_users().iter().any(|user| user.0 == sid)
            || ["S-1-5-80-", "S-1-5-82-"]
                .iter()
                .any(|it| sid.starts_with(it));
        USERS.contains(&kind) || kind == SidTypeWellKnownGroup && is_own
    })
}

pub(super) fn group_named(name: &str) -> io::Result<GroupId> {
    const GROUPS: [i32; 3] = [SidTypeGroup, SidTypeAlias, SidTypeWellKnownGroup];
    named("group", name, |_, kind| GROUPS.contains(&kind))
}

/// `is_one`: whether it is what is looked for, by its SID and its kind.
fn named(kind: &str, name: &str, is_one: impl Fn(&str, i32) -> bool) -> io::Result<UserId> {
    let none = |why: &str| io::Error::new(io::ErrorKind::NotFound, why);
    match account_named(name)? {
        Some((sid, found)) if is_one(&sid, found) => Ok(UserId(sid)),
        Some(_) => Err(none(&format!(
            "{} is an account, but no {kind}",
            quoted(name)
        ))),
        None => Err(none(&format!(
            "this machine knows no {kind} named {}",
            quoted(name)
        ))),
    }
}

pub(super) fn token_user(token: &OwnedHandle) -> io::Result<UserId> {
    let answer = token_information(token, TokenUser)?;
    // SAFETY: the call filled in this structure, whose SID lies within `answer`.
    unsafe { sid_text((*answer.as_ptr().cast::<TOKEN_USER>()).User.Sid) }.map(UserId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_too_large_are_no_others() {
        for sid in ["S-1-5-18", "S-1-5-21-1-2-3-4294967295"] {
            assert_eq!(parse_user(sid).unwrap().0, sid);
        }
        for other in [
            "S-1-5-4294967296",
            "S-1-99999999999999999999-1",
            "S-1-5-",
            "S-1-5-+1",
            "S-1-5-01",
            "",
        ] {
            assert_eq!(parse_user(other), None, "{other:?}");
        }
    }
}
