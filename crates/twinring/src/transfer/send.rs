//! Sending: whole messages as one frame, large ones as chunks.

use super::connection::End;
use super::large::LargeMessage;
use super::outbox::{Outbox, give_back};
use super::outgoing::{Outgoing, admit};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Part, Payload};
use crate::os::event::Deadline;

/// Sends one message: committed when this returns `Ok`.
#[inline]
pub(crate) fn send<P: Payload + ?Sized>(
    outbox: &Outbox,
    payload: &P,
    deadline: Deadline,
) -> Result<()> {
    outbox.sending(|| send_message(outbox, payload, deadline))
}

#[inline]
fn send_message<P: Payload + ?Sized>(
    outbox: &Outbox,
    payload: &P,
    deadline: Deadline,
) -> Result<()> {
    let mut lane = outbox.take_lane(deadline)?;
    let outgoing = lane.as_mut().ok_or_else(|| outbox.link.not_connected())?;
    let len = admit(&outgoing.connection, payload.len())?;
    if len <= outgoing.writer.max_payload() {
        outgoing.put(Part::Whole, payload, 0..len, deadline)?;
        give_back(lane);
        return Ok(());
    }
    if deadline == Deadline::Now {
        return send_large_now(outbox, outgoing, payload, len);
    }
    let (connection, max_chunk) = (outgoing.connection.clone(), outgoing.writer.max_payload());
    drop(lane);
    let message = LargeMessage::begin_on(outbox, connection, max_chunk, deadline)?;
    send_large(message, payload, len, deadline)
}

/// A message in chunks.
fn send_large<P: Payload + ?Sized>(
    mut message: LargeMessage<'_>,
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
    outbox: &Outbox,
    outgoing: &mut Outgoing,
    payload: &P,
    len: usize,
) -> Result<()> {
    let _large = outbox.take_large(Deadline::Now)?;
    let fits = outgoing.writer.has_room_for(len);
    if !outgoing.checked(fits)? {
        return Err(Error::new(
            ErrorKind::Full,
            format!("there is no room for {len} bytes at once; send or send_timeout wait for it"),
        ));
    }
    outbox.write_due_abort(outgoing)?;
    let chunk = outgoing.writer.max_payload();
    let mut sent = 0;
    while sent < len {
        let end = len.min(sent + chunk);
        let part = Part::of(sent == 0, end == len);
        outgoing.put(part, payload, sent..end, Deadline::Now)?;
        outgoing.wake_peer();
        sent = end;
    }
    Ok(())
}

/// Sends messages one after the other, publishing as many small ones at once as there is room
/// for. Returns how many were committed: all of them, unless an error stopped it.
pub(crate) fn send_batch<M: AsRef<[u8]>>(
    outbox: &Outbox,
    messages: &[M],
    deadline: Deadline,
) -> Result<usize> {
    outbox.sending(|| {
        let mut sent = 0;
        let mut generation = None;
        while sent < messages.len() {
            let step = match send_run(outbox, &messages[sent..], &mut generation, deadline) {
                // The next is a large one, or there is no room for it.
                Ok(0) => send_message(outbox, messages[sent].as_ref(), deadline).map(|()| 1),
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

/// Sends as many small messages as there is room for right now, published together: on the connection
/// of this generation, or on the current one if `generation` is not known yet.
fn send_run<M: AsRef<[u8]>>(
    outbox: &Outbox,
    messages: &[M],
    generation: &mut Option<u64>,
    deadline: Deadline,
) -> Result<usize> {
    let mut lane = outbox.take_lane(deadline)?;
    let outgoing = lane.as_mut().ok_or_else(|| outbox.link.not_connected())?;
    let connection = &outgoing.connection;
    if *generation.get_or_insert(connection.generation) != connection.generation {
        return Err(End::ClosedHere.error());
    }
    if let Some(end) = connection.end() {
        return Err(end.error());
    }
    let most = outgoing.writer.max_payload().min(
        // Fits, or is cut off where that makes no difference.
        connection.peer_max_message.min(u64::from(u32::MAX)) as usize,
    );
    let mut written = Ok(0);
    for message in messages {
        let message = message.as_ref();
        if message.len() > most {
            break;
        }
        let appended = outgoing
            .writer
            .append(Part::Whole, message, 0..message.len());
        match outgoing.checked(appended) {
            Ok(true) => written = written.map(|n| n + 1),
            Ok(false) => break,
            Err(e) => {
                written = Err(e);
                break;
            }
        }
    }
    let sent = written?;
    if sent > 0 {
        outgoing.writer.publish();
        give_back(lane);
    }
    Ok(sent)
}
