//! Which runs count, and their medians and ratios.
//!
//! Runs are *near* or *far* by the cache line that was bounced before and after them, *mixed* if the
//! two say different things; *quiet* if nobody else used the processors. Medians are of the runs that
//! lay as most of them did, near or far, and were quiet, where there are any. Ratios are taken
//! between runs of one round that are alike.

use std::collections::BTreeMap;

use crate::cell::{Figures, Workload};
use crate::common::Result;
use crate::common::stats::{median, percentile};
use crate::results::{Described, Row, Run, Session};

/// A bounce that takes longer than so many of the shortest ones is far.
const FAR: f64 = 1.8;
/// Others' processor time is told in hundredths of a second: so much is nothing, in milliseconds.
const NOISE: f64 = 30.0;
/// And so much of the time of a run.
const SHARE: f64 = 0.1;

/// How the processors lay during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Near,
    Far,
    Mixed,
}

/// A median, and whether it is of runs that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) median: f64,
    pub(super) good: bool,
}

/// All rows of a file.
pub(super) struct Data {
    pub(super) session: Session,
    runs: BTreeMap<(String, Workload), Vec<Run>>,
    /// Longest bounce that is near, in nanoseconds.
    pub(super) near: f64,
    /// How the processors lay in most runs.
    pub(super) usual: Place,
}

/// How many runs there are, and why some do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) runs: usize,
    pub(super) failed: usize,
    /// Far where most are near, or the other way round.
    pub(super) unusual: usize,
    pub(super) mixed: usize,
    pub(super) loud: usize,
    /// Left: as most, quiet, not failed.
    pub(super) good: usize,
}

impl Data {
    pub(super) fn of(rows: Vec<Row>) -> Result<Data> {
        let mut session = None;
        let mut runs: BTreeMap<_, Vec<Run>> = BTreeMap::new();
        for row in rows {
            match row {
                Row::Session(new) => {
                    if session.replace(new).is_some() {
                        return Err("two sessions in one file: report each by itself".into());
                    }
                }
                Row::Run(run) => runs
                    .entry((run.transport.clone(), run.workload))
                    .or_default()
                    .push(run),
            }
        }
        let session = session.ok_or("no rows of this program")?;
        let probes: Vec<f64> = runs
            .values()
            .flatten()
            .flat_map(|run| run.probes)
            .filter(|probe| *probe > 0.0)
            .collect();
        let near = FAR * percentile(&probes, 0.1).unwrap_or(f64::INFINITY);
        let count = |wanted| {
            let tried = runs.values().flatten().filter(|run| run.skipped.is_none());
            tried.filter(|run| place(run, near) == wanted).count()
        };
        let usual = match count(Place::Far) > count(Place::Near) {
            true => Place::Far,
            false => Place::Near,
        };
        Ok(Data {
            session,
            runs,
            near,
            usual,
        })
    }

    pub(super) fn place(&self, run: &Run) -> Place {
        place(run, self.near)
    }

    fn is_quiet(run: &Run) -> bool {
        run.foreign_ms <= NOISE + SHARE * run.wall_ms
    }

    fn is_good(&self, run: &Run) -> bool {
        self.place(run) == self.usual && Data::is_quiet(run)
    }

    pub(super) fn transports(&self) -> &[Described] {
        &self.session.transports
    }

    pub(super) fn runs(&self, transport: &str, workload: Workload) -> &[Run] {
        self.runs
            .get(&(transport.to_owned(), workload))
            .map_or(&[], Vec::as_slice)
    }

    /// Every run that was tried.
    fn tried(&self) -> impl Iterator<Item = &Run> {
        self.runs
            .values()
            .flatten()
            .filter(|run| run.skipped.is_none())
    }

    pub(super) fn failed(&self) -> impl Iterator<Item = &Run> {
        self.tried().filter(|run| run.failed.is_some())
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for run in self.tried() {
            counts.runs += 1;
            if run.failed.is_some() {
                counts.failed += 1;
                continue;
            }
            match self.place(run) {
                Place::Mixed => counts.mixed += 1,
                place if place != self.usual => counts.unusual += 1,
                _ if !Data::is_quiet(run) => counts.loud += 1,
                _ => counts.good += 1,
            }
        }
        counts
    }

    /// The median of a figure over the runs that count, or over all if none does.
    pub(super) fn value(
        &self,
        transport: &str,
        workload: Workload,
        figure: impl Fn(&Figures) -> Option<f64>,
    ) -> Option<Value> {
        let of = |good: bool| -> Vec<f64> {
            self.runs(transport, workload)
                .iter()
                .filter(|run| run.failed.is_none() && (!good || self.is_good(run)))
                .filter_map(|run| figure(&run.figures))
                .collect()
        };
        [true, false].into_iter().find_map(|good| {
            let median = median(&of(good))?;
            Some(Value { median, good })
        })
    }

