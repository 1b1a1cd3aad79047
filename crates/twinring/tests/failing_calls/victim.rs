//! The process whose calls fail.

use std::thread;
use std::time::Duration;

use twinring::{Connection, ErrorKind, Link, Result, Wait};

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
    let beside = connected(&other);
    exchange_both(&beside);
    // What is made only once in a process is made now.
    let (link, mut conn) = open(parent);
    talk(parent, &link, &mut conn);
    link.close(0, "");
    drop((link, conn));

    parent.say("ready");
    parent.expect("go");
    let before = Audit::now();
    let marked = |wanted| {
        if phase == wanted {
            mark();
        }
    };
    marked(Phase::Open);
    let (link, mut conn) = open(parent);
    marked(Phase::Open);
    marked(Phase::Talk);
    talk(parent, &link, &mut conn);
    marked(Phase::Talk);
    marked(Phase::Close);
    link.close(0, "");
    marked(Phase::Close);
    drop((link, conn));

    until("everything is given back", || {
        !Audit::now().exceeds(&before)
    });
    // The same connection.
    exchange_both(&beside);
    other.close(0, "");
    parent.say("through");
}

fn open(parent: &'static Parent) -> (Link, Connection) {
    for _ in 0..ATTEMPTS {
        let opened = parent
            .builder()
            .ring_capacity(CAPACITY)
            .wait(Wait::Sleep)
            .admit(|_| {
                // That thread waits for nobody, whatever fails.
                assert_ne!(thread::current().name(), Some("twinring"));
                true
            })
            .on_error(|e| parent.say(format!("on_error: {e:?}")))
            .open();
        match opened {
            Ok(link) => {
                let conn = next(&link);
                return (link, conn);
            }
            Err(e) => parent.say(format!("open: {e:?}")),
        }
    }
    panic!("it does not open");
}

fn next(link: &Link) -> Connection {
    // A `next` that times out may say why the last attempt has failed.
    let conn = link.within(PATIENCE).next();
    conn.expect("it connects by itself")
}

/// A small message and a large one, there and back.
fn talk(parent: &Parent, link: &Link, conn: &mut Connection) {
    for len in [0, LARGE] {
        let through = (0..ATTEMPTS).any(|attempt| match exchange(parent, conn, attempt, len) {
            Ok(()) => true,
            Err(e) => {
                parent.say(format!("{len} bytes: {e:?}"));
                if conn.end().is_some() {
                    *conn = next(link);
                }
                false
            }
        });
        assert!(through, "the link works again");
    }
}

/// A small message and a large one, there and back; nothing may fail.
fn exchange_both(conn: &Connection) {
    let conn = conn.within(PATIENCE);
    for len in [0, LARGE] {
        conn.send(&labelled(1, 2, len)).unwrap();
        assert_eq!(read_label(&conn.recv().unwrap().unwrap()), Ok((1, 2)));
    }
}

fn exchange(parent: &Parent, conn: &Connection, attempt: u64, len: usize) -> Result<()> {
    let conn = conn.within(PATIENCE);
    conn.send(&labelled(len as u64, attempt, len))?;
    let mut failures = 0;
    loop {
        match conn.recv() {
            Ok(bytes) if read_label(bytes.as_deref().unwrap()) == Ok((len as u64, attempt)) => {
                return Ok(());
            }
            // The answer to an earlier attempt, which may also have been given up.
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::StreamEnded => {}
            // The answer is on its way: the peer does nothing else before it has got rid of it.
            Err(e) if e.kind() == ErrorKind::OutOfMemory && failures < ATTEMPTS => {
                parent.say(format!("{len} bytes: recv: {e:?}"));
                failures += 1;
            }
            Err(e) => return Err(e),
        }
    }
}
