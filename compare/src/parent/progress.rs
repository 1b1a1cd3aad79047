//! How far it is.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use crate::cell::Workload;
use crate::common::print;

/// On stderr: one line that changes on a terminal, nothing elsewhere.
pub(super) struct Progress {
    total: usize,
    done: usize,
    start: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(total: usize) -> Progress {
        Progress {
            total,
            done: 0,
            start: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn next(&mut self, round: u32, workload: Workload, title: &str) {
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
    pub(super) fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        print::note(format_args!("{clear}{text}"));
    }

    pub(super) fn done(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.say(&format!("{} cells in {seconds:.0} s", self.done));
    }
}
