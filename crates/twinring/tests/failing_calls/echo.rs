//! The peer of all victims: sends back what it gets, on both links.

use std::thread;
use std::time::Duration;

use twinring::{ErrorKind, Link, Wait};

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
            loop {
                let generation = link.generation();
                let echoed = link.recv().and_then(|bytes| {
                    // So that the victim, which is slow under a tracer, sleeps as well.
                    thread::sleep(Duration::from_millis(2));
                    link.send_timeout(&bytes, PATIENCE)
                });
                let Err(e) = echoed else {
                    continue;
                };
                // What came over one connection may be answered over the next, while the victim there
                // sends, and reads no answer before we have read that.
                let stale = e.kind() == ErrorKind::TimedOut && link.generation() != generation;
                if e.kind() == ErrorKind::Protocol
                    || !e.is_disconnect() && e.kind() != ErrorKind::Aborted && !stale
                {
                    parent.say(format!("wrong: {e:?}"));
                }
            }
        });
    }
    parent.say("ready");
    parent.wait_for_the_end();
}
