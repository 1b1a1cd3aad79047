//! What callbacks are told, in order.

use std::sync::{Arc, Condvar, Mutex};

use twinring::{Error, Status};

use super::{LIMIT, end_text};

#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    pub(crate) fn new() -> Log {
        Log::default()
    }

    pub(crate) fn push(&self, line: impl Into<String>) {
        self.0.0.lock().unwrap().push(line.into());
        self.0.1.notify_all();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until there are `count` lines.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<String> {
        self.wait_until(&format!("{count} lines"), |lines| lines.len() >= count)
    }

    /// Waits until this is the last line.
    #[track_caller]
    pub(crate) fn wait_for_last(&self, line: &str) -> Vec<String> {
        self.wait_until(line, |lines| lines.last().is_some_and(|last| last == line))
    }

    #[track_caller]
    fn wait_until(&self, what: &str, done: impl Fn(&[String]) -> bool) -> Vec<String> {
        let lines = self.0.0.lock().unwrap();
        let (lines, _) = self
            .0
            .1
            .wait_timeout_while(lines, LIMIT, |lines| !done(lines))
            .unwrap();
        let lines = lines.clone();
        assert!(done(&lines), "no {what} within {LIMIT:?}, only {lines:#?}");
        lines
    }

    /// For `on_status`.
    pub(crate) fn statuses(&self) -> impl FnMut(&Status) + Send + 'static {
        let log = self.clone();
        move |status| log.push(text(status))
    }

    /// For `on_error`: the kinds.
    pub(crate) fn errors(&self) -> impl FnMut(&Error) + Send + 'static {
        let log = self.clone();
        move |e| log.push(format!("error {:?}", e.kind()))
    }
}

/// A status on one line.
pub(crate) fn text(status: &Status) -> String {
    match status {
        Status::Waiting => "waiting".to_owned(),
        Status::Connected(conn) => format!("connected to {}", conn.peer().pid),
        Status::PeerFinished(conn) => format!("{} has finished", conn.peer().pid),
        Status::Disconnected(_, end) => format!("disconnected {}", end_text(end)),
        Status::Closed => "closed".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The same, with the number of the connection and the whole of its end.
pub(crate) fn numbered(status: &Status, number: u32) -> String {
    match status {
        Status::Connected(conn) => format!("connected {number} to {}", conn.peer().pid),
        Status::PeerFinished(_) => format!("peer finished {number}"),
        Status::Disconnected(_, end) => format!("disconnected {number} {end:?}"),
        other => text(other),
    }
}
