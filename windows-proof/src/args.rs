//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Proves on real Windows what Wine cannot show, and prints a report.
///
/// As an ordinary user it does what one user can show. As administrator it also makes a temporary user, scheduled
/// tasks and services, and removes them again; --dry-run lists all of it and makes nothing.
#[derive(Parser, Debug)]
#[command(name = "windows-proof", version)]
pub(crate) struct Args {
    /// Say what would be proved and what would be made on this machine, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out the test-suite and the kill loop
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// How many processes the kill loop kills
    #[arg(long, default_value_t = 20_000, value_name = "NUMBER")]
    pub(crate) kills: u32,
    /// The file that the report is written to, besides the screen
    #[arg(long, default_value = "windows-proof.txt", value_name = "FILE")]
    pub(crate) report: PathBuf,
    /// A twinring.exe to use in place of the one that would be built
    #[arg(long, value_name = "FILE")]
    pub(crate) twinring: Option<PathBuf>,
    /// Try also what this system or this user cannot show: to find faults of the proofs. It stays SKIP
    #[arg(long, hide = true)]
    pub(crate) try_all: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What this program is started as by itself.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// One side of a link
    #[command(hide = true)]
    Side(SideArgs),
    /// The same, under the service manager
    #[command(hide = true)]
    Service(SideArgs),
    /// Tries what a stranger could do with a pipe
    #[command(hide = true)]
    TryPipe(TryPipeArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Host,
    Guest,
}

#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct SideArgs {
    #[arg(long)]
    pub(crate) role: Role,
    #[arg(long)]
    pub(crate) name: String,
    /// See `side::access`
    #[arg(long)]
    pub(crate) access: String,
    /// Whom a host admits: see `side::rule`. It says about whom it is asked
    #[arg(long)]
    pub(crate) admits: Option<String>,
    /// Where it says what happens; orders come in the file beside it
    #[arg(long)]
    pub(crate) log: PathBuf,
}

#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct TryPipeArgs {
    #[arg(long)]
    pub(crate) pipe: String,
    /// Only open it as a guest would, and say what its host has to say to that
    #[arg(long)]
    pub(crate) listen: bool,
    #[arg(long)]
    pub(crate) log: PathBuf,
}
