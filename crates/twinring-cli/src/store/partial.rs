//! How temporary files are made.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use super::system;

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
        system::with_mode(&mut options, mode);
    }
    tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .make_in(directory, |path| options.open(path))
}
