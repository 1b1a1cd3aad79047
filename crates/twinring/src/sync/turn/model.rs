//! The lock that sends and receives take turns with under the model checker: [`Turn`] itself, and
//! the protocol of an errand that is left for whoever holds it (`abort_due` of `link/send.rs`).

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{FREE, Turn};
use crate::sync::{AtomicU64, Deadline, Ordering};

/// What the turn guards: loom reports any two accesses that are not ordered.
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
    turn: &Arc<Turn<Counter>>,
    deadline: Deadline,
    hands_on: bool,
) -> thread::JoinHandle<bool> {
    let turn = turn.clone();
    thread::spawn(move || {
        let Some(mut counter) = turn.take(deadline) else {
            return false;
        };
        counter.add();
        if hands_on {
            counter.hand_on();
        }
        true
    })
}

/// Three threads take it once each.
#[test]
fn model_turn_excludes() {
    check(3, || {
        let turn = Arc::new(Turn::new(Counter::default()));
        let others = [0; 2].map(|_| taking(&turn, Deadline::Never, false));
        turn.take(Deadline::Never).unwrap().add();
        for other in others {
            assert!(other.join().unwrap());
        }
        assert_eq!(turn.take(Deadline::Now).unwrap().value(), 3);
        assert_eq!(turn.gate().waiting, 0);
    });
}

/// Two threads that hand it on to each other and take it again.
#[test]
fn model_turn_is_handed_on() {
    check(3, || {
        let turn = Arc::new(Turn::new(Counter::default()));
        let other = taking(&turn, Deadline::Never, true);
        for _ in 0..2 {
            let mut counter = turn.take(Deadline::Never).unwrap();
            counter.add();
            counter.hand_on();
        }
        other.join().unwrap();
        assert_eq!(turn.take(Deadline::Now).unwrap().value(), 3);
    });
}

/// A turn that is handed on goes to who waited for it: nobody else gets it before.
#[test]
fn model_turn_goes_to_the_one_that_waited() {
    check(3, || {
        let turn = Arc::new(Turn::new(Counter::default()));
        let counter = turn.take(Deadline::Never).unwrap();
        let other = taking(&turn, Deadline::Never, false);
        let waited = turn.gate().waiting > 0;
        counter.hand_on();
        if let Some(counter) = turn.take(Deadline::Now) {
            assert!(!waited || counter.value() == 1, "overtaken");
        }
        other.join().unwrap();
    });
}

/// One that was woken in vain gets the turn when it is given back the next time, without anybody
/// handing it on.
#[test]
fn model_turn_goes_to_the_one_that_starves() {
    check(4, || {
        let turn = Arc::new(Turn::new(Counter::default()));
        let counter = turn.take(Deadline::Never).unwrap();
        let other = taking(&turn, Deadline::Never, false);
        drop(counter);
        if let Some(counter) = turn.take(Deadline::Now) {
            let starves = turn.gate().starving > 0;
            drop(counter);
            if let Some(counter) = turn.take(Deadline::Now) {
                assert!(!starves || counter.value() == 1, "overtaken");
            }
        }
        other.join().unwrap();
        assert_eq!(turn.gate().starving, 0);
    });
}

/// One gives up at its deadline, at any moment; the one that does not must get the turn.
#[test]
fn model_turn_is_given_up() {
    for hands_on in [false, true] {
        check(2, move || {
            let turn = Arc::new(Turn::new(Counter::default()));
            let counter = turn.take(Deadline::Never).unwrap();
            let hasty = taking(&turn, Deadline::Soon, false);
            let patient = taking(&turn, Deadline::Never, false);
            if hands_on {
                counter.hand_on();
            } else {
                drop(counter);
            }
            let taken = 1 + u64::from(hasty.join().unwrap());
            assert!(patient.join().unwrap());
            assert_eq!(turn.take(Deadline::Now).unwrap().value(), taken);
        });
    }
}

