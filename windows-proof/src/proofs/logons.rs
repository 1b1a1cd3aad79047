//! `Access::LogonSession`: a link's name leads each logon session to a host of its own.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::door::{Door, is_let_in, logon_of};
use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::proof::skip;
use crate::system::pipe;
use crate::system::token::Elevation;

/// How long a guest is watched that is to find nobody. With a host of its session it is connected at once.
const ALONE: Duration = Duration::from_secs(3);

/// What a host says to those of other sessions.
const REFUSED: &str = "one logon session only";

fn own_logon(context: &Context) -> anyhow::Result<&str> {
    match &context.facts.token.logon {
        Some(logon) => Ok(logon),
        None => skip("this process is in no logon session"),
    }
}

pub(super) fn one(context: &Context) -> anyhow::Result<String> {
    let logon = own_logon(context)?;
    let door = Door::open(context, Account::Own, "logon")?;
    let guest = door.knock(Account::Own)?;
    is_let_in(&guest)?;
    drop(guest);
    pipe::name_of_running(logon, &door.name).context("the pipe of this logon session")?;
    ensure!(
        pipe::name_of_running(&context.facts.token.user, &door.name).is_err(),
        "the host can also be found outside its logon session"
    );
    Ok(format!("both in {logon}, after which the pipe is named"))
}

pub(super) fn elevated_and_not(context: &Context) -> anyhow::Result<String> {
    let logon = own_logon(context)?;
    if context.facts.token.elevation != Elevation::Full {
        return skip("this user has one token only: User Account Control is off for it");
    }
    let door = Door::open(context, Account::Own, "logon")?;
    let guest = door.knock(Account::NotElevated)?;
    match logon_of(&guest)? {
        Some(other) if other == logon => {}
        other => {
            return skip(format!(
                "the program that is not elevated runs in logon session {other:?}, and this one in {logon}"
            ));
        }
    }
    is_let_in(&guest)?;
    Ok(format!(
        "in {logon}: host {}; guest {}",
        door.host.runs_as, guest.runs_as
    ))
}

/// One user in two logon sessions. Each process by S4U has a new one.
pub(super) fn another(context: &Context) -> anyhow::Result<String> {
    let logon = own_logon(context)?;
    // The control: what they are otherwise does not keep them apart.
    let control = Door::open(context, Account::Own, "same")?;
    let guest = control.knock(Account::S4u)?;
    let none = "an S4U logon has no SID of a logon session of its own here";
    match logon_of(&guest)? {
        Some(other) if other != logon => {}
        other => return skip(format!("{none}: {other:?}, and this process has {logon}")),
    }
    is_let_in(&guest).context("the control, for the same user")?;
    drop(guest);
    drop(control);

    let door = Door::open(context, Account::Own, "logon")?;
    let guest = door.knock(Account::S4u)?;
    guest.wait_for("opened")?;
    thread::sleep(ALONE);
    ensure!(
        !guest.has_said("connected") && !guest.has_said("error"),
        "a guest of another logon session found a host: {}",
        guest.runs_as
    );
    drop(guest);

    // Who goes to the pipe of this session all the same is refused by the host itself.
    let ours = pipe::name_of_running(logon, &door.name).context("our pipe")?;
    let told = Stage::new(context, Account::S4u)?.listen(&ours)?;
    ensure!(told.contains(REFUSED), "in another logon session: {told}");
    let own = Stage::new(context, Account::Own)?.listen(&ours)?;
    ensure!(own == "told: nothing", "in the same logon session: {own}");

    // Two hosts of one user and one name at a time, and so the other way round.
    let other = Stage::new(context, Account::S4u)?.start(Role::Host, &door.name, "logon")?;
    other.wait_for("opened")?;
    let Some(others) = logon_of(&other)? else {
        return skip(none);
    };
    let theirs = pipe::name_of_running(&others, &door.name).context("its pipe")?;
    let told_by_other = Stage::new(context, Account::Own)?.listen(&theirs)?;
    ensure!(
        told_by_other.contains(REFUSED),
        "the host in {others}, to this logon session: {told_by_other}"
    );
    let guest = door.knock(Account::Own)?;
    is_let_in(&guest)?;
    ensure!(!other.has_said("connected"), "both hosts have a guest");
    Ok(format!(
        "from another logon session than {logon} of the same user, a guest finds no host within {ALONE:?}, and one that \
         opens the pipe is {told}; a host of the same name in {others} says so too; guests of {logon} are let in, and \
         guests of both for the same user"
    ))
}
