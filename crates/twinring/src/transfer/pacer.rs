//! How far a large message may run ahead of the receiver while others send beside it.
//!
//! A small message passes a large one between two chunks, but it cannot pass the chunks that are in the
//! ring already. So while others send, the ring holds only as much as the receiver reads within
//! [`AHEAD`], at its recent speed; while nobody else does, the ring may be full.

use std::time::{Duration, Instant};

/// What is in the ring should be read within this time. It is a few times what the sender needs to
/// notice room and to fill it, so that the receiver does not run dry.
const AHEAD: Duration = Duration::from_micros(30);
/// How long the receiver is watched before its speed is known.
const SAMPLE: Duration = Duration::from_micros(100);
/// Others that have sent nothing for this long are forgotten.
const FORGET: Duration = Duration::from_secs(10);
/// The window before anything is known, in bytes.
const FIRST: u64 = 64 * 1024;
/// The shortest window: what a receiver reads in that time if every page costs a page fault.
const SHORTEST: u64 = 8 * 1024;
/// The longest: what is in front of a receiver that goes on after a moment's stop.
const LONGEST: u64 = 128 * 1024;

/// The longest chunk for such a window: a window holds several, so that the receiver returns one while
/// the next is written.
pub(crate) fn chunk_within(window: u64) -> usize {
    usize::try_from(window / 4).unwrap_or(usize::MAX).max(4096)
}

/// Watches the receiver and the other senders, from chunk to chunk.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// The tail after the last chunk. If it has moved since, another thread has sent.
    tail: u64,
    /// When others were last seen to send.
    others: Option<Instant>,
    /// The last look at the receiver: when, and how far it had read.
    last: Option<(Instant, u64)>,
    /// What the receiver has read since its speed was last measured, and how long that took.
    read: u64,
    took: Duration,
    /// Bytes that may be in the ring.
    window: u64,
}

impl Pacer {
    pub(crate) fn new() -> Pacer {
        Pacer {
            tail: 0,
            others: None,
            last: None,
            read: 0,
            took: Duration::ZERO,
            window: FIRST,
        }
    }

    /// A chunk has been written; `tail` is the tail now.
    pub(crate) fn wrote(&mut self, tail: u64) {
        self.tail = tail;
    }

    /// Whether others send, so that the window applies: asked before a chunk, with the current tail.
    pub(crate) fn holds(&mut self, tail: u64) -> bool {
        if self.tail != tail {
            self.tail = tail;
            self.others = Some(Instant::now());
        }
        self.others.is_some()
    }

    /// Looks at the receiver, which has read up to `head` and left `backlog` bytes. Returns how many
    /// bytes may be in the ring.
    pub(crate) fn look(&mut self, now: Instant, head: u64, backlog: u64) -> u64 {
        if self
            .others
            .is_none_or(|seen| now.duration_since(seen) >= FORGET)
        {
            *self = Pacer {
                tail: self.tail,
                ..Pacer::new()
            };
            return u64::MAX;
        }
        if backlog == 0 {
            // It may have waited for us: that says nothing about its speed, except that it may be
            // higher than assumed.
            self.window = (self.window * 2).min(LONGEST);
            self.restart();
        } else if let Some((then, before)) = self.last {
            self.read += head.wrapping_sub(before);
            self.took += now.duration_since(then);
            if self.took >= SAMPLE {
                let speed = self.read as f64 / self.took.as_secs_f64();
                self.window = ((speed * AHEAD.as_secs_f64()) as u64).clamp(SHORTEST, LONGEST);
                self.restart();
            }
        }
        self.last = Some((now, head));
        self.window
    }

    fn restart(&mut self) {
        self.read = 0;
        self.took = Duration::ZERO;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Looks every 10 µs at a receiver that reads `each` bytes in between and is never done.
    fn watched(pacer: &mut Pacer, start: Instant, each: u64) -> u64 {
        let mut window = 0;
        for i in 0..100 {
            window = pacer.look(
                start + Duration::from_micros(10) * i,
                u64::from(i) * each,
                1,
            );
        }
        window
    }

    #[test]
    fn holds_once_others_have_sent_and_until_they_are_forgotten() {
        let mut pacer = Pacer::new();
        pacer.wrote(1000);
        assert!(!pacer.holds(1000));
        assert!(pacer.holds(1080));
        assert!(pacer.holds(1080));
        let later = Instant::now() + FORGET;
        assert_eq!(pacer.look(later, 0, 1080), u64::MAX);
        assert!(!pacer.holds(1080));
    }

    #[test]
    fn follows_the_speed_of_the_receiver() {
        let mut pacer = Pacer::new();
        assert!(pacer.holds(8));
        let start = Instant::now();
        // 20,000 bytes in 10 µs are 60,000 in 30.
        assert!(watched(&mut pacer, start, 20_000).abs_diff(60_000) < 10);
        assert_eq!(watched(&mut pacer, start, 1_000_000), LONGEST);
        assert_eq!(watched(&mut pacer, start, 0), SHORTEST);
        // One that waits for us may be faster.
        assert_eq!(pacer.look(start, 0, 0), 2 * SHORTEST);
        for _ in 0..100 {
            pacer.look(start, 0, 0);
        }
        assert_eq!(pacer.look(start, 0, 0), LONGEST);
    }
}