/// Nobody is left of those that gave up.
#[test]
fn model_turn_is_free_after_all_gave_up() {
    check(3, || {
        let turn = Arc::new(Turn::new(Counter::default()));
        let counter = turn.take(Deadline::Never).unwrap();
        let hasty = taking(&turn, Deadline::Soon, true);
        counter.hand_on();
        hasty.join().unwrap();
        drop(turn.take(Deadline::Now).unwrap());
        assert_eq!(turn.state.load(Ordering::Relaxed), FREE);
    });
}

/// Left, by several at once and beside others that give it back in other ways; and not left, when
/// something is to be done.
#[test]
fn model_turn_is_left() {
    for gives_up in [false, true] {
        check(3, move || {
            let turn = Arc::new(Turn::new(Counter::default()));
            let leaving = {
                let turn = turn.clone();
                thread::spawn(move || {
                    let mut counter = turn.take(Deadline::Never).unwrap();
                    counter.add();
                    assert!(counter.leave(|_| false).is_none());
                })
            };
            let deadline = if gives_up {
                Deadline::Soon
            } else {
                Deadline::Never
            };
            let other = taking(&turn, deadline, true);
            let mut counter = turn.take(Deadline::Never).unwrap();
            counter.add();
            let mut counter = counter.leave(|_| true).unwrap();
            counter.add();
            assert!(counter.leave(|_| false).is_none());
            let taken = 3 + u64::from(other.join().unwrap());
            leaving.join().unwrap();
            assert_eq!(turn.take(Deadline::Now).unwrap().value(), taken);
            assert_eq!(turn.gate().waiting, 0);
        });
    }
}

/// The lane, and the errand that is left for whoever holds it: `abort_due` of `link/send.rs`.
struct Outbox {
    lane: Turn<Counter>,
    due: AtomicU64,
}

impl Outbox {
    fn new() -> Arc<Outbox> {
        Arc::new(Outbox {
            lane: Turn::new(Counter::default()),
            due: AtomicU64::new(0),
        })
    }

    /// As `Core::send`: the look comes after the lane was given back.
    fn send(&self, looks: bool, again: bool) {
        let lane = self.lane.take(Deadline::Never).unwrap();
        assert!(lane.leave(|_| false).is_none());
        if looks {
            self.flush(again);
        }
    }

    /// As `Core::abort` and the end of `Core::send`: the note is left before the lane is tried.
    fn abort(&self, again: bool) {
        self.due.store(1, Ordering::Relaxed);
        self.flush(again);
    }

    /// As `Core::flush_abort`: whoever had the lane looks again after giving it back.
    fn flush(&self, again: bool) {
        while self.due.load(Ordering::Relaxed) != 0 {
            let Some(mut lane) = self.lane.take(Deadline::Now) else {
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

/// A large message is given up twice while another thread sends: nobody leaves the note behind.
fn errand(looks: bool, again: bool) {
    check(5, move || {
        let outbox = Outbox::new();
        let sending = {
            let outbox = outbox.clone();
            thread::spawn(move || outbox.send(looks, again))
        };
        outbox.abort(again);
        // The next large message begins, and is given up as well.
        outbox.write(&mut outbox.lane.take(Deadline::Never).unwrap());
        outbox.abort(again);
        sending.join().unwrap();
        assert_eq!(outbox.due.load(Ordering::Relaxed), 0, "not told");
        assert_eq!(outbox.lane.take(Deadline::Now).unwrap().value(), 2);
    });
}

#[test]
fn model_errand_is_done() {
    errand(true, true);
}

/// The model can fail: a sender that does not look leaves it undone.
#[test]
#[should_panic(expected = "not told")]
fn model_errand_without_a_look() {
    errand(false, true);
}

/// And so does one that looks only once: another note may come while it holds the lane.
#[test]
#[should_panic(expected = "not told")]
fn model_errand_without_a_second_look() {
    errand(true, false);
}
