//! A mutex whose waiters can give up at a deadline and which can be handed on in order.
//!
//! `std` has no timed lock. This is the three-state futex mutex (free, held, held with waiters) of
//! Drepper's "Futexes Are Tricky" with a `std` mutex and condition variable in the place of the
//! futex: an uncontended turn costs two compare-and-swaps.
//!
//! A turn that is given back is free for anyone, the one that gave it back included: to hand it to
//! those who wait, one after the other, would cost a change of threads for each (a convoy). So that
//! nobody waits for ever, one that was woken in vain and has waited for [`PATIENCE`] is handed the
//! turn when it is next given back (as parking_lot's eventual fairness and Go's mutex have it).

#[cfg(all(loom, test))]
mod model;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{
    AtomicU32, Condvar, Deadline, Mutex, MutexGuard, Ordering, one_processor, pause, spin_hint,
    swap_and_fence,
};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may be waiting.
const AWAITED: u32 = 2;
/// Its holder is about to store what comes next; see [`TurnGuard::leave`].
const LEAVING: u32 = 3;

/// Looks at a turn that is taken, before its waiter goes to sleep: a sender of a small message has
/// it for less than the time of these, some 2 microseconds, and to sleep and be woken takes ten
/// times as long. The model checker tries all orders anyway.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// How long one waits before the turn is handed to it: long beside a turn, so that a convoy is rare,
/// and nothing that a user would see. Under the model checker time does not pass.
const PATIENCE: Duration = if cfg!(loom) {
    Duration::ZERO
} else {
    Duration::from_micros(500)
};

#[derive(Debug)]
pub(crate) struct Turn<T> {
    state: AtomicU32,
    gate: Mutex<Gate>,
    freed: Condvar,
    value: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    /// How many of them have lost their patience.
    starving: usize,
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

    /// Takes the turn, or `None` at the deadline. A passed deadline only tries. A thread that the system has
    /// stopped in the few instructions of [`TurnGuard::leave`] is waited for beyond the deadline.
    ///
    /// Who is refused has passed the gate, and so will its holder once it has given the turn back:
    /// what the one did before it asked is seen by the other after that (`Outbox::abort_due`).
    #[inline]
    pub(crate) fn take(&self, deadline: Deadline) -> Option<TurnGuard<'_, T>> {
        // `then`, not `then_some`: a guard made in vain would free somebody else's turn on drop.
        (self.take_free() || self.wait(deadline)).then(|| TurnGuard {
            turn: self,
            here: PhantomData,
        })
    }

    /// Takes it if it is free.
    #[inline]
    fn take_free(&self) -> bool {
        // Acquire: pairs with the Release of whoever freed it, so that its changes are seen. Relaxed
        // when it is not free: nothing is touched, and whoever waits looks again.
        self.state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // Nothing can panic while it is held.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> bool {
        if deadline != Deadline::Now && !one_processor() && self.spin() {
            return true;
        }
        let mut gate = self.gate();
        gate.waiting += 1;
        let began = Instant::now();
        let (mut first, mut starving) = (true, false);
        let taken = loop {
            // A newcomer leaves a turn that was handed on to those who waited before it.
            if gate.handed_on && !first {
                gate.handed_on = false;
                break true;
            }
            if !gate.handed_on && self.take_awaited() {
                break true;
            }
            if !first && !starving && began.elapsed() >= PATIENCE {
                starving = true;
                gate.starving += 1;
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
        gate.starving -= usize::from(starving);
        taken
    }

    /// Takes it if it is free. If not, its holder knows that it must wake somebody. Within the gate.
    fn take_awaited(&self) -> bool {
        let mut tries = 0;
        loop {
            // Relaxed: an `AWAITED` is not an old one, since the holder gives that back within the gate.
            match self.state.load(Ordering::Relaxed) {
                AWAITED => return false,
                // What was written now would be lost in what the holder is about to store.
                LEAVING => {
                    pause(tries);
                    tries += 1;
                }
                state => {
                    // Acquire: as in `take_free`.
                    let swapped = self.state.compare_exchange(
                        state,
                        AWAITED,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if swapped.is_ok() {
                        return state == FREE;
                    }
                }
            }
        }
    }

    /// Whether it came free within a moment, and was taken.
    fn spin(&self) -> bool {
        for _ in 0..SPINS {
            spin_hint();
            // The look first: a compare-and-swap takes the line from whoever has the turn.
            if self.state.load(Ordering::Relaxed) == FREE && self.take_free() {
                return true;
            }
        }
        false
    }

    /// Gives back a turn that somebody may be waiting for.
    #[cold]
    fn give_back_awaited(&self) {
        // A waiter that saw the turn held, within the gate, is asleep by now.
        let mut gate = self.gate();
        if gate.starving > 0 {
            gate.handed_on = true;
        } else {
            // Release: as in `drop`.
            self.state.swap(FREE, Ordering::Release);
        }
        drop(gate);
        self.freed.notify_one(); // awaited
    }
}

/// A turn taken; given back on drop.
#[derive(Debug)]
pub(crate) struct TurnGuard<'a, T> {
    turn: &'a Turn<T>,
    /// As std's guards: the thread that has taken it gives it back.
    here: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

impl<'a, T> TurnGuard<'a, T> {
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

    /// Gives the turn back, but first asks `look` whether something is left to be done; if so, the
    /// guard comes back. What `look` loads, it loads behind a full fence: whoever has stored a position
    /// looks at the peer's wait flag in it.
    ///
    /// The one locked instruction that begins to give the turn back is that fence too; a plain store
    /// ends it. Until then nobody else stores to `state`: see `take_awaited`. `look` is a load or two,
    /// and must not panic.
    #[inline]
    pub(crate) fn leave(self, look: impl FnOnce(&T) -> bool) -> Option<TurnGuard<'a, T>> {
        let turn = self.turn;
        let state = swap_and_fence(&turn.state, LEAVING);
        let stays = look(&self);
        if !stays && state == HELD {
            // Release: pairs with the Acquire of whoever takes it next. (Where the fence is one of the
            // language's, as in the model, it would do alone.)
            turn.state.store(FREE, Ordering::Release);
            std::mem::forget(self);
            return None;
        }
        // Relaxed: it is still held.
        turn.state.store(state, Ordering::Relaxed);
        stays.then_some(self)
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
        let state = &self.turn.state;
        // Release: pairs with the Acquire of whoever takes it next. Relaxed if somebody waits: what
        // follows orders.
        let freed = state.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed);
        if freed.is_err() {
            self.turn.give_back_awaited();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// However it is given back.
    #[test]
    fn excludes_and_loses_no_wake_up() {
        let turn = Arc::new(Turn::new(0));
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let turn = turn.clone();
                thread::spawn(move || {
                    for n in 0..20_000 {
                        let mut value = turn.take(Deadline::Never).unwrap();
                        *value += 1;
                        match i % 3 {
                            0 => value.hand_on(),
                            1 => drop(value),
                            _ => drop(value.leave(|_| n % 5 == 0)),
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
    fn who_has_something_left_to_do_keeps_it() {
        let turn = Turn::new(7);
        let held = turn.take(Deadline::Never).unwrap();
        let held = held.leave(|value| *value == 7).unwrap();
        assert!(turn.take(Deadline::Now).is_none());
        assert!(held.leave(|value| *value == 8).is_none());
        assert!(turn.take(Deadline::Now).is_some());
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
