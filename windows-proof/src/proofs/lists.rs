//! `Access::Sddl`.

use anyhow::{Context as _, ensure};

use super::door::{Door, is_let_in, is_refused};
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::system::pipe;

/// The system goes through a list in its order, until all that is asked for is allowed or something of it is denied.
pub(super) fn sddl(context: &Context) -> anyhow::Result<String> {
    let (own, user) = (&context.facts.token.user, &context.user()?.sid);
    let mut evidence = Vec::new();
    for (what, entries, lets_in) in [
        ("names the user", format!("(A;;GRGW;;;{user})"), true),
        ("names others", "(A;;GRGW;;;BA)".to_owned(), false),
        ("names nobody", String::new(), false),
        ("lets it only read", format!("(A;;GR;;;{user})"), false),
        ("names the group Users", "(A;;GRGW;;;BU)".to_owned(), true),
        (
            "denies the user, then allows Users",
            format!("(D;;GA;;;{user})(A;;GRGW;;;BU)"),
            false,
        ),
        (
            "allows the user, then denies it",
            format!("(A;;GRGW;;;{user})(D;;GA;;;{user})"),
            true,
        ),
    ] {
        let access = format!("sddl={own}:D:{entries}");
        let door = Door::open(context, Account::Own, &access)?;
        let guest = door.knock(Account::User)?;
        let came = match lets_in {
            true => is_let_in(&guest).map(|()| "let in".to_owned()),
            false => is_refused(&guest),
        };
        let came = came.with_context(|| format!("a list that {what} (D:{entries})"))?;
        evidence.push(format!("{what}: {came}"));
    }
    evidence.push(rights(context)?);
    Ok(evidence.join("; "))
}

/// Whatever a list allows: a guest can open the pipe, and add no instance. The host is the one that is not elevated,
/// whose pipe is where everybody may create pipes.
fn rights(context: &Context) -> anyhow::Result<String> {
    let (own, user) = (&context.facts.token.user, &context.user()?.sid);
    let access = format!("sddl={user}:D:(A;;GA;;;{own})");
    let door = Door::open(context, Account::User, &access)?;
    let pipe = pipe::name_of(user, &door.name);
    let owner = Stage::new(context, Account::User)?.try_pipe(&pipe)?;
    ensure!(owner == "open: done, instance: done", "its owner: {owner}");
    let guest = Stage::new(context, Account::Own)?.try_pipe(&pipe)?;
    ensure!(
        guest == "open: done, instance: error 5",
        "who is allowed everything: {guest}"
    );
    Ok(format!(
        "allows everything: {guest}; the host's user: {owner}"
    ))
}
