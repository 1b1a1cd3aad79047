//! The lock for sending and receiving under the model checker: [`FairLock`] itself, and the protocol of
//! the note that is left for the thread that holds it (`due` of `transfer/outbox.rs`).

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{FREE, FairLock, IN_USE};
use crate::sync::{AtomicU64, Deadline, Ordering};

/// What the lock guards: loom reports any two accesses that are not ordered.
#[derive(Default)]
struct Counter(UnsafeCell<u64>);

// SAFETY: loom checks that no two accesses race.
unsafe impl Send for Counter {}

impl Counter {
    fn add(&mut self) {
        // SAFETY: loom panics if another thread accesses it at the same time.
        self.0.with_mut(|n| unsafe { *n += 1 });
    }

    fn value(&self) -> u64 {
        // SAFETY: as above.
        self.0.with(|n| unsafe { *n })
    }
}

fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

fn taking(
    lock: &Arc<FairLock<Counter>>,
    deadline: Deadline,
    hands_on: bool,
) -> thread::JoinHandle<bool> {
    let lock = lock.clone();
    thread::spawn(move || {
        let Some(mut counter) = lock.lock(deadline) else {
            return false;
        };
        counter.add();
        if hands_on {
            counter.hand_on();
        }
        true
    })
}

/// Three threads take the lock once each.
#[test]
fn model_lock_excludes() {
    check(3, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let others = [0; 2].map(|_| taking(&lock, Deadline::Never, false));
        lock.lock(Deadline::Never).unwrap().add();
        for other in others {
            assert!(other.join().unwrap());
        }
        assert_eq!(lock.lock(Deadline::Now).unwrap().value(), 3);
        assert_eq!(lock.gate().waiting, 0);
    });
}

/// Two threads hand the lock on to each other and take it again.
#[test]
fn model_lock_is_handed_on() {
    check(3, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let other = taking(&lock, Deadline::Never, true);
        for _ in 0..2 {
            let mut counter = lock.lock(Deadline::Never).unwrap();
            counter.add();
            counter.hand_on();
        }
        other.join().unwrap();
        assert_eq!(lock.lock(Deadline::Now).unwrap().value(), 3);
    });
}

/// A lock that is handed on goes to the thread that waited for it: no other gets it before.
#[test]
fn model_lock_goes_to_the_one_that_waited() {
    check(3, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let counter = lock.lock(Deadline::Never).unwrap();
        let other = taking(&lock, Deadline::Never, false);
        let waited = lock.gate().waiting > 0;
        counter.hand_on();
        if let Some(counter) = lock.lock(Deadline::Now) {
            assert!(!waited || counter.value() == 1, "overtaken");
        }
        other.join().unwrap();
    });
}

/// A thread that was woken in vain gets the lock when it is next unlocked, without anyone handing it on.
#[test]
fn model_lock_goes_to_the_one_that_starves() {
    check(4, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let counter = lock.lock(Deadline::Never).unwrap();
        let other = taking(&lock, Deadline::Never, false);
        drop(counter);
        if let Some(counter) = lock.lock(Deadline::Now) {
            let starves = lock.gate().starving > 0;
            drop(counter);
            if let Some(counter) = lock.lock(Deadline::Now) {
                assert!(!starves || counter.value() == 1, "overtaken");
            }
        }
        other.join().unwrap();
        assert_eq!(lock.gate().starving, 0);
    });
}

/// One thread gives up at its deadline, at any moment; the one that does not must get the lock.
#[test]
fn model_lock_is_given_up() {
    for hands_on in [false, true] {
        check(2, move || {
            let lock = Arc::new(FairLock::new(Counter::default()));
            let counter = lock.lock(Deadline::Never).unwrap();
            let hasty = taking(&lock, Deadline::Soon, false);
            let patient = taking(&lock, Deadline::Never, false);
            if hands_on {
                counter.hand_on();
            } else {
                drop(counter);
            }
            let taken = 1 + u64::from(hasty.join().unwrap());
            assert!(patient.join().unwrap());
            assert_eq!(lock.lock(Deadline::Now).unwrap().value(), taken);
        });
    }
}

/// The lock is free after all waiters have given up.
#[test]
fn model_lock_is_free_after_all_gave_up() {
    check(3, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let counter = lock.lock(Deadline::Never).unwrap();
        let hasty = taking(&lock, Deadline::Soon, true);
        counter.hand_on();
        hasty.join().unwrap();
        drop(lock.lock(Deadline::Now).unwrap());
        assert_eq!(lock.state.load(Ordering::Relaxed), FREE);
    });
}

