//! Proves on real Windows what Wine cannot show, and prints a report. docs/windows-proof.md says what each proof is for.
//!
//! ```text
//! args      the command line               plan      what a run makes, and --dry-run
//! proofs    what is proved, by group       proof     when a proof is done, and what it came to
//! context   what the proofs share          report    PASS, FAIL, SKIP, and the file of them
//! launch    starts sides as some account   side      a host or a guest: this program again
//! undo      removes what was made          system    Windows: tokens, accounts, tasks, services, pipes
//! ```

#[cfg(windows)]
mod args;
#[cfg(windows)]
mod context;
#[cfg(windows)]
mod launch;
#[cfg(windows)]
mod plan;
#[cfg(windows)]
mod proof;
#[cfg(windows)]
mod proofs;
#[cfg(windows)]
mod report;
#[cfg(windows)]
mod side;
#[cfg(windows)]
mod system;
#[cfg(windows)]
mod undo;

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    use args::{Args, Command};
    use clap::Parser;

    let args = Args::parse();
    let done = match &args.command {
        None => return proof::run(&args),
        Some(Command::Side(args)) => side::run(args),
        Some(Command::Service(args)) => side::run_as_service(args),
        Some(Command::TryPipe(args)) => side::try_pipe(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("windows-proof: {e:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    eprintln!("windows-proof: it is for Windows only");
    ExitCode::from(2)
}
