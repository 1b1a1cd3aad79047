//! Whether a call could go on now, for a task that waits for that.

use std::task::{Context, Poll};

use super::duplex::Duplex;
use super::inbox::{Inbox, release};
use super::outbox::Outbox;
use super::outgoing::ToSend;
use super::session::Awaited;

/// What a task waits for on a connection.
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// use std::task::{Context, Waker};
/// use twinring::Interest;
///
/// let mut task = Context::from_waker(Waker::noop());
/// assert!(guest.poll_ready(Interest::Recv, &mut task).is_pending());
/// host.send(b"hello")?;
/// assert!(guest.poll_ready(Interest::Recv, &mut task).is_ready());
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interest {
    /// There may be something to receive.
    Recv,
    /// There may be room for a message of this length, in bytes. For one that never fits into the ring at once it is ready as
    /// well: the call says so.
    Send(usize),
    /// There may be room for a message of this length, in bytes, with so many handles, and they may be sent now.
    SendWithHandles(usize, usize),
    /// The peer may have taken all that was sent.
    Flush,
}

impl Interest {
    pub(crate) fn awaited(self) -> Awaited {
        match self {
            Interest::Recv => Awaited::Data,
            Interest::Send(_) | Interest::SendWithHandles(..) | Interest::Flush => Awaited::Room,
        }
    }
}

/// Pending only if the task is woken once that may have changed: by the driver, unless it `has_listener`, who hears the doorbell
/// for it.
pub(crate) fn poll_ready(
    duplex: &Duplex,
    interest: Interest,
    task: &mut Context<'_>,
    has_listener: bool,
) -> Poll<()> {
    let session = &duplex.session;
    // The call says what is wrong.
    let callback = interest == Interest::Recv && duplex.link.options.callback;
    if duplex.link.is_forked() || callback {
        return Poll::Ready(());
    }
    // The look comes last: what changes before it is seen, what changes after it wakes.
    let what = interest.awaited();
    session.tasks(what).add(task.waker());
    session.let_tasks_be_woken(what, has_listener);
    let ready = match interest {
        Interest::Recv => may_receive(&duplex.inbox),
        Interest::Send(len) => may_send(&duplex.outbox, ToSend::Message(len)),
        Interest::SendWithHandles(len, handles) => {
            may_send(&duplex.outbox, ToSend::WithHandles(len, handles))
        }
        Interest::Flush => may_send(&duplex.outbox, ToSend::Nothing),
    };
    match ready {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}

/// Whether a receiver would not wait, or there is something wrong. If not, the peer has been asked to ring.
fn may_receive(inbox: &Inbox) -> bool {
    let session = &inbox.session;
    // Whoever has it lets the tasks in when it gives it back.
    let Some(mut current) = inbox.current_for_task() else {
        return false;
    };
    let ready = current.is_ready();
    release(current, session);
    ready
}

/// Whether a sender of this would not wait, or there is something wrong. If not, the peer has been asked to ring.
fn may_send(outbox: &Outbox, what: ToSend) -> bool {
    let Some(mut lane) = outbox.lane_for_task() else {
        return false;
    };
    let ready = lane.is_ready(what);
    let behind_large = match what {
        ToSend::Message(len) => len > lane.writer.max_payload(),
        ToSend::WithHandles(..) => true,
        ToSend::Nothing => false,
    };
    drop(lane);
    // Another task may have been turned away meanwhile.
    outbox.flush_due();
    ready && (!behind_large || outbox.is_free_for_large())
}
