//! A picture with logarithmic axes.
//!
//! Written by hand, so that it is small and has its own background, light or dark as the
//! reader's system is.

use std::fmt::Write;

use crate::common::{KIB, MIB};

/// A line of points (size, figure).
pub(super) struct Line {
    pub(super) title: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Ours are drawn thicker, limits dashed.
    pub(super) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Ours,
    Limit,
    Peer,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 290.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Between two names at the right.
const LEADING: f64 = 17.0;

/// Of the peers, told apart on white and on black.
const COLOURS: [&str; 12] = [
    "#4c8bf5", "#0fa37f", "#d9822b", "#c05bd6", "#8a9a1c", "#e0607e", "#2aa5b8", "#a8703c",
    "#7a6ff0", "#5aa02c", "#c2477f", "#748091",
];
const OURS: [&str; 4] = ["#e5342b", "#f2711c", "#b8323a", "#ff8a65"];
const LIMITS: [&str; 6] = [
    "#7d8590", "#9aa2ac", "#6c7f96", "#93867a", "#8f8f8f", "#a39f84",
];

const CSS: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:600}
.ours{font-weight:700}
.back{fill:#ffffff;stroke:#d0d7de}
.grid{stroke:#d0d7de;stroke-width:1}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.back{fill:#0d1117;stroke:#30363d}.grid{stroke:#30363d}}";

/// A logarithmic axis from whole powers, onto pixels.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln());
        self.from + share * (self.to - self.from)
    }
}

pub(super) fn draw(title: &str, lines: &[Line]) -> String {
    let values = |pick: fn(&(f64, f64)) -> f64| -> (f64, f64) {
        let all = lines.iter().flat_map(|line| &line.points).map(pick);
        all.fold((f64::INFINITY, 0.0), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let (narrow, wide) = values(|point| point.0);
    let (low, high) = values(|point| point.1);
    let x = Axis {
        low: narrow,
        high: wide.max(narrow * 2.0),
        from: LEFT,
        to: WIDTH - RIGHT,
    };
    let y = Axis {
        low: 10f64.powf(low.log10().floor()),
        high: 10f64.powf((high.log10() + 1e-9).ceil().max(low.log10().floor() + 1.0)),
        from: HEIGHT - BOTTOM,
        to: TOP,
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{0}</title>\n<style>{CSS}</style>\n\
         <rect class=\"back\" x=\"0.5\" y=\"0.5\" width=\"{1}\" height=\"{2}\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"30\">{0}</text>\n",
        escape(title),
        WIDTH - 1.0,
        HEIGHT - 1.0,
    );
    grid(&mut svg, &x, &y);
    let mut names = Vec::new();
    let mut used = [0usize; 3];
    for line in lines {
        let (colours, dash, width): (&[&str], &str, f64) = match line.style {
            Style::Ours => (&OURS, "", 3.0),
            Style::Limit => (&LIMITS, " stroke-dasharray=\"6 4\"", 1.5),
            Style::Peer => (&COLOURS, "", 1.8),
        };
        let used = &mut used[line.style as usize];
        let colour = colours[*used % colours.len()];
        // A second turn of the colours is dotted.
        let dash = if *used >= colours.len() {
            " stroke-dasharray=\"2 3\""
        } else {
            dash
        };
        *used += 1;
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(size, value)| format!("{:.1},{:.1}", x.at(*size), y.at(*value)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash} \
             points=\"{}\"/>",
            points.join(" ")
        );
        for (size, value) in &line.points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\" fill=\"{colour}\"/>",
                x.at(*size),
                y.at(*value),
                width + 0.7
            );
        }
        if let Some((size, value)) = line.points.last() {
            names.push((x.at(*size), y.at(*value), colour, line));
        }
    }
    labels(&mut svg, &mut names);
    svg + "</svg>\n"
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let mut step = y.low;
    while step <= y.high * 1.001 {
        let at = y.at(step);
        let text = if step >= 1.0 {
            format!("{step:.0}")
        } else {
            format!("{step:.*}", (-step.log10()).ceil() as usize)
        };
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            x.from,
            x.to,
            x.from - 8.0,
            at + 4.0
        );
        step *= 10.0;
    }
    const SIZES: [(usize, &str); 6] = [
        (64, "64 B"),
        (KIB, "1 KiB"),
        (16 * KIB, "16 KiB"),
        (64 * KIB, "64 KiB"),
        (MIB, "1 MiB"),
        (16 * MIB, "16 MiB"),
    ];
    for (size, text) in SIZES {
        let size = size as f64;
        if size < x.low || size > x.high {
            continue;
        }
        let at = x.at(size);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
            y.from,
            y.to,
            y.from + 20.0
        );
    }
}

/// The names, beside the ends of their lines as far as there is room, each tied to its end.
fn labels(svg: &mut String, names: &mut [(f64, f64, &str, &Line)]) {
    names.sort_by(|a, b| a.1.total_cmp(&b.1));
    let lowest = HEIGHT - 12.0;
    let mut places: Vec<f64> = Vec::new();
    for (_, y, ..) in names.iter() {
        let least = places.last().map_or(TOP - 8.0, |last| last + LEADING);
        places.push(y.max(least));
    }
    let mut most = lowest;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - LEADING;
    }
    for ((x, y, colour, line), place) in names.iter().zip(places) {
        let start = WIDTH - RIGHT + 26.0;
        let class = if line.style == Style::Ours {
            " class=\"ours\""
        } else {
            ""
        };
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"0.8\" \
             stroke-opacity=\"0.5\" points=\"{x:.1},{y:.1} {:.1},{place:.1}\"/>\
             <circle cx=\"{:.1}\" cy=\"{place:.1}\" r=\"4\" fill=\"{colour}\"/>\
             <text{class} x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            start - 4.0,
            start,
            start + 9.0,
            place + 4.5,
            escape(&line.title)
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(title: &str, points: &[(f64, f64)]) -> Line {
        Line {
            title: title.into(),
            points: points.to_vec(),
            style: Style::Peer,
        }
    }

    #[test]
    fn more_is_higher_and_names_do_not_overlap() {
        let y = Axis {
            low: 1.0,
            high: 100.0,
            from: 500.0,
            to: 100.0,
        };
        assert!((y.at(10.0) - 300.0).abs() < 1e-9);
        let lines: Vec<Line> = (0..24).map(|_| line("x & y", &[(64.0, 5.0)])).collect();
        let svg = draw("t", &lines);
        assert!(svg.contains("x &amp; y"));
        let mut heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("r=\"4\""))
            .map(|line| {
                line.split("cy=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
            })
            .map(|text| text.parse().unwrap())
            .collect();
        heights.sort_by(f64::total_cmp);
        assert_eq!(heights.len(), 24);
        assert!(
            heights
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= LEADING - 0.2)
        );
        assert!(heights[23] <= HEIGHT);
    }
}
