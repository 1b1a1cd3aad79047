//! Windows: tokio's reactor takes sockets and pipes, but no events, so the library's thread listens.

use std::task::{Context, Poll};

use twinring::{Doorbell, Interest};

#[derive(Debug, Default)]
pub(crate) struct Listening {}

impl Listening {
    pub(crate) fn poll_ready(
        &self,
        _interest: Interest,
        task: &mut Context<'_>,
        _doorbell: impl FnOnce() -> Doorbell,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<()> {
        ask(task)
    }
}
