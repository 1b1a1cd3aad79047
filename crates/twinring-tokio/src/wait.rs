//! Calls that do not wait, made again until they need not.

use std::hint::spin_loop;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::task::{coop, yield_now};
use twinring::Result;

use super::pace::{CROWDED, FEWEST_LOOKS, GLANCE, MOST_LOOKS, Pace};

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
    /// It lets others run, and looks then, this often. `many`: since when, if it may do so many times.
    Looks { done: u32, many: Option<Instant> },
    /// It is to be woken. `many`: it has looked many times.
    Asleep { many: bool },
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
            match &mut self.stage {
                Stage::New => {
                    self.stage = match pace.glance.pays() {
                        true => Stage::Glance(Instant::now()),
                        false => {
                            pace.glance.passed();
                            Stage::looks(pace)
                        }
                    };
                }
                Stage::Glance(since) if since.elapsed() < GLANCE => return Step::Look,
                Stage::Glance(_) => {
                    pace.glance.missed();
                    self.stage = Stage::looks(pace);
                }
                Stage::Looks { done, many } => {
                    *done += 1;
                    if *done == 2 && many.is_some_and(|since| since.elapsed() > CROWDED) {
                        pace.looks.missed();
                        *many = None;
                    }
                    let most = if many.is_some() {
                        MOST_LOOKS
                    } else {
                        FEWEST_LOOKS
                    };
                    if *done <= most {
                        return Step::Yield;
                    }
                    self.stage = Stage::Asleep {
                        many: many.is_some(),
                    };
                }
                Stage::Asleep { .. } => return Step::Sleep,
            }
        }
    }

    /// It has come.
    fn end(&mut self, pace: &Pace) {
        match self.stage {
            Stage::New => return,
            Stage::Glance(_) => pace.glance.came(),
            Stage::Looks { many: Some(_), .. } => pace.looks.came(),
            Stage::Asleep { many: true } => pace.looks.missed(),
            Stage::Looks { many: None, .. } | Stage::Asleep { many: false } => {}
        }
        self.stage = Stage::New;
    }
}

impl Stage {
    fn looks(pace: &Pace) -> Stage {
        let many = pace.looks.pays().then(Instant::now);
        if many.is_none() {
            pace.looks.passed();
        }
        Stage::Looks { done: 0, many }
    }
}
