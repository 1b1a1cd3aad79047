//! The report: a line for each proof, on the screen at once and in a file at the end.

use std::path::Path;

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// About the machine: proves nothing.
    Info,
    Pass,
    Fail,
    /// It was not done.
    Skip,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Info => "INFO",
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "SKIP",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<(Verdict, String)>,
}

impl Report {
    pub(crate) fn note(&mut self, verdict: Verdict, name: &str, evidence: &str) {
        let line = format!("{:<5} {name}: {}", verdict.word(), evidence.trim());
        println!("{line}");
        self.lines.push((verdict, line));
    }

    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|(v, _)| *v == verdict).count()
    }

    pub(crate) fn summary(&self) -> String {
        let [passed, failed, skipped] =
            [Verdict::Pass, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        format!("{passed} passed, {failed} FAILED, {skipped} not done")
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let lines = self.lines.iter().map(|(_, line)| format!("{line}\r\n"));
        let text: String = lines.chain([self.summary() + "\r\n"]).collect();
        std::fs::write(path, text)
    }
}
