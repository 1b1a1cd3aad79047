//! The parent: every cell of every transport, round after round, transports changing fastest.
//!
//! ```text
//! plan ─┬─ pair ─┬─ process   a host and a guest, this program again
//!       │        └─ rest      what a link at rest takes
//!       └─ progress           how far it is
//! session                     what is true of all runs
//! ```

mod pair;
mod plan;
mod process;
mod progress;
mod rest;
mod session;

use std::path::PathBuf;
use std::time::Duration;

use self::plan::Plan;
use crate::cell::Workload;
use crate::common::Result;
use crate::results::{Row, Writer};
use crate::transports::{self, Entry};

#[derive(clap::Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// Where the rows go
    #[arg(short, long, value_name = "FILE", default_value = "results/rows.jsonl")]
    out: PathBuf,
    /// How often every cell is run [default: full 5, short 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Milliseconds of the timed part of a cell [default: full 200, short 50]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    ms: Option<u64>,
    /// Only these transports (`compare list` names them)
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    transports: Vec<String>,
    /// Only these workloads (`compare list` names them; any length is allowed)
    #[arg(long, value_name = "WORKLOAD,...", value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Capacity of the rings of twinring and of the bare rings, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = twinring::DEFAULT_RING_CAPACITY as usize)]
    ring: usize,
    /// Seconds after which a cell that hangs is ended, and shown as failed (four times as many for
    /// `overtake`, which moves 2 GiB)
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    limit: u64,
    /// Alters a byte of this message of every cell, which must then fail
    #[arg(long, value_name = "NUMBER", hide = true)]
    spoil: Option<u64>,
}

/// How thoroughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Full,
    Short,
}

/// Runs and writes the rows; gives where they are and how many cells failed.
pub(crate) fn run(args: &RunArgs, form: Form) -> Result<(PathBuf, usize)> {
    if !args.ring.is_power_of_two() || !(4096..=1 << 30).contains(&args.ring) {
        return Err(format!(
            "--ring {}: a ring has a power of two of bytes, 4096 to {}",
            args.ring,
            1 << 30
        )
        .into());
    }
    let all = transports::all();
    let chosen = choose(&all, &args.transports)?;
    let workloads = if args.workloads.is_empty() {
        Workload::all()
    } else {
        args.workloads.clone()
    };
    let (rounds, ms, idle_ms) = match form {
        Form::Full => (5, 200, 2000),
        Form::Short => (1, 50, 500),
    };
    let plan = Plan {
        rounds: args.rounds.unwrap_or(rounds),
        ms: args.ms.unwrap_or(ms),
        idle_ms,
        limit: Duration::from_secs(args.limit),
        ring: args.ring,
        spoil: args.spoil,
    };
    let mut writer = Writer::create(&args.out)?;
    writer.add(&Row::Session(session::describe(&plan, &all, &chosen)))?;
    let failed = plan.run(&chosen, &workloads, &mut writer)?;
    Ok((args.out.clone(), failed))
}

fn choose<'a>(all: &'a [Entry], names: &[String]) -> Result<Vec<&'a Entry>> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    for name in names {
        transports::find(name)?;
    }
    // In the order of the tables, whatever was said.
    Ok(all
        .iter()
        .filter(|entry| names.iter().any(|name| name == entry.name))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_transport_is_refused() {
        let all = transports::all();
        assert!(choose(&all, &["smoke".into()]).is_err());
        assert_eq!(choose(&all, &["tcp".into()]).unwrap().len(), 1);
    }
}