/// Unlocked with `leave`, by several threads at once and beside others that unlock it in other ways; and
/// kept, when something is left to be done.
#[test]
fn model_lock_is_left() {
    for gives_up in [false, true] {
        check(3, move || {
            let lock = Arc::new(FairLock::new(Counter::default()));
            let leaving = {
                let lock = lock.clone();
                thread::spawn(move || {
                    let mut counter = lock.lock(Deadline::Never).unwrap();
                    counter.add();
                    assert!(counter.leave(|_| false).is_none());
                })
            };
            let deadline = if gives_up {
                Deadline::Soon
            } else {
                Deadline::Never
            };
            let other = taking(&lock, deadline, true);
            let mut counter = lock.lock(Deadline::Never).unwrap();
            counter.add();
            let mut counter = counter.leave(|_| true).unwrap();
            counter.add();
            assert!(counter.leave(|_| false).is_none());
            let taken = 3 + u64::from(other.join().unwrap());
            leaving.join().unwrap();
            assert_eq!(lock.lock(Deadline::Now).unwrap().value(), taken);
            assert_eq!(lock.gate().waiting, 0);
        });
    }
}

/// Set aside, with visits of another thread, which also wants the lock.
#[test]
fn model_lock_is_set_aside() {
    check(3, || {
        let lock = Arc::new(FairLock::new(Counter::default()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                let mut added = 0;
                for _ in 0..2 {
                    if let Some(mut counter) = lock.try_visit() {
                        counter.add();
                        added += 1;
                    }
                }
                if let Some(mut counter) = lock.try_lock() {
                    counter.add();
                    added += 1;
                }
                added
            })
        };
        let mut counter = lock.lock(Deadline::Never).unwrap();
        counter.add();
        let aside = counter.set_aside();
        let mut counter = lock.resume(aside);
        counter.add();
        drop(counter);
        let added = 2 + other.join().unwrap();
        assert_eq!(lock.lock(Deadline::Now).unwrap().value(), added);
        assert_eq!(lock.aside.load(Ordering::Relaxed), IN_USE);
    });
}

/// The lane, and the note that is left for its owner: `due` of `transfer/outbox.rs`.
struct Outbox {
    lane: FairLock<Counter>,
    due: AtomicU64,
}

impl Outbox {
    fn new() -> Arc<Outbox> {
        Arc::new(Outbox {
            lane: FairLock::new(Counter::default()),
            due: AtomicU64::new(0),
        })
    }

    /// As `Outbox::sending`: the look comes after the lane was unlocked.
    fn send(&self, looks: bool, again: bool) {
        let lane = self.lane.lock(Deadline::Never).unwrap();
        assert!(lane.leave(|_| false).is_none());
        if looks {
            self.flush(again);
        }
    }

    /// As `Outbox::abort` and what follows it: the note is left before the lane is tried.
    fn abort(&self, again: bool) {
        self.due.store(1, Ordering::Relaxed);
        self.flush(again);
    }

    /// As `Outbox::flush_due`: a thread that had the lane looks again after unlocking it.
    fn flush(&self, again: bool) {
        while self.due.load(Ordering::Relaxed) != 0 {
            let Some(mut lane) = self.lane.lock(Deadline::Now) else {
                return;
            };
            self.write(&mut lane);
            drop(lane);
            if !again {
                return;
            }
        }
    }

    fn write(&self, lane: &mut Counter) {
        if self.due.load(Ordering::Relaxed) != 0 {
            lane.add();
            self.due.store(0, Ordering::Relaxed);
        }
    }
}

/// A large message is given up twice while another thread sends: no note is left behind.
fn due_abort(looks: bool, again: bool) {
    check(5, move || {
        let outbox = Outbox::new();
        let sending = {
            let outbox = outbox.clone();
            thread::spawn(move || outbox.send(looks, again))
        };
        outbox.abort(again);
        // The next large message begins, and is given up as well.
        outbox.write(&mut outbox.lane.lock(Deadline::Never).unwrap());
        outbox.abort(again);
        sending.join().unwrap();
        assert_eq!(outbox.due.load(Ordering::Relaxed), 0, "not told");
        assert_eq!(outbox.lane.lock(Deadline::Now).unwrap().value(), 2);
    });
}

#[test]
fn model_due_abort_is_written() {
    due_abort(true, true);
}

/// The model can fail: if a sender does not look, the note is left behind.
#[test]
#[should_panic(expected = "not told")]
fn model_due_abort_without_a_look() {
    due_abort(false, true);
}

/// So it is if a sender looks only once: another note may come while it holds the lane.
#[test]
#[should_panic(expected = "not told")]
fn model_due_abort_without_a_second_look() {
    due_abort(true, false);
}
