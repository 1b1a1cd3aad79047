//! `Builder::admit`: what a host is told of its guests is what these are, and who is refused is told so.

use std::fs;

use anyhow::{Context as _, ensure};

use super::door::{Door, is_let_in, is_refused};
use crate::context::Context;
use crate::launch::{Account, Side, Stage};
use crate::proof::skip;
use crate::side::who;
use crate::system::token::Elevation;

const INTERACTIVE: &str = "S-1-5-4";

/// A host that decides by a rule, and two guests.
struct Case<'a> {
    host: Account,
    /// What the sides say to `Builder::access`, which lets both guests in.
    lets_in: &'a str,
    trusts: &'a str,
    rule: &'a str,
    admitted: Stage<'a>,
    refused: Stage<'a>,
    /// The host may look at the guests' processes, and so sees their program files.
    sees_images: bool,
}

fn decides(context: &Context, case: Case<'_>) -> anyhow::Result<String> {
    let stage = Stage::new(context, case.host)?.admitting(case.rule);
    let door = Door::open_on(context, stage, case.lets_in, case.trusts)?;
    let guest = door.knock_on(case.admitted)?;
    is_let_in(&guest)?;
    let admitted = is_seen_as_it_is(&door.host, &guest, case.sees_images)?;
    drop(guest);
    let guest = door.knock_on(case.refused)?;
    let told = is_refused(&guest)?;
    let refused = is_seen_as_it_is(&door.host, &guest, case.sees_images)?;
    // Not by the pipe, nor for another reason. A guest is told who it is.
    let (pid, _) = refused.split_once(',').unwrap_or((&refused, ""));
    ensure!(
        told.contains("is not admitted") && told.contains(&format!("{pid} of user ")),
        "the guest that is not admitted was told: {told}"
    );
    Ok(format!(
        "host {}, which admits by {:?}: {admitted} is let in; {refused} is not, and is told: {told}",
        door.host.runs_as, case.rule
    ))
}

/// What the host was told of a guest, if it is what the guest says of itself.
fn is_seen_as_it_is(host: &Side, guest: &Side, sees_images: bool) -> anyhow::Result<String> {
    let itself = guest.wait_for("is process ")?.text;
    let (itself, own_image) = who::split(itself.trim_start_matches("is "));
    let (pid, _) = itself
        .split_once(',')
        .context("it says no more than this")?;
    let seen = host.wait_for(&format!("asked about {pid},"))?.text;
    let (rest, image) = who::split(seen.trim_start_matches("asked about "));
    ensure!(
        rest == itself,
        "a guest that is {itself} was for its host {rest}"
    );
    let image = match image {
        // Names of one file may differ in their form.
        Some(image) => {
            let own = own_image.context("the guest does not know its own program file")?;
            ensure!(
                fs::canonicalize(&image)? == fs::canonicalize(&own)?,
                "a guest that is {} was for its host {}",
                own.display(),
                image.display()
            );
            "which runs its own program file".to_owned()
        }
        None => {
            ensure!(!sees_images, "the host was not told the program file");
            "whose program file the host may not see".to_owned()
        }
    };
    Ok(format!("{itself}, {image}"))
}

pub(super) fn by_image(context: &Context) -> anyhow::Result<String> {
    let copy = context.new_folder("copy", "")?.join("another-program.exe");
    fs::copy(&context.program, &copy)?;
    decides(
        context,
        Case {
            host: Account::Own,
            lets_in: "same",
            trusts: "same",
            rule: "image=windows-proof.exe",
            admitted: Stage::new(context, Account::Own)?,
            refused: Stage::with_program(context, Account::Own, &copy)?,
            sees_images: true,
        },
    )
}

/// An elevated host, which can be asked to keep out what is elevated, and the other way round.
pub(super) fn by_elevation(context: &Context) -> anyhow::Result<String> {
    if context.facts.token.elevation != Elevation::Full {
        return skip("this user has one token only: User Account Control is off for it");
    }
    let mut evidence = Vec::new();
    for (rule, admitted, refused) in [
        ("high", Account::Own, Account::NotElevated),
        ("not-elevated", Account::NotElevated, Account::Own),
    ] {
        let case = Case {
            host: Account::Own,
            lets_in: "same",
            trusts: "same",
            rule,
            admitted: Stage::new(context, admitted)?,
            refused: Stage::new(context, refused)?,
            sees_images: false,
        };
        evidence.push(decides(context, case)?);
    }
    Ok(evidence.join("; "))
}

pub(super) fn by_session(context: &Context) -> anyhow::Result<String> {
    let session = context.facts.token.session;
    if session == 0 {
        return skip("this process is itself in session 0, as an S4U logon is");
    }
    decides(
        context,
        Case {
            host: Account::Own,
            lets_in: "same",
            trusts: "same",
            rule: &format!("session={session}"),
            admitted: Stage::new(context, Account::Own)?,
            refused: Stage::new(context, Account::S4u)?,
            sees_images: false,
        },
    )
}

/// Hosts of both users, each of which lets in the other and admits only itself.
pub(super) fn by_user(context: &Context) -> anyhow::Result<String> {
    let (own, user) = (&context.facts.token.user, &context.user()?.sid);
    let both = format!("{own},{user}");
    let mut evidence = Vec::new();
    for (host, sid, stranger) in [
        (Account::Own, own, Account::User),
        (Account::User, user, Account::Own),
    ] {
        let case = Case {
            host,
            lets_in: &both,
            trusts: sid,
            rule: &format!("user={sid}"),
            admitted: Stage::new(context, host)?,
            refused: Stage::new(context, stranger)?,
            sees_images: false,
        };
        evidence.push(decides(context, case)?);
    }
    Ok(evidence.join("; "))
}

/// SYSTEM, which may look at everybody.
pub(super) fn by_system(context: &Context) -> anyhow::Result<String> {
    if !context
        .facts
        .token
        .groups
        .iter()
        .any(|it| it == INTERACTIVE)
    {
        return skip(
            "this user is not logged on at the machine, so that SYSTEM would not be asked",
        );
    }
    let user = &context.user()?.sid;
    decides(
        context,
        Case {
            host: Account::System,
            lets_in: "service",
            trusts: "service",
            rule: &format!("user={user}"),
            admitted: Stage::new(context, Account::User)?,
            refused: Stage::new(context, Account::Own)?,
            sees_images: true,
        },
    )
}
