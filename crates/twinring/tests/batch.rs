//! Many messages at once: in order and whole, and each counts as taken when the program says so, whatever
//! happens before.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{
    CLOSED_HERE, CRASHED, Child, LIMIT, Parent, Place, Random, Side, Watchdog, check, connected,
    ended, kind, labelled, message, peers, read_label, rounds, until_asleep,
};
use twinring::{Connection, ErrorKind, Timeout};

peers!(batches, threads, stuffer, reader, taker, holder);

const RING: u64 = 4096;

const SHORT: Duration = Duration::from_millis(20);

/// How the peer closes.
const CLOSED: &str = r#"Closed { by: Peer, code: 7, reason: "enough" }"#;

/// Mostly small ones, some of them empty, and some larger than the smallest ring.
fn len_of(i: u64) -> usize {
    let mut random = Random::new(i);
    match random.below(10) {
        0 => 0,
        _ => random.len(200, 30, 20_000),
    }
}

fn count() -> u64 {
    rounds(20_000, 5000) as u64
}

/// The child's end.
fn connect(parent: &'static Parent) -> Connection {
    connected(&parent.builder().ring_capacity(RING).open().unwrap())
}

/// A child in this role, and a connection to it.
fn start(place: &Place, role: &str, side: Side) -> (Connection, Child) {
    let child = place.start(role, side.opposite());
    let link = place.builder(side).ring_capacity(RING).open().unwrap();
    (connected(&link), child)
}

#[track_caller]
fn recv(conn: &Connection) -> Vec<u8> {
    conn.recv().unwrap().expect("there is more")
}

/// Sends batches of many lengths, most of them longer than the ring.
fn batches(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(parent.next_as());
    let conn = connected(&link.open().unwrap());
    let mut random = Random::new(1);
    let mut next = 0;
    while next < count() {
        let end = count().min(next + random.below(400) as u64);
        let batch: Vec<_> = (next..end).map(|i| message(1, i, len_of(i))).collect();
        assert_eq!(conn.send_batch(&batch).unwrap(), batch.len());
        next = end;
    }
    conn.finish().unwrap();
}

#[test]
fn mixes_arrive_in_order() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for capacity in [RING, 64 * 1024] {
            let place = Place::new();
            let mut child = place.start("batches", side.opposite());
            child.say(capacity);
            let link = place.builder(side).ring_capacity(capacity).open().unwrap();
            let conn = connected(&link);
            let mut random = Random::new(capacity);
            let (mut next, mut largest) = (0, 0);
            while let Some(mut batch) = conn.recv_batch().unwrap() {
                // Some are taken one by one, some together, and some not now.
                let takes = random.below(3);
                let most = if takes == 2 {
                    random.below(20)
                } else {
                    usize::MAX
                };
                let before = next;
                while next - before < most as u64
                    && let Some(bytes) = batch.next_message()
                {
                    check(bytes, 1, next, len_of(next));
                    next += 1;
                    if takes == 1 {
                        batch.take();
                    }
                }
                batch.take();
                drop(batch);
                largest = largest.max(next - before);
                // Some are received in other ways.
                if next.is_multiple_of(7) && next < count() {
                    check(&recv(&conn), 1, next, len_of(next));
                    next += 1;
                }
            }
            assert_eq!(next, count());
            assert!(largest > 1, "there was never more than one at once");
            child.finish();
        }
    }
}

const THREADS: u64 = 4;

/// Several threads send batches at once.
fn threads(parent: &'static Parent) {
    let conn = connect(parent);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let conn = &conn;
            scope.spawn(move || {
                let all: Vec<_> = (0..count() / 10)
                    .map(|i| labelled(thread, i, len_of(i)))
                    .collect();
                for batch in all.chunks(1 + 40 * thread as usize) {
                    assert_eq!(conn.send_batch(batch).unwrap(), batch.len());
                }
            });
        }
    });
    conn.finish().unwrap();
}

#[test]
fn threads_keep_their_order() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let (conn, child) = start(&place, "threads", side);
        let mut next = [0; THREADS as usize];
        while let Some(mut batch) = conn.recv_batch().unwrap() {
            while let Some(bytes) = batch.next_message() {
                let (thread, sequence) = read_label(bytes).unwrap();
                let next = &mut next[thread as usize];
                assert_eq!(sequence, *next, "order of thread {thread}");
                *next += 1;
            }
            batch.take();
        }
        assert_eq!(next, [count() / 10; THREADS as usize]);
        child.finish();
    }
}

/// Frames of a batch that fills the ring: a short one and then so many of an eighth of it.
const FILL: u64 = 8;

fn stuffed(i: u64) -> Vec<u8> {
    message(1, i, if i == 0 { 8 } else { 480 })
}

