//! The order in which guests that call are offered a host's free seats: as they came.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::handshake::{Ticket, Turn};

/// How long a guest that has been offered a seat keeps the others waiting for it. If it has not
/// answered by then it may be stopped, so the next one is offered it too, and the first that is ready gets it.
pub(super) const GRACE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Queue {
    last: Ticket,
    waiting: BTreeSet<Ticket>,
    /// Those that have been offered a seat, and when.
    offered: Vec<(Ticket, Instant)>,
}

impl Queue {
    /// Whether it is the turn of this guest, which joins the queue if it has no ticket yet. If it is, it has
    /// been offered a seat from now on. `free`: how many there are.
    pub(super) fn turn(&mut self, ticket: &mut Option<Ticket>, free: usize, now: Instant) -> Turn {
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

    /// Whether this guest waits, and could be offered a seat now.
    pub(super) fn is_next(&self, ticket: Ticket, free: usize, now: Instant) -> bool {
        self.waiting.contains(&ticket) && self.look(ticket, free, now) == Turn::Now
    }

    fn look(&self, ticket: Ticket, free: usize, now: Instant) -> Turn {
        let before = self.waiting.range(..ticket).count();
        if before >= free {
            return Turn::Later(before as u32 + 1);
        }
        // Those that are about to answer.
        let fresh = |(_, at): &&(Ticket, Instant)| now < *at + GRACE;
        let offered = self.offered.iter().filter(fresh).count();
        match before + offered < free {
            true => Turn::Now,
            false => Turn::Soon,
        }
    }

    /// A guest that was offered a seat was too late: it waits again. Returns its place.
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

    /// When it is the next one's turn, if one that has been offered a seat does not answer.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let over = self.offered.iter().map(|(_, at)| *at + GRACE);
        let next = over.filter(|over| *over > now).min()?;
        (!self.is_empty()).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(queue: &mut Queue, free: usize, now: Instant) -> (Ticket, Turn) {
        let mut ticket = None;
        let turn = queue.turn(&mut ticket, free, now);
        (ticket.unwrap(), turn)
    }

    #[test]
    fn the_oldest_is_next() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (first, turn) = join(&mut queue, 0, now);
        assert_eq!(turn, Turn::Later(1));
        let (second, turn) = join(&mut queue, 0, now);
        assert_eq!(turn, Turn::Later(2));
        // One that comes just when the seat is free does not pass those that wait.
        let (third, turn) = join(&mut queue, 1, now);
        assert_eq!(turn, Turn::Later(3));
        assert_eq!(queue.look(second, 1, now), Turn::Later(2));
        assert_eq!(queue.turn(&mut Some(first), 1, now), Turn::Now);
        assert_eq!(queue.look(second, 1, now), Turn::Soon);
        queue.leave(first);
        assert_eq!(queue.turn(&mut Some(second), 1, now), Turn::Now);
        queue.leave(second);
        assert_eq!(queue.look(third, 0, now), Turn::Later(1));
        queue.leave(third);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_does_not_answer_holds_up_the_next_for_a_moment() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (slow, turn) = join(&mut queue, 1, now);
        assert_eq!((turn, queue.due(now)), (Turn::Now, None));
        let (next, turn) = join(&mut queue, 1, now);
        assert_eq!((turn, queue.due(now)), (Turn::Soon, Some(now + GRACE)));
        let later = now + GRACE;
        assert_eq!(queue.turn(&mut Some(next), 1, later), Turn::Now);
        // The slow one is ready after all, and the other was not: it does not lose its place.
        let (_, turn) = join(&mut queue, 1, later);
        assert_eq!(turn, Turn::Soon);
        queue.leave(slow);
        assert_eq!(queue.put_back(next), 1);
        assert_eq!(queue.look(next, 0, later), Turn::Later(1));
    }

    #[test]
    fn each_free_seat_is_offered_to_one() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (first, turn) = join(&mut queue, 2, now);
        assert_eq!(turn, Turn::Now);
        // Nobody waits for one that has a seat of its own.
        let (second, turn) = join(&mut queue, 2, now);
        assert_eq!(turn, Turn::Now);
        let (third, turn) = join(&mut queue, 2, now);
        assert_eq!(turn, Turn::Soon);
        assert_eq!(join(&mut queue, 2, now).1, Turn::Soon);
        assert_eq!(join(&mut queue, 2, now).1, Turn::Later(3));
        // The first has got its seat, and there is one left.
        queue.leave(first);
        assert_eq!(queue.look(third, 1, now), Turn::Soon);
        queue.leave(second);
        assert!(queue.is_next(third, 1, now));
        assert_eq!(queue.turn(&mut Some(third), 1, now), Turn::Now);
    }
}
