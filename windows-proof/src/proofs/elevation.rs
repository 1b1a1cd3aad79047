//! One user with more and with fewer rights.

use super::meeting::{Pair, Whom, both_ends};
use crate::context::Context;
use crate::launch::Account;
use crate::proof::skip;
use crate::system::token::Elevation;

fn both_ways(context: &Context, other: Account) -> anyhow::Result<String> {
    let mut evidence = Vec::new();
    for (host, guest) in [(other, Account::Own), (Account::Own, other)] {
        let pair = Pair {
            host,
            guest,
            lets_in: Whom::Same,
            trusts: Whom::Same,
        };
        evidence.push(both_ends(context, pair)?);
    }
    Ok(evidence.join("; "))
}

pub(super) fn elevated_and_not(context: &Context) -> anyhow::Result<String> {
    if context.facts.token.elevation != Elevation::Full {
        return skip("this user has one token only: User Account Control is off for it");
    }
    both_ways(context, Account::NotElevated)
}

pub(super) fn s4u(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::S4u)
}
