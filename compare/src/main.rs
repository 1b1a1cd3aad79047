//! `compare`: twinring beside its peers and the limits of the machine, two processes per cell.
//!
//! README.md, "Inside", has the map.

mod cell;
mod child;
mod common;
mod control;
mod link;
mod machine;
mod parent;
mod payload;
mod report;
mod results;
mod transports;
mod workloads;

use clap::{Parser, Subcommand};

use crate::cell::Workload;
use crate::common::{Result, print};
use crate::parent::{Form, RunArgs};

const EXAMPLES: &str = "\
Examples:
  compare short                                      a first look, less than three minutes
  compare full --out results/full.jsonl              everything, five rounds
  compare short --transports twinring,pipe --workloads round-trip/64,one-way/65536
  compare report results/full.jsonl --folder report  tables and pictures of a run
";

/// Measures twinring beside its peers and the limits of the machine, two processes per cell
#[derive(Parser, Debug)]
#[command(name = "compare", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Every cell, several rounds (some 20 minutes), then the report
    Full(RunArgs),
    /// Every cell once and briefly (less than 3 minutes), then the report
    Short(RunArgs),
    /// Tables and pictures of a file of rows
    Report(report::ReportArgs),
    /// Transports with their settings, and workloads
    List,
    /// One of the two processes of a cell
    #[command(hide = true)]
    End(child::EndArgs),
}

fn main() {
    let done = match Cli::parse().command {
        Command::Full(args) => measure(&args, Form::Full),
        Command::Short(args) => measure(&args, Form::Short),
        Command::Report(args) => report::run(&args),
        Command::List => list(),
        Command::End(args) => child::main(&args),
    };
    if let Err(error) = done {
        print::note(format_args!("compare: {error}"));
        std::process::exit(1);
    }
}

fn measure(args: &RunArgs, form: Form) -> Result<()> {
    if let Some(warning) = machine::describe().wine_warning() {
        print::note(warning);
    }
    if cfg!(debug_assertions) {
        print::note("compare: built without --release: these figures say nothing");
    }
    let (rows, failed) = parent::run(args, form)?;
    report::run(&report::ReportArgs::of(&rows))?;
    if failed > 0 {
        return Err(format!("{failed} cells failed: the report names them").into());
    }
    Ok(())
}

fn list() -> Result<()> {
    print::result("transports:")?;
    for entry in transports::all() {
        let (name, title, settings) = (entry.name, entry.title, entry.settings);
        print::result(format_args!("  {name:<18} {title}: {settings}"))?;
    }
    print::result("workloads:")?;
    for workload in Workload::all() {
        print::result(format_args!("  {workload}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
