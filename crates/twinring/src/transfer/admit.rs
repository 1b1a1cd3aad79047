//! The program's decision about a peer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::os::process::Peer;

/// Peers that the program is asked about at once, each on a thread. A peer that goes meanwhile counts until the
/// program has answered: else those that come and go would take any number of threads.
const MOST: usize = 8;

type Decide = dyn Fn(&Peer) -> bool + Send + Sync;

/// A function of the program's.
#[derive(Clone)]
pub(crate) struct Admit {
    decide: Arc<Decide>,
    asked: Arc<AtomicUsize>,
}

impl Admit {
    pub(crate) fn new(f: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Admit {
        Admit {
            decide: Arc::new(f),
            asked: Arc::default(),
        }
    }

    /// A question that may be asked now; `None` while there are as many as may be.
    pub(crate) fn question(&self) -> Option<Question> {
        // Relaxed: only the number counts.
        let (order, more) = (Ordering::Relaxed, |n| (n < MOST).then_some(n + 1));
        let room = self.asked.fetch_update(order, order, more);
        room.ok().map(|_| Question(self.clone()))
    }
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit").finish_non_exhaustive()
    }
}

/// Counts until it is answered.
pub(crate) struct Question(Admit);

impl Question {
    /// A panic is a no.
    pub(crate) fn ask(self, peer: &Peer) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.0.decide)(peer))).unwrap_or(false)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}
