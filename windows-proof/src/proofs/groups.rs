//! `Access::Group`. Who is in which group is fixed when somebody logs on, which the temporary user does for each of
//! its processes.

use anyhow::ensure;

use super::door::{Door, is_in, is_let_in, is_refused};
use crate::context::Context;
use crate::launch::Account;
use crate::proof::skip;
use crate::system::token::Elevation;

const ADMINISTRATORS: &str = "S-1-5-32-544";

pub(super) fn members(context: &Context) -> anyhow::Result<String> {
    let (group, user) = (context.group()?, &context.user()?.sid);
    let access = format!("group={}:{}", context.facts.token.user, group.sid);
    let door = Door::open(context, Account::Own, &access)?;
    // Tries it, and is what it has to be by its own token: else something else would be proved.
    let is_member = |expected| {
        let guest = door.knock(Account::User)?;
        match is_in(&guest, &group.sid)? == expected {
            true => Ok(guest),
            false => skip(format!(
                "the user was to be a member of the group: {expected}, and its token says otherwise"
            )),
        }
    };

    let before = is_refused(&is_member(false)?)?;
    let membership = group.with_member(user)?;
    is_let_in(&is_member(true)?)?;
    drop(membership);
    let after = is_refused(&is_member(false)?)?;
    Ok(format!(
        "user {user}, before it is a member of {}: {before}; as a member it is let in; logged on after it has left: \
         {after}",
        group.sid
    ))
}

/// The group is in both tokens of an administrator, but in one of them only to deny.
pub(super) fn administrators(context: &Context) -> anyhow::Result<String> {
    if context.facts.token.elevation != Elevation::Full {
        return skip("this user has one token only: User Account Control is off for it");
    }
    let access = format!("group={}:{ADMINISTRATORS}", context.user()?.sid);
    let door = Door::open(context, Account::User, &access)?;
    let elevated = door.knock(Account::Own)?;
    is_let_in(&elevated)?;
    ensure!(is_in(&elevated, ADMINISTRATORS)?, "it is no member");
    drop(elevated);
    let limited = door.knock(Account::NotElevated)?;
    let told = is_refused(&limited)?;
    ensure!(!is_in(&limited, ADMINISTRATORS)?, "it is a member");
    Ok(format!(
        "elevated, an administrator is let in by a host of another user; the same not elevated: {told}"
    ))
}
