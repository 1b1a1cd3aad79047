//! The progress of a file: a bar with rate and remaining time on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const KNOWN: &str =
    "{msg:!24} {bar:24} {percent:>3}% {bytes:>10} {binary_bytes_per_sec:>13} {eta:>4} left";
const UNKNOWN: &str = "{msg:!24} {spinner} {bytes:>10} {binary_bytes_per_sec:>13}";

/// Shows how far one file is, until dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// File number `at.0` of `at.1`; `size` is `None` if it is not known.
    pub(crate) fn new(name: &str, at: (u64, u64), size: Option<u64>, quiet: bool) -> Progress {
        if quiet {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
        let template = if size.is_some() { KNOWN } else { UNKNOWN };
        // The templates are constants, and a test checks them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(match at {
            (_, 1) => name.to_owned(),
            (this, all) => format!("{this}/{all} {name}"),
        });
        Progress(bar)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_right() {
        for template in [KNOWN, UNKNOWN] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
