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
//!
//! A thread that takes a turn again and again, and nobody else does, needs not even the
//! compare-and-swaps: [`keeping`].

mod keeping;
#[cfg(all(loom, test))]
mod model;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use self::keeping::{Keeping, SeatNo};
use super::{
    AtomicU32, Condvar, Deadline, Mutex, MutexGuard, Ordering, one_processor, own_barrier,
    spin_hint,
};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may be waiting.
const AWAITED: u32 = 2;
/// From here on: kept by the thread whose seat is so much more.
const KEPT: u32 = 3;
/// What a guard says whose thread does not keep the turn.
const NOT_KEPT: u32 = FREE;

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
    keeping: Keeping,
    value: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    /// How many of them have lost their patience.
    starving: usize,
    /// The turn has not been freed but left for one of the waiters.
    handed_on: bool,
    /// The turn was taken away from the thread of this seat while it was using it, or about to: it has
    /// the turn until it comes here.
    counted: Option<SeatNo>,
}

// SAFETY: the value is only reached through a guard, of which there is one at a time, and so is the
// streak within `keeping`; all else there is atomic.
unsafe impl<T: Send> Sync for Turn<T> {}

impl<T> Turn<T> {
    pub(crate) fn new(value: T) -> Turn<T> {
        Turn::with(Keeping::new(keeping::NEVER), value)
    }

    /// A turn that a thread keeps which takes it again and again.
    pub(crate) fn keepable(value: T) -> Turn<T> {
        Turn::with(Keeping::new(keeping::OFTEN), value)
    }

    fn with(keeping: Keeping, value: T) -> Turn<T> {
        Turn {
            state: AtomicU32::new(FREE),
            gate: Mutex::default(),
            freed: Condvar::new(),
            keeping,
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the turn, or `None` at the deadline. A passed deadline only tries.
    ///
    /// Who is refused has passed the gate, and so will its holder once it has given the turn back:
    /// what the one did before it asked is seen by the other after that (`Outbox::abort_due`).
    #[inline]
    pub(crate) fn take(&self, deadline: Deadline) -> Option<TurnGuard<'_, T>> {
        // Relaxed: a thread that keeps the turn looks again, and any other touches nothing.
        let state = self.state.load(Ordering::Relaxed);
        if let Some(seat) = seat_of(state)
            && self.keeping.is_mine(seat)
            && let Some(guard) = self.take_kept(state, seat)
        {
            return Some(guard);
        }
        // `then`, not `then_some`: a guard made in vain would free somebody else's turn on drop.
        (self.take_free() || self.wait(deadline)).then(|| self.guard(NOT_KEPT))
    }

    /// Takes the turn that this thread has kept. `None` if it has just been taken away, or if this thread
    /// has it already, and would wait for itself.
    #[inline]
    fn take_kept(&self, kept: u32, seat: SeatNo) -> Option<TurnGuard<'_, T>> {
        if !self.keeping.begin_use(seat) {
            return None;
        }
        // Relaxed: what was done within the turn before was done by this thread.
        if self.state.load(Ordering::Relaxed) == kept {
            return Some(self.guard(kept));
        }
        self.take_counted(seat)
    }

