//! Windows: tokio's reactor takes sockets and pipes, but no events, so the library's thread listens.

use std::task::{Context, Poll};

use twinring::Interest;

use crate::wait::Waitable;

#[derive(Debug, Default)]
pub(crate) struct Listening {}

impl Listening {
    pub(crate) fn poll_ready(
        &self,
        handle: &impl Waitable,
        interest: Interest,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        handle.poll_ready(interest, task)
    }
}
