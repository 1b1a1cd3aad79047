//! The tables of the report.

use std::fmt::Write;

use super::data::{Data, Value};
use super::numbers::{number, size};
use crate::cell::{Figures, LINKS, ROUND_TRIPS, SENDERS, STREAMS, Workload};
use crate::common::KIB;
use crate::results::Described;

type Figure = fn(&Figures) -> Option<f64>;

/// All of them, one after the other.
pub(super) fn tables(data: &Data) -> String {
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
    text += &section(
        data,
        "64 B there and back on many links at once, a thread for each: K round trips/s (CPU µs of each)",
        LINKS.map(|n| Column {
            title: format!("{n} links"),
            workload: Workload::Links(n),
            figures: vec![|f| Some(f.trips_per_s? / 1e3), |f| f.cpu_us_per_trip],
            join: |texts| match texts {
                [rate, cpu] => format!("{rate} ({cpu})"),
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
