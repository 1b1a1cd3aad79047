//! How calls fail, on one line: what is compared, and what children say.

use std::fmt::Debug;
use std::io;

use twinring::{End, Error, ErrorKind, Result};

pub(crate) const CLOSED: &str = r#"Closed { by: Peer, code: 0, reason: "" }"#;
pub(crate) const CLOSED_HERE: &str = r#"Closed { by: Local, code: 0, reason: "" }"#;
pub(crate) const ABANDONED: &str = "Abandoned { by: Peer }";
pub(crate) const ABANDONED_HERE: &str = "Abandoned { by: Local }";
pub(crate) const CRASHED: &str = "Crashed";
pub(crate) const STOPPED: &str = r#"Stopped { code: 0, reason: "" }"#;

/// The kind of the error.
#[track_caller]
pub(crate) fn kind<T: Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

/// How the connection, or a direction of it, has ended.
#[track_caller]
pub(crate) fn ended<T: Debug>(result: Result<T>) -> String {
    end(result, ErrorKind::Ended)
}

/// How one message has ended.
#[track_caller]
pub(crate) fn stream_ended<T: Debug>(result: Result<T>) -> String {
    end(result, ErrorKind::StreamEnded)
}

#[track_caller]
fn end<T: Debug>(result: Result<T>, kind: ErrorKind) -> String {
    let e = result.expect_err("an end");
    assert_eq!(e.kind(), kind, "{e}");
    end_text(e.end().expect("an error of this kind has an end"))
}

/// An end on one line.
pub(crate) fn end_text(end: &End) -> String {
    format!("{end:?}")
}

/// The library's error behind one of [`io`].
#[track_caller]
pub(crate) fn of_io<T>(result: io::Result<T>) -> Result<T> {
    result.map_err(|e| e.downcast::<Error>().expect("the library's error"))
}
