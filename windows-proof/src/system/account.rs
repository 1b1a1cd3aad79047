//! The temporary user: its account, and programs that are started as it.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::ptr;

use anyhow::Context as _;
use windows_sys::Win32::NetworkManagement::NetManagement::{
    NERR_UserNotFound, NetUserAdd, NetUserDel, UF_DONT_EXPIRE_PASSWD, UF_SCRIPT, USER_INFO_1,
    USER_PRIV_USER,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CreateProcessWithLogonW, PROCESS_INFORMATION, STARTUPINFOW,
};

use super::calls::{ok, own, succeeded, wide};
use super::group::add_member;
use super::security::{Sid, account_of, sid_of};
use crate::undo::{self, Undo};

/// The group Users, whose members may log on at the machine.
const USERS: &str = "S-1-5-32-545";

#[derive(Debug)]
pub(crate) struct TemporaryUser {
    pub(crate) name: String,
    password: String,
    pub(crate) sid: String,
    _undo: Undo,
}

impl TemporaryUser {
    pub(crate) fn create(name: &str) -> anyhow::Result<TemporaryUser> {
        let password = new_password()?;
        let (mut wide_name, mut wide_password) = (wide(name), wide(&password));
        let mut comment = wide("temporary, of twinring's windows-proof");
        let account = USER_INFO_1 {
            usri1_name: wide_name.as_mut_ptr(),
            usri1_password: wide_password.as_mut_ptr(),
            usri1_priv: USER_PRIV_USER,
            usri1_comment: comment.as_mut_ptr(),
            usri1_flags: UF_SCRIPT | UF_DONT_EXPIRE_PASSWD,
            ..USER_INFO_1::default()
        };
        // SAFETY: the structure of level 1, whose strings live as long as the call.
        let added =
            unsafe { NetUserAdd(ptr::null(), 1, (&raw const account).cast(), ptr::null_mut()) };
        succeeded(added).context("NetUserAdd")?;
        // Only now: an account of this name that was there before is not ours to remove.
        let removed = name.to_owned();
        let undo = undo::at_the_end(format!("user {name}"), move || remove(&removed));

        let sid = sid_of(name).context("the new user's SID")?;
        let users = account_of(&Sid::parse(USERS)?).context("the name of the group Users")?;
        add_member(&users.name, &sid)?;
        Ok(TemporaryUser {
            name: name.to_owned(),
            password,
            sid,
            _undo: undo,
        })
    }

    /// Starts a program as this user, logged on like somebody at the machine, in our session.
    pub(crate) fn start(&self, program: &Path, command_line: &str) -> io::Result<OwnedHandle> {
        let folder = program.parent().unwrap_or(Path::new("."));
        let mut line = wide(command_line);
        let startup = STARTUPINFOW {
            cb: size_of::<STARTUPINFOW>() as u32,
            ..STARTUPINFOW::default()
        };
        let mut started = PROCESS_INFORMATION::default();
        // SAFETY: zero-terminated strings, of which the command line may be written to, a structure that says its
        // size, and room for the result. Both handles in it are new.
        unsafe {
            ok(CreateProcessWithLogonW(
                wide(&self.name).as_ptr(),
                wide(".").as_ptr(),
                wide(&self.password).as_ptr(),
                0,
                wide(program).as_ptr(),
                line.as_mut_ptr(),
                CREATE_NO_WINDOW,
                ptr::null(),
                wide(folder).as_ptr(),
                &startup,
                &mut started,
            ))?;
            drop(own(started.hThread)?);
            own(started.hProcess)
        }
    }
}

fn remove(name: &str) -> anyhow::Result<()> {
    // SAFETY: a zero-terminated string.
    let code = unsafe { NetUserDel(ptr::null(), wide(name).as_ptr()) };
    if code == NERR_UserNotFound {
        return Ok(());
    }
    Ok(succeeded(code)?)
}

/// 128 random bits, and a character of each kind that a policy may ask for.
fn new_password() -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("no random bytes: {e}"))?;
    Ok(format!("Tw!{:032x}", u128::from_le_bytes(random)))
}
