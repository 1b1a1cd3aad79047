//! Windows: users are SIDs.

use std::fmt;
use std::io;
use std::os::windows::io::OwnedHandle;

use windows_sys::Win32::Security::{TOKEN_USER, TokenUser};

use crate::os::windows::{canonical_sid, own_token, sid_text, token_information};

/// A SID in the system's own spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::os) struct UserId(pub(super) String);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) const USER_FORM: &str = "a security identifier such as S-1-5-18";

pub(super) const LOCAL_USERS: &str = "the users who are logged on to this machine";

/// SYSTEM, LocalService, NetworkService.
pub(super) fn service_users() -> [UserId; 3] {
    ["S-1-5-18", "S-1-5-19", "S-1-5-20"].map(|sid| UserId(sid.to_owned()))
}

pub(super) fn current_user() -> io::Result<UserId> {
    token_user(&own_token()?)
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    canonical_sid(text).map(UserId)
}

pub(super) fn token_user(token: &OwnedHandle) -> io::Result<UserId> {
    let answer = token_information(token, TokenUser)?;
    // SAFETY: the call filled in this structure, whose SID lies within `answer`.
    unsafe { sid_text((*answer.as_ptr().cast::<TOKEN_USER>()).User.Sid) }.map(UserId)
}
