//! A mutex whose waiters can give up at a deadline, and which can be handed on in order.
//!
//! `std` has no timed lock. This is the three-state futex mutex (free, locked, locked with waiters) of
//! Drepper's "Futexes Are Tricky", with a `std` mutex and condition variable in place of the
//! futex: locking and unlocking without contention costs two compare-and-swaps.
//!
//! An unlocked lock is free for any thread, including the one that has just unlocked it: handing it to
//! each waiter in order would cost a thread switch for each (a convoy). So that no thread waits for
//! ever, one that was woken in vain and has waited for [`PATIENCE`] is handed the lock when it is next
//! unlocked (like parking_lot's eventual fairness and Go's mutex).
//!
//! An owner that needs the lock for long, and its value only at the beginning and at the end, sets it
//! aside meanwhile ([`FairLockGuard::set_aside`]): nobody else gets the lock, but who has to can visit the
//! value ([`FairLock::try_visit`]).

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
/// Locked, and a thread may be waiting.
const AWAITED: u32 = 2;
/// Its owner is about to store the next state; see [`FairLockGuard::leave`].
const LEAVING: u32 = 3;

/// How often to look at a locked lock before going to sleep: a sender of a small message has it for less
/// time than these looks take, some 2 microseconds, and to sleep and be woken takes ten times as
/// long. The model checker tries all orders anyway.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// How long a thread waits before the lock is handed to it: long compared with the time that a lock is
/// held, so that convoys are rare, and too short for a user to notice. Under the model checker no time
/// passes.
const PATIENCE: Duration = if cfg!(loom) {
    Duration::ZERO
} else {
    Duration::from_micros(500)
};

/// Values of `FairLock::aside`: its owner has the value.
const IN_USE: u32 = 0;
/// Its owner has set it aside.
const ASIDE: u32 = 1;
/// It has been set aside, and a visitor has it.
const VISITED: u32 = 2;

#[derive(Debug)]
pub(crate) struct FairLock<T> {
    state: AtomicU32,
    aside: AtomicU32,
    gate: Mutex<Gate>,
    freed: Condvar,
    value: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    /// How many of them have waited for [`PATIENCE`].
    starving: usize,
    /// The lock has not been freed but is reserved for one of the waiters.
    handed_on: bool,
}

// SAFETY: the value is only reached through a guard, of which there is one at a time, or by a visitor, of
// which there is one at a time, while what there is of the guard has been set aside.
unsafe impl<T: Send> Sync for FairLock<T> {}

impl<T> FairLock<T> {
    pub(crate) fn new(value: T) -> FairLock<T> {
        FairLock {
            state: AtomicU32::new(FREE),
            aside: AtomicU32::new(IN_USE),
            gate: Mutex::default(),
            freed: Condvar::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock, or returns `None` at the deadline. A deadline that has passed means one try. If the
    /// system has stopped a thread within the few instructions of [`FairLockGuard::leave`], this waits for it
    /// beyond the deadline.
    ///
    /// A thread that gets `None` has passed the gate, and the lock's owner will pass it after unlocking:
    /// what the former did before this call, the latter sees after that (`Outbox::note`).
    #[inline]
    pub(crate) fn lock(&self, deadline: Deadline) -> Option<FairLockGuard<'_, T>> {
        // `then`, not `then_some`: a guard made in vain would unlock another thread's lock on drop.
        (self.take_free() || self.wait(deadline)).then(|| self.guard())
    }

    /// Takes the lock, however long that takes.
    #[inline]
    pub(crate) fn lock_untimed(&self) -> FairLockGuard<'_, T> {
        loop {
            if let Some(guard) = self.lock(Deadline::Never) {
                return guard;
            }
        }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<FairLockGuard<'_, T>> {
        self.take_free().then(|| self.guard())
    }

