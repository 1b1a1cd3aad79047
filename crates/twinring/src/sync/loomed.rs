//! What the model checker has instead of the system's: a mutex, a condition variable, deadlines, and
//! death at a chosen step.
//!
//! loom's own condition variable has no timeout. In this one a timed wait ends at any moment, even
//! the moment in which it is notified: then the notification is used up, as in a real one.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, Mutex as Plain};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar as Once, Mutex as Inner, MutexGuard as InnerGuard};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    inner: Inner<T>,
}

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    inner: InnerGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let inner = self.inner.lock().unwrap();
        Ok(MutexGuard { mutex: self, inner })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// No thread of the model is ever switched while this is locked.
    waiters: Plain<VecDeque<Arc<Waiter>>>,
    /// Changed by each call, so that the model tries both orders.
    calls: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiter {
    notified: Inner<bool>,
    changed: Once,
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let waiter = self.begin();
        let mutex = guard.mutex;
        drop(guard);
        let mut notified = waiter.notified.lock().unwrap();
        while !*notified {
            notified = waiter.changed.wait(notified).unwrap();
        }
        drop(notified);
        mutex.lock()
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let waiter = self.begin();
        let mutex = guard.mutex;
        drop(guard);
        loom::thread::yield_now();
        let guard = mutex.lock().unwrap();
        self.all().retain(|other| !Arc::ptr_eq(other, &waiter));
        WAITED.with(|waited| waited.set(true));
        Ok((guard, ()))
    }

    pub(crate) fn notify_one(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let first = self.all().pop_front();
        if let Some(waiter) = first {
            *waiter.notified.lock().unwrap() = true;
            waiter.changed.notify_one();
        }
    }

    /// From here on it can be notified.
    fn begin(&self) -> Arc<Waiter> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let waiter = Arc::new(Waiter::default());
        self.all().push_back(waiter.clone());
        waiter
    }

    fn all(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.waiters.lock().unwrap()
    }
}

loom::thread_local! {
    /// Whether this thread's timeout has passed.
    static WAITED: std::cell::Cell<bool> = std::cell::Cell::new(false)
}

/// Until when a call may block. Time passes when the model says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    Never,
    /// Comes during the first wait.
    Soon,
    Now,
}

impl Deadline {
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::Soon if !WAITED.with(|waited| waited.take()) => Some(Duration::MAX),
            Deadline::Soon | Deadline::Now => Some(Duration::ZERO),
        }
    }
}

loom::thread_local! {
    /// How many more steps this thread, which stands for a process, does before it is killed.
    static STEPS_LEFT: std::cell::Cell<Option<u32>> = std::cell::Cell::new(None)
}

/// The panic payload that unwinds a killed process. No code of it runs any more.
struct Killed;

/// Called before each step that another process could see.
pub(crate) fn step() {
    STEPS_LEFT.with(|left| match left.get() {
        Some(0) => std::panic::resume_unwind(Box::new(Killed)),
        Some(steps) => left.set(Some(steps - 1)),
        None => {}
    });
}

/// Runs `f` and kills it after this many steps, if it gets that far.
#[cfg(test)]
pub(crate) fn killed_after(steps: u32, f: impl FnOnce()) {
    STEPS_LEFT.with(|left| left.set(Some(steps)));
    if let Err(e) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
        && !e.is::<Killed>()
    {
        std::panic::resume_unwind(e);
    }
    STEPS_LEFT.with(|left| left.set(None));
}
