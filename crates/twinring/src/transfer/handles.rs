//! Sending a message with handles.

use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use super::duplex::Duplex;
use super::outbox::give_back;
use super::outgoing::{checked_len, not_in_time};
use super::readiness::{Interest, poll_ready};
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::handles::{Handle, HandleChannel, MAX_HANDLES};

/// Sends one message with these handles, which are gone from the list once it is committed. It fits in a frame, so that it and
/// they come or do not come together.
pub(crate) fn send_with_handles(
    duplex: &Duplex,
    message: &[u8],
    handles: &mut Vec<Handle>,
    deadline: Deadline,
) -> Result<()> {
    if handles.is_empty() {
        return super::send::send(duplex, message, deadline);
    }
    let outbox = &duplex.outbox;
    outbox.sending(|| {
        let session: &Session = &outbox.session;
        let channel = check(session, handles.len())?;
        checked_len(session, Some(message.len()))?;
        loop {
            // Not between the chunks of a large message, or whoever receives that in pieces would have to keep them.
            outbox.take_large(deadline)?;
            let sent = outbox.take_lane(deadline).and_then(|mut lane| {
                outbox.write_due_abort(&mut lane)?;
                let awaited = lane.put_with_handles(channel, message, handles, deadline)?;
                let awaited = awaited.map(|position| (position, lane.spinner()));
                give_back(lane);
                Ok(awaited)
            });
            outbox.end_large_within_lane();
            outbox.flush_due();
            let Some((position, spinner)) = sent? else {
                return Ok(());
            };
            // Others send meanwhile.
            let is_over = || session.end().is_some() || session.is_stopped();
            if !outbox.await_read(position, spinner, deadline, is_over)? {
                return Err(not_in_time(deadline));
            }
        }
    })?;
    if HandleChannel::KEEPS {
        // It sees to it that they are let go of.
        duplex.session.notify_driver();
    }
    Ok(())
}

/// How many handles the peer takes with a message.
pub(crate) fn peer_max_handles(session: &Session) -> u32 {
    let most = session.segment().max_handles_of(session.side().opposite());
    match session.handles {
        Some(_) => most.min(MAX_HANDLES),
        None => 0,
    }
}

fn check(session: &Session, count: usize) -> Result<&HandleChannel> {
    let most = peer_max_handles(session);
    match &session.handles {
        Some(channel) if count <= most as usize => Ok(channel),
        Some(_) if most > 0 => Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the message has {count} handles, the peer takes at most {most}; raise its max_handles"
            ),
        )),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "the peer takes no handles: its max_handles is 0, or (Windows) it may not open this process",
        )),
    }
}

/// A task of the library's: makes the driver look again whether handles have been taken.
struct LookAgain(Weak<Session>);

impl Wake for LookAgain {
    fn wake(self: Arc<Self>) {
        if let Some(session) = self.0.upgrade() {
            session.notify_driver();
        }
    }
}

/// Closes the handles that this side kept and the peer has taken, and sees to it that the driver is called when it has taken
/// more.
#[cold]
pub(crate) fn let_go_of_handles(duplex: &Duplex) {
    let session = &duplex.session;
    let waker = Waker::from(Arc::new(LookAgain(Arc::downgrade(session))));
    // Before the look below: what is taken after it wakes the task.
    let all_taken = poll_ready(
        duplex,
        Interest::Flush,
        &mut Context::from_waker(&waker),
        false,
    );
    let Some(mut lane) = duplex.outbox.lane_for_task() else {
        return;
    };
    // A fault is found again by who sends next.
    let _ = lane.let_go_of_handles();
    let over = all_taken.is_ready() && session.end().is_some();
    session.set_keeps_handles(!lane.handles.is_empty() && !over);
    drop(lane);
    duplex.outbox.flush_due();
}
