//! Sending: whole messages as one frame, large ones as chunks.

use super::duplex::Duplex;
use super::large::LargeMessage;
use super::outbox::give_back;
use super::outgoing::{Outgoing, checked_len};
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Part, Payload};
use crate::os::event::Deadline;

/// Sends one message: committed when this returns `Ok`.
#[inline]
pub(crate) fn send<P: Payload + ?Sized>(
    duplex: &Duplex,
    payload: &P,
    deadline: Deadline,
) -> Result<()> {
    duplex
        .outbox
        .sending(|| send_message(duplex, payload, deadline))
}

#[inline]
fn send_message<P: Payload + ?Sized>(
    duplex: &Duplex,
    payload: &P,
    deadline: Deadline,
) -> Result<()> {
    let outbox = &duplex.outbox;
    let mut lane = outbox.take_lane_again(deadline)?;
    let session: &Session = &outbox.session;
    outbox.check_mute(session)?;
    let len = checked_len(session, payload.len())?;
    if len <= lane.writer.max_payload() {
        lane.put(Part::Whole, payload, 0..len, deadline)?;
        give_back(lane);
        return Ok(());
    }
    if deadline == Deadline::Now {
        return send_large_now(duplex, &mut lane, payload, len);
    }
    drop(lane);
    send_large(
        LargeMessage::begin(duplex, deadline)?,
        payload,
        len,
        deadline,
    )
}

/// A message in chunks.
fn send_large<P: Payload + ?Sized>(
    mut message: LargeMessage<&Duplex>,
    payload: &P,
    len: usize,
    deadline: Deadline,
) -> Result<()> {
    let mut sent = 0;
    while sent < len {
        // The first chunk may time out without a trace; so may every later one, but then the peer
        // has to be told, which dropping the message does.
        sent += message.put(payload, sent..len, true, deadline)?;
    }
    Ok(())
}

/// A message in chunks, if all of them fit right now.
fn send_large_now<P: Payload + ?Sized>(
    duplex: &Duplex,
    outgoing: &mut Outgoing,
    payload: &P,
    len: usize,
) -> Result<()> {
    let outbox = &duplex.outbox;
    if !outgoing.writer.could_hold(len) {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{len} bytes never fit into the ring at once; let the call wait, or send a stream"
            ),
        ));
    }
    outbox.take_large(Deadline::Now)?;
    let sent = put_all(duplex, outgoing, payload, len);
    // The caller has the lane, and looks for notes when it has unlocked it.
    outbox.end_large_within_lane();
    sent
}

fn put_all<P: Payload + ?Sized>(
    duplex: &Duplex,
    outgoing: &mut Outgoing,
    payload: &P,
    len: usize,
) -> Result<()> {
    let fits = outgoing.writer.has_room_for(len);
    if !outgoing.checked(fits)? {
        return Err(Error::timed_out(
            &"there is no room for the whole message now",
            true,
        ));
    }
    duplex.outbox.write_due_abort(outgoing)?;
    let chunk = outgoing.writer.max_payload();
    let mut sent = 0;
    while sent < len {
        let end = len.min(sent + chunk);
        let part = Part::of(sent == 0, end == len);
        if let Err(e) = outgoing.put(part, payload, sent..end, Deadline::Now) {
            if sent > 0 {
                duplex.outbox.abort();
            }
            return Err(e);
        }
        outgoing.wake_peer();
        sent = end;
    }
    Ok(())
}

/// Sends messages one after the other, publishing as many small ones at once as there is room
/// for. Returns how many were committed: all of them, unless an error stopped it.
pub(crate) fn send_batch<M: AsRef<[u8]>>(
    duplex: &Duplex,
    messages: &[M],
    deadline: Deadline,
) -> Result<usize> {
    duplex.outbox.sending(|| {
        let mut sent = 0;
        while sent < messages.len() {
            let step = match send_run(duplex, &messages[sent..], deadline) {
                // The next is a large one, or there is no room for it.
                Ok(0) => send_one(duplex, messages[sent].as_ref(), deadline),
                other => other,
            };
            match step {
                Ok(n) => sent += n,
                Err(_) if sent > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    })
}

#[cold]
fn send_one(duplex: &Duplex, message: &[u8], deadline: Deadline) -> Result<usize> {
    send_message(duplex, message, deadline).map(|()| 1)
}

/// Sends as many small messages as there is room for right now, published together.
fn send_run<M: AsRef<[u8]>>(duplex: &Duplex, messages: &[M], deadline: Deadline) -> Result<usize> {
    let mut lane = duplex.outbox.take_lane(deadline)?;
    if lane.writer.is_stopped() {
        lane.check()?;
    }
    let most = lane.writer.max_payload().min(
        // Fits, or is cut off where that makes no difference.
        duplex
            .outbox
            .session
            .peer_max_message
            .min(u64::from(u32::MAX)) as usize,
    );
    let (mut sent, mut bytes, mut fault) = (0, 0, None);
    for message in messages {
        let message = message.as_ref();
        if message.len() > most {
            break;
        }
        match lane.writer.append(Part::Whole, message, 0..message.len()) {
            Ok(true) => {
                sent += 1;
                bytes += message.len();
            }
            Ok(false) => break,
            Err(found) => {
                fault = Some(found);
                break;
            }
        }
    }
    if let Some(fault) = fault {
        return Err(lane.session.fail(fault));
    }
    if sent > 0 {
        lane.count_whole(sent, bytes);
        lane.writer.publish();
        give_back(lane);
    }
    Ok(sent)
}
