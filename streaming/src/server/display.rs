//! What the server shows: bars on a terminal, and lines.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const BAR: &str =
    "{msg:!40} {bar:24} {percent:>3}% {bytes:>10} {binary_bytes_per_sec:>13} {eta:>4} left";

pub(super) struct Display {
    bars: MultiProgress,
    of_jobs: HashMap<u64, ProgressBar>,
}

impl Display {
    pub(super) fn new() -> Display {
        Display {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            of_jobs: HashMap::new(),
        }
    }

    /// Whether anybody sees the bars.
    pub(super) fn has_bars(&self) -> bool {
        !self.bars.is_hidden()
    }

    pub(super) fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// How far a job is.
    pub(super) fn show(&mut self, job: u64, name: &str, done: u64, of: u64) {
        let bar = self.of_jobs.entry(job).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(of));
            // The template is a constant, and a test checks it.
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style);
            }
            bar.set_message(format!("job {job}: {name}"));
            bar
        });
        bar.set_position(done);
    }

    pub(super) fn end(&mut self, job: u64) {
        if let Some(bar) = self.of_jobs.remove(&job) {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_right() {
        ProgressStyle::with_template(BAR).unwrap();
    }
}
