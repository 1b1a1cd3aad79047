//! The connections of a link: those that the program has not taken yet, and all that there are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use crate::error::{Error, ErrorKind};
use crate::os::event::Deadline;
use crate::segment::Cause;
use crate::sync::Wakers;
use crate::transfer::{Duplex, Owner, SeatLimit};

/// How many may be queued. Beyond that no further ones are made until some are taken, so that nothing committed is
/// dropped and memory stays bounded.
const BACKLOG: usize = 8;
/// Of a listener.
const BACKLOG_OF_MANY: usize = 128;

#[derive(Debug)]
pub(super) struct Arrivals {
    seats: SeatLimit,
    queue: Mutex<ArrivalQueue>,
    arrived: Condvar,
    /// Tasks that wait for one.
    tasks: Wakers,
}

#[derive(Debug, Default)]
struct ArrivalQueue {
    /// Oldest first.
    waiting: VecDeque<Arc<Owner>>,
    /// The one that the program was told of last.
    told: Weak<Owner>,
    /// The one whose messages the callback thread is telling.
    current: Option<Arc<Owner>>,
    /// Those that have not ended, by their ids, the oldest first.
    all: BTreeMap<u64, Weak<Owner>>,
    /// There has been one.
    any: bool,
    closing: Option<Closing>,
    /// There will be none.
    closed: bool,
}

/// The link is being closed.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    /// What its connections are to be closed with, if they are.
    pub(super) cause: Option<Cause>,
}

impl Arrivals {
    pub(super) fn new(seats: SeatLimit) -> Arrivals {
        Arrivals {
            seats,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            tasks: Wakers::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, ArrivalQueue> {
        // Nothing can panic while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the link is being closed.
    pub(super) fn push(&self, owner: &Arc<Owner>) -> Result<(), Closing> {
        let mut queue = self.queue();
        if let Some(closing) = &queue.closing {
            return Err(closing.clone());
        }
        queue
            .all
            .insert(owner.duplex.session.id, Arc::downgrade(owner));
        queue.waiting.push_back(owner.clone());
        queue.any = true;
        self.arrived.notify_all();
        drop(queue);
        self.tasks.wake();
        Ok(())
    }

    /// Whether [`Arrivals::next`] would not wait; if not, the task is woken when that may have changed.
    pub(super) fn poll_ready(&self, task: &Waker, only_one: bool) -> bool {
        self.tasks.add(task);
        let queue = self.queue();
        !queue.waiting.is_empty() || only_one && queue.any || queue.closed
    }

    /// The next one, waiting for it. `None` at the deadline, or once none will come; after the first, if there is to be
    /// `only_one`.
    pub(super) fn next(&self, deadline: Deadline, only_one: bool) -> Option<Arc<Owner>> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(owner) = queue.waiting.pop_front() {
                return Some(owner);
            }
            if only_one && queue.any {
                return None;
            }
            queue = match deadline.left() {
                None => self
                    .arrived
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return None,
                Some(left) => {
                    self.arrived
                        .wait_timeout(queue, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Whether there has been one.
    pub(super) fn any(&self) -> bool {
        self.queue().any
    }

    /// For the callback thread: the next one, which the link keeps until [`Arrivals::drop_current`].
    pub(super) fn take_current(&self) -> Option<Arc<Owner>> {
        let mut queue = self.queue();
        queue.current = queue.waiting.pop_front();
        queue.current.clone()
    }

    pub(super) fn drop_current(&self) {
        let current = self.queue().current.take();
        // Not within the lock: it may be the last handle.
        drop(current);
    }

    /// The program has been told of it: from now on `Link::send` sends on it.
    pub(super) fn set_told(&self, owner: &Arc<Owner>) {
        owner.set_told();
        self.queue().told = Arc::downgrade(owner);
    }

    /// The one that the program was told of last, if it still has it.
    pub(super) fn told(&self) -> Option<Arc<Owner>> {
        self.queue().told.upgrade()
    }

    /// The last that was made, if it has not ended and the program or the link has it.
    pub(super) fn last(&self) -> Option<Arc<Owner>> {
        self.queue().all.values().next_back()?.upgrade()
    }

    /// Those that have not ended and that the program or the link has.
    pub(super) fn all(&self) -> Vec<Arc<Owner>> {
        let queue = self.queue();
        queue.all.values().filter_map(Weak::upgrade).collect()
    }

    /// It has ended. Returns whether others have not.
    pub(super) fn ended(&self, duplex: &Duplex) -> bool {
        let mut queue = self.queue();
        queue.all.remove(&duplex.session.id);
        !queue.all.is_empty()
    }

    /// The link gives up what it keeps for the program.
    pub(super) fn abandon(&self) {
        let mut queue = self.queue();
        let (waiting, current) = (std::mem::take(&mut queue.waiting), queue.current.take());
        drop(queue);
        // The callback thread may have it for a while longer.
        if let Some(owner) = &current {
            owner.duplex.drop_handles();
        }
        drop((waiting, current));
    }

    /// The link is being closed: no further ones. Returns those that there are.
    pub(super) fn begin_to_close(&self, cause: Option<&Cause>) -> Vec<Arc<Owner>> {
        let mut queue = self.queue();
        queue.closing = Some(Closing {
            cause: cause.cloned(),
        });
        queue.all.values().filter_map(Weak::upgrade).collect()
    }

    /// Tells everyone who waits that there will be none.
    pub(super) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        self.arrived.notify_all();
        drop(queue);
        self.tasks.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue().closed
    }

    fn backlog(&self) -> usize {
        match self.seats {
            SeatLimit::One => BACKLOG,
            SeatLimit::Many { .. } => BACKLOG_OF_MANY,
        }
    }

    /// Whether no further connection should be made. `all`: the program is told of each.
    pub(super) fn is_full(&self, all: bool) -> bool {
        let mut queue = self.queue();
        let mut dropped = Vec::new();
        // A program that does not take them: of consecutive ones that brought nothing and have ended, only
        // the last is kept.
        if !all {
            let spent = |owner: &Arc<Owner>| owner.duplex.inbox.is_spent();
            let mut i = 1;
            while i < queue.waiting.len() {
                if spent(&queue.waiting[i - 1]) && spent(&queue.waiting[i]) {
                    dropped.extend(queue.waiting.remove(i - 1));
                } else {
                    i += 1;
                }
            }
        }
        let full = queue.waiting.len() >= self.backlog();
        drop(queue);
        drop(dropped);
        full
    }

    /// The error while [`Arrivals::is_full`].
    pub(super) fn full(&self) -> Error {
        let backlog = self.backlog();
        Error::new(
            ErrorKind::Full,
            format!(
                "the program has not taken {backlog} earlier connections; the link connects again when \
                 it has taken some"
            ),
        )
    }
}
