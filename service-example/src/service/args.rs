//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
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
    #[arg(long = "for", value_name = "USER")]
    pub(crate) users: Vec<User>,

    /// Reads at most so many KiB per second, to leave the disk to others
    #[arg(long, value_name = "KIB", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,

    /// Appends its log to this file, not to the standard error
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub(crate) log: Option<PathBuf>,
}

impl Options {
    /// The arguments that say the same, for whoever is to start the service later and elsewhere.
    #[cfg_attr(unix, expect(dead_code, reason = "systemd has them in the unit"))]
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![self.folder.clone().into()];
        let mut add = |option: &str, value: OsString| arguments.extend([option.into(), value]);
        add("--name", self.meeting.name.clone().into());
        add("--limit", self.limit.to_string().into());
        for user in &self.users {
            add("--for", user.to_string().into());
        }
        if let Some(log) = &self.log {
            add("--log", log.into());
        }
        if self.meeting.private {
            arguments.push("--private".into());
        }
        arguments
    }
}

fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}
