//! The lines between the parent and each end, on the end's stdin and stdout.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};

use crate::cell::{Figures, Result};
use crate::print;

/// What an end tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// It runs; nothing of the transport has been touched yet.
    Born,
    /// The host can be found by this.
    Token(String),
    /// The guest's link works and rests.
    Idle,
    /// It is done, and keeps its link until told to end.
    Result(Box<Figures>),
    Failed(String),
}

/// What an end is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Open,
    Connect(String),
    /// Use the link that rested.
    Wake,
    End,
}

type Job = Box<dyn FnOnce() + Send>;

/// The end's side of it.
pub(crate) struct Control {
    orders: Receiver<Order>,
    helper: Sender<Job>,
}

impl Control {
    /// Starts the two threads that every end has from birth, so that none is counted as a link's.
    pub(crate) fn start() -> Control {
        let (to_us, orders) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
                match serde_json::from_str(&line) {
                    Ok(order) => {
                        let _ = to_us.send(order);
                    }
                    Err(error) => {
                        print::note(format_args!("compare: an order that is none: {error}"));
                        break;
                    }
                }
            }
            // Nobody is left who wants to know.
            std::process::exit(3);
        });
        let (helper, jobs) = channel::<Job>();
        std::thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Control { orders, helper }
    }

    pub(crate) fn say(&self, line: &Line) {
        // If it does not arrive, stdin ends as well, and so do we.
        if let Ok(text) = serde_json::to_string(line) {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }

    pub(crate) fn hear(&self) -> Result<Order> {
        Ok(self.orders.recv()?)
    }

    /// Runs something on the second thread; the receiver gives what came out.
    pub(crate) fn beside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Receiver<T>> {
        let (done, result) = channel();
        let job = move || {
            let _ = done.send(job());
        };
        self.helper
            .send(Box::new(job))
            .map_err(|_| "the second thread is gone")?;
        Ok(result)
    }
}
