//! How the system's errors map to ours.

use std::io;

use crate::error::{Error, ErrorKind};

/// An error of the operating system, mapped to one of our kinds. One of ours that was wrapped as
/// one of the system's is returned as it is.
pub(crate) fn system_error(what: &str, e: io::Error) -> Error {
    let e = match e.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(e) => e,
    };
    let (kind, advice) = match e.kind() {
            io::ErrorKind::PermissionDenied => (
                ErrorKind::AccessDenied,
                "; check the permissions and, between different users, the access of both sides",
            ),
            io::ErrorKind::OutOfMemory
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            // A limit on the size of files applies to shared memory too.
            | io::ErrorKind::FileTooLarge => (
                ErrorKind::OutOfMemory,
                "; use a smaller ring_capacity or free some memory",
            ),
            io::ErrorKind::InvalidData => (ErrorKind::Protocol, ""),
            io::ErrorKind::TimedOut => (ErrorKind::TimedOut, ""),
            _ if super::is_out_of_handles(&e) => (
                ErrorKind::OutOfHandles,
                "; raise the limit of open files or close some",
            ),
            _ => (ErrorKind::Os, ""),
        };
    Error::new(kind, format!("{what}: {e}{advice}")).with_source(e)
}
