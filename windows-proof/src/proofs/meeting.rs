//! A host and a guest that connect, talk, and notice each other's end: what most proofs are made of.

use std::fmt;

use anyhow::ensure;

use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Side, Stage};
use crate::side::Order;

/// Who meets whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) host: Account,
    pub(super) guest: Account,
    pub(super) lets_in: Whom,
    pub(super) trusts: Whom,
}

/// What a side says to `Builder::access`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    Same,
    Service,
    /// The other side's accounts.
    Peer,
}

impl Whom {
    fn access(self, peer: &Stage<'_>) -> String {
        match self {
            Whom::Same => "same".to_owned(),
            Whom::Service => "service".to_owned(),
            Whom::Peer => peer.accounts.clone(),
        }
    }
}

/// What two sides said that met.
pub(super) struct Met {
    /// Who they were and how they came together.
    who: String,
    end: String,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.who, self.end)
    }
}

/// The evidence of several meetings: what is the same for all is said once.
pub(super) fn together(all: &[Met]) -> String {
    let mut text = String::new();
    let mut before = None;
    for met in all {
        let separator = if text.is_empty() { "" } else { "; " };
        if before == Some(&met.who) {
            text += &format!("{separator}{}", met.end);
        } else {
            text += &format!("{separator}{met}");
        }
        before = Some(&met.who);
    }
    text
}

/// Meets twice: first the host dies, then the guest.
pub(super) fn both_ends(context: &Context, pair: Pair) -> anyhow::Result<String> {
    let first = meet(context, pair, Role::Host, Order::Die)?;
    let second = meet(context, pair, Role::Guest, Order::Die)?;
    Ok(together(&[first, second]))
}

/// They meet, and one of them ends in this way, which the other is told as a crash.
pub(super) fn meet(
    context: &Context,
    pair: Pair,
    dying: Role,
    order: Order,
) -> anyhow::Result<Met> {
    let host = Stage::new(context, pair.host)?;
    let guest = Stage::new(context, pair.guest)?;
    meet_on(context, pair, host, guest, dying, order)
}

pub(super) fn meet_on(
    context: &Context,
    pair: Pair,
    host: Stage<'_>,
    guest: Stage<'_>,
    dying: Role,
    order: Order,
) -> anyhow::Result<Met> {
    let name = context.new_name("link");
    let (guest_sid, host_sid) = (guest.sid.clone(), host.sid.clone());
    let lets_in = pair.lets_in.access(&guest);
    let trusts = pair.trusts.access(&host);
    let host = host.start(Role::Host, &name, &lets_in)?;
    host.wait_for("opened")?;
    let guest = guest.start(Role::Guest, &name, &trusts)?;
    let exchanged = guest.wait_for("exchanged ")?;
    let [by_host, by_guest] = [(&host, guest_sid), (&guest, host_sid)].map(|(side, sid)| {
        let told = side.wait_for("connected to ")?;
        ensure!(
            told.text.contains(&format!("user {sid}")),
            "{}, and not user {sid}",
            told.text
        );
        Ok(told)
    });
    by_host?;
    by_guest?;
    let way = [&host, &guest].map(|side| side.wait_for("may take handles"));
    let [host_may, guest_may] = way.map(|line| line.map(|line| line.text));

    let (died_first, dies, lives): (_, &Side, &Side) = match dying {
        Role::Host => ("the host", &host, &guest),
        Role::Guest => ("the guest", &guest, &host),
    };
    let died = dies.order(order)?;
    let told = lives.wait_for("ended ")?;
    ensure!(
        told.text == "ended Crashed",
        "the other side was told: {}",
        told.text
    );
    let how = match order {
        Order::FailFast => "failed fast",
        Order::Die | Order::Leave => "was ended",
    };
    Ok(Met {
        who: format!(
            "host {}, {}; guest {}, {}; {}",
            host.runs_as, host_may?, guest.runs_as, guest_may?, exchanged.text
        ),
        end: format!(
            "{died_first} {how}, and the other was told Crashed after {:.1} ms",
            told.since(&died)
        ),
    })
}
