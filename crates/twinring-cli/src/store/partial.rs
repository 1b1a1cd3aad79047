//! Temporary files: how they are made, and those that receivers left which were killed.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::os::files;

const PREFIX: &str = ".twinring-";
const SUFFIX: &str = ".part";

/// Makes a temporary file with this mode, or that of any new file. Nobody may do more with it than with the
/// file that it becomes.
///
/// Its name contains nothing of the file's, which may be as long as a name can be.
pub(super) fn create(directory: &Path, mode: Option<u32>) -> io::Result<NamedTempFile> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if let Some(mode) = mode {
        files::with_mode(&mut options, mode);
    }
    let file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .make_in(directory, |path| options.open(path))?;
    files::hold(file.as_file());
    Ok(file)
}

/// How many temporary files there are that no process writes.
pub(super) fn left(directory: &Path) -> usize {
    let Ok(entries) = directory.read_dir() else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
        })
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| !files::is_held(&entry.path()))
        .count()
}
