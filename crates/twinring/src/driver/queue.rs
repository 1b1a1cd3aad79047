//! The order in which guests that call are offered a host's one connection: as they came.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::handshake::{Ticket, Turn};

/// How long the guest that has been offered the connection keeps the others waiting. If it has not
/// answered by then it may be stopped, so the next one is offered it too, and the first that is ready gets it.
pub(super) const GRACE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Queue {
    last: Ticket,
    waiting: BTreeSet<Ticket>,
    /// Those that have been offered the connection, and when.
    offered: Vec<(Ticket, Instant)>,
}

impl Queue {
    /// Whether it is the turn of this guest, which joins the queue if it has no ticket yet. If it is, it has
    /// been offered the connection from now on.
    pub(super) fn turn(&mut self, ticket: &mut Option<Ticket>, free: bool, now: Instant) -> Turn {
        let ticket = *ticket.get_or_insert_with(|| {
            self.last += 1;
            self.waiting.insert(self.last);
            self.last
        });
        let turn = self.look(ticket, free, now);
        if turn == Turn::Now {
            self.waiting.remove(&ticket);
            self.offered.push((ticket, now));
        }
        turn
    }

    /// Whether this guest waits, and could be offered the connection now.
    pub(super) fn is_next(&self, ticket: Ticket, free: bool, now: Instant) -> bool {
        self.waiting.first() == Some(&ticket) && self.look(ticket, free, now) == Turn::Now
    }

    fn look(&self, ticket: Ticket, free: bool, now: Instant) -> Turn {
        let before = self.waiting.range(..ticket).count();
        if !free || before > 0 {
            return Turn::Later(before as u32 + 1);
        }
        match self.offered.iter().any(|(_, at)| now < *at + GRACE) {
            true => Turn::Soon,
            false => Turn::Now,
        }
    }

    /// A guest that was offered the connection was too late: it waits again. Returns its place.
    pub(super) fn put_back(&mut self, ticket: Ticket) -> u32 {
        self.leave(ticket);
        self.waiting.insert(ticket);
        self.waiting.range(..=ticket).count() as u32
    }

    /// This guest is connected, or has gone.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.offered.retain(|(offered, _)| *offered != ticket);
    }

    /// Whether any guest waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When it is the next one's turn, if those that have been offered the connection do not answer.
    pub(super) fn due(&self) -> Option<Instant> {
        let last = self.offered.iter().map(|(_, at)| *at).max()?;
        (!self.is_empty()).then(|| last + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(queue: &mut Queue, free: bool, now: Instant) -> (Ticket, Turn) {
        let mut ticket = None;
        let turn = queue.turn(&mut ticket, free, now);
        (ticket.unwrap(), turn)
    }

    #[test]
    fn the_oldest_is_next() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (first, turn) = join(&mut queue, false, now);
        assert_eq!(turn, Turn::Later(1));
        let (second, turn) = join(&mut queue, false, now);
        assert_eq!(turn, Turn::Later(2));
        // One that comes just when the place is free does not pass those that wait.
        let (third, turn) = join(&mut queue, true, now);
        assert_eq!(turn, Turn::Later(3));
        assert_eq!(queue.look(second, true, now), Turn::Later(2));
        assert_eq!(queue.turn(&mut Some(first), true, now), Turn::Now);
        assert_eq!(queue.look(second, true, now), Turn::Soon);
        queue.leave(first);
        assert_eq!(queue.turn(&mut Some(second), true, now), Turn::Now);
        queue.leave(second);
        assert_eq!(queue.look(third, false, now), Turn::Later(1));
        queue.leave(third);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_does_not_answer_holds_up_the_next_for_a_moment() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (slow, turn) = join(&mut queue, true, now);
        assert_eq!((turn, queue.due()), (Turn::Now, None));
        let (next, turn) = join(&mut queue, true, now);
        assert_eq!((turn, queue.due()), (Turn::Soon, Some(now + GRACE)));
        let later = now + GRACE;
        assert_eq!(queue.turn(&mut Some(next), true, later), Turn::Now);
        // The slow one is ready after all, and the other was not: it does not lose its place.
        let (_, turn) = join(&mut queue, true, later);
        assert_eq!(turn, Turn::Soon);
        queue.leave(slow);
        assert_eq!(queue.put_back(next), 1);
        assert_eq!(queue.look(next, false, later), Turn::Later(1));
    }
}
