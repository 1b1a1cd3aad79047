//! [`Wakers`] under the model checker: no task sleeps beside what it waits for.

use std::sync::Arc as Plain;
use std::sync::atomic::AtomicBool as PlainBool;
use std::task::Wake;

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::sync::{AtomicU64, Deadline, FairLock, Listeners};

#[derive(Default)]
struct Task(PlainBool);

impl Wake for Task {
    fn wake(self: Plain<Task>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Task {
    fn is_woken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something comes while a task asks for it.
#[test]
fn model_tasks_see_what_comes() {
    loom::model(|| {
        let (wakers, there) = (Arc::new(Wakers::default()), Arc::new(AtomicU64::new(0)));
        let other = {
            let (wakers, there) = (wakers.clone(), there.clone());
            thread::spawn(move || {
                there.store(1, Ordering::Relaxed);
                wakers.wake();
            })
        };
        let task = Plain::new(Task::default());
        wakers.add(&Waker::from(task.clone()));
        let seen = there.load(Ordering::Relaxed) == 1;
        other.join().unwrap();
        assert!(seen || task.is_woken(), "the task sleeps");
    });
}

/// A thread has the lock under which a task has to look, and leaves something there.
#[test]
fn model_tasks_are_let_in() {
    loom::model(|| {
        let (wakers, lock) = (Arc::new(Wakers::default()), Arc::new(FairLock::new(0)));
        let other = {
            let (wakers, lock) = (wakers.clone(), lock.clone());
            thread::spawn(move || {
                let Some(mut there) = lock.lock(Deadline::Never) else {
                    return;
                };
                *there = 1;
                let _ = there.leave(|_| false);
                wakers.let_in();
            })
        };
        let task = Plain::new(Task::default());
        wakers.add(&Waker::from(task.clone()));
        let there = lock.lock(Deadline::Now).or_else(|| {
            wakers.turn_away();
            lock.lock(Deadline::Now)
        });
        // One that had the lock first need not be woken: what comes later rings.
        let asleep = there.is_none();
        drop(there);
        other.join().unwrap();
        assert!(!asleep || task.is_woken(), "the task sleeps");
    });
}

/// A task asks the driver, which listens already, while the program begins to listen in its place.
#[test]
fn model_tasks_keep_the_driver() {
    loom::model(|| {
        let (wakers, listeners) = (Arc::new(Wakers::default()), Arc::new(Listeners::default()));
        assert!(listeners.need_driver());
        let other = {
            let (wakers, listeners) = (wakers.clone(), listeners.clone());
            thread::spawn(move || {
                if listeners.begin() {
                    wakers.wake();
                }
            })
        };
        let task = Plain::new(Task::default());
        wakers.add(&Waker::from(task.clone()));
        listeners.need_driver();
        other.join().unwrap();
        assert!(
            listeners.has_driver() || task.is_woken(),
            "nobody listens for a task that sleeps"
        );
    });
}
