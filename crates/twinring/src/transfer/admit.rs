//! The program's decision about a peer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::os::process::Peer;

/// A function of the program's, called on a thread of its own.
#[derive(Clone)]
pub(crate) struct Admit(Arc<dyn Fn(&Peer) -> bool + Send + Sync>);

impl Admit {
    pub(crate) fn new(f: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Admit {
        Admit(Arc::new(f))
    }

    /// A panic is a no.
    pub(crate) fn ask(&self, peer: &Peer) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.0)(peer))).unwrap_or(false)
    }
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit").finish_non_exhaustive()
    }
}
