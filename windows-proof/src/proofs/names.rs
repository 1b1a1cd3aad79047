//! `User::named` and `Group::named`. What they are compared with comes from tokens and from the service manager.

use std::fmt::Display;
use std::io;

use anyhow::ensure;
use twinring::{Group, User};

use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::proof::{OrSkip, skip};
use crate::system::security::{Sid, account_of, sid_of};
use crate::system::service::service_sid;

/// The group Users.
const USERS: &str = "S-1-5-32-545";
const SYSTEM: &str = "S-1-5-18";
/// A service that each Windows has.
const SERVICE: &str = "EventLog";

fn leads_to(
    name: &str,
    found: io::Result<impl Display>,
    sid: &str,
    evidence: &mut Vec<String>,
) -> anyhow::Result<()> {
    let found = found?.to_string();
    ensure!(found == sid, "{name:?} is {found}, and not {sid}");
    evidence.push(format!("{name:?} is {found}"));
    Ok(())
}

fn is_none(name: &str, found: io::Result<impl Display>) -> anyhow::Result<()> {
    match found {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e.into()),
        Ok(found) => anyhow::bail!("{name:?} was to be none of this kind, and is {found}"),
    }
}

/// A user is no group, and a group is no user.
fn kinds_differ(user: &str, group: &str) -> anyhow::Result<()> {
    is_none(user, Group::named(user))?;
    is_none(group, User::named(group))
}

pub(super) fn own(context: &Context) -> anyhow::Result<String> {
    let sid = &context.facts.token.user;
    let own = account_of(&Sid::parse(sid)?).or_skip("the system has no name for this user")?;
    let own = own.full();
    let known = sid_of(&own).or_skip("the system does not know this user by name")?;
    if known != *sid {
        return skip(format!("{own:?} is {known} to the system, and not {sid}"));
    }
    // In the language of this machine.
    let [system, users] = [SYSTEM, USERS].map(|sid| account_of(&Sid::parse(sid)?));
    let (system, users) = (system?.full(), users?.name);

    let mut evidence = Vec::new();
    leads_to(&own, User::named(&own), sid, &mut evidence)?;
    leads_to(&system, User::named(&system), SYSTEM, &mut evidence)?;
    leads_to(&users, Group::named(&users), USERS, &mut evidence)?;
    kinds_differ(&own, &users)?;
    let nobody = context.new_name("nobody");
    is_none(&nobody, User::named(&nobody))?;
    is_none(&nobody, Group::named(&nobody))?;
    Ok(format!(
        "{}; a user is no group, a group no user, and {nobody:?} neither",
        evidence.join(", ")
    ))
}

pub(super) fn services(_: &Context) -> anyhow::Result<String> {
    let sid = service_sid(SERVICE).or_skip("cannot find out the SID of a service")?;
    let name = format!(r"NT SERVICE\{SERVICE}");
    let mut evidence = Vec::new();
    leads_to(&name, User::named(&name), &sid, &mut evidence)?;
    is_none(&name, Group::named(&name))?;
    Ok(evidence.join(", "))
}

pub(super) fn temporary(context: &Context) -> anyhow::Result<String> {
    let (user, group) = (context.user()?, context.group()?);
    // Who runs as that user says which SID its token has, which is compared with the one that we have.
    let side = Stage::new(context, Account::User)?;
    let runs = side.start(Role::Guest, &context.new_name("link"), "same")?;
    let mut evidence = vec![runs.runs_as.clone()];
    let full = |sid: &str| anyhow::Ok(account_of(&Sid::parse(sid)?)?.full());
    for name in [user.name.clone(), full(&user.sid)?] {
        leads_to(&name, User::named(&name), &user.sid, &mut evidence)?;
    }
    for name in [group.name.clone(), full(&group.sid)?] {
        leads_to(&name, Group::named(&name), &group.sid, &mut evidence)?;
    }
    kinds_differ(&user.name, &group.name)?;
    Ok(evidence.join(", "))
}
