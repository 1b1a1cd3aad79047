//! Written line by line, read as a whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::rows::Row;
use crate::common::Result;

/// Writes rows as they come, so that a run that is stopped leaves what it has.
pub(crate) struct Writer(BufWriter<File>);

impl Writer {
    pub(crate) fn create(path: &Path) -> Result<Writer> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        let file = File::create(path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Writer(BufWriter::new(file)))
    }

    pub(crate) fn add(&mut self, row: &Row) -> Result<()> {
        serde_json::to_writer(&mut self.0, row)?;
        self.0.write_all(b"\n")?;
        Ok(self.0.flush()?)
    }
}

/// The rows of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn parse(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let row = serde_json::from_str(line)
            .map_err(|error| format!("line {} is no row of this program: {error}", i + 1))?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Figures, Workload};
    use crate::results::Run;

    #[test]
    fn rows_are_read_as_they_are_written() {
        let run = Run {
            round: 2,
            transport: "pipe".into(),
            workload: Workload::OneWay(64),
            probes: [100.0, 101.0],
            foreign_ms: 1.5,
            wall_ms: 300.0,
            failed: None,
            skipped: None,
            figures: Figures {
                bytes_per_s: Some(5e9),
                ..Figures::default()
            },
        };
        let line = serde_json::to_string(&Row::Run(run)).unwrap();
        assert!(!line.contains("null"), "{line}");
        let rows = parse(&format!("{line}\n\n{line}\n")).unwrap();
        assert_eq!(rows.len(), 2);
        let Row::Run(back) = &rows[1] else {
            panic!("{rows:?}");
        };
        assert_eq!(back.workload, Workload::OneWay(64));
        assert_eq!(back.figures.bytes_per_s, Some(5e9));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = parse("{\"kind\":\"session\"}\nnonsense\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
