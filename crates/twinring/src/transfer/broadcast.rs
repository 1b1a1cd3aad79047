//! One message to many peers.

use std::sync::Arc;
use std::time::Duration;

use super::owner::Owner;
use super::send::send;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::max_payload;
use crate::os::event::Deadline;

/// How long one peer may keep the others waiting at a time.
const TURN: Duration = Duration::from_millis(1);

/// How long to wait for other threads that are sending, if there seems to be room.
const OTHERS: Duration = Duration::from_millis(50);

/// Headers, padding, and what those others are sending.
const SLACK: u64 = 1024;

/// Sends it to all that have room, then to the others as they get room. Returns those that did not get it before the
/// deadline, each with the reason.
pub(crate) fn broadcast(
    owners: Vec<Arc<Owner>>,
    message: &[u8],
    deadline: Deadline,
) -> Vec<(Arc<Owner>, Error)> {
    let mut missed = Vec::new();
    for owner in owners {
        if let Err(e) = send_now(&owner, message) {
            missed.push((owner, e));
        }
    }
    let waits = |(owner, e): &(Arc<Owner>, Error)| may_have_room_later(owner, e, message.len());
    while !deadline.passed() && missed.iter().any(waits) {
        let mut left = missed.len() as u32;
        missed.retain_mut(|peer| {
            if !waits(peer) {
                return true;
            }
            let turn = match is_large(&peer.0, message.len()) {
                // It must not be given up and begun again.
                true => deadline
                    .left()
                    .map_or(Deadline::Never, |all| Deadline::after(all / left)),
                false => Deadline::first([deadline, Deadline::after(TURN)]),
            };
            left = left.saturating_sub(1).max(1);
            let sent = send(&peer.0.duplex, message, turn);
            sent.map_err(|e| peer.1 = e).is_err()
        });
    }
    missed
}

/// Sends it if there is room, also if another thread is sending.
fn send_now(owner: &Owner, message: &[u8]) -> Result<()> {
    let sent = send(&owner.duplex, message, Deadline::Now);
    let need = 2 * message.len() as u64 + SLACK;
    match &sent {
        Err(e) if e.is_timeout() && owner.duplex.session.seems_to_have_room(need) => {
            send(&owner.duplex, message, Deadline::after(OTHERS))
        }
        _ => sent,
    }
}

fn may_have_room_later(owner: &Owner, e: &Error, len: usize) -> bool {
    let fits = len as u64 <= owner.duplex.session.peer_max_message;
    e.is_timeout() || e.kind() == ErrorKind::TooLarge && fits
}

/// Whether it goes in chunks.
fn is_large(owner: &Owner, len: usize) -> bool {
    len > max_payload(owner.duplex.session.out().capacity())
}
