//! The process whose calls fail.

use std::time::Duration;

use twinring::{ErrorKind, Link, Result, Wait};

use crate::common::{Audit, Parent, connected, labelled, read_label, until};
use crate::echo::other;
use crate::phase::{CAPACITY, Phase};
use crate::tracer::mark;

/// Bytes of the large message: several times the ring.
const LARGE: usize = 20_000;

/// How long an answer may take. Much less than the guard's time, much more than any machine needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Attempts that may fail in a row. One call fails, but the same failure can be told on several
/// ways: to the call that met it, and as the end of the connection it cost.
const ATTEMPTS: u64 = 4;

/// Opens a link, talks, closes it; one of these phases stands between marks. Says which errors it
/// met, `through` at the end, and `wrong ...` if it could not get through.
pub(crate) fn victim(parent: &'static Parent) {
    std::panic::set_hook(Box::new(|panic| parent.say(format!("wrong: {panic}"))));
    let phase: Phase = parent.next_as();
    let other = other(parent);
    connected(&other);
    talk(parent, &other);
    // What is made only once in a process is made now.
    let link = open(parent);
    talk(parent, &link);
    link.close();
    drop(link);

    parent.say("ready");
    parent.expect("go");
    let before = Audit::now();
    let marked = |wanted| {
        if phase == wanted {
            mark();
        }
    };
    marked(Phase::Open);
    let link = open(parent);
    marked(Phase::Open);
    marked(Phase::Talk);
    talk(parent, &link);
    marked(Phase::Talk);
    marked(Phase::Close);
    link.close();
    marked(Phase::Close);
    drop(link);

    until("everything is given back", || {
        !Audit::now().exceeds(&before)
    });
    talk(parent, &other);
    other.close();
    parent.say("through");
}

fn open(parent: &'static Parent) -> Link {
    for _ in 0..ATTEMPTS {
        let opened = parent
            .builder()
            .ring_capacity(CAPACITY)
            .wait(Wait::Sleep)
            .on_error(|_, e| parent.say(format!("on_error: {e:?}")))
            .open();
        match opened {
            Ok(link) => {
                link.wait_connected(PATIENCE)
                    .expect("it connects by itself");
                return link;
            }
            Err(e) => parent.say(format!("open: {e:?}")),
        }
    }
    panic!("it does not open");
}

/// A small message and a large one, there and back.
fn talk(parent: &Parent, link: &Link) {
    for len in [0, LARGE] {
        let through = (0..ATTEMPTS).any(|attempt| match exchange(parent, link, attempt, len) {
            Ok(()) => true,
            Err(e) => {
                parent.say(format!("{len} bytes: {e:?}"));
                link.wait_connected(PATIENCE)
                    .expect("it connects again by itself");
                // What earlier connections have left to tell would be taken for the end of this
                // one. Then the message would be sent again while it is being answered, and two
                // large ones wait for each other.
                for _ in 0..ATTEMPTS {
                    let _ = link.try_recv();
                }
                false
            }
        });
        assert!(through, "the link works again");
    }
}

fn exchange(parent: &Parent, link: &Link, attempt: u64, len: usize) -> Result<()> {
    link.send_timeout(&labelled(len as u64, attempt, len), PATIENCE)?;
    let mut failures = 0;
    loop {
        match link.recv_timeout(PATIENCE) {
            Ok(bytes) if read_label(&bytes) == Ok((len as u64, attempt)) => return Ok(()),
            // The answer to an earlier attempt, which may also have been given up.
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Aborted => {}
            // The answer is on its way: the peer does nothing else before it has got rid of it.
            Err(e) if e.kind() == ErrorKind::OutOfMemory && failures < ATTEMPTS => {
                parent.say(format!("{len} bytes: recv: {e:?}"));
                failures += 1;
            }
            Err(e) => return Err(e),
        }
    }
}
