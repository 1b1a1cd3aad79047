//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, value_parser};
use inventory::Meeting;
use twinring::User;

use crate::os;

#[derive(Parser)]
#[command(about = "A service that takes stock of a folder")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Runs here, until Ctrl-C or SIGTERM
    Run(Options),
    #[command(flatten)]
    Manage(os::Action),
}

/// Whoever starts or installs the service decides these. A GUI has no say in them: with another folder it could see what its
/// user may not.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder to take stock of
    #[arg(value_parser = absolute)]
    pub(crate) folder: PathBuf,

    #[command(flatten)]
    pub(crate) meeting: Meeting,

    /// Serves this user only (a uid, on Windows a SID); may be given several times
    #[arg(long = "for", value_name = "USER", conflicts_with = "private")]
    pub(crate) users: Vec<User>,

    /// Reads at most so many KiB per second, to leave the disk to others
    #[arg(long, value_name = "KIB", default_value_t = 20_000, value_parser = value_parser!(u64).range(64..1 << 40))]
    pub(crate) limit: u64,

    /// Appends its log to this file, not to the standard error
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub(crate) log: Option<PathBuf>,
}

fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}