/// Fills the ring with one batch, and says when there is room again for a message of the length
/// that it is told.
fn stuffer(parent: &'static Parent) {
    let conn = connect(parent);
    let batch: Vec<_> = (0..=FILL).map(stuffed).collect();
    assert_eq!(conn.send_batch(&batch).unwrap(), batch.len());
    let at_once = conn.within(Timeout::Now);
    assert_eq!(kind(at_once.send(&[0; 480])), ErrorKind::TimedOut);
    assert_eq!(kind(at_once.send_batch(&[[0; 480]])), ErrorKind::TimedOut);
    parent.say("full");
    let len = parent.next_as();
    let patient = conn.within(LIMIT / 2);
    patient.send(&message(1, FILL + 1, len)).unwrap();
    parent.say("room");
    conn.finish().unwrap();
    patient.flush().unwrap();
}

/// The room of a batch is the peer's again when it is taken, all of it, and not before.
#[test]
fn all_room_is_given_back() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let (conn, mut child) = start(&place, "stuffer", side);
        child.expect("full");
        let mut batch = conn.recv_batch().unwrap().unwrap();
        for i in 0..=FILL {
            assert_eq!(batch.next_message().unwrap(), stuffed(i));
        }
        assert_eq!(batch.next_message(), None);
        // It has to wait for room until all has been given back, and there is nothing left that could
        // be received.
        child.say(1000);
        thread::sleep(SHORT);
        assert_eq!(child.lines_so_far(), [""; 0]);
        batch.take();
        child.expect("room");
        drop(batch);
        check(&recv(&conn), 1, FILL + 1, 1000);
        assert_eq!(conn.recv().unwrap(), None);
        child.finish();
    }
}

/// A program that panics: what it had taken by then is done, all others come again, and so does their room.
#[test]
fn what_was_not_taken_before_a_panic_comes_again() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for taken in [0, 1, 5] {
            let place = Place::new();
            let (conn, mut child) = start(&place, "stuffer", side);
            child.expect("full");
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let mut batch = conn.recv_batch().unwrap().unwrap();
                for i in 0..taken {
                    assert_eq!(batch.next_message().unwrap(), stuffed(i));
                }
                batch.take();
                // Given, and not taken.
                batch.next_message().unwrap();
                batch.next_message().unwrap();
                // Without the text of a panic, which nobody should worry about.
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(panicked.is_err());
            child.say(100);
            for i in taken..=FILL {
                // In all ways, and again as a batch that is not taken.
                let bytes = match i % 4 {
                    0 => recv(&conn),
                    1 => conn.recv_in_place().unwrap().unwrap().to_vec(),
                    2 => {
                        drop(conn.recv_batch().unwrap());
                        recv(&conn)
                    }
                    _ => {
                        let mut batch = conn.recv_batch().unwrap().unwrap();
                        let bytes = batch.next_message().unwrap().to_vec();
                        batch.take();
                        bytes
                    }
                };
                assert_eq!(bytes, stuffed(i));
            }
            child.expect("room");
            check(&recv(&conn), 1, FILL + 1, 100);
            // The child waits until all of it is taken.
            assert_eq!(conn.recv().unwrap(), None);
            child.finish();
        }
    }
}

/// A batch keeps nothing but its messages: sending and receiving go on, also on its own thread. What comes
/// again is told to one who waits.
#[test]
fn others_receive_beside_a_batch() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let (conn, mut child) = start(&place, "stuffer", Side::Host);
    child.expect("full");
    let mut batch = conn.recv_batch().unwrap().unwrap();
    assert_eq!(batch.next_message().unwrap(), stuffed(0));
    conn.send(b"answer").unwrap();
    let short = conn.within(SHORT);
    assert_eq!(kind(short.recv()), ErrorKind::TimedOut);
    assert_eq!(kind(short.recv_batch()), ErrorKind::TimedOut);
    batch.take();
    thread::scope(|scope| {
        let (told, telling) = mpsc::channel();
        let conn = &conn;
        let _other = until_asleep(scope, move || {
            for _ in 0..FILL {
                told.send(recv(conn)).unwrap();
            }
        });
        drop(batch);
        for i in 1..=FILL {
            assert_eq!(telling.recv_timeout(LIMIT).unwrap(), stuffed(i));
        }
    });
    child.say(100);
    child.expect("room");
    check(&recv(&conn), 1, FILL + 1, 100);
    assert_eq!(conn.recv().unwrap(), None);
    child.finish();
}

/// Reads so many and then no more.
fn reader(parent: &'static Parent) {
    let conn = connect(parent);
    for i in 0..parent.next_as() {
        check(&recv(&conn), 1, i, 100);
    }
    parent.say("read");
    match parent.next_line().as_str() {
        "close" => conn.close(7, "enough"),
        _ => parent.wait_for_the_end(),
    }
}

