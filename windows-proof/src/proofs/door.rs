//! A host, and guests that come one after the other: some are let in, others are not.

use anyhow::ensure;

use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Side, Stage};
use crate::side::NO_LOGON;

pub(super) struct Door<'a> {
    context: &'a Context,
    pub(super) name: String,
    pub(super) host: Side,
    /// What guests give to `Builder::access`.
    trusts: String,
}

impl<'a> Door<'a> {
    /// Both sides with the same access.
    pub(super) fn open(context: &'a Context, host: Account, access: &str) -> anyhow::Result<Self> {
        Door::open_on(context, Stage::new(context, host)?, access, access)
    }

    pub(super) fn open_on(
        context: &'a Context,
        host: Stage<'_>,
        lets_in: &str,
        trusts: &str,
    ) -> anyhow::Result<Self> {
        let name = context.new_name("link");
        let host = host.start(Role::Host, &name, lets_in)?;
        host.wait_for("opened")?;
        Ok(Door {
            context,
            name,
            host,
            trusts: trusts.to_owned(),
        })
    }

    pub(super) fn knock(&self, guest: Account) -> anyhow::Result<Side> {
        self.knock_on(Stage::new(self.context, guest)?)
    }

    pub(super) fn knock_on(&self, guest: Stage<'_>) -> anyhow::Result<Side> {
        guest.start(Role::Guest, &self.name, &self.trusts)
    }
}

/// Waits until a guest is in, and has its messages back.
pub(super) fn is_let_in(guest: &Side) -> anyhow::Result<()> {
    guest.wait_for("exchanged ").map(drop)
}

/// What a guest is told that is not let in.
pub(super) fn is_refused(guest: &Side) -> anyhow::Result<String> {
    let told = guest.wait_for("error ")?.text;
    ensure!(
        told.starts_with("error AccessDenied") && !guest.has_said("connected"),
        "a guest that is not to be let in ({}) was told: {told}",
        guest.runs_as
    );
    Ok(told)
}

/// Whether a group counts in a side's token, by its own word.
pub(super) fn is_in(side: &Side, group: &str) -> anyhow::Result<bool> {
    let said = side.wait_for("groups ")?.text;
    let groups = said.trim_start_matches("groups ");
    Ok(groups.split(',').any(|it| it == group))
}

/// The logon session of a side, by its own word.
pub(super) fn logon_of(side: &Side) -> anyhow::Result<Option<String>> {
    let said = side.wait_for("logon session ")?.text;
    let logon = said.trim_start_matches("logon session ").to_owned();
    Ok((logon != NO_LOGON).then_some(logon))
}
