//! What a side says: lines with the system's time, which all processes have in common.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<File>);

impl Log {
    pub(crate) fn create(path: &Path) -> io::Result<Log> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        Ok(Log(Arc::new(file)))
    }

    /// In one piece, and with the system before it returns: the process may end right after.
    pub(crate) fn say(&self, what: impl Display) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = format!("{} {what}\n", now.as_micros());
        // There is nobody to be told of an error: the proof misses the line.
        let _ = (&*self.0).write_all(line.as_bytes());
    }
}

/// A line, and when it was said.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    at: Duration,
    pub(crate) text: String,
}

impl Line {
    /// Milliseconds from `earlier` to this one.
    pub(crate) fn since(&self, earlier: &Line) -> f64 {
        (self.at.as_secs_f64() - earlier.at.as_secs_f64()) * 1e3
    }
}

/// The lines so far that are complete.
pub(crate) fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line: &str| {
        let (at, text) = line.split_once(' ')?;
        Some(Line {
            at: Duration::from_micros(at.parse().ok()?),
            text: text.to_owned(),
        })
    };
    complete.lines().filter_map(parse).collect()
}
