//! The time until which a call may block.

use std::time::{Duration, Instant};

/// Until when a call may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// As long as it takes.
    Never,
    /// Until this moment; once it has passed, as good as `Now`.
    At(Instant),
    /// Not at all: the call only looks.
    Now,
}

impl Deadline {
    /// `timeout` from now; [`Deadline::Never`] if that is beyond the clock's range.
    pub(crate) fn after(timeout: Duration) -> Deadline {
        Instant::now()
            .checked_add(timeout)
            .map_or(Deadline::Never, Deadline::At)
    }

    /// The time left: `None` if it never passes, zero once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::At(at) => Some(at.saturating_duration_since(Instant::now())),
            Deadline::Now => Some(Duration::ZERO),
        }
    }

    /// The moment at which it passes, if it does.
    pub(crate) fn at(self) -> Option<Instant> {
        match self {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Now => Some(Instant::now()),
        }
    }

    /// The one that passes first.
    pub(crate) fn first(all: impl IntoIterator<Item = Deadline>) -> Deadline {
        let left = |deadline: &Deadline| deadline.left().unwrap_or(Duration::MAX);
        all.into_iter().min_by_key(left).unwrap_or(Deadline::Never)
    }

    pub(crate) fn passed(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