/// The peer goes while a batch waits for room: as many as were committed are told, the next call tells why,
/// and what was committed and not read comes back.
#[test]
fn the_peer_goes_in_the_middle() {
    let _watchdog = Watchdog::new(120);
    const READ: usize = 50;
    /// What the ring has room for.
    const MORE: usize = RING as usize / 112;
    let all: Vec<_> = (0..1000).map(|i| message(1, i, 100)).collect();
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        for (what, end) in [("die", CRASHED), ("close", CLOSED)] {
            let mut child = place.start("reader", side.opposite());
            let conn = connected(&link);
            let sent = thread::scope(|scope| {
                let sending = scope.spawn(|| conn.send_batch(&all));
                child.say(READ);
                child.expect("read");
                thread::sleep(Duration::from_millis(50));
                assert!(!sending.is_finished(), "there is no room for all");
                child.say(what);
                if what == "die" {
                    child.kill();
                }
                sending.join().unwrap().unwrap()
            });
            assert!((READ..=READ + MORE).contains(&sent), "{sent} sent");
            assert_eq!(ended(conn.send_batch(&all[sent..])), end);
            assert_eq!(ended(conn.recv()), end);
            let unread: Vec<_> = conn.take_unread().unwrap().collect();
            assert_eq!(unread, all[READ..sent]);
        }
    }
}

/// Takes so many of a batch, and is then killed or goes.
fn taker(parent: &'static Parent) {
    let conn = connect(parent);
    parent.expect("sent");
    let mut batch = conn.recv_batch().unwrap().unwrap();
    for i in 0..parent.next_as() {
        check(batch.next_message().unwrap(), 1, i, 100);
        batch.take();
    }
    batch.next_message().unwrap();
    parent.say("taken");
    match parent.next_line().as_str() {
        "close" => {
            conn.close(7, "enough");
            // Too late: the peer has them back.
            batch.take();
        }
        "drop" => drop((batch, conn)),
        _ => parent.wait_for_the_end(),
    }
    parent.say("gone");
    parent.wait_for_the_end();
}

/// What the peer has not taken of a batch goes back to its sender, however the peer ends.
#[test]
fn what_was_not_taken_goes_back() {
    let _watchdog = Watchdog::new(120);
    const ABANDONED: &str = common::ABANDONED;
    let all: Vec<_> = (0..20).map(|i| message(1, i, 100)).collect();
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        for (what, end) in [("die", CRASHED), ("close", CLOSED), ("drop", ABANDONED)] {
            for taken in [0, 7, 19] {
                let mut child = place.start("taker", side.opposite());
                let conn = connected(&link);
                assert_eq!(conn.send_batch(&all).unwrap(), all.len());
                child.say("sent");
                child.say(taken);
                child.expect("taken");
                let counted = conn.taken().unwrap();
                assert_eq!(counted.messages, taken as u64);
                assert_eq!(counted.waiting, (all.len() - taken) as u64);
                if what == "die" {
                    child.kill();
                } else {
                    child.say(what);
                    child.expect("gone");
                }
                assert_eq!(ended(conn.flush()), end);
                let unread: Vec<_> = conn.take_unread().unwrap().collect();
                assert_eq!(unread, all[taken..]);
                assert_eq!(conn.take_unread().unwrap().count(), 0, "once");
            }
        }
    }
}

/// Leaves a batch undone, receives its first message again, in place or as a stream, and reads all of it.
fn holder(parent: &'static Parent) {
    let conn = connect(parent);
    parent.expect("go");
    let mut batch = conn.recv_batch().unwrap().unwrap();
    assert_eq!(batch.next_message(), Some(&b"one"[..]));
    drop(batch);
    let stream = parent.next_line() == "stream";
    let view = if stream {
        let mut stream = conn.recv_stream().unwrap().unwrap();
        stream.next_chunk().unwrap().unwrap()
    } else {
        conn.recv_in_place().unwrap().unwrap()
    };
    assert_eq!(&view[..], b"one");
    parent.say("held");
    parent.expect("done");
    drop(view);
    parent.say("dropped");
    parent.wait_for_the_end();
}

/// As when it came for the first time.
#[test]
fn what_comes_again_is_taken_when_its_view_is_dropped() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for how in ["view", "stream"] {
            for done in [false, true] {
                let place = Place::new();
                let (conn, mut child) = start(&place, "holder", side);
                conn.send_batch(&["one", "two"]).unwrap();
                child.say("go");
                child.say(how);
                child.expect("held");
                if done {
                    child.say("done");
                    child.expect("dropped");
                }
                child.kill();
                assert_eq!(ended(conn.flush()), CRASHED);
                let unread: Vec<_> = conn.take_unread().unwrap().collect();
                let all = [b"one", b"two"];
                assert_eq!(unread, all[usize::from(done)..], "{how}");
            }
        }
    }
}

#[test]
fn a_batch_of_none() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let (conn, mut child) = start(&place, "reader", Side::Host);
    assert_eq!(conn.send_batch::<&[u8]>(&[]).unwrap(), 0);
    child.say(0);
    child.expect("read");
    child.say("close");
    child.finish();
    assert_eq!(ended(conn.recv_batch()), CLOSED);
    assert_eq!(ended(conn.send_batch(&["to nobody"])), CLOSED);

    let (conn, mut child) = start(&Place::new(), "reader", Side::Host);
    child.say(0);
    child.expect("read");
    conn.close(0, "");
    assert_eq!(ended(conn.recv_batch()), CLOSED_HERE);
}
