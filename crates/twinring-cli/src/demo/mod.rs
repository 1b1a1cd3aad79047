//! `twinring demo`: two processes of this program show what a link does, and measure it.

mod host;
mod orders;
mod peer;

pub(crate) use host::{DemoArgs, HELP, run};
pub(crate) use peer::{PeerArgs, run as run_peer};
