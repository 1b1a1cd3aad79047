//! An application that logs: `twinring log app` shows it, whichever is started first.

use std::time::Duration;

use tracing_subscriber::prelude::*;
use twinring_tracing::Log;

fn main() -> std::io::Result<()> {
    let log = Log::open("app")?;
    tracing_subscriber::registry().with(log.layer()).init();

    let span = tracing::info_span!("request", id = 7);
    span.in_scope(|| tracing::info!(user = "alice", "signed in"));
    tracing::warn!(ms = 81, "slow");
    tracing::error!("a text that would clear the screen: \x1b[2J");

    if !log.flush(Duration::from_secs(2)) {
        eprintln!("no collector has come: run `twinring log app`");
    }
    Ok(())
}
