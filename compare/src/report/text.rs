//! The report as Markdown.

use std::fmt::Write;

use super::data::{Data, Place};
use super::pictures::Picture;
use super::tables::tables;
use crate::cell::Workload;
use crate::common::KIB;

/// The whole of it.
pub(super) fn report(data: &Data, pictures: &[Picture]) -> String {
    let mut text = String::from("# twinring beside its peers and the limits of the machine\n\n");
    text += &head(data);
    for picture in pictures {
        let _ = writeln!(text, "![{}]({})\n", picture.title, picture.file);
    }
    text += &tables(data);
    text += &failures(data);
    text += &settings(data);
    text
}

fn head(data: &Data) -> String {
    let (session, machine) = (&data.session, &data.session.machine);
    let mut text = String::new();
    if let Some(warning) = machine.wine_warning() {
        let _ = writeln!(text, "**{warning}**\n");
    }
    let _ = writeln!(
        text,
        "{}, {} processors ({}), {} GiB; {}; {}; twinring {}.\n\nMade by `{}`: {} rounds, {} ms per \
         cell, rings of {} KiB.\n",
        machine.system,
        machine.processors,
        machine.processor,
        machine.memory_gib,
        session.date,
        machine.rust,
        machine.commit,
        session.command,
        session.rounds,
        session.ms,
        session.ring / KIB,
    );
    let counts = data.counts();
    let (where_they_lay, bound) = match data.usual {
        Place::Far => ("far from", "more than"),
        _ => ("near", "at most"),
    };
    let _ = writeln!(
        text,
        "Figures are medians. Of {} runs {} count: those with the processors {} each other, as in \
         most (a cache line bounced in {} {:.0} ns before and after), and nobody else at work; {} \
         were not, {} were both, {} beside other work, {} failed. `~`: no run of that cell counts, \
         so all of them do. `-`: not measured, the reasons are at the end. `ERR`: failed.\n",
        counts.runs,
        counts.good,
        where_they_lay,
        bound,
        data.near,
        counts.unusual,
        counts.mixed,
        counts.loud,
        counts.failed,
    );
    text
}

fn failures(data: &Data) -> String {
    let mut text = String::new();
    for run in data.failed() {
        let fault = run.failed.as_deref().unwrap_or("");
        let _ = writeln!(
            text,
            "- {} {}, round {}: {fault}",
            run.transport,
            run.workload,
            run.round + 1
        );
    }
    if text.is_empty() {
        return "## Failed\n\nNone.\n\n".into();
    }
    format!("## Failed\n\n{text}\n")
}

/// How each was set up, and why some cells are empty.
fn settings(data: &Data) -> String {
    let mut text = String::from("## Settings\n\n");
    for transport in data.transports() {
        let _ = writeln!(text, "- **{}**: {}", transport.title, transport.settings);
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for workload in Workload::all() {
            let runs = data.runs(&transport.name, workload);
            let Some(reason) = runs.iter().find_map(|run| run.skipped.clone()) else {
                continue;
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, workloads)) => workloads.push(workload.to_string()),
                None => reasons.push((reason, vec![workload.to_string()])),
            }
        }
        for (reason, workloads) in reasons {
            let _ = writeln!(text, "  - not {}: {reason}", workloads.join(", "));
        }
    }
    text += "\nVersions:";
    for (name, version) in &data.session.versions {
        let _ = write!(text, " {name} {version};");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::MIB;
    use crate::report::data::tests::{data, run};

    #[test]
    fn the_report_has_figures_ratios_and_marks() {
        let mut failed = run("ours", 1, 100.0, 0.0);
        failed.workload = Workload::OneWay(KIB);
        failed.failed = Some("hung".into());
        let mut skipped = run("ours", 0, 0.0, 0.0);
        skipped.workload = Workload::OneWay(MIB);
        skipped.skipped = Some("too long".into());
        let data = data(vec![
            run("bare", 0, 100.0, 64e6),
            run("ours", 0, 100.0, 32e6),
            failed,
            skipped,
        ]);
        let text = report(&data, &[]);
        for expected in [
            "| the bare | 1.00 | - |",
            "| the ours | 0.50 | ERR | - |",
            "| the ours | - | - | - | 0.50 |",
            "- ours one-way/1024, round 2: hung",
            "- not one-way/1048576: too long",
            "Of 3 runs 2 count",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        assert!(!text.contains("## Round trip"), "{text}");
    }

    #[test]
    fn wine_is_named() {
        let mut data = data(vec![run("bare", 0, 100.0, 64e6)]);
        data.session.machine.wine = Some("10.0".into());
        assert!(report(&data, &[]).contains("This is Wine 10.0, not Windows"));
    }
}
