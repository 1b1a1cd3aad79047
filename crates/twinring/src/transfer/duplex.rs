//! One connection: both directions, and the link that it belongs to.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::inbox::Inbox;
use super::link_state::LinkState;
use super::outbox::Outbox;
use super::session::{Ended, Parts, Session};
use crate::error::{By, End, Error, Result};
use crate::os::event::Deadline;
use crate::segment::layout::SENDING_FINISHED;
use crate::segment::{Cause, CauseOf};

#[derive(Debug)]
pub(crate) struct Duplex {
    pub(crate) link: Arc<LinkState>,
    pub(crate) session: Arc<Session>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
}

/// How long a call that ends a connection waits for calls of other threads to leave it, before it leaves
/// the goodbye to the driver. They leave at once, unless they copy from or to slow memory.
const A_MOMENT: Duration = Duration::from_millis(20);

impl Duplex {
    pub(crate) fn new(link: &Arc<LinkState>, parts: Parts) -> Arc<Duplex> {
        let session = Arc::new(Session::new(parts, &*link.driver));
        Arc::new(Duplex {
            outbox: Outbox::new(link, &session),
            inbox: Inbox::new(link, &session),
            link: link.clone(),
            session,
        })
    }

    /// Ends the connection, unless it has ended, with the program's reason.
    pub(crate) fn close(&self, cause: Cause) {
        let end = End::Closed {
            by: By::Local,
            code: cause.code,
            reason: cause.text,
        };
        self.end_here(Ended::here(end));
    }

    /// Says that nothing more comes from this side.
    pub(crate) fn finish(&self) -> Result<()> {
        self.link.check_forked()?;
        self.outbox.finish();
        match self.session.end().map(|ended| &ended.sending) {
            None | Some(End::Finished) => Ok(()),
            // It has left, with all that was sent to it.
            Some(End::Stopped { .. }) if self.session.has_taken_all() => Ok(()),
            Some(end) => Err(self.link.named(Error::ended(end.clone()))),
        }
    }

    /// Says how far this side is.
    pub(crate) fn set_checkpoint(&self, checkpoint: &[u8]) -> Result<()> {
        self.link.check_forked()?;
        let session = &self.session;
        match session.end() {
            None => session
                .checkpoints
                .set(session.segment(), session.side(), checkpoint),
            Some(ended) => Err(Error::ended(ended.sending.clone())),
        }
        .map_err(|e| self.link.named(e))
    }

    /// How far the peer is, or was.
    pub(crate) fn peer_checkpoint(&self) -> Option<Checkpoint> {
        // A child has nothing mapped there.
        if self.link.is_forked() {
            return None;
        }
        let session = &self.session;
        let peer = session.side().opposite();
        session.checkpoints.get(session.segment(), peer)
    }

    /// Wants no more than what is there.
    pub(crate) fn stop(&self, cause: &Cause) {
        if !self.link.is_forked() {
            self.session.stop(cause);
        }
    }

    /// The program has dropped its last handle.
    pub(crate) fn drop_handles(&self) {
        let session = &self.session;
        // What was to be said last may still be due.
        self.outbox.flush_due();
        // What has overtaken a stream the peer counts as taken: if the program has not received it, this is no good end.
        let ended = match session.has_finished() && !session.has_overtaken() {
            false => Ended::here(End::Abandoned { by: By::Local }),
            true => Ended {
                sending: End::Finished,
                receiving: self.left(),
                local: true,
            },
        };
        self.end_here(ended);
        // The peer ended it: it may have back what was not read. Otherwise the goodbye says so.
        if session.end().is_some_and(|ended| !ended.local) {
            self.seal_inbox();
        }
    }

    /// Nobody is left who could receive: the peer is told. Not while the connection goes on, unless this side
    /// has stopped it: the peer's senders would take it for that.
    pub(crate) fn seal_inbox(&self) {
        if self.inbox.seal(Deadline::after(A_MOMENT)) {
            self.inbox.tell_sealed();
        }
    }

    /// How the incoming direction ends if this side reads no more.
    fn left(&self) -> End {
        let session = &self.session;
        match session.incoming_ring().words().sending() {
            SENDING_FINISHED if session.has_received_all() => End::Finished,
            _ => session.stopping().cloned().unwrap_or(End::Stopped {
                code: 0,
                reason: String::new(),
            }),
        }
    }

    fn end_here(&self, ended: Ended) {
        let session = &self.session;
        if self.link.is_forked() {
            return;
        }
        if session.end().is_some() {
            // Another thread may be about to say the goodbye, and this one about to end the process.
            self.say_goodbye(Deadline::after(A_MOMENT));
            return;
        }
        // The peer's end comes first if it has said it, though the driver has not noticed: calls may have told it already.
        if session.finish(session.peers_end().unwrap_or(ended)) {
            self.say_goodbye(Deadline::after(A_MOMENT));
        }
        session.notify_driver();
    }

    /// Tells the peer that and why this side has ended it, once nothing more is written or taken. `false`
    /// if a sender or a receiver is still busy: try again.
    pub(crate) fn say_goodbye(&self, deadline: Deadline) -> bool {
        let session = &self.session;
        let Some(ended) = session.end().filter(|ended| ended.local) else {
            return true;
        };
        if !self.outbox.seal(deadline) || !self.inbox.seal(deadline) {
            return false;
        }
        if let End::Closed { code, reason, .. } = ended.whole() {
            // By whichever thread comes first, and the same by the next.
            let cause = Cause::new(*code, reason);
            session
                .segment()
                .write_cause(session.side(), CauseOf::Goodbye, &cause);
        }
        session.out().words().say_goodbye(ended.goodbye());
        self.inbox.tell_sealed();
        true
    }
}