    /// For who has taken the lock.
    #[inline(always)]
    fn guard(&self) -> FairLockGuard<'_, T> {
        FairLockGuard {
            lock: self,
            here: PhantomData,
        }
    }

    /// Takes up what was set aside, on any thread.
    #[inline]
    pub(crate) fn resume(&self, aside: Aside) -> FairLockGuard<'_, T> {
        assert_eq!(aside.lock, self.address(), "another lock was set aside");
        let mut tries = 0;
        while !self.swap_aside(ASIDE, IN_USE) {
            pause(tries);
            tries += 1;
        }
        self.guard()
    }

    #[inline]
    fn swap_aside(&self, from: u32, to: u32) -> bool {
        // Acquire: pairs with the Releases of `set_aside` and of a visit's end.
        self.aside
            .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether its owner has set it aside; a hint.
    pub(crate) fn is_aside(&self) -> bool {
        self.aside.load(Ordering::Relaxed) != IN_USE
    }

    /// The value, for moments, if the lock is free or has been set aside.
    pub(crate) fn try_visit(&self) -> Option<Visit<'_, T>> {
        let guard = match self.swap_aside(ASIDE, VISITED) {
            true => None,
            false => Some(self.try_lock()?),
        };
        Some(Visit { lock: self, guard })
    }

    /// Takes the lock if it is free.
    #[inline]
    fn take_free(&self) -> bool {
        // Acquire: pairs with the Release of the thread that freed it, so that its changes are seen.
        // Relaxed when it is not free: nothing is touched, and a waiter looks again.
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
            // A newcomer leaves alone a lock that was handed on to earlier waiters.
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
                // After a timeout the lock is tried once more: a wake-up meant for us must not be
                // lost, and there may be no other thread for it.
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

    /// Takes the lock if it is free. If not, marks it so that its owner knows that it must wake a waiter.
    /// Within the gate.
    fn take_awaited(&self) -> bool {
        let mut tries = 0;
        loop {
            // Relaxed: an `AWAITED` is current, since the owner replaces it only within the gate.
            match self.state.load(Ordering::Relaxed) {
                AWAITED => return false,
                // What we wrote now would be lost in what the owner is about to store.
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

    /// Whether the lock became free within a moment and was taken.
    fn spin(&self) -> bool {
        for _ in 0..SPINS {
            spin_hint();
            // Look first: a compare-and-swap takes the cache line from the lock's owner.
            if self.state.load(Ordering::Relaxed) == FREE && self.take_free() {
                return true;
            }
        }
        false
    }

    /// Unlocks a lock for which a thread may be waiting.
    #[cold]
    fn give_back_awaited(&self) {
        // A waiter that saw the lock taken, within the gate, is asleep by now.
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

/// A lock without a value: a right that may be held for longer than a call, and be given back by another
/// thread.
#[cfg(not(loom))]
impl FairLock<()> {
    /// Takes it, to be given back by [`FairLock::give_back`]. `false` at the deadline.
    pub(crate) fn acquire(&self, deadline: Deadline) -> bool {
        match self.lock(deadline) {
            Some(guard) => {
                std::mem::forget(guard);
                true
            }
            None => false,
        }
    }

    /// What [`FairLock::acquire`] took is free again.
    pub(crate) fn give_back(&self) {
        drop(self.guard());
    }
}

/// What is left of the guard of a lock that was set aside.
#[derive(Debug)]
#[must_use = "the lock is never free again without `resume`"]
pub(crate) struct Aside {
    /// Its address.
    lock: usize,
}

/// A visit to the value of a lock; it ends on drop.
#[derive(Debug)]
pub(crate) struct Visit<'a, T> {
    lock: &'a FairLock<T>,
    /// Without one, it has been set aside.
    guard: Option<FairLockGuard<'a, T>>,
}

impl<'a, T> Visit<'a, T> {
    /// By who has the lock.
    pub(crate) fn with(guard: FairLockGuard<'a, T>) -> Visit<'a, T> {
        Visit {
            lock: guard.lock,
            guard: Some(guard),
        }
    }
}

impl<T> Deref for Visit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: either the lock is held, or its owner does not touch the value before `resume`, which waits for
        // this visit to end, and there is one visitor at a time.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Visit<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; this visit is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        if self.guard.is_none() {
            // Release: pairs with the Acquire in `swap_aside`.
            self.lock.aside.store(ASIDE, Ordering::Release); // visited
        }
    }
}

/// A taken lock; unlocked on drop.
#[derive(Debug)]
pub(crate) struct FairLockGuard<'a, T> {
    lock: &'a FairLock<T>,
    /// Like std's guards: the thread that has taken the lock unlocks it.
    here: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

impl<'a, T> FairLockGuard<'a, T> {
    /// Hands the lock to a thread that is already waiting, where dropping would let any thread take it.
    pub(crate) fn hand_on(self) {
        let lock = self.lock;
        // Relaxed: a thread that has just begun to wait may be missed; it is woken on drop.
        if lock.state.load(Ordering::Relaxed) == AWAITED {
            let mut gate = lock.gate();
            if gate.waiting > 0 {
                gate.handed_on = true;
                drop(gate);
                std::mem::forget(self);
                lock.freed.notify_one();
            }
        }
    }

    /// Keeps the lock from others without having the value, for as long as it takes; whoever calls
    /// [`FairLock::resume`] has both again.
    #[inline]
    pub(crate) fn set_aside(self) -> Aside {
        // Release: pairs with the Acquire in `swap_aside`.
        self.lock.aside.store(ASIDE, Ordering::Release);
        let lock = self.lock.address();
        std::mem::forget(self);
        Aside { lock }
    }

    /// Unlocks, but first asks `look` whether something is left to be done; if so, the guard comes back.
    /// What `look` loads, it loads after a full fence: so a thread that has stored a position can look at
    /// the peer's wait flag in it.
    ///
    /// The one locked instruction that begins the unlocking is that fence too; a plain store ends it.
    /// Until then no other thread stores to `state`: see `take_awaited`. `look` is a load or two and must
    /// not panic.
    #[inline]
    pub(crate) fn leave(self, look: impl FnOnce(&T) -> bool) -> Option<FairLockGuard<'a, T>> {
        let lock = self.lock;
        let state = swap_and_fence(&lock.state, LEAVING);
        let stays = look(&self);
        if !stays && state == HELD {
            // Release: pairs with the Acquire of the thread that takes it next. (Where the fence is the
            // language's own, as in the model, the fence alone would do.)
            lock.state.store(FREE, Ordering::Release);
            std::mem::forget(self);
            return None;
        }
        // Relaxed: the lock is still held.
        lock.state.store(state, Ordering::Relaxed);
        stays.then_some(self)
    }
}

impl<T> Deref for FairLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for FairLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for FairLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let state = &self.lock.state;
        // Release: pairs with the Acquire of the thread that takes it next. Relaxed if a thread
        // waits: what follows does the ordering.
        let freed = state.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed);
        if freed.is_err() {
            self.lock.give_back_awaited();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// In whatever way it is unlocked.
    #[test]
    fn excludes_and_loses_no_wake_up() {
        let lock = Arc::new(FairLock::new(0));
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for n in 0..20_000 {
                        let mut value = lock.lock(Deadline::Never).unwrap();
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
        assert_eq!(*lock.lock(Deadline::Never).unwrap(), 160_000);
    }

    #[test]
    fn who_has_something_left_to_do_keeps_it() {
        let lock = FairLock::new(7);
        let held = lock.lock(Deadline::Never).unwrap();
        let held = held.leave(|value| *value == 7).unwrap();
        assert!(lock.lock(Deadline::Now).is_none());
        assert!(held.leave(|value| *value == 8).is_none());
        assert!(lock.lock(Deadline::Now).is_some());
    }

    #[test]
    fn gives_up_at_the_deadline_and_leaves_the_lock_usable() {
        let lock = FairLock::new(());
        let held = lock.lock(Deadline::Never).unwrap();
        let start = Instant::now();
        assert!(lock.lock(Deadline::Now).is_none());
        assert!(
            lock.lock(Deadline::after(Duration::from_millis(30)))
                .is_none()
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
        drop(held);
        assert!(lock.lock(Deadline::Now).is_some());
    }

    #[test]
    fn timed_waiters_strand_nobody() {
        // Waiters that keep giving up beside one that does not: none of them may swallow its
        // wake-up.
        let lock = Arc::new(FairLock::new(0u32));
        let threads: Vec<_> = (0..6)
            .map(|i| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for n in 0..5_000u32 {
                        let deadline = match i {
                            0 => Deadline::Never,
                            _ => Deadline::after(Duration::from_micros(u64::from(n % 50))),
                        };
                        if let Some(mut value) = lock.lock(deadline) {
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
        assert!(lock.lock(Deadline::Now).is_some());
    }
}