    /// The median over rounds of this transport's figure to another's in the same round, of runs
    /// that lay alike, quiet ones if there are any.
    pub(super) fn ratio(
        &self,
        transport: &str,
        other: &str,
        workload: Workload,
        figure: impl Fn(&Figures) -> Option<f64>,
    ) -> Option<Value> {
        let of = |good: bool| -> Vec<f64> {
            let mut ratios = Vec::new();
            for ours in self.runs(transport, workload) {
                for theirs in self.runs(other, workload) {
                    let alike = ours.round == theirs.round
                        && self.place(ours) == self.place(theirs)
                        && self.place(ours) != Place::Mixed
                        && Data::is_quiet(ours)
                        && Data::is_quiet(theirs);
                    if ours.round == theirs.round
                        && (alike || !good)
                        && let (Some(ours), Some(theirs)) =
                            (figure(&ours.figures), figure(&theirs.figures))
                        && theirs > 0.0
                    {
                        ratios.push(ours / theirs);
                    }
                }
            }
            ratios
        };
        [true, false].into_iter().find_map(|good| {
            let median = median(&of(good))?;
            Some(Value { median, good })
        })
    }
}

fn place(run: &Run, near: f64) -> Place {
    match run.probes.map(|probe| probe <= near) {
        [true, true] => Place::Near,
        [false, false] => Place::Far,
        _ => Place::Mixed,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const CELL: Workload = Workload::OneWay(64);

    pub(crate) fn run(transport: &str, round: u32, probe: f64, bytes: f64) -> Run {
        Run {
            round,
            transport: transport.into(),
            workload: CELL,
            probes: [probe, probe],
            foreign_ms: 0.0,
            wall_ms: 100.0,
            failed: None,
            skipped: None,
            figures: Figures {
                bytes_per_s: Some(bytes),
                messages_per_s: Some(bytes / 64.0),
                ..Figures::default()
            },
        }
    }

    pub(crate) fn data(runs: Vec<Run>) -> Data {
        let described = |name: &str, limit: Option<&str>| Described {
            name: name.into(),
            title: format!("the {name}"),
            settings: "as it is".into(),
            limit: limit.map(str::to_owned),
        };
        let session = Session {
            transports: vec![described("bare", None), described("ours", Some("bare"))],
            ..Session::default()
        };
        let rows = runs.into_iter().map(Row::Run);
        Data::of(std::iter::once(Row::Session(session)).chain(rows).collect()).unwrap()
    }

    fn bytes(figures: &Figures) -> Option<f64> {
        figures.bytes_per_s
    }

    #[test]
    fn far_and_loud_runs_do_not_count() {
        let mut loud = run("ours", 3, 100.0, 9.0);
        loud.foreign_ms = 90.0;
        let mut failed = run("ours", 4, 100.0, 9.0);
        failed.failed = Some("broken".into());
        let mut mixed = run("ours", 5, 100.0, 9.0);
        mixed.probes[1] = 400.0;
        let data = data(vec![
            run("ours", 0, 100.0, 3.0),
            run("ours", 1, 110.0, 5.0),
            run("ours", 2, 400.0, 1.0),
            loud,
            failed,
            mixed,
        ]);
        let value = data.value("ours", CELL, bytes);
        assert_eq!(
            value,
            Some(Value {
                median: 3.0,
                good: true
            })
        );
        let counts = Counts {
            runs: 6,
            failed: 1,
            unusual: 1,
            mixed: 1,
            loud: 1,
            good: 2,
        };
        assert_eq!(data.counts(), counts);
    }

    #[test]
    fn if_most_are_far_those_count() {
        let data = data(vec![
            run("ours", 0, 100.0, 3.0),
            run("ours", 1, 400.0, 1.0),
            run("ours", 2, 410.0, 2.0),
            run("ours", 3, 400.0, 3.0),
        ]);
        let value = data.value("ours", CELL, bytes);
        assert_eq!(value.map(|value| value.median), Some(2.0));
        assert_eq!(data.counts().unusual, 1);
    }

    #[test]
    fn if_no_run_counts_all_do_and_are_marked() {
        let data = data(vec![run("bare", 0, 100.0, 2.0), run("ours", 0, 400.0, 1.0)]);
        assert_eq!(
            data.value("ours", CELL, bytes),
            Some(Value {
                median: 1.0,
                good: false
            })
        );
        assert_eq!(data.value("nobody", CELL, bytes), None);
    }

    #[test]
    fn ratios_are_of_one_round_and_of_runs_alike() {
        let data = data(vec![
            run("bare", 0, 100.0, 10.0),
            run("ours", 0, 100.0, 9.0),
            run("bare", 1, 400.0, 2.0),
            run("ours", 1, 400.0, 1.0),
            run("bare", 2, 400.0, 2.0),
            run("ours", 2, 100.0, 9.0),
        ]);
        // 0.9 near, 0.5 far; the third pair is not alike.
        assert_eq!(
            data.ratio("ours", "bare", CELL, bytes),
            Some(Value {
                median: 0.5,
                good: true
            })
        );
    }

    #[test]
    fn a_file_of_nothing_is_refused() {
        assert!(Data::of(Vec::new()).is_err());
    }
}
