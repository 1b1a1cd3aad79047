//! Two ordinary users.

use anyhow::ensure;

use super::door::{Door, is_let_in, is_refused};
use super::meeting::{Pair, Whom, both_ends};
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::proof::skip;
use crate::system::pipe;

pub(super) fn closed(context: &Context) -> anyhow::Result<String> {
    let (own, other) = (&context.facts.token.user, &context.user()?.sid);
    let door = |lets_in: &str| {
        let host = Stage::new(context, Account::Own)?;
        Door::open_on(context, host, lets_in, own)
    };
    let tries = |account, door: &Door<'_>| {
        let pipe = pipe::name_of_host(&context.facts.token, &door.name);
        Stage::new(context, account)?.try_pipe(&pipe)
    };

    let shut = door("same")?;
    let owner = tries(Account::Own, &shut)?;
    ensure!(owner == "open: done, instance: done", "its owner: {owner}");
    let stranger = tries(Account::User, &shut)?;
    ensure!(
        stranger == "open: error 5, instance: error 5",
        "another user: {stranger}"
    );
    let refused = is_refused(&shut.knock(Account::User)?)?;

    // The control, which is at the same time a proof: who is let in may open it, but not act as the host.
    let open = door(other)?;
    let let_in = tries(Account::User, &open)?;
    ensure!(
        let_in == "open: done, instance: error 5",
        "a user who is let in: {let_in}"
    );
    is_let_in(&open.knock(Account::User)?)?;
    Ok(format!(
        "another user: {stranger}; its guest: {refused}; a user who is let in: {let_in}; the owner: {owner}"
    ))
}

/// The temporary user's programs and ours may not open each other, though we are an administrator: that would take a
/// privilege which is off unless it is asked for.
pub(super) fn meet(context: &Context) -> anyhow::Result<String> {
    let mut evidence = Vec::new();
    for (host, guest) in [(Account::User, Account::Own), (Account::Own, Account::User)] {
        let pair = Pair {
            host,
            guest,
            lets_in: Whom::Peer,
            trusts: Whom::Peer,
        };
        let met = both_ends(context, pair)?;
        if met.contains("may take handles of its peer: yes") {
            return skip(format!(
                "they connected, but one may open the other, which is another case: {met}"
            ));
        }
        evidence.push(met);
    }
    Ok(evidence.join("; "))
}
