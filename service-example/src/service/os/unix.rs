//! Nothing to do: systemd does all that, by the unit in `systemd/`.

#[derive(clap::Subcommand)]
pub(crate) enum Action {}

pub(crate) fn manage(action: Action) -> anyhow::Result<()> {
    match action {}
}
