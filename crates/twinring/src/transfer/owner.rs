//! What a program holds of a connection: the last handle that is dropped ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::duplex::Duplex;
use crate::segment::Cause;

/// Shared by everything that a program, or the link for it, holds of a connection.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) duplex: Arc<Duplex>,
    /// Shares that may send, and those that may receive.
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

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
            senders: AtomicUsize::new(0),
            receivers: AtomicUsize::new(0),
        })
    }
}

impl Share {
    pub(crate) fn new(owner: &Arc<Owner>, sends: bool, receives: bool) -> Arc<Share> {
        owner
            .senders
            .fetch_add(usize::from(sends), Ordering::Relaxed);
        owner
            .receivers
            .fetch_add(usize::from(receives), Ordering::Relaxed);
        Arc::new(Share {
            owner: owner.clone(),
            sends,
            receives,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Owner {
            duplex,
            senders,
            receivers,
        } = &*self.owner;
        // AcqRel: of two halves that are dropped at once, one sees that it is the last.
        let last = |count: &AtomicUsize, counts: bool| match counts {
            true => count.fetch_sub(1, Ordering::AcqRel) == 1,
            false => false,
        };
        let no_sender = last(senders, self.sends);
        let no_receiver = last(receivers, self.receives);
        // Without either, the owner says it for both directions.
        if duplex.link.is_forked() || no_sender == no_receiver {
            return;
        }
        if no_sender && receivers.load(Ordering::Acquire) > 0 && !duplex.session.is_mute() {
            duplex.outbox.abandon();
        }
        if no_receiver && senders.load(Ordering::Acquire) > 0 {
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
