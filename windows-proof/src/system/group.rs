//! The temporary group, and who is in which local group.

use std::ptr;

use anyhow::Context as _;
use windows_sys::Win32::Foundation::{ERROR_MEMBER_NOT_IN_ALIAS, ERROR_NO_SUCH_ALIAS};
use windows_sys::Win32::NetworkManagement::NetManagement::{
    LOCALGROUP_INFO_1, LOCALGROUP_MEMBERS_INFO_0, NERR_GroupNotFound, NetLocalGroupAdd,
    NetLocalGroupAddMembers, NetLocalGroupDel, NetLocalGroupDelMembers,
};

use super::calls::{succeeded, wide};
use super::security::{Sid, sid_of};
use crate::undo::{self, Undo};

#[derive(Debug)]
pub(crate) struct TemporaryGroup {
    pub(crate) name: String,
    pub(crate) sid: String,
    _undo: Undo,
}

impl TemporaryGroup {
    /// Without members, and with no rights by itself.
    pub(crate) fn create(name: &str) -> anyhow::Result<TemporaryGroup> {
        let (mut wide_name, mut comment) =
            (wide(name), wide("temporary, of twinring's windows-proof"));
        let group = LOCALGROUP_INFO_1 {
            lgrpi1_name: wide_name.as_mut_ptr(),
            lgrpi1_comment: comment.as_mut_ptr(),
        };
        // SAFETY: the structure of level 1, whose strings live as long as the call; NULL for what is not asked for.
        let added =
            unsafe { NetLocalGroupAdd(ptr::null(), 1, (&raw const group).cast(), ptr::null_mut()) };
        succeeded(added).context("NetLocalGroupAdd")?;
        // Only now: a group of this name that was there before is not ours to remove.
        let removed = name.to_owned();
        let undo = undo::at_the_end(format!("group {name}"), move || {
            // SAFETY: a zero-terminated string.
            let code = unsafe { NetLocalGroupDel(ptr::null(), wide(&removed).as_ptr()) };
            if code == NERR_GroupNotFound || code == ERROR_NO_SUCH_ALIAS {
                return Ok(());
            }
            Ok(succeeded(code)?)
        });
        let sid = sid_of(name).context("the new group's SID")?;
        Ok(TemporaryGroup {
            name: name.to_owned(),
            sid,
            _undo: undo,
        })
    }

    /// Makes a user a member, until what is returned is dropped: for those who log on meanwhile.
    pub(crate) fn with_member(&self, sid: &str) -> anyhow::Result<Undo> {
        add_member(&self.name, sid)?;
        let (group, sid) = (self.name.clone(), sid.to_owned());
        let what = format!("user {sid} in group {group}");
        Ok(undo::at_the_end(what, move || remove_member(&group, &sid)))
    }
}

pub(crate) fn add_member(group: &str, sid: &str) -> anyhow::Result<()> {
    let sid = Sid::parse(sid)?;
    let member = LOCALGROUP_MEMBERS_INFO_0 {
        lgrmi0_sid: sid.as_ptr(),
    };
    // SAFETY: a zero-terminated string, and one structure of level 0, whose SID lives as long as the call.
    let joined = unsafe {
        NetLocalGroupAddMembers(
            ptr::null(),
            wide(group).as_ptr(),
            0,
            (&raw const member).cast(),
            1,
        )
    };
    succeeded(joined).context("NetLocalGroupAddMembers")
}

fn remove_member(group: &str, sid: &str) -> anyhow::Result<()> {
    let sid = Sid::parse(sid)?;
    let member = LOCALGROUP_MEMBERS_INFO_0 {
        lgrmi0_sid: sid.as_ptr(),
    };
    // SAFETY: as above.
    let left = unsafe {
        NetLocalGroupDelMembers(
            ptr::null(),
            wide(group).as_ptr(),
            0,
            (&raw const member).cast(),
            1,
        )
    };
    match left {
        ERROR_MEMBER_NOT_IN_ALIAS => Ok(()),
        left => succeeded(left).context("NetLocalGroupDelMembers"),
    }
}
