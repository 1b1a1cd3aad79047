//! Tasks, and their answers.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::event::{Event, Exited};
use crate::slot::SendError;
use crate::supervisor::Supervisor;

/// How many tasks a worker has at a time, by default: one that it works on, and one that it need not wait for.
const WINDOW: usize = 2;
/// How often a task may have its worker die, by default.
const ATTEMPTS: u32 = 3;

/// Workers that do tasks: each task goes to one of them, which sends one answer for each, in their order, as
/// [`Parent::serve`](crate::Parent::serve) does. Made by [`Builder::start_pool`](crate::Builder::start_pool).
///
/// When a worker ends, the tasks that it has not answered go to others. **Each task has exactly one answer here.** It may have been begun more
/// than once: only if a worker had taken it when it ended, and its answer was not committed. With `serve` that is at most one task for each end.
///
/// As a [`Supervisor`], it does everything while the program waits for answers, and kills its workers when it is dropped.
///
/// ```no_run
/// # use std::process::Command;
/// use twinring_workers::{Supervisor, parent};
///
/// # fn main() -> std::io::Result<()> {
/// if let Some(parent) = parent()? {
///     return Ok(parent.serve(|task| task.to_ascii_uppercase())?);
/// }
/// let program = std::env::current_exe()?;
/// let mut pool = Supervisor::of(move |_| Command::new(&program)).workers(4).start_pool()?;
/// for done in pool.map(["one", "two", "three"].map(Vec::from)) {
///     println!("{:?}", done?.answer);
/// }
/// # Ok(()) }
/// ```
pub struct Pool {
    supervisor: Supervisor,
    window: usize,
    attempts: u32,
    /// What nobody has, in order.
    waiting: VecDeque<Task>,
    /// What each worker has, in order; `None` while there is no connection.
    under_way: Vec<Option<VecDeque<Task>>>,
    done: VecDeque<Done>,
    submitted: u64,
    on_event: Box<dyn FnMut(&Event) + Send>,
}

struct Task {
    number: u64,
    bytes: Vec<u8>,
    /// How many workers have ended with it.
    deaths: u32,
}

/// A task that is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// What [`submit`](Pool::submit) returned for it.
    pub number: u64,
    /// What was submitted.
    pub task: Vec<u8>,
    /// Its answer; or that it had its workers end, and is not tried again.
    pub answer: Result<Vec<u8>, TaskFailed>,
}

/// Each worker that a task was given to has ended with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailed {
    attempts: u32,
    last: String,
}

/// There is no worker any more, and none will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWorkersLeft;

impl Pool {
    pub(crate) fn new(supervisor: Supervisor) -> Pool {
        let under_way = (0..supervisor.workers()).map(|_| None).collect();
        Pool {
            supervisor,
            window: WINDOW,
            attempts: ATTEMPTS,
            waiting: VecDeque::new(),
            under_way,
            done: VecDeque::new(),
            submitted: 0,
            on_event: Box::new(|_| {}),
        }
    }

    /// How many tasks a worker has at a time; 2 by default: one that it works on, and the next one, so that it need not wait. More for
    /// tasks that take less than some 50 µs. All of them together should fit into its ring.
    pub fn window(&mut self, tasks: usize) {
        self.window = tasks.max(1);
    }

    /// How many workers may end with a task that they had taken before it [fails](Done::answer); 3 by default. So a task that no worker
    /// survives does not cost all of them.
    pub fn attempts(&mut self, attempts: u32) {
        self.attempts = attempts.max(1);
    }

    /// Calls `f` with each event that is no answer, while the program waits.
    pub fn on_event(&mut self, f: impl FnMut(&Event) + Send + 'static) {
        self.on_event = Box::new(f);
    }

    /// Puts a task behind the others, and returns its number, from 0 on. Never waits: tasks that nobody has yet are kept. A task that a worker
    /// [cannot be sent](crate::SendError::TooLarge) fails.
    pub fn submit(&mut self, task: Vec<u8>) -> u64 {
        let number = self.submitted;
        self.submitted += 1;
        self.waiting.push_back(Task {
            number,
            bytes: task,
            deaths: 0,
        });
        number
    }

