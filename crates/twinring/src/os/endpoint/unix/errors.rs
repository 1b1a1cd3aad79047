//! The errors of a place.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::os::{is_out_of_handles, system_error};

pub(super) fn useless(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::RuntimeDirectory,
        format!("the runtime directory {} {why}", path.display()),
    )
}

/// The directory cannot be made or opened.
pub(super) fn unusable(path: &Path, e: Errno) -> Error {
    let what = format!(
        "cannot make or open the runtime directory {}",
        path.display()
    );
    let lacking = io::Error::from(e);
    if let Some(error) = full_or_read_only(&what, e) {
        error
    } else if is_out_of_handles(&lacking) || matches!(e, Errno::ACCESS | Errno::PERM | Errno::NOMEM)
    {
        system_error(&what, lacking)
    } else {
        useless(path, &format!("cannot be used: {lacking}")).with_source(e)
    }
}

/// A file in the directory cannot be made or used; `what` says which.
pub(super) fn unusable_file(what: &str, directory: &Path, e: Errno) -> Error {
    let what = format!("cannot {what} in {}", directory.display());
    full_or_read_only(&what, e).unwrap_or_else(|| system_error(&what, e.into()))
}

fn full_or_read_only(what: &str, e: Errno) -> Option<Error> {
    let advice = match e {
        Errno::NOSPC => "free some space there (or files, of which it may have too many)",
        Errno::DQUOT => "remove files there, or raise this user's quota",
        Errno::ROFS => "make it writable",
        _ => return None,
    };
    let what = format!("{what}: {e}; {advice}, or use another directory");
    Some(Error::new(ErrorKind::RuntimeDirectory, what).with_source(e))
}