    /// The turn, if whoever has taken it away has counted this thread as its holder.
    #[cold]
    fn take_counted(&self, seat: SeatNo) -> Option<TurnGuard<'_, T>> {
        let mut gate = self.gate();
        self.end_kept(&mut gate, seat).then(|| self.guard(NOT_KEPT))
    }

    /// Ends what this thread's seat says, of a turn that has been taken away. Whether it has the turn.
    fn end_kept(&self, gate: &mut Gate, seat: SeatNo) -> bool {
        self.keeping.end_use(seat);
        gate.counted.take_if(|counted| *counted == seat).is_some()
    }

    #[inline]
    fn guard(&self, kept: u32) -> TurnGuard<'_, T> {
        TurnGuard {
            turn: self,
            kept,
            here: PhantomData,
        }
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
        let kept = seat_of(self.state.load(Ordering::Relaxed)).is_some();
        if !kept && deadline != Deadline::Now && !one_processor() && self.spin() {
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
            if !gate.handed_on && self.take_awaited(&mut gate) {
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

    /// Takes it if it is free, or kept by a thread that is not using it.
    fn take_awaited(&self, gate: &mut Gate) -> bool {
        // From now on the holder knows that it must wake somebody. Acquire as in `take_free`.
        let state = self.state.swap(AWAITED, Ordering::Acquire);
        state == FREE || seat_of(state).is_some_and(|seat| self.take_away(gate, seat))
    }

    /// Takes the turn from the thread that has kept it. `false` if that is using it, or about to.
    #[cold]
    fn take_away(&self, gate: &mut Gate, seat: SeatNo) -> bool {
        own_barrier(); // taken away
        self.keeping.taken_away();
        let in_use = self.keeping.is_in_use(seat);
        if in_use {
            gate.counted = Some(seat);
        }
        !in_use
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
        self.give_back_within(self.gate());
    }

    /// Gives back a turn that this thread had kept and that has been taken away meanwhile.
    #[cold]
    fn give_back_taken_away(&self, seat: SeatNo) {
        let mut gate = self.gate();
        if self.end_kept(&mut gate, seat) {
            self.give_back_within(gate);
        }
    }

    fn give_back_within(&self, mut gate: MutexGuard<'_, Gate>) {
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

/// The seat of the thread that keeps a turn in this state.
#[inline]
fn seat_of(state: u32) -> Option<SeatNo> {
    state.checked_sub(KEPT).map(SeatNo)
}

/// A turn taken; given back on drop.
#[derive(Debug)]
pub(crate) struct TurnGuard<'a, T> {
    turn: &'a Turn<T>,
    /// The state of the turn that says that this thread keeps it, or [`NOT_KEPT`].
    kept: u32,
    /// A seat is one thread's: the guard cannot be sent to another one.
    here: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

impl<T> TurnGuard<'_, T> {
    /// Gives the turn to whoever waits for it already, where dropping it would let anyone take it.
    pub(crate) fn hand_on(mut self) {
        let turn = self.turn;
        // Relaxed: one that has just begun to wait may be missed, and is woken on drop.
        if turn.state.load(Ordering::Relaxed) == AWAITED {
            let mut gate = turn.gate();
            if let Some(seat) = seat_of(self.kept) {
                self.kept = NOT_KEPT;
                // It has been taken away, and this thread counted: it is in the middle of its use.
                turn.end_kept(&mut gate, seat);
            }
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
        if let Some(seat) = seat_of(self.kept) {
            self.turn.keeping.end_use(seat);
            // Relaxed: nothing is done if this thread still keeps it, and the gate orders the rest.
            if self.turn.state.load(Ordering::Relaxed) != self.kept {
                self.turn.give_back_taken_away(seat);
            }
            return;
        }
        // SAFETY: this guard has the turn.
        let seat = unsafe { self.turn.keeping.seat_to_keep() };
        let next = seat.map_or(FREE, |SeatNo(seat)| KEPT + seat);
        // Release: pairs with the Acquire of whoever takes it next. Relaxed if somebody waits: what
        // follows orders.
        let given_back =
            self.turn
                .state
                .compare_exchange(HELD, next, Ordering::Release, Ordering::Relaxed);
        if given_back.is_err() {
            self.turn.give_back_awaited();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sync::{barriers_reach_us, prepare_for_barriers};

    #[test]
    fn excludes_and_loses_no_wake_up() {
        excludes(Turn::new(0));
    }

    /// Each thread keeps it all the time, and loses it to the others.
    #[test]
    fn excludes_and_loses_no_wake_up_while_it_is_kept() {
        if !barriers_are_to_be_had() {
            return eprintln!("skipped: no turn is kept here");
        }
        excludes(Turn::with(Keeping::new(3), 0));
    }

    fn barriers_are_to_be_had() -> bool {
        prepare_for_barriers();
        let start = Instant::now();
        while !barriers_reach_us() && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
        barriers_reach_us()
    }

    /// One thread takes it all the time, and keeps it; another one takes it away all the time.
    #[test]
    fn a_kept_turn_is_taken_away_at_any_moment() {
        if !barriers_are_to_be_had() {
            return eprintln!("skipped: no turn is kept here");
        }
        let turn = Turn::with(Keeping::new(2), 0u64);
        let ended = AtomicBool::new(false);
        let (mut kept, mut taken) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                for n in 0u64.. {
                    if start.elapsed() > Duration::from_millis(1500) {
                        break;
                    }
                    for _ in 0..n % 50 {
                        std::hint::spin_loop();
                    }
                    let deadline = match n % 3 {
                        0 => Deadline::Now,
                        1 => Deadline::after(Duration::from_micros(n % 20)),
                        _ => Deadline::Never,
                    };
                    if let Some(mut value) = turn.take(deadline) {
                        *value += 1;
                        taken += 1;
                    }
                    // So that it is kept again, which gets ever rarer.
                    turn.keeping.kept_after(2);
                }
                ended.store(true, Ordering::Relaxed);
            });
            while !ended.load(Ordering::Relaxed) {
                let mut value = turn.take(Deadline::Never).unwrap();
                *value += 1;
                kept += 1;
                if kept % 5 == 0 {
                    value.hand_on();
                }
            }
        });
        let value = *turn.take(Deadline::Never).unwrap();
        assert_eq!(value, kept + taken);
    }

    fn excludes(turn: Turn<u64>) {
        let turn = Arc::new(turn);
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
