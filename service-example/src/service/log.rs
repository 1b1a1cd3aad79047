//! The log: lines on the standard error, where systemd takes them from, or in a file.

use std::fmt::Display;
use std::fs::File;
use std::io::{Write as _, stderr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::Context as _;

static FILE: OnceLock<File> = OnceLock::new();

/// From now on into this file.
pub(crate) fn append_to(path: &Path) -> anyhow::Result<()> {
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))?;
    FILE.get_or_init(|| file);
    Ok(())
}

/// If it fails, there is nobody left to be told.
pub(crate) fn line(text: impl Display) {
    let _ = match FILE.get() {
        None => writeln!(stderr(), "{text}"),
        Some(mut file) => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            writeln!(file, "{now} {text}")
        }
    };
}