    /// Waits for the next answer, of whatever task; `None` if all tasks are done.
    ///
    /// # Errors
    /// [`NoWorkersLeft`]: those that are not done never will be.
    pub fn next_done(&mut self) -> Result<Option<Done>, NoWorkersLeft> {
        loop {
            if let Some(next) = self.now()? {
                return Ok(next);
            }
            match self.supervisor.next() {
                Some(event) => self.handle(event),
                None => return Err(NoWorkersLeft),
            }
        }
    }

    /// As [`next_done`](Pool::next_done), for tasks: to be asked again when the task is woken, and at [`wake_at`](Pool::wake_at).
    pub fn poll_done(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Result<Option<Done>, NoWorkersLeft>> {
        loop {
            if let Some(next) = self.now()? {
                return Poll::Ready(Ok(next));
            }
            match ready!(self.supervisor.poll_next(task)) {
                Some(event) => self.handle(event),
                None => return Poll::Ready(Err(NoWorkersLeft)),
            }
        }
    }

    /// As [`Supervisor::wake_at`].
    pub fn wake_at(&self) -> Option<Instant> {
        self.supervisor.wake_at()
    }

    /// As [`next_done`](Pool::next_done), awaited in tokio.
    ///
    /// # Errors
    /// As [`next_done`](Pool::next_done).
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, no answer has been taken.
    #[cfg(feature = "tokio")]
    pub async fn next_done_async(&mut self) -> Result<Option<Done>, NoWorkersLeft> {
        crate::timed::timed(self, Pool::poll_done, Pool::wake_at).await
    }

    /// The answers to these tasks, as they come, in whatever order; and to those that were submitted before. Takes from `tasks` only what
    /// workers have room for.
    pub fn map<I: IntoIterator<Item = Vec<u8>>>(&mut self, tasks: I) -> Answers<'_, I::IntoIter> {
        let tasks = tasks.into_iter();
        Answers { pool: self, tasks }
    }

