//! The log: lines on the standard error, where systemd takes them from, or in a file.

use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
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

pub(crate) fn line(text: impl Display) {
    match FILE.get() {
        None => eprintln!("{text}"),
        // Nobody could be told if it fails.
        Some(mut file) => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            let _ = writeln!(file, "{now} {text}");
        }
    }
}
