//! The guests that a host is connected to, each with its watch.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::core::Core;
use super::link_task::Readiness;
use super::peer_watch::PeerWatch;
use super::registration::Registration;
use super::seats::Seats;
use crate::os::event::Deadline;
use crate::transfer::Parts;

pub(super) struct Peers {
    core: Arc<Core>,
    /// By the numbers of their watches.
    watches: HashMap<u32, Watching>,
    /// When each watch that has a deadline is due.
    deadlines: BTreeSet<(Instant, u32)>,
}

struct Watching {
    watch: PeerWatch,
    /// When to poll it at the latest.
    due: Option<Instant>,
}

impl Peers {
    pub(super) fn new(core: &Arc<Core>) -> Peers {
        Peers {
            core: core.clone(),
            watches: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// When to poll one of them at the latest.
    pub(super) fn due(&self) -> Deadline {
        let first = self.deadlines.first();
        first.map_or(Deadline::Never, |(due, _)| Deadline::At(*due))
    }

    /// A handshake has succeeded.
    pub(super) fn connect(&mut self, parts: Parts, seats: &mut Seats, registration: &Registration) {
        let watch = PeerWatch::new(parts, &self.core);
        let number = watch.number();
        self.watches.insert(number, Watching { watch, due: None });
        self.poll_one(number, &Readiness::default(), seats, registration);
    }

    /// Attends to those that something has happened to.
    pub(super) fn poll(
        &mut self,
        ready: &Readiness,
        seats: &mut Seats,
        registration: &Registration,
    ) {
        if ready.all {
            return self.poll_all(seats, registration);
        }
        for number in &ready.peers {
            self.poll_one(*number, ready, seats, registration);
        }
        let now = Instant::now();
        let due: Vec<u32> = self
            .deadlines
            .range(..=(now, u32::MAX))
            .map(|(_, number)| *number)
            .collect();
        for number in due {
            self.poll_one(number, ready, seats, registration);
        }
    }

    /// Asks the kernel about each: one that has ended may not have been reported yet.
    pub(super) fn poll_all(&mut self, seats: &mut Seats, registration: &Registration) {
        let all: Vec<u32> = self.watches.keys().copied().collect();
        for number in all {
            self.poll_one(number, &Readiness::default(), seats, registration);
        }
    }

    fn poll_one(
        &mut self,
        number: u32,
        ready: &Readiness,
        seats: &mut Seats,
        registration: &Registration,
    ) {
        let Some(entry) = self.watches.get_mut(&number) else {
            return;
        };
        if let Some(due) = entry.due.take() {
            self.deadlines.remove(&(due, number));
        }
        if entry.watch.poll(ready, &self.core, registration) {
            seats.release(entry.watch.user());
            self.watches.remove(&number);
            return;
        }
        entry.due = entry.watch.due().at();
        self.deadlines.extend(entry.due.map(|due| (due, number)));
    }
}
