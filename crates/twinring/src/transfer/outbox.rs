//! The outgoing side of a link: who may write to the ring, one thread at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::connection::{Connection, End};
use super::holder_thread::HolderThread;
use super::link_state::LinkState;
use super::outgoing::{Outgoing, not_in_time};
use crate::error::Result;
use crate::os::event::Deadline;
use crate::ring::Producer;
use crate::sync::{FairLock, FairLockGuard};

#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) link: Arc<LinkState>,
    /// Held for one frame by its sender, also while that waits for room, except for a large
    /// message beside others.
    lane: FairLock<Option<Outgoing>>,
    /// Held for the length of a large message, so that there is one at a time.
    large: FairLock<()>,
    /// Held for the length of a reservation. The lane is not: nobody must wait for it while a program
    /// fills its reservation.
    reservation: FairLock<()>,
    pub(crate) large_holder: HolderThread,
    pub(crate) reservation_holder: HolderThread,
    /// The generation of the connection whose large message has been given up without the peer
    /// having been told, or 0. The next thread that has the lane writes the abort into the ring.
    abort_due: AtomicU64,
}

/// The right to write to the ring, if there is one.
pub(crate) type Lane<'a> = FairLockGuard<'a, Option<Outgoing>>;

/// How long the driver waits for a sender that has the lane before it attends to other links.
const DRIVER_WAITS: Duration = Duration::from_micros(100);

impl Outbox {
    pub(crate) fn new(link: &Arc<LinkState>) -> Outbox {
        Outbox {
            link: link.clone(),
            lane: FairLock::new(None),
            large: FairLock::new(()),
            reservation: FairLock::new(()),
            large_holder: HolderThread::default(),
            reservation_holder: HolderThread::default(),
            abort_due: AtomicU64::new(0),
        }
    }

