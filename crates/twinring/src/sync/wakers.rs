//! Tasks that wait for something, each by its waker.

#[cfg(all(loom, test))]
mod model;

use std::mem;
use std::sync::PoisonError;
use std::task::Waker;

use super::{AtomicBool, Mutex, MutexGuard, Ordering, full_fence};

/// The tasks that wait for one thing. Each is woken once, and then asks again.
///
/// A task *adds* its waker and then *looks* for what it waits for; who brings that *stores* it and then calls
/// [`wake`](Wakers::wake). Each has a full fence in between, so that one of the two sees the other: as between a sleeper and a
/// publisher (`docs/ordering.md`).
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    /// Whether there are any: a look that costs no lock.
    any: AtomicBool,
    /// A task found that another thread had what it wanted to look at: that one wakes it.
    turned_away: AtomicBool,
    waiting: Mutex<KeptWakers>,
}

#[derive(Debug)]
struct KeptWakers {
    wakers: Vec<Waker>,
    /// Beyond so many, all are woken: those that still wait ask again, and those that have gone are forgotten.
    most: usize,
}

impl Default for KeptWakers {
    fn default() -> KeptWakers {
        KeptWakers {
            wakers: Vec::new(),
            most: FIRST_MOST,
        }
    }
}

/// At first, and then twice as many each time, up to the last: tasks that all wait must not wake each other for ever.
const FIRST_MOST: usize = 32;
const LAST_MOST: usize = 1 << 16;

impl Wakers {
    fn waiting(&self) -> MutexGuard<'_, KeptWakers> {
        // Nothing can panic while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the task is woken. What it waits for has to be looked at after this.
    pub(crate) fn add(&self, waker: &Waker) {
        let mut waiting = self.waiting();
        if waiting.wakers.iter().any(|known| known.will_wake(waker)) {
            drop(waiting);
            // As below: it may have looked since.
            return full_fence();
        }
        let mut gone = Vec::new();
        if waiting.wakers.len() >= waiting.most {
            gone = mem::take(&mut waiting.wakers);
            waiting.most = (waiting.most * 2).min(LAST_MOST);
        }
        waiting.wakers.push(waker.clone());
        self.any.store(true, Ordering::Relaxed);
        drop(waiting);
        // Without this fence the task's look may be done before this is seen.
        full_fence(); // added
        wake(gone);
    }

    /// A hint.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// A task could not look. Must be said before it tries for the last time.
    pub(crate) fn turn_away(&self) {
        // Relaxed: the lock that both try orders it, as for `Outbox::note`.
        self.turned_away.store(true, Ordering::Relaxed);
    }

    /// Wakes the tasks that were turned away; after the lock was given back.
    #[inline]
    pub(crate) fn let_in(&self) {
        if self.turned_away.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    /// Wakes all tasks. Not for each message: it has a fence.
    pub(crate) fn wake(&self) {
        // Without this fence the look for tasks may be done before they see what they are woken for.
        full_fence(); // waking
        if self.any() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let mut waiting = self.waiting();
        self.any.store(false, Ordering::Relaxed);
        self.turned_away.store(false, Ordering::Relaxed);
        let woken = mem::take(&mut waiting.wakers);
        drop(waiting);
        wake(woken);
    }
}

/// Not within the lock: a waker is the program's, and may do anything.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Counter>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_task_is_woken_once() {
        let wakers = Wakers::default();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        for _ in 0..3 {
            wakers.add(&waker);
        }
        assert!(wakers.any());
        wakers.wake();
        wakers.wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(!wakers.any());
    }

    #[test]
    fn tasks_that_have_gone_do_not_pile_up() {
        let wakers = Wakers::default();
        let counter = Arc::new(Counter::default());
        for _ in 0..1000 {
            // Another task each time, as far as can be told.
            let task = Arc::new(Forwarding(counter.clone()));
            wakers.add(&Waker::from(task));
        }
        assert!(wakers.waiting().wakers.len() < 1000);
        wakers.wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn many_tasks_do_not_wake_each_other_for_ever() {
        let wakers = Wakers::default();
        let counter = Arc::new(Counter::default());
        let tasks: Vec<Waker> = (0..1000)
            .map(|_| Waker::from(Arc::new(Forwarding(counter.clone()))))
            .collect();
        // Each asks again whenever others are woken, as tasks that still wait do.
        for _ in 0..20 {
            tasks.iter().for_each(|task| wakers.add(task));
        }
        let woken = counter.0.swap(0, Ordering::Relaxed);
        tasks.iter().for_each(|task| wakers.add(task));
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "after {woken}");
    }

    struct Forwarding(Arc<Counter>);

    impl Wake for Forwarding {
        fn wake(self: Arc<Forwarding>) {
            self.0.clone().wake();
        }
    }
}
