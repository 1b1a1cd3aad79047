//! The end's side of it.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::lines::{Line, Order};
use crate::cell::Figures;
use crate::common::{Failure, Result, print};

type Job = Box<dyn FnOnce() + Send>;

/// Hears orders and says lines.
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

    /// Waits until the host shall make what a guest can find.
    pub(crate) fn wait_open(&self) -> Result<()> {
        match self.hear()? {
            Order::Open => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until the guest shall connect; gives by what it finds the host.
    pub(crate) fn wait_connect(&self) -> Result<String> {
        match self.hear()? {
            Order::Connect(token) => Ok(token),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until the guest shall use its link again.
    pub(crate) fn wait_wake(&self) -> Result<()> {
        match self.hear()? {
            Order::Wake => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells the figures, and returns when both ends are done with the link.
    pub(crate) fn finish(&self, figures: Figures) -> Result<()> {
        self.say(&Line::Result(Box::new(figures)));
        match self.hear()? {
            Order::End => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells what went wrong. The parent ends us once it has read this; an end that goes first would
    /// be reported in its place.
    pub(crate) fn fail(&self, fault: String) {
        self.say(&Line::Failed(fault));
        while self.hear().is_ok() {}
    }

    fn hear(&self) -> Result<Order> {
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

fn unexpected(order: &Order) -> Failure {
    format!("unexpected order {order:?}").into()
}
