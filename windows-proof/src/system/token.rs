//! What a token says: whose it is, how much it may do.

use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::ERROR_INSUFFICIENT_BUFFER;
use windows_sys::Win32::Security::{
    GetTokenInformation, SID_AND_ATTRIBUTES, TOKEN_ELEVATION_TYPE, TOKEN_GROUPS,
    TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TokenElevation, TokenElevationType,
    TokenElevationTypeFull, TokenElevationTypeLimited, TokenGroups, TokenIntegrityLevel,
    TokenSessionId, TokenUser,
};
use windows_sys::Win32::System::SystemServices::{
    SE_GROUP_ENABLED, SE_GROUP_LOGON_ID, SE_GROUP_USE_FOR_DENY_ONLY, SECURITY_MANDATORY_LOW_RID,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::calls::{ok, own};
use super::security::sid_text;

/// Of this process.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) session: u32,
    pub(crate) is_elevated: bool,
    pub(crate) elevation: Elevation,
    /// The last number of the integrity level.
    pub(crate) integrity: u32,
    /// Those that count for access: not the ones that only deny.
    pub(crate) groups: Vec<String>,
    /// The SID of the logon session: the same for all that was started in it, elevated or not.
    pub(crate) logon: Option<String>,
}

/// Whether the user has two tokens, and which one this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elevation {
    /// One token only: an ordinary user, or no User Account Control.
    Single,
    Full,
    Limited,
}

impl Token {
    pub(crate) fn of_this_process() -> io::Result<Token> {
        let mut token = std::ptr::null_mut();
        // SAFETY: the constant for this process, and room for the result, which is a new handle.
        let token = unsafe {
            ok(OpenProcessToken(
                GetCurrentProcess(),
                TOKEN_QUERY,
                &mut token,
            ))?;
            own(token)?
        };
        let label = first_sid(&token, TokenIntegrityLevel)?;
        let kind = number(&token, TokenElevationType)? as TOKEN_ELEVATION_TYPE;
        let (mut logons, groups): (Vec<_>, Vec<_>) = groups(&token)?
            .into_iter()
            .partition(|(_, attributes)| attributes & SE_GROUP_LOGON_ID == SE_GROUP_LOGON_ID);
        let groups = groups.into_iter().filter(|(_, attributes)| {
            attributes & (SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY) == SE_GROUP_ENABLED
        });
        let integrity = label
            .rsplit('-')
            .next()
            .and_then(|level| level.parse().ok());
        Ok(Token {
            user: first_sid(&token, TokenUser)?,
            session: number(&token, TokenSessionId)?,
            is_elevated: number(&token, TokenElevation)? != 0,
            elevation: match kind {
                kind if kind == TokenElevationTypeFull => Elevation::Full,
                kind if kind == TokenElevationTypeLimited => Elevation::Limited,
                _ => Elevation::Single,
            },
            integrity: integrity.unwrap_or_default(),
            groups: groups.into_iter().map(|(sid, _)| sid).collect(),
            logon: logons.pop().map(|(sid, _)| sid),
        })
    }
}

/// Of a process of low integrity, as [`Token`] shows it.
pub(crate) fn low() -> String {
    format!("integrity {SECURITY_MANDATORY_LOW_RID:#x}")
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "user {} in session {}, integrity {:#x}, elevated: {}, token: {:?}",
            self.user, self.session, self.integrity, self.is_elevated, self.elevation
        )
    }
}

/// The answer of a class that is one number of 32 bits. (Windows runs on little-endian processors only.)
pub(crate) fn number(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS) -> io::Result<u32> {
    Ok(information(token, class)?[0] as u32)
}

/// The SID of a class whose answer begins with one, as TOKEN_USER and TOKEN_MANDATORY_LABEL do.
fn first_sid(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS) -> io::Result<String> {
    let answer = information(token, class)?;
    // SAFETY: the call filled in a structure that begins with this one, whose SID is within the answer.
    unsafe { sid_text((*answer.as_ptr().cast::<SID_AND_ATTRIBUTES>()).Sid) }
}

/// All groups of a token, with what they are to it (SE_GROUP_...).
fn groups(token: &OwnedHandle) -> io::Result<Vec<(String, i32)>> {
    let answer = information(token, TokenGroups)?;
    let groups = answer.as_ptr().cast::<TOKEN_GROUPS>();
    // SAFETY: the call filled in this structure, with as many entries at its end as it says; there is no reference to
    // the structure, which declares one.
    let groups = unsafe {
        std::slice::from_raw_parts(
            (&raw const (*groups).Groups).cast::<SID_AND_ATTRIBUTES>(),
            (*groups).GroupCount as usize,
        )
    };
    let text = |group: &SID_AND_ATTRIBUTES| {
        // SAFETY: the SIDs are within the answer.
        Ok((unsafe { sid_text(group.Sid) }?, group.Attributes as i32))
    };
    groups.iter().map(text).collect()
}

/// What a token says about one class: a structure of the system's, aligned for any of them, followed by what it
/// points to.
fn information(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS) -> io::Result<Vec<u64>> {
    let mut answer = vec![0u64; 32];
    loop {
        let mut written = 0;
        // SAFETY: a live handle, and room for the number of bytes given.
        let got = ok(unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                class,
                answer.as_mut_ptr().cast(),
                (answer.len() * 8) as u32,
                &mut written,
            )
        });
        match got {
            Ok(()) => return Ok(answer),
            Err(e) if e.raw_os_error() == Some(ERROR_INSUFFICIENT_BUFFER as i32) => {
                answer.resize((written as usize).div_ceil(8).max(answer.len() + 1), 0);
            }
            Err(e) => return Err(e),
        }
    }
}
