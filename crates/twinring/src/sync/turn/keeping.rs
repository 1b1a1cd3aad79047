//! Turns that the same thread takes again and again.
//!
//! A locked instruction waits until all stores before it are seen by the other processors. Beside a
//! peer that is close behind in the ring that is the time of a cache miss, for every message, twice. So
//! a thread that has taken a turn often enough, with nobody else in between, *keeps* it: the turn is
//! never given back, the thread only notes in a word of its own, its *seat*, whether it is using
//! it. Whoever else wants the turn takes it away from the keeping thread first, with a barrier. (Known as
//! biased or quickly reacquirable locks: Kawachiya, Koseki, Onodera, 2002; Dice, Moir, Scherer, 2003.)
//!
//! | the thread that keeps the turn            | whoever takes it away, within the gate         |
//! |-------------------------------------------|------------------------------------------------|
//! | *taking it*: stores that it is using it   | stores that the turn is awaited                |
//! | light fence                               | barrier                                        |
//! | loads whether it still keeps the turn     | loads whether that thread is using the turn    |
//!
//! At least one of the two sees what the other has stored. If the thread sees that the turn is
//! not its own any more, it goes to the gate and asks there whether it was *counted* as using it; then it
//! has the turn, as any other holder. When it has done with it: the same, with a store that it is not.
//!
//! A seat is written by one thread for as long as the turn lives, since a thread may be stopped for any
//! time right before it stores that it is using the turn: a later thread that kept the turn by the same
//! seat would be taken for one that is not using it. After [`SEATS`] threads nobody new keeps a turn.

use std::cell::UnsafeCell;

use crate::sync::{
    AtomicU32, AtomicU64, Ordering, barriers_reach_us, light_fence, prepare_for_barriers,
    this_thread,
};

/// Threads that can ever keep one turn; a power of two.
const SEATS: usize = if cfg!(loom) { 2 } else { 8 };

/// The number of a seat, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeatNo(pub(super) u32);

/// How often a thread takes a turn in a row before it keeps it: some tens of microseconds.
pub(super) const OFTEN: u32 = if cfg!(loom) { 1 } else { 1000 };
/// No thread keeps the turn, however often it takes it.
pub(super) const NEVER: u32 = u32::MAX;

/// Each time a kept turn is taken away, the next thread has to take it so many times as often before
/// it keeps it, up to [`RELUCTANT`]: to take it away costs some microseconds.
const GROWTH: u32 = 2;
const RELUCTANT: u32 = 1 << 16;

#[derive(Debug)]
pub(super) struct Keeping {
    seats: [Seat; SEATS],
    /// How often a thread takes the turn in a row before it keeps it.
    after: AtomicU32,
    /// Belongs to whoever has the turn.
    streak: UnsafeCell<Streak>,
}

#[derive(Debug, Default)]
struct Seat {
    /// Whose it is; 0 as long as it is nobody's.
    thread: AtomicU64,
    /// 1 while that thread is using the turn.
    in_use: AtomicU32,
}

#[derive(Debug, Default)]
struct Streak {
    thread: u64,
    taken: u32,
}

impl Keeping {
    pub(super) fn new(after: u32) -> Keeping {
        Keeping {
            seats: std::array::from_fn(|_| Seat::default()),
            after: AtomicU32::new(after),
            streak: UnsafeCell::default(),
        }
    }

    #[inline]
    fn seat(&self, SeatNo(seat): SeatNo) -> &Seat {
        // Always within; so the compiler knows.
        &self.seats[seat as usize % SEATS]
    }

    /// Whether this seat is this thread's.
    #[inline]
    pub(super) fn is_mine(&self, seat: SeatNo) -> bool {
        // Relaxed: a thread looks for its own number, which it has stored itself.
        self.seat(seat).thread.load(Ordering::Relaxed) == this_thread()
    }

    /// Notes that this thread, whose seat it is, uses the turn. Whether it still keeps it, it has to look
    /// at afterwards. `false` if it is using it already, and would have it twice.
    #[inline]
    pub(super) fn begin_use(&self, seat: SeatNo) -> bool {
        let in_use = &self.seat(seat).in_use;
        // Relaxed: only this thread stores to it.
        if in_use.load(Ordering::Relaxed) != 0 {
            return false;
        }
        in_use.store(1, Ordering::Relaxed);
        light_fence(); // taken
        true
    }

    /// Notes that it does not use it any more. Then it has to look whether it still keeps it.
    #[inline]
    pub(super) fn end_use(&self, seat: SeatNo) {
        // Release: pairs with `is_in_use`; what it did is seen by whoever has the turn next.
        self.seat(seat).in_use.store(0, Ordering::Release);
        light_fence(); // given back
    }

    /// Asked by whoever takes the turn away, after the barrier.
    pub(super) fn is_in_use(&self, seat: SeatNo) -> bool {
        // Acquire: pairs with `end_use`.
        self.seat(seat).in_use.load(Ordering::Acquire) != 0
    }

    /// A kept turn has been taken away.
    pub(super) fn taken_away(&self) {
        // Relaxed: a number to go by, changed within the gate.
        let after = self.after.load(Ordering::Relaxed);
        let after = after.saturating_mul(GROWTH).min(RELUCTANT.max(after));
        self.after.store(after, Ordering::Relaxed);
    }

    /// From now on it is kept after so many times in a row.
    #[cfg(all(test, not(loom)))]
    pub(super) fn kept_after(&self, times: u32) {
        self.after.store(times, Ordering::Relaxed);
    }

    /// Called before the turn is given back: the seat by which this thread keeps it from now on, if it
    /// does.
    ///
    /// # Safety
    /// This thread has the turn.
    #[inline]
    pub(super) unsafe fn seat_to_keep(&self) -> Option<SeatNo> {
        let after = self.after.load(Ordering::Relaxed);
        if after == NEVER {
            return None;
        }
        // SAFETY: whoever has the turn has the streak, by this function's own contract.
        let streak = unsafe { &mut *self.streak.get() };
        let me = this_thread();
        if streak.thread != me {
            *streak = Streak {
                thread: me,
                taken: 1,
            };
        } else {
            streak.taken = streak.taken.saturating_add(1);
        }
        if streak.taken < after {
            return None;
        }
        // If there is no seat, or no barrier yet, not at once again.
        streak.taken = 0;
        self.seat_of(me)
    }

    #[cold]
    fn seat_of(&self, thread: u64) -> Option<SeatNo> {
        if !barriers_reach_us() {
            prepare_for_barriers();
            return None;
        }
        // Relaxed: whoever has the turn is alone with this.
        let owner = |seat: &Seat| seat.thread.load(Ordering::Relaxed);
        let own = self.seats.iter().position(|seat| owner(seat) == thread);
        let seat = own.or_else(|| {
            let free = self.seats.iter().position(|seat| owner(seat) == 0)?;
            self.seats[free].thread.store(thread, Ordering::Relaxed);
            Some(free)
        });
        seat.map(|seat| SeatNo(seat as u32))
    }
}
