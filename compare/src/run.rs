//! The parent: every cell of every transport, round after round, transports changing fastest.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cell::{self, BULK, Result, Spec, Workload};
use crate::machine;
use crate::pair;
use crate::print;
use crate::probe::probe;
use crate::rows::{Described, Row, Run, Session, Writer};
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
        cell::all()
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
    writer.add(&Row::Session(session(&plan, &all, &chosen)))?;
    let failed = plan.rounds(&chosen, &workloads, &mut writer)?;
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

fn session(plan: &Plan, all: &[Entry], chosen: &[&Entry]) -> Session {
    let described = |entry: &&Entry| {
        let limit = transports::limit_of(entry.waits, all);
        Described {
            name: entry.name.into(),
            title: entry.title.into(),
            settings: entry.settings.into(),
            limit: limit
                .filter(|limit| limit.name != entry.name)
                .map(|limit| limit.name.into()),
        }
    };
    // Without the folders of this machine.
    let command: Vec<String> = std::env::args()
        .skip(1)
        .map(|arg| {
            Path::new(&arg)
                .file_name()
                .map_or(arg.clone(), |name| name.to_string_lossy().into())
        })
        .collect();
    Session {
        date: machine::date(),
        command: format!("compare {}", command.join(" ")),
        machine: machine::describe(),
        versions: versions(include_str!("../Cargo.lock")),
        transports: chosen.iter().map(described).collect(),
        ms: plan.ms,
        ring: plan.ring,
        rounds: plan.rounds,
    }
}

/// Versions of what is compared, out of the lock file.
fn versions(lock: &str) -> BTreeMap<String, String> {
    const NAMES: [&str; 7] = [
        "twinring",
        "iceoryx2",
        "ipc-channel",
        "interprocess",
        "shmem-ipc",
        "zmq",
        "nng",
    ];
    let field = |line: &str, name: &str| -> Option<String> {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(" = \"")?
                .strip_suffix('"')?
                .into(),
        )
    };
    let mut versions = BTreeMap::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = field(line, "name").filter(|name| NAMES.contains(&&**name)) else {
            continue;
        };
        if let Some(version) = lines.next().and_then(|line| field(line, "version")) {
            versions.insert(name, version);
        }
    }
    versions
}

struct Plan {
    rounds: u32,
    ms: u64,
    idle_ms: u64,
    limit: Duration,
    ring: usize,
    spoil: Option<u64>,
}

impl Plan {
    fn rounds(
        &self,
        transports: &[&Entry],
        workloads: &[Workload],
        writer: &mut Writer,
    ) -> Result<usize> {
        let total = self.rounds as usize * transports.len() * workloads.len();
        let mut progress = Progress::new(total);
        let mut failed = 0;
        for round in 0..self.rounds {
            for workload in workloads {
                // Transports change fastest: what is compared shall be measured side by side.
                let mut before = probe();
                for entry in transports {
                    progress.next(round, *workload, entry.title);
                    let mut run = self.one(round, entry, *workload);
                    let after = probe();
                    run.probes = [before, after];
                    before = after;
                    if let Some(fault) = &run.failed {
                        failed += 1;
                        progress.say(&format!("{} {workload}: failed: {fault}", entry.name));
                    }
                    // Once is enough to say why.
                    if run.skipped.is_none() || round == 0 {
                        writer.add(&Row::Run(run))?;
                    }
                }
            }
        }
        progress.done();
        Ok(failed)
    }

    fn one(&self, round: u32, entry: &Entry, workload: Workload) -> Run {
        let mut run = Run {
            round,
            transport: entry.name.into(),
            workload,
            probes: [0.0; 2],
            foreign_ms: 0.0,
            wall_ms: 0.0,
            failed: None,
            skipped: entry.not(workload).or_else(|| too_large(workload)),
            figures: cell::Figures::default(),
        };
        if run.skipped.is_some() {
            return run;
        }
        let spec = Spec {
            transport: entry.name.into(),
            workload,
            ms: self.ms,
            // Long enough to touch each page of the largest ring.
            warm_ms: self.ms.div_ceil(5).max(100),
            idle_ms: self.idle_ms,
            ring: self.ring,
            spoil: self.spoil,
        };
        let busy = machine::busy_ms() - machine::cpu_of_this_process() * 1e3;
        let start = Instant::now();
        let limit = match workload {
            Workload::Overtake => 4 * self.limit,
            _ => self.limit,
        };
        match pair::run(&spec, limit) {
            Ok(outcome) => {
                let now = machine::busy_ms() - machine::cpu_of_this_process() * 1e3;
                run.foreign_ms = (now - busy - outcome.cpu_ms).max(0.0);
                run.figures = outcome.figures;
            }
            Err(fault) => run.failed = Some(fault.to_string()),
        }
        run.wall_ms = start.elapsed().as_secs_f64() * 1e3;
        run
    }
}

/// A bulk message lies in both processes at once, and with some transports in the kernel.
fn too_large(workload: Workload) -> Option<String> {
    let needed = 3 * BULK as u64;
    (workload == Workload::Overtake && machine::free_memory() < needed)
        .then(|| format!("it takes {} GiB of free memory", needed >> 30))
}

/// How far it is, on stderr: one line that changes on a terminal, nothing elsewhere.
struct Progress {
    total: usize,
    done: usize,
    start: Instant,
    terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Progress {
        Progress {
            total,
            done: 0,
            start: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn next(&mut self, round: u32, workload: Workload, title: &str) {
        let spent = self.start.elapsed().as_secs_f64();
        let left = spent / self.done.max(1) as f64 * (self.total - self.done) as f64;
        self.done += 1;
        if self.terminal {
            let left = if self.done < 20 {
                String::new()
            } else {
                format!(", {:.0}:{:02.0} left", (left / 60.0).floor(), left % 60.0)
            };
            let (done, total) = (self.done, self.total);
            // No line of its own, and nobody has to read it.
            let _ = write!(
                std::io::stderr().lock(),
                "\r\x1b[K{done} of {total}{left}: round {}, {workload}, {title}",
                round + 1
            );
        }
    }

    /// A line that stays.
    fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        print::note(format_args!("{clear}{text}"));
    }

    fn done(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.say(&format!("{} cells in {seconds:.0} s", self.done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_out_of_the_lock_file() {
        let lock = "[[package]]\nname = \"zmq\"\nversion = \"0.10.0\"\nsource = \"x\"\n\
                    [[package]]\nname = \"zmq-sys\"\nversion = \"0.12.0\"\n";
        let versions = versions(lock);
        assert_eq!(versions.get("zmq").map(String::as_str), Some("0.10.0"));
        assert_eq!(versions.len(), 1);
    }

    #[test]
    fn an_unknown_transport_is_refused() {
        let all = transports::all();
        assert!(choose(&all, &["smoke".into()]).is_err());
        assert_eq!(choose(&all, &["tcp".into()]).unwrap().len(), 1);
    }
}
