//! A mutex whose waiters can give up at a deadline and which can be handed on in order.
//!
//! `std` has no timed lock. This is the three-state futex mutex (free, held, held with waiters) of
//! Drepper's "Futexes Are Tricky" with a `std` mutex and condition variable in the place of the
//! futex: an uncontended turn costs one compare-and-swap and one swap.

#[cfg(all(loom, test))]
mod model;

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use super::{AtomicU32, Condvar, Deadline, Mutex, MutexGuard, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may be waiting.
const AWAITED: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct Turn<T> {
    state: AtomicU32,
    gate: Mutex<Gate>,
    freed: Condvar,
    value: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    /// The turn has not been freed but left for one of the waiters.
    handed_on: bool,
}

// SAFETY: the value is only reached through a guard, of which there is one at a time.
unsafe impl<T: Send> Sync for Turn<T> {}

impl<T> Turn<T> {
    pub(crate) fn new(value: T) -> Turn<T> {
        Turn {
            state: AtomicU32::new(FREE),
            gate: Mutex::default(),
            freed: Condvar::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the turn, or `None` at the deadline. A passed deadline only tries.
    ///
    /// Who is refused has passed the gate, and so will its holder once it has given the turn back:
    /// what the one did before it asked is seen by the other after that (`Outbox::abort_due`).
    #[inline]
    pub(crate) fn take(&self, deadline: Deadline) -> Option<TurnGuard<'_, T>> {
        // Acquire: pairs with the Release of whoever freed it, so that its changes are seen. Relaxed
        // when it is not free: nothing is touched, and `wait` looks again.
        let free = self
            .state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        // `then`, not `then_some`: a guard made in vain would free somebody else's turn on drop.
        (free || self.wait(deadline)).then(|| TurnGuard { turn: self })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // Nothing can panic while it is held.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> bool {
        let mut gate = self.gate();
        gate.waiting += 1;
        let mut first = true;
        let taken = loop {
            // A newcomer leaves a turn that was handed on to those who waited before it.
            if gate.handed_on && !first {
                gate.handed_on = false;
                break true;
            }
            // From now on the holder knows that it must wake somebody. Acquire as above.
            if !gate.handed_on && self.state.swap(AWAITED, Ordering::Acquire) == FREE {
                break true;
            }
            first = false;
            gate = match deadline.left() {
                None => self
                    .freed
                    .wait(gate)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break false,
                // After a timeout the turn is tried once more: the wake-up that was meant for us
                // must not be lost, and there is nobody else it could go to.
                Some(left) => {
                    self.freed
                        .wait_timeout(gate, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        };
        gate.waiting -= 1;
        taken
    }

    #[cold]
    fn wake_one(&self) {
        // The gate makes sure that a waiter which saw the turn held is asleep by now.
        drop(self.gate());
        self.freed.notify_one();
    }
}

/// A turn taken; given back on drop.
#[derive(Debug)]
pub(crate) struct TurnGuard<'a, T> {
    turn: &'a Turn<T>,
}

impl<T> TurnGuard<'_, T> {
    /// Gives the turn to whoever waits for it already, where dropping it would let anyone take it.
    pub(crate) fn hand_on(self) {
        let turn = self.turn;
        // Relaxed: one that has just begun to wait may be missed, and is woken on drop.
        if turn.state.load(Ordering::Relaxed) == AWAITED {
            let mut gate = turn.gate();
            if gate.waiting > 0 {
                gate.handed_on = true;
                drop(gate);
                std::mem::forget(self);
                turn.freed.notify_one();
            }
        }
    }
}

impl<T> Deref for TurnGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one.
        unsafe { &*self.turn.value.get() }
    }
}

impl<T> DerefMut for TurnGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and it is borrowed mutably.
        unsafe { &mut *self.turn.value.get() }
    }
}

impl<T> Drop for TurnGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire of whoever takes it next.
        if self.turn.state.swap(FREE, Ordering::Release) == AWAITED {
            self.turn.wake_one();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn excludes_and_loses_no_wake_up() {
        let turn = Arc::new(Turn::new(0u64));
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let turn = turn.clone();
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        let mut value = turn.take(Deadline::Never).unwrap();
                        *value += 1;
                        if i % 2 == 0 {
                            value.hand_on();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*turn.take(Deadline::Never).unwrap(), 160_000);
    }

    #[test]
    fn gives_up_at_the_deadline_and_leaves_the_turn_usable() {
        let turn = Turn::new(());
        let held = turn.take(Deadline::Never).unwrap();
        let start = Instant::now();
        assert!(turn.take(Deadline::Now).is_none());
        assert!(
            turn.take(Deadline::after(Duration::from_millis(30)))
                .is_none()
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
        drop(held);
        assert!(turn.take(Deadline::Now).is_some());
    }

    #[test]
    fn timed_waiters_strand_nobody() {
        // Waiters that give up all the time beside one that does not: its wake-up must not be
        // swallowed by one of them.
        let turn = Arc::new(Turn::new(0u32));
        let threads: Vec<_> = (0..6)
            .map(|i| {
                let turn = turn.clone();
                thread::spawn(move || {
                    for n in 0..5_000u32 {
                        let deadline = match i {
                            0 => Deadline::Never,
                            _ => Deadline::after(Duration::from_micros(u64::from(n % 50))),
                        };
                        if let Some(mut value) = turn.take(deadline) {
                            *value += 1;
                            if n % 3 == 0 {
                                value.hand_on();
                            }
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(turn.take(Deadline::Now).is_some());
    }
}
