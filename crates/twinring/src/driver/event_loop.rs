//! The driver's loop: one thread for all links of a process. Only it decides that a connection is over.
//!
//! It never waits for a peer, a sender or a slow file system, so that one link never holds up another.
//! Anything slow is a job for another thread, and a handshake is polled as its packets come. The peer
//! mostly answers within microseconds, less than it takes to sleep and be woken, so the loop goes round
//! for a while without sleeping ([`NextStep::Spin`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::link_task::{LinkTask, NextStep, Readiness};
use super::shared::Driver;
use super::token::{EventKind, NAME_WATCHER, Token};
use crate::os::event::Deadline;
use crate::os::system_error;
use crate::transfer::Awaited;

/// The pause after a failure that has no event to wait for.
const RETRY: Duration = Duration::from_millis(100);

pub(super) struct EventLoop {
    driver: Arc<Driver>,
    links: HashMap<u64, Entry>,
    /// When each link that has a deadline is due, with its id: finding those that are due reads the clock
    /// once, however many there are.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Links that are polled without waiting.
    spinning: BTreeSet<u64>,
    /// What the poller has reported.
    tokens: Vec<u64>,
}

struct Entry {
    task: Box<dyn LinkTask>,
    /// When to poll it at the latest.
    due: Option<Instant>,
}

impl EventLoop {
    pub(super) fn new(driver: &Arc<Driver>) -> EventLoop {
        EventLoop {
            driver: driver.clone(),
            links: HashMap::new(),
            deadlines: BTreeSet::new(),
            spinning: BTreeSet::new(),
            tokens: Vec::new(),
        }
    }

    /// Runs until there are no more links.
    pub(super) fn run(mut self) {
        loop {
            for (id, ready) in self.due() {
                self.poll(id, &ready);
            }
            // Acquire: pairs with the last registration's drop, so that we see its commands.
            if self.links.is_empty() && self.driver.retired.load(Ordering::Acquire) {
                return;
            }
            if let Err(e) = self.driver.poller.wait(self.next_due(), &mut self.tokens) {
                self.failed(&e);
                thread::sleep(RETRY);
            }
        }
    }

    fn poll(&mut self, id: u64, ready: &Readiness) {
        let Some(entry) = self.links.get_mut(&id) else {
            return;
        };
        if let Some(due) = entry.due.take() {
            self.deadlines.remove(&(due, id));
        }
        self.spinning.remove(&id);
        // A panic in one link ends that link; nobody looks at what it leaves half done.
        let next = catch_unwind(AssertUnwindSafe(|| entry.task.poll(ready)));
        match next {
            Ok(NextStep::Wait(deadline)) => {
                entry.due = deadline.at();
                self.deadlines.extend(entry.due.map(|due| (due, id)));
            }
            Ok(NextStep::Spin) => {
                self.spinning.insert(id);
            }
            Ok(NextStep::Finished) | Err(_) => drop(self.links.remove(&id)),
        }
    }

    fn next_due(&self) -> Deadline {
        if !self.spinning.is_empty() {
            // The peer may be waiting for this processor.
            thread::yield_now();
            return Deadline::Now;
        }
        let first = self.deadlines.first();
        first.map_or(Deadline::Never, |(due, _)| Deadline::At(*due))
    }

    /// The links to poll now, with what has happened to each.
    fn due(&mut self) -> BTreeMap<u64, Readiness> {
        let mut due: BTreeMap<u64, Readiness> = BTreeMap::new();
        let commands = std::mem::take(&mut *self.driver.commands());
        for (id, task) in commands.begun {
            self.links.insert(id, Entry { task, due: None });
        }
        for id in &self.spinning {
            due.entry(*id).or_default();
        }
        if self.tokens.contains(&NAME_WATCHER) {
            self.driver.name_watcher.changed(&mut self.tokens);
        }
        let reported = commands.notified.into_iter().chain(self.tokens.drain(..));
        for token in reported.map(Token::decode) {
            let ready = due.entry(token.link).or_default();
            match token.event {
                EventKind::Called => ready.called = true,
                EventKind::Name => ready.name = true,
                EventKind::HungUp(watch) => {
                    ready.hung_up.push(watch);
                    ready.peers.push(watch);
                }
                EventKind::Handshake => ready.handshake = true,
                EventKind::Ended(watch) | EventKind::PeerNotified(watch) => ready.peers.push(watch),
                EventKind::Notified => {}
                EventKind::Any => ready.all = true,
                EventKind::DataRung(watch) => {
                    ready.rung.push((watch, Awaited::Data));
                    ready.peers.push(watch);
                }
                EventKind::SpaceRung(watch) => {
                    ready.rung.push((watch, Awaited::Room));
                    ready.peers.push(watch);
                }
            }
        }
        for (_, id) in self.deadlines.range(..=(Instant::now(), u64::MAX)) {
            due.entry(*id).or_default();
        }
        due
    }

    /// Tells all links that the system did not let us wait, and polls them all.
    fn failed(&self, e: &io::Error) {
        for (id, entry) in &self.links {
            let told = io::Error::new(e.kind(), format!("cannot wait for events: {e}"));
            entry
                .task
                .failed(system_error("the library's thread", told));
            let all = Token {
                link: *id,
                event: EventKind::Any,
            };
            self.driver.commands().notified.insert(all.encode());
        }
    }
}

/// If the loop ends by a panic, this makes sure that nobody waits for it in vain.
impl Drop for EventLoop {
    fn drop(&mut self) {
        let commands = std::mem::take(&mut *self.driver.commands());
        drop(commands);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};
    use std::time::Duration;

    use super::*;
    use crate::Link;
    use crate::driver::registration::Registration;
    use crate::error::Error;

    /// Tells when it is dropped.
    struct Faulty {
        tell: Sender<()>,
        _registration: Registration,
    }

    impl LinkTask for Faulty {
        fn poll(&mut self, _: &Readiness) -> NextStep {
            panic!("a fault, as a test");
        }

        fn failed(&self, _: Error) {}
    }

    impl Drop for Faulty {
        fn drop(&mut self) {
            let _ = self.tell.send(());
        }
    }

    #[test]
    fn a_fault_in_one_link_ends_that_one_alone() {
        let name = format!("event-loop-{}", std::process::id());
        let host = Link::host(&name).open().unwrap();
        let (tell, told) = mpsc::channel();
        let registration = Registration::new().unwrap();
        let starter = registration.starter();
        starter.begin(Faulty {
            tell,
            _registration: registration,
        });
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        let guest = Link::guest(&name).open().unwrap();
        guest.within(Duration::from_secs(10)).next().unwrap();
        drop((guest, host));
    }
}
