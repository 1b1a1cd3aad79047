//! The smallest executor: one thread, one future.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use twinring::{Connection, Interest, Result, Timeout};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. Also returns how often it was polled.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut polls, begun) = (0, Instant::now());
    loop {
        polls += 1;
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (done, polls);
        }
        thread::park_timeout(Duration::from_secs(60));
        assert!(begun.elapsed() < super::LIMIT, "the task is not woken");
    }
}

/// Makes a call that does not wait, whenever it may go on, until it is done.
pub(crate) async fn when_ready<T>(
    conn: &Connection,
    interest: Interest,
    call: impl Fn(&Connection) -> Result<T>,
) -> Result<T> {
    let now = conn.within(Timeout::Now);
    std::future::poll_fn(|task| {
        loop {
            match call(&now) {
                Err(e) if e.is_timeout() => {
                    if now.poll_ready(interest, task).is_pending() {
                        return Poll::Pending;
                    }
                }
                done => return Poll::Ready(done),
            }
        }
    })
    .await
}
