//! Which end of the link a process is.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Is there first, and serves.
    Host,
    /// Comes to it, drives and measures.
    Guest,
}
