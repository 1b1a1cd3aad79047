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

pub(super) fn unusable(path: &Path, e: Errno) -> Error {
    let e = io::Error::from(e);
    if e.kind() == io::ErrorKind::PermissionDenied || is_out_of_handles(&e) {
        let what = format!(
            "cannot make or open the runtime directory {}",
            path.display()
        );
        return system_error(&what, e);
    }
    useless(path, &format!("cannot be used: {e}"))
}
