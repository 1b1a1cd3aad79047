//! Calls that do not wait, made again until they need not.

use std::hint::spin_loop;
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::task::{coop, yield_now};
use twinring::Result;

use super::pace::{CROWDED, FEW_LOOKS, GLANCE, MANY_LOOKS, Pace};

/// One wait of one task.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// Nothing has been looked for in vain.
    #[default]
    New,
    /// It keeps the thread, since then.
    Glance(Instant),
    /// It lets others run, and looks then; it has so often. After a few times it goes on only if there are not many
    /// others, if they have run since then.
    FewLooks(u32, Option<Instant>),
    ManyLooks(u32),
    /// It is to be woken.
    Asleep,
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
        loop {
            let next = match &mut self.stage {
                Stage::New if pace.glance.pays() => Stage::Glance(Instant::now()),
                Stage::Glance(since) if since.elapsed() < GLANCE => return Step::Look,
                stage @ (Stage::New | Stage::Glance(_)) => {
                    if let Stage::Glance(_) = stage {
                        pace.glance.missed();
                    }
                    let since = pace.many_looks.pays().then(Instant::now);
                    match pace.few_looks.pays() || since.is_some() {
                        true => Stage::FewLooks(0, since),
                        false => Stage::Asleep,
                    }
                }
                Stage::FewLooks(looks, since) if *looks < FEW_LOOKS => {
                    if *looks == 1 && since.is_some_and(|since| since.elapsed() > CROWDED) {
                        pace.many_looks.missed();
                        *since = None;
                    }
                    *looks += 1;
                    return Step::Yield;
                }
                Stage::FewLooks(_, since) => {
                    pace.few_looks.missed();
                    match since {
                        Some(_) => Stage::ManyLooks(FEW_LOOKS),
                        None => Stage::Asleep,
                    }
                }
                Stage::ManyLooks(looks) if *looks < MANY_LOOKS => {
                    *looks += 1;
                    return Step::Yield;
                }
                Stage::ManyLooks(_) => {
                    pace.many_looks.missed();
                    Stage::Asleep
                }
                Stage::Asleep => return Step::Sleep,
            };
            self.stage = next;
        }
    }

    /// It has come.
    fn end(&mut self, pace: &Pace) {
        match mem::take(&mut self.stage) {
            Stage::New | Stage::Asleep => {}
            Stage::Glance(_) => pace.glance.came(),
            Stage::FewLooks(_, since) => {
                pace.few_looks.came();
                if since.is_some() {
                    pace.many_looks.came();
                }
            }
            Stage::ManyLooks(_) => pace.many_looks.came(),
        }
    }
}
