//! What a program holds of a connection: the last handle that is dropped ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::duplex::Duplex;
use crate::segment::Cause;

/// Shared by everything that a program, or the link for it, holds of a connection.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) duplex: Arc<Duplex>,
    /// Shares that may send, times [`SENDER`], and those that may receive. In one word: a handle that does both
    /// goes at once, or another that comes meanwhile would be taken for half of one.
    shares: AtomicU64,
    /// The program knows it.
    told: AtomicBool,
}

const SENDER: u64 = 1 << 32;

/// What the clones of one handle share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) owner: Arc<Owner>,
    sends: bool,
    receives: bool,
}

impl Owner {
    pub(crate) fn new(duplex: Arc<Duplex>) -> Arc<Owner> {
        Arc::new(Owner {
            duplex,
            shares: AtomicU64::new(0),
            told: AtomicBool::new(false),
        })
    }

    pub(crate) fn set_told(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Whether the program knows it: before that, nothing is sent on it.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }
}

impl Share {
    pub(crate) fn new(owner: &Arc<Owner>, sends: bool, receives: bool) -> Arc<Share> {
        let share = Share {
            owner: owner.clone(),
            sends,
            receives,
        };
        owner.shares.fetch_add(share.count(), Ordering::Relaxed);
        Arc::new(share)
    }

    fn count(&self) -> u64 {
        u64::from(self.sends) * SENDER + u64::from(self.receives)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Owner { duplex, shares, .. } = &*self.owner;
        // AcqRel: of two halves that are dropped at once, one sees that it is the last.
        let left = shares.fetch_sub(self.count(), Ordering::AcqRel) - self.count();
        let (senders, receivers) = (left / SENDER, left % SENDER);
        // Without either, the owner says it for both directions.
        if duplex.link.is_forked() || left == 0 {
            return;
        }
        if self.sends && senders == 0 && !duplex.session.is_mute() {
            duplex.outbox.abandon();
        }
        if self.receives && receivers == 0 {
            duplex.session.stop(&Cause::default());
            duplex.seal_inbox();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.duplex.link.is_forked() {
            // Nothing of the parent's is released: it is not ours to release.
            std::mem::forget(self.duplex.clone());
            return;
        }
        self.duplex.drop_handles();
    }
}
