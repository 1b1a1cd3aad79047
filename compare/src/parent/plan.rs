//! Which cells are run, how often, and in which order.

use std::time::{Duration, Instant};

use super::pair;
use super::progress::Progress;
use crate::cell::{BULK, Figures, Spec, Workload};
use crate::common::Result;
use crate::machine::{self, probe};
use crate::results::{Row, Run, Writer};
use crate::transports::Entry;

/// How every cell is run.
pub(super) struct Plan {
    pub(super) rounds: u32,
    pub(super) ms: u64,
    pub(super) idle_ms: u64,
    pub(super) limit: Duration,
    pub(super) ring: usize,
    pub(super) spoil: Option<u64>,
}

impl Plan {
    /// Runs the cells and writes their rows; gives how many failed.
    pub(super) fn run(
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
            figures: Figures::default(),
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
