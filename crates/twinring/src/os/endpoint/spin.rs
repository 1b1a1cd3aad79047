//! Looking again for a while before the sleep for the peer's next packet: it is at work on it, and to
//! be woken takes longer than that.

use std::time::{Duration, Instant};

use crate::sync::one_processor;

/// The waiting for one packet.
#[derive(Default)]
pub(super) struct Spin {
    until: Option<Instant>,
}

impl Spin {
    /// What the waking of a peer that sleeps takes, and its work.
    const LONGEST: Duration = Duration::from_micros(100);

    /// Whether to look once more. Lets others run before: the peer may be waiting for this processor.
    /// A stranger that takes it keeps it for longer than the spin, which ends with that.
    pub(super) fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        let until = *self.until.get_or_insert_with(|| now + Self::LONGEST);
        if now >= until || one_processor() {
            return false;
        }
        std::thread::yield_now();
        true
    }
}
