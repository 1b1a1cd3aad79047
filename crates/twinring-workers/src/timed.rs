//! Tokio's timer for what has to be asked again in time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// Polls until it is ready: when the task is woken, and when the time has come that `wake_at` says.
pub(crate) async fn timed<S, T>(
    state: &mut S,
    mut poll: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
    wake_at: impl Fn(&S) -> Option<Instant>,
) -> T {
    let mut timer = pin!(tokio::time::sleep_until(Instant::now().into()));
    poll_fn(|task| {
        loop {
            if let Poll::Ready(ready) = poll(state, task) {
                return Poll::Ready(ready);
            }
            let Some(at) = wake_at(state) else {
                return Poll::Pending;
            };
            timer.as_mut().reset(at.into());
            if timer.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}