    /// The lane, whether or not what comes next is reserved. Only a sender that waits for room holds it
    /// for long, and while there is a reservation none does.
    pub(crate) fn lane(&self) -> Lane<'_> {
        loop {
            if let Some(lane) = self.lane.lock(Deadline::Never) {
                return lane;
            }
        }
    }

    #[cfg(feature = "_testing")]
    pub(crate) fn caught(&self) -> u64 {
        let caught = |outgoing: &Outgoing| outgoing.connection.caught.load(Ordering::Relaxed);
        self.lane().as_ref().map_or(0, caught)
    }

    /// Called by the driver when there is a connection. `false` if a sender has the lane, because it is
    /// copying from slow memory: try again.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) -> bool {
        let Some(mut lane) = self.lane.lock(Deadline::after(DRIVER_WAITS)) else {
            return false;
        };
        let ring = connection.segment().ring_from(connection.side());
        let wait = self.link.options.wait;
        *lane = Some(Outgoing::new(connection.clone(), Producer::new(ring), wait));
        true
    }

    /// Called by the driver when the connection is over; senders that wait for room have been woken. Once
    /// this returns `true`, nothing more is written to the ring, and the goodbye comes after everything
    /// that was sent. `false` as for [`Outbox::connect`].
    pub(crate) fn disconnect(&self, end: &End) -> bool {
        let Some(mut lane) = self.lane.lock(Deadline::after(DRIVER_WAITS)) else {
            return false;
        };
        if let Some(mut outgoing) = lane.take() {
            outgoing.writer.say_goodbye(end.goodbye());
        }
        true
    }

    /// What every sending call does before and after.
    #[inline(always)]
    pub(crate) fn sending<T>(&self, send: impl FnOnce() -> Result<T>) -> Result<T> {
        self.link.check_forked()?;
        let sent = send();
        self.flush_due_abort();
        sent.map_err(|e| self.link.named(e))
    }

    /// The lane, while no thread has reserved what comes next.
    #[inline]
    pub(crate) fn take_lane(&self, deadline: Deadline) -> Result<Lane<'_>> {
        loop {
            let lane = self.lane.lock(deadline);
            let lane = lane.ok_or_else(|| not_in_time(deadline))?;
            if !lane.as_ref().is_some_and(Outgoing::is_reserved) {
                return Ok(lane);
            }
            drop(lane);
            self.outlast_reservation(deadline)?;
        }
    }

    #[cold]
    fn outlast_reservation(&self, deadline: Deadline) -> Result<()> {
        self.take_reservation(deadline).map(drop)
    }

    /// The right to reserve.
    pub(crate) fn take_reservation(&self, deadline: Deadline) -> Result<FairLockGuard<'_, ()>> {
        self.reservation_holder.check("a reservation")?;
        let right = self.reservation.lock(deadline);
        right.ok_or_else(|| not_in_time(deadline))
    }

    /// The right to send a large message.
    pub(crate) fn take_large(&self, deadline: Deadline) -> Result<FairLockGuard<'_, ()>> {
        self.large_holder.check("a stream that it sends")?;
        // The thread that sends a large message may be waiting for the reservation to end.
        self.reservation_holder.check("a reservation")?;
        let right = self.large.lock(deadline);
        right.ok_or_else(|| not_in_time(deadline))
    }

    /// Notes that the peer has to be told that the large message will not be completed, for
    /// [`Outbox::flush_due_abort`]. This does not wait for the lane, whose owner may be waiting for room for
    /// as long as it takes.
    ///
    /// This side leaves the note and then tries the lane; the lane's owner unlocks the lane and then
    /// looks for the note. Both pass the lane's gate in between, if they meet at all, so one of the two
    /// sees the other; the note itself orders nothing (`sync/fair_lock/model.rs`).
    pub(crate) fn abort(&self, connection: &Connection) {
        self.abort_due
            .store(connection.generation, Ordering::Relaxed);
    }

    /// Must be called after the lane was unlocked; see [`Outbox::abort`].
    #[inline]
    pub(crate) fn flush_due_abort(&self) {
        if self.abort_due.load(Ordering::Relaxed) != 0 {
            self.flush_abort();
        }
    }

    #[cold]
    fn flush_abort(&self) {
        // Again after unlocking: another note may have been left meanwhile.
        while self.abort_due.load(Ordering::Relaxed) != 0 {
            let Some(mut lane) = self.lane.lock(Deadline::Now) else {
                return;
            };
            // Without a connection, or after a violation (which the driver has been told of),
            // there is nothing to do.
            let Some(outgoing) = lane.as_mut() else {
                return;
            };
            // The thread that has reserved what comes next looks for the note afterwards.
            if outgoing.is_reserved() || self.write_due_abort(outgoing).is_err() {
                return;
            }
        }
    }

    /// Tells the peer that a large message has been given up, if that is due.
    pub(crate) fn write_due_abort(&self, outgoing: &mut Outgoing) -> Result<()> {
        let generation = self.abort_due.load(Ordering::Relaxed);
        if generation == 0 {
            return Ok(());
        }
        // A note about an earlier connection is void.
        if generation == outgoing.connection.generation {
            outgoing.abort()?;
        }
        let _ =
            self.abort_due
                .compare_exchange(generation, 0, Ordering::Relaxed, Ordering::Relaxed);
        Ok(())
    }
}

/// Unlocks the lane after something was published, and wakes the peer for it if it sleeps. The fence
/// between the two is the lock's; see [`FairLockGuard::leave`].
#[inline]
pub(crate) fn give_back(lane: Lane<'_>) {
    let is_awaited =
        |lane: &Option<Outgoing>| lane.as_ref().is_some_and(|lane| lane.writer.is_awaited());
    if let Some(lane) = lane.leave(is_awaited) {
        lane.as_ref().inspect(|outgoing| outgoing.wake_peer());
    }
}

/// The outgoing ring, if it still belongs to this connection.
pub(crate) fn current<'a>(
    lane: &'a mut Lane<'_>,
    connection: &Connection,
) -> Result<&'a mut Outgoing> {
    match lane.as_mut() {
        Some(outgoing) if outgoing.connection.generation == connection.generation => Ok(outgoing),
        // The lane is emptied after the end was set.
        _ => Err(connection.end().unwrap_or(&End::ClosedHere).error()),
    }
}