    /// The supervisor: to [kill](Supervisor::kill) a worker, or to [stop](Supervisor::stop) them when all is done. Who sends by it breaks the order
    /// of the answers, and who takes its events takes those of the pool.
    pub fn supervisor(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// What can be returned without waiting; `None` if nothing can, `Some(None)` if all is done.
    #[allow(
        clippy::type_complexity,
        reason = "it is what `next_done` returns, or nothing yet"
    )]
    fn now(&mut self) -> Result<Option<Option<Done>>, NoWorkersLeft> {
        self.give_out();
        if let Some(done) = self.done.pop_front() {
            return Ok(Some(Some(done)));
        }
        let nothing =
            self.waiting.is_empty() && self.under_way.iter().flatten().all(VecDeque::is_empty);
        Ok(nothing.then_some(None))
    }

    /// Whether a worker could take another task.
    fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.least_busy().is_some()
    }

    /// The connected worker that has the fewest tasks, if that is less than it may have.
    fn least_busy(&self) -> Option<usize> {
        let connected = self.under_way.iter().enumerate();
        let counts = connected.filter_map(|(worker, tasks)| Some((tasks.as_ref()?.len(), worker)));
        let (count, worker) = counts.min()?;
        (count < self.window).then_some(worker)
    }

    fn give_out(&mut self) {
        while !self.waiting.is_empty() {
            let Some(worker) = self.least_busy() else {
                return;
            };
            let (Some(task), Some(tasks)) = (self.waiting.pop_front(), &mut self.under_way[worker])
            else {
                return;
            };
            match self.supervisor.send(worker, &task.bytes) {
                Ok(()) => tasks.push_back(task),
                Err(SendError::TooLarge(e)) => {
                    let last = e.to_string();
                    self.fail(task, last);
                }
                // It is about to end, or has enough.
                Err(SendError::Full | SendError::Over) => {
                    self.waiting.push_front(task);
                    return;
                }
            }
        }
    }

    fn fail(&mut self, task: Task, last: String) {
        let Task {
            number,
            bytes,
            deaths,
        } = task;
        let failed = TaskFailed {
            attempts: deaths,
            last,
        };
        self.done.push_back(Done {
            number,
            task: bytes,
            answer: Err(failed),
        });
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { worker, message } => {
                match self.under_way[worker]
                    .as_mut()
                    .and_then(VecDeque::pop_front)
                {
                    Some(task) => self.done.push_back(Done {
                        number: task.number,
                        task: task.bytes,
                        answer: Ok(message),
                    }),
                    // An answer to nothing: what it has said before is not to be believed either, but has been told.
                    None => self.supervisor.kill(worker),
                }
                return;
            }
            Event::Started { worker, .. } => self.under_way[worker] = Some(VecDeque::new()),
            // Which answer this would have been is not known to those that come.
            Event::NotReceived { worker, .. } => self.supervisor.kill(worker),
            Event::NotSent {
                worker, ref error, ..
            } => {
                // Those behind it have not been sent either.
                let behind = self.supervisor.queued(worker);
                let tasks = self.under_way[worker].as_mut();
                let task =
                    tasks.and_then(|tasks| tasks.remove(tasks.len().checked_sub(behind + 1)?));
                if let Some(task) = task {
                    let last = error.to_string();
                    self.fail(task, last);
                }
            }
            Event::Exited(ref exited) => self.take_back(exited),
            Event::NotStarted { .. } => {}
        }
        (self.on_event)(&event);
    }

    /// What a worker had not answered waits again, before what has waited longer.
    fn take_back(&mut self, exited: &Exited) {
        let Some(tasks) = self.under_way[exited.worker].take() else {
            return;
        };
        // Of these it had begun the first ones, and has seen nothing of the last ones.
        let begun = tasks.len().saturating_sub(exited.unread.len());
        let mut again = VecDeque::new();
        for (place, mut task) in tasks.into_iter().enumerate() {
            task.deaths += u32::from(place < begun);
            match task.deaths >= self.attempts {
                true => self.fail(task, exited.status.to_string()),
                false => again.push_back(task),
            }
        }
        again.append(&mut self.waiting);
        self.waiting = again;
    }
}

/// Made by [`Pool::map`].
#[derive(Debug)]
pub struct Answers<'a, I> {
    pool: &'a mut Pool,
    tasks: I,
}

impl<I: Iterator<Item = Vec<u8>>> Iterator for Answers<'_, I> {
    type Item = Result<Done, NoWorkersLeft>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.pool.give_out();
            while self.pool.has_room() {
                let Some(task) = self.tasks.next() else {
                    return self.pool.next_done().transpose();
                };
                self.pool.submit(task);
                self.pool.give_out();
            }
            if let Some(done) = self.pool.done.pop_front() {
                return Some(Ok(done));
            }
            match self.pool.supervisor.next() {
                Some(event) => self.pool.handle(event),
                None => return Some(Err(NoWorkersLeft)),
            }
        }
    }
}

impl fmt::Display for TaskFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempts {
            0 => write!(f, "the task cannot be sent: {}", self.last),
            attempts => write!(
                f,
                "{attempts} workers have ended with the task, the last one: {}",
                self.last
            ),
        }
    }
}

impl std::error::Error for TaskFailed {}

impl fmt::Display for NoWorkersLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no worker left, and none will come")
    }
}

impl std::error::Error for NoWorkersLeft {}

impl From<NoWorkersLeft> for std::io::Error {
    fn from(e: NoWorkersLeft) -> std::io::Error {
        std::io::Error::other(e)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way: usize = self.under_way.iter().flatten().map(VecDeque::len).sum();
        f.debug_struct("Pool")
            .field("waiting", &self.waiting.len())
            .field("under_way", &under_way)
            .field("supervisor", &self.supervisor)
            .finish_non_exhaustive()
    }
}
