//! The peer of all victims: sends back what it gets, on both links.

use std::thread;
use std::time::Duration;

use twinring::{By, Connection, End, ErrorKind, Link, Result, Wait};

use crate::common::{Parent, Side};
use crate::phase::CAPACITY;

/// The victim's other link, beside the one that the place is for.
pub(crate) fn other(parent: &Parent) -> Link {
    let name = format!("{} beside", parent.place.name());
    let builder = match parent.side {
        Side::Host => Link::host(&name),
        Side::Guest => Link::guest(&name),
    };
    builder
        .directory(parent.place.directory())
        .ring_capacity(CAPACITY)
        .wait(Wait::Sleep)
        .open()
        .unwrap()
}

/// How long an answer may wait for room; less than the victim waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says nothing unless something is wrong. It never spins, so that it has to be woken.
pub(crate) fn echo(parent: &'static Parent) {
    let link = parent
        .builder()
        .ring_capacity(CAPACITY)
        .wait(Wait::Sleep)
        .open()
        .unwrap();
    for link in [link, other(parent)] {
        thread::spawn(move || {
            for conn in link.connections() {
                let e = loop {
                    if let Err(e) = answer(&conn) {
                        break e;
                    }
                };
                let local = |by: &By| *by == By::Local;
                let fine = match e.end() {
                    Some(End::Closed { by, .. } | End::Abandoned { by, .. }) => !local(by),
                    Some(End::Crashed) => true,
                    _ => false,
                };
                if !fine || e.kind() != ErrorKind::Ended {
                    parent.say(format!("wrong: {e:?}"));
                }
            }
        });
    }
    parent.say("ready");
    parent.wait_for_the_end();
}

/// Sends the next message back.
fn answer(conn: &Connection) -> Result<()> {
    let bytes = match conn.recv() {
        Ok(bytes) => bytes.expect("the victim closes, and does not finish"),
        // The victim gave it up, and sends it again.
        Err(e) if e.kind() == ErrorKind::StreamEnded => return Ok(()),
        Err(e) => return Err(e),
    };
    // So that the victim, which is slow under a tracer, sleeps as well.
    thread::sleep(Duration::from_millis(2));
    conn.within(PATIENCE).send(&bytes)
}
