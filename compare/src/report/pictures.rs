//! Pictures: a figure over the size of messages, one line per transport.

use super::data::Data;
use super::svg::{Line, Style, draw};
use crate::cell::{Figures, ROUND_TRIPS, STREAMS, Workload};

/// A file beside the report.
pub(super) struct Picture {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

pub(super) fn all(data: &Data) -> Vec<Picture> {
    let latency = lines(data, &ROUND_TRIPS, Workload::RoundTrip, |f| f.p50_us);
    let one_way = lines(data, &STREAMS, Workload::OneWay, |f| {
        Some(f.bytes_per_s? / 1e9)
    });
    let both = lines(data, &STREAMS, Workload::BothWays, |f| {
        Some(f.bytes_per_s? / 1e9)
    });
    [
        (
            "latency.svg",
            "Round trip, p50, µs (less is better)",
            latency,
        ),
        ("throughput.svg", "One way, GB/s (more is better)", one_way),
        (
            "both-ways.svg",
            "Both ways at once, GB/s (more is better)",
            both,
        ),
    ]
    .into_iter()
    .filter(|(.., lines)| !lines.is_empty())
    .map(|(file, title, lines)| Picture {
        file,
        title,
        svg: draw(title, &lines),
    })
    .collect()
}

fn lines(
    data: &Data,
    sizes: &[usize],
    workload: fn(usize) -> Workload,
    figure: fn(&Figures) -> Option<f64>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for transport in data.transports() {
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .filter_map(|len| {
                let value = data.value(&transport.name, workload(*len), figure)?;
                (value.median > 0.0).then_some((*len as f64, value.median))
            })
            .collect();
        if points.is_empty() {
            continue;
        }
        let name = &*transport.name;
        let style = if name.starts_with("twinring") {
            Style::Ours
        } else if ["bare", "mirror", "line", "memcpy"]
            .iter()
            .any(|limit| name.starts_with(limit))
        {
            Style::Limit
        } else {
            Style::Peer
        };
        lines.push(Line {
            title: transport.title.clone(),
            points,
            style,
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::tests::{data, run};

    #[test]
    fn a_picture_has_a_line_and_a_name_per_transport() {
        let pictures = all(&data(vec![
            run("bare", 0, 100.0, 2e9),
            run("ours", 0, 100.0, 1e9),
        ]));
        let [picture] = &pictures[..] else {
            panic!("{} pictures", pictures.len());
        };
        assert_eq!(picture.file, "throughput.svg");
        assert!(picture.svg.contains(">the bare</text>"));
        assert!(picture.svg.contains(">the ours</text>"));
        assert!(!picture.svg.contains("NaN") && !picture.svg.contains("inf"));
    }
}
