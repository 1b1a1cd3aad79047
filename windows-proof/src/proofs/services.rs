//! Services and the temporary user, who is logged on in a session.

use super::meeting::{Pair, Whom, both_ends};
use crate::context::Context;
use crate::launch::Account;

/// The service as the host, with the preset for it.
fn service_hosts(context: &Context, service: Account, trusts: Whom) -> anyhow::Result<String> {
    let pair = Pair {
        host: service,
        guest: Account::User,
        lets_in: Whom::Service,
        trusts,
    };
    both_ends(context, pair)
}

/// The service as the guest of the user's program.
fn user_hosts(context: &Context, service: Account) -> anyhow::Result<String> {
    let pair = Pair {
        host: Account::User,
        guest: service,
        lets_in: Whom::Peer,
        trusts: Whom::Peer,
    };
    both_ends(context, pair)
}

fn both_ways(context: &Context, service: Account, trusts: Whom) -> anyhow::Result<String> {
    let hosts = service_hosts(context, service, trusts)?;
    Ok(format!("{hosts}; {}", user_hosts(context, service)?))
}

pub(super) fn system(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::System, Whom::Service)
}

pub(super) fn local_service(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::LocalService, Whom::Service)
}

pub(super) fn managed(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::SystemService, Whom::Service)
}

pub(super) fn restricted(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::RestrictedService, Whom::Service)
}

/// It is none of the accounts that the preset trusts, so it is named.
pub(super) fn virtual_account(context: &Context) -> anyhow::Result<String> {
    both_ways(context, Account::VirtualService, Whom::Peer)
}
