//! How the system's errors map to ours.

use std::io;

use crate::error::{Error, ErrorKind};

/// An error of the operating system, mapped to one of our kinds. One of ours that was wrapped as
/// one of the system's is returned as it is.
pub(crate) fn system_error(what: &str, e: io::Error) -> Error {
    let (kind, advice) = match e.kind() {
        io::ErrorKind::PermissionDenied => (
            ErrorKind::AccessDenied,
            "; check the permissions and, between different users, the access and the directory of both sides",
        ),
        io::ErrorKind::OutOfMemory => (
            ErrorKind::OutOfMemory,
            "; free some memory, or raise this process's limit (ulimit -v)",
        ),
        // Files have errors of their own, so this is a user's limit of what the kernel may watch (epoll).
        io::ErrorKind::StorageFull => (
            ErrorKind::OutOfHandles,
            "; raise the system's limit of what a user may watch",
        ),
        io::ErrorKind::InvalidData => (ErrorKind::Protocol, ""),
        io::ErrorKind::TimedOut => (ErrorKind::TimedOut, ""),
        _ if super::is_out_of_handles(&e) => (
            ErrorKind::OutOfHandles,
            "; raise the limit of open files or close some",
        ),
        _ => (ErrorKind::Os, ""),
    };
    advised(what, e, kind, advice)
}

/// The error of creating or mapping shared memory.
pub(crate) fn memory_error(what: &str, e: io::Error) -> Error {
    let advice = match e.kind() {
        io::ErrorKind::OutOfMemory => {
            "; use a smaller ring_capacity, free some memory, or raise this process's limit \
             (ulimit -v)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; use a smaller ring_capacity or free some memory"
        }
        // A limit on the size of files applies to shared memory too.
        io::ErrorKind::FileTooLarge => {
            "; use a smaller ring_capacity, or raise this process's limit of the size of files \
             (ulimit -f)"
        }
        _ => return system_error(what, e),
    };
    advised(what, e, ErrorKind::OutOfMemory, advice)
}

fn advised(what: &str, e: io::Error, kind: ErrorKind, advice: &str) -> Error {
    match e.downcast::<Error>() {
        Ok(ours) => ours,
        Err(e) => Error::new(kind, format!("{what}: {e}{advice}")).with_source(e),
    }
}
