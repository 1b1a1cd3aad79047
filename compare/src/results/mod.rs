//! The file of results: JSON lines, a session's line first, then one line per run.

mod file;
mod rows;

pub(crate) use file::{Writer, read};
pub(crate) use rows::{Described, Row, Run, Session};
