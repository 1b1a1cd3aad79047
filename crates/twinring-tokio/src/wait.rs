//! Calls that do not wait, made again until they need not.

use std::hint::spin_loop;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::task::{coop, yield_now};
use twinring::Result;

use super::pace::Pace;

/// One wait of one task.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    since: Option<Instant>,
    /// How often it has looked again after others have run.
    looks: u32,
    /// It is to be woken: it has given up looking.
    asleep: bool,
}

/// What a task may find ready in vain before others have their turn.
const TRIES: usize = 8;

/// Makes the call until it does not time out. `poll_ready` has the task woken when it is to be made again.
#[inline]
pub(crate) fn poll_call<T>(
    task: &mut Context<'_>,
    pace: &Pace,
    waiting: &mut Waiting,
    mut call: impl FnMut() -> Result<T>,
    mut poll_ready: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Poll<Result<T>> {
    let coop = ready!(coop::poll_proceed(task));
    for _ in 0..TRIES {
        loop {
            match call() {
                Err(e) if e.is_timeout() => {}
                done => {
                    waiting.end(pace);
                    coop.made_progress();
                    return Poll::Ready(done);
                }
            }
            match waiting.next_step(pace) {
                Step::Look => spin_loop(),
                Step::Yield => return let_others_run(task),
                Step::Sleep => break,
            }
        }
        if poll_ready(task).is_pending() {
            return Poll::Pending;
        }
    }
    let_others_run(task)
}

/// The task runs again after the others, and after the runtime has looked for events. Its waker alone would have another
/// worker woken to take it over.
fn let_others_run<T>(task: &mut Context<'_>) -> Poll<T> {
    let yielded = pin!(yield_now()).poll(task);
    debug_assert!(yielded.is_pending());
    Poll::Pending
}

/// What a task does that has found nothing.
enum Step {
    /// Looks again at once.
    Look,
    /// Lets others run, and looks then.
    Yield,
    /// Sleeps until it is woken.
    Sleep,
}

impl Waiting {
    fn next_step(&mut self, pace: &Pace) -> Step {
        if self.asleep {
            return Step::Sleep;
        }
        // The clock is for the first looks only; later ones are counted.
        if self.looks == 0 {
            let now = Instant::now();
            if pace.glances(now - *self.since.get_or_insert(now)) {
                return Step::Look;
            }
        }
        if pace.looks_again(self.looks) {
            self.looks += 1;
            return Step::Yield;
        }
        self.asleep = true;
        Step::Sleep
    }

    /// It has come.
    fn end(&mut self, pace: &Pace) {
        if self.since.is_none() {
            return;
        }
        match self.asleep {
            true => pace.slept(),
            false => pace.came(),
        }
        *self = Waiting::default();
    }
}
