//! Whether a worker is started again, and when.

use std::time::{Duration, Instant};

/// When a worker that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// However it has ended.
    Always,
    /// Unless it has ended by itself, with success.
    #[default]
    OnFailure,
    /// Not at all.
    Never,
}

/// How soon a worker is started again, and how often.
///
/// A worker that was [healthy](Backoff::healthy_after) has its successor at once, and so has the very first. If that was not, the
/// next one comes after `first`, the one after it after twice that, and so on up to `longest`.
///
/// ```
/// use std::time::Duration;
/// use twinring_workers::Backoff;
///
/// let patient = Backoff { longest: Duration::from_secs(600), limit: None, ..Backoff::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause. 100 ms by default.
    pub first: Duration,
    /// The longest. 30 s by default.
    pub longest: Duration,
    /// A worker that was connected for this long was healthy: pauses and `limit` begin anew. 10 s by default.
    pub healthy_after: Duration,
    /// After so many restarts in a row, of workers none of which was healthy, the supervisor gives up. 8 by default, after 12 s of
    /// pauses; `None`: never.
    pub limit: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            healthy_after: Duration::from_secs(10),
            limit: Some(8),
        }
    }
}

/// The restarts of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Restarts {
    /// In a row, since the last healthy one.
    in_a_row: u32,
}

impl Restarts {
    /// The pause before the next start, after a worker that was connected since then, or never; `None` if it is given up.
    pub(crate) fn next(
        &mut self,
        backoff: &Backoff,
        connected: Option<Instant>,
        now: Instant,
    ) -> Option<Duration> {
        if connected.is_some_and(|at| now.duration_since(at) >= backoff.healthy_after) {
            self.in_a_row = 0;
        }
        if backoff.limit.is_some_and(|limit| self.in_a_row >= limit) {
            return None;
        }
        let doublings = self.in_a_row.checked_sub(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let pause = |n| backoff.first.saturating_mul(2u32.saturating_pow(n));
        Some(doublings.map_or(Duration::ZERO, |n| pause(n).min(backoff.longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_end() {
        let backoff = Backoff {
            longest: Duration::from_millis(500),
            limit: Some(6),
            ..Backoff::default()
        };
        let (mut restarts, now) = (Restarts::default(), Instant::now());
        let mut next = || {
            restarts
                .next(&backoff, Some(now), now)
                .map(|pause| pause.as_millis())
        };
        let pauses: Vec<_> = (0..7).map(|_| next()).collect();
        assert_eq!(
            pauses,
            [
                Some(0),
                Some(100),
                Some(200),
                Some(400),
                Some(500),
                Some(500),
                None
            ]
        );
    }

    #[test]
    fn health_begins_anew() {
        let backoff = Backoff {
            limit: Some(1),
            ..Backoff::default()
        };
        let (mut restarts, start) = (Restarts::default(), Instant::now());
        let later = start + backoff.healthy_after;
        assert_eq!(restarts.next(&backoff, None, later), Some(Duration::ZERO));
        assert_eq!(restarts.next(&backoff, None, later), None);
        assert_eq!(
            restarts.next(&backoff, Some(start), later),
            Some(Duration::ZERO)
        );
        let not_yet = later - Duration::from_millis(1);
        assert_eq!(restarts.next(&backoff, Some(start), not_yet), None);
    }

    #[test]
    fn a_pause_that_has_no_end_is_the_longest() {
        let backoff = Backoff {
            first: Duration::MAX,
            limit: None,
            ..Backoff::default()
        };
        let mut restarts = Restarts { in_a_row: u32::MAX };
        assert_eq!(
            restarts.next(&backoff, None, Instant::now()),
            Some(backoff.longest)
        );
    }
}
