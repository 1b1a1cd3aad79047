//! The report as Markdown.

use std::fmt::Write;

use super::data::{Data, Place, Value};
use super::plot::Picture;
use super::wine_warning;
use crate::cell::{Figures, KIB, MIB, ROUND_TRIPS, SENDERS, STREAMS, Workload};
use crate::rows::Described;

type Figure = fn(&Figures) -> Option<f64>;

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
    if let Some(version) = &machine.wine {
        let _ = writeln!(text, "**{}**\n", wine_warning(version));
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

fn tables(data: &Data) -> String {
    let mut text = String::new();
    text += &section(
        data,
        "Round trip, µs: p50 / p99 / p99.9",
        ROUND_TRIPS.map(|len| Column::three(size(len), Workload::RoundTrip(len))),
    );
    for (title, workload) in STREAMED {
        text += &section(
            data,
            title,
            STREAMS.map(|len| {
                let (unit, figure) = rate(len);
                Column::one(format!("{}, {unit}", size(len)), workload(len), figure)
            }),
        );
    }
    let rest = |title: &str, figure: Figure| Column::one(title.into(), Workload::Footprint, figure);
    text += &section(
        data,
        "Connecting and resting (both processes together)",
        [
            Column::one(
                "connect to first echo, µs".into(),
                Workload::Connect,
                |f| f.connect_us,
            ),
            rest("idle, ms CPU/s", |f| f.idle_ms_per_s),
            rest("threads", |f| f.threads.map(|n| n as f64)),
            rest("handles", |f| f.handles.map(|n| n as f64)),
            rest("memory added, KiB", |f| f.rss_kib.map(|n| n as f64)),
            rest("memory in all, KiB", |f| f.rss_in_all_kib.map(|n| n as f64)),
            rest("shared mapping, KiB", |f| f.shared_kib.map(|n| n as f64)),
            rest("of it resident, KiB", |f| {
                f.shared_resident_kib.map(|n| n as f64)
            }),
        ],
    );
    text += &section(
        data,
        "Work, and small messages behind a large one",
        [
            Column::one(
                "CPU s per GB at 64 KiB".into(),
                Workload::OneWay(64 * KIB),
                |f| f.cpu_s_per_gb,
            ),
            Column::three(
                "64 B while 1 GiB is sent, µs: p50 / p99 / p99.9".into(),
                Workload::Overtake,
            ),
        ],
    );
    text += &section(
        data,
        "64 B from several threads: M messages/s (most / fewest of one thread)",
        SENDERS.map(|n| Column {
            title: format!("{n}"),
            workload: Workload::Threads(n),
            figures: vec![rate(0).1, |f| f.most_to_fewest],
            join: |texts| match texts {
                [rate, fairness] => format!("{rate} ({fairness})"),
                _ => texts.join(" "),
            },
        }),
    );
    text += &ratios(data);
    text
}

/// A title, and the workload of messages of a length.
type Streams = (&'static str, fn(usize) -> Workload);

const STREAMED: [Streams; 2] = [
    ("One way", Workload::OneWay),
    ("Both ways at once, added up", Workload::BothWays),
];

/// Unit and figure of a stream: short messages are counted, long ones measured.
fn rate(len: usize) -> (&'static str, Figure) {
    if len <= KIB {
        ("M messages/s", |f| Some(f.messages_per_s? / 1e6))
    } else {
        ("GB/s", |f| Some(f.bytes_per_s? / 1e9))
    }
}

/// One column: figures of a workload, and how they are put together.
struct Column {
    title: String,
    workload: Workload,
    figures: Vec<Figure>,
    join: fn(&[String]) -> String,
}

impl Column {
    fn one(title: String, workload: Workload, figure: Figure) -> Column {
        Column {
            title,
            workload,
            figures: vec![figure],
            join: |texts| texts.concat(),
        }
    }

    fn three(title: String, workload: Workload) -> Column {
        Column {
            title,
            workload,
            figures: vec![|f| f.p50_us, |f| f.p99_us, |f| f.p999_us],
            join: |texts| texts.join(" / "),
        }
    }

    fn cell(&self, data: &Data, transport: &str) -> String {
        let values: Option<Vec<Value>> = self
            .figures
            .iter()
            .map(|figure| data.value(transport, self.workload, figure))
            .collect();
        let Some(values) = values else {
            let runs = data.runs(transport, self.workload);
            let failed = runs.iter().any(|run| run.failed.is_some());
            return if failed { "ERR" } else { "-" }.into();
        };
        let texts: Vec<String> = values.iter().map(|value| number(value.median)).collect();
        let mark = if values.iter().all(|value| value.good) {
            ""
        } else {
            "~"
        };
        format!("{mark}{}", (self.join)(&texts))
    }
}

/// A table; transports that have nothing in it are left out.
fn section<const N: usize>(data: &Data, title: &str, columns: [Column; N]) -> String {
    let mut rows = Vec::new();
    for transport in data.transports() {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| column.cell(data, &transport.name))
            .collect();
        if cells.iter().any(|cell| cell != "-") {
            rows.push((transport, cells));
        }
    }
    let titles = columns.map(|column| column.title);
    table(title, &titles, &rows)
}

fn table(title: &str, titles: &[String], rows: &[(&Described, Vec<String>)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("## {title}\n\n| transport | {} |\n", titles.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(titles.len()));
    for (transport, cells) in rows {
        let _ = writeln!(text, "| {} | {} |", transport.title, cells.join(" | "));
    }
    text + "\n"
}

/// Everyone beside the bare ring that waits in the same way.
fn ratios(data: &Data) -> String {
    let mut columns: Vec<(String, Workload, Figure)> = Vec::new();
    for len in ROUND_TRIPS {
        let title = format!("round trip {}", size(len));
        columns.push((title, Workload::RoundTrip(len), |f| f.p50_us));
    }
    for len in STREAMS {
        let title = format!("one way {}", size(len));
        columns.push((title, Workload::OneWay(len), |f| f.bytes_per_s));
    }
    for len in STREAMS {
        let title = format!("both ways {}", size(len));
        columns.push((title, Workload::BothWays(len), |f| f.bytes_per_s));
    }
    let mut rows = Vec::new();
    for transport in data.transports() {
        let Some(limit) = &transport.limit else {
            continue;
        };
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, workload, figure)| {
                match data.ratio(&transport.name, limit, *workload, figure) {
                    Some(value) if value.good => number(value.median),
                    Some(value) => format!("~{}", number(value.median)),
                    None => "-".into(),
                }
            })
            .collect();
        if cells.iter().any(|cell| cell != "-") {
            rows.push((transport, cells));
        }
    }
    let titles: Vec<String> = columns.into_iter().map(|(title, ..)| title).collect();
    let table = table("Beside the bare ring", &titles, &rows);
    if table.is_empty() {
        return table;
    }
    format!(
        "{table}Medians, over the rounds, of the ratio to the bare ring that waits in the same way \
         (spinning, or spinning and then sleeping), measured next to it with the processors as \
         near or far. Times: less is better. Rates: more is better. `~`: no two runs alike.\n\n"
    )
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
        for workload in crate::cell::all() {
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

fn size(len: usize) -> String {
    match len {
        _ if len >= MIB && len.is_multiple_of(MIB) => format!("{} MiB", len / MIB),
        _ if len >= KIB && len.is_multiple_of(KIB) => format!("{} KiB", len / KIB),
        _ => format!("{len} B"),
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::tests::{data, run};
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [12345.6, 99.96, 12.34, 1.234, 0.1234, 0.01234, 0.0].map(number);
        assert_eq!(
            texts,
            ["12346", "100.0", "12.3", "1.23", "0.12", "0.0123", "0.00"]
        );
    }

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
