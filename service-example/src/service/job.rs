//! What is wanted of the work, and how far it is. The work itself is in `run.rs`.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use inventory::{Command, Snapshot, Stage};

use crate::run::run;

/// How often a GUI sees something new, and how often it hears of the service even if there is nothing.
const SOON: Duration = Duration::from_millis(100);
const AT_LEAST: Duration = Duration::from_secs(1);

pub(crate) struct Job {
    pub(crate) folder: PathBuf,
    pub(crate) bytes_per_second: u64,
    state: Mutex<State>,
    /// Of the state.
    changed: Condvar,
}

struct State {
    snapshot: Snapshot,
    wanted: Wanted,
    /// Whether `next_snapshot` has something to give.
    news: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Rest,
    Work,
    Pause,
    Quit,
}

/// It was cancelled, or the service is to stop.
pub(crate) struct Interrupted;

impl Job {
    pub(crate) fn new(folder: PathBuf, bytes_per_second: u64) -> Job {
        let snapshot = Snapshot {
            folder: folder.display().to_string(),
            ..Snapshot::default()
        };
        let (wanted, news) = (Wanted::Rest, true);
        Job {
            folder,
            bytes_per_second,
            state: Mutex::new(State {
                snapshot,
                wanted,
                news,
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn command(&self, command: Command) {
        let mut state = self.lock();
        state.wanted = match (command, state.wanted) {
            (_, Wanted::Quit) => Wanted::Quit,
            (Command::Start, _) => Wanted::Work,
            (Command::Pause, Wanted::Rest) | (Command::Cancel, _) => Wanted::Rest,
            (Command::Pause, _) => Wanted::Pause,
        };
        self.changed.notify_all();
    }

    pub(crate) fn quit(&self) {
        self.lock().wanted = Wanted::Quit;
        self.changed.notify_all();
    }

    /// There is somebody new to show it to.
    pub(crate) fn show_again(&self) {
        self.announce(&mut self.lock());
    }

    /// Waits until there is something new, within limits; `None` when the service is to stop.
    pub(crate) fn next_snapshot(&self) -> Option<Snapshot> {
        thread::sleep(SOON);
        let rests = |state: &mut State| !state.news && state.wanted != Wanted::Quit;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), AT_LEAST, rests)
            .unwrap();
        state.news = false;
        (state.wanted != Wanted::Quit).then(|| state.snapshot.clone())
    }

    /// Works whenever that is wanted, until the service is to stop.
    pub(crate) fn work(&self) {
        while self.wait_for_start() {
            let result = run(self);
            let mut state = self.lock();
            // A second `Start` during the run was no wish for another.
            if state.wanted != Wanted::Quit {
                state.wanted = Wanted::Rest;
            }
            drop(state);
            self.update(|snapshot| {
                snapshot.stage = match result {
                    Ok(()) => Stage::Done,
                    Err(Interrupted) => Stage::Cancelled,
                };
            });
        }
    }

    fn wait_for_start(&self) -> bool {
        let rests = |state: &mut State| matches!(state.wanted, Wanted::Rest | Wanted::Pause);
        let state = self.changed.wait_while(self.lock(), rests).unwrap();
        state.wanted == Wanted::Work
    }

    /// Called again and again while it works: waits while it is to pause, and returns for how long.
    pub(crate) fn checkpoint(&self) -> Result<Duration, Interrupted> {
        let mut state = self.lock();
        let mut paused = Duration::ZERO;
        if state.wanted == Wanted::Pause {
            let began = Instant::now();
            let stage = std::mem::replace(&mut state.snapshot.stage, Stage::Paused);
            self.announce(&mut state);
            state = self
                .changed
                .wait_while(state, |state| state.wanted == Wanted::Pause)
                .unwrap();
            state.snapshot.stage = stage;
            self.announce(&mut state);
            paused = began.elapsed();
        }
        match state.wanted {
            Wanted::Work => Ok(paused),
            _ => Err(Interrupted),
        }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut state = self.lock();
        change(&mut state.snapshot);
        self.announce(&mut state);
    }

    fn announce(&self, state: &mut State) {
        state.news = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
