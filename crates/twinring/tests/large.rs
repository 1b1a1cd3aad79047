//! Large messages beside others: what a thread that sends one owes to the threads that send small
//! ones, and to the peer when it gives up.

mod common;

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use common::{ABANDONED, Parent, Place, Side, Watchdog, connected, kind, peers, stream_ended};
#[cfg(target_os = "linux")]
use common::{LIMIT, until_asleep};
use twinring::{Connection, ErrorKind, Link, Wait};

#[cfg(target_os = "linux")]
peers!(
    large_and_small,
    small_beside_large,
    gives_up,
    gives_up_behind_another
);
#[cfg(not(target_os = "linux"))]
peers!(small_beside_large, gives_up, gives_up_behind_another);

/// A ring for three of the longest frames, and not quite a fourth.
const RING: u64 = 4096;
/// What fills one of them.
const FRAME: usize = 1016;

fn host(place: &Place) -> Link {
    place.host().ring_capacity(RING).open().unwrap()
}

fn guest(parent: &Parent) -> Connection {
    connected(&parent.builder().wait(Wait::Sleep).open().unwrap())
}

#[track_caller]
fn recv(conn: &Connection) -> Vec<u8> {
    conn.recv().unwrap().expect("there is more")
}

#[cfg(target_os = "linux")]
const ROUNDS: usize = 20;

#[cfg(target_os = "linux")]
fn large_and_small(parent: &'static Parent) {
    let conn = guest(parent);
    for _ in 0..ROUNDS {
        conn.send(&[1; FRAME]).unwrap();
        thread::scope(|scope| {
            // For room, and for the lane.
            let large = until_asleep(scope, || conn.send(&[2; 4 * FRAME]).unwrap());
            let small = until_asleep(scope, || conn.send(&[3; FRAME]).unwrap());
            parent.say("full");
            large.join().unwrap();
            small.join().unwrap();
        });
        parent.expect("next");
    }
}

/// The lane is handed on between two chunks: without that, the thread with the large message takes
/// it again before one that waits has woken up.
#[test]
#[cfg(target_os = "linux")]
fn a_large_message_lets_small_ones_pass() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("large_and_small", Side::Guest);
    let conn = connected(&link).within(LIMIT);
    for _ in 0..ROUNDS {
        child.expect("full");
        // Two chunks are in the ring, the third waits for room with the lane, the small message for
        // the lane. With this read there is room for the third, and not for the fourth.
        assert_eq!(recv(&conn), [1; FRAME]);
        assert_eq!(recv(&conn), [3; FRAME]);
        assert_eq!(recv(&conn), [2; 4 * FRAME]);
        child.say("next");
    }
    child.finish();
}

const LONG: usize = 64 << 20;
const TIMES: usize = 50;

/// Two large messages, one of them a stream, and a small one beside them whenever one is asked for.
fn small_beside_large(parent: &'static Parent) {
    // One that spins holds the lane only to write, however long nothing is read.
    let conn = connected(&parent.builder().wait(Wait::Spin).open().unwrap());
    for streamed in [false, true] {
        thread::scope(|scope| {
            let conn = &conn;
            let large = scope.spawn(move || {
                let message = vec![2; LONG];
                if streamed {
                    let mut stream = conn.send_stream().unwrap();
                    stream.write_all(&message).unwrap();
                    stream.finish().unwrap();
                } else {
                    conn.send(&message).unwrap();
                }
            });
            for _ in 0..TIMES {
                parent.expect("small");
                conn.send(b"small").unwrap();
                parent.say("sent");
            }
            parent.expect("all");
            large.join().unwrap();
        });
    }
}

/// Once others have sent beside a large message, its sender leaves the ring nearly empty, whatever
/// the receiver does: a small message has little before it, and there is room for it.
#[test]
fn a_small_message_has_little_of_a_large_one_before_it() {
    const CAPACITY: u64 = 1 << 20;
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = place.host().ring_capacity(CAPACITY).open().unwrap();
    let mut child = place.start("small_beside_large", Side::Guest);
    let conn = connected(&link);
    for _ in 0..2 {
        let mut stream = conn.recv_stream().unwrap().unwrap();
        let mut buffer = vec![0; 16 * 1024];
        let mut read = 0;
        let mut last = Instant::now();
        for time in 0..TIMES {
            let since = last;
            child.say("small");
            if time > 0 {
                // Nothing is read meanwhile.
                child.expect("sent");
            }
            let before = read;
            // Until one has overtaken it.
            while let Err(e) = conn.recv() {
                assert_eq!(e.kind(), ErrorKind::Held, "{e}");
                last = Instant::now();
                let len = stream.read(&mut buffer).unwrap();
                assert_ne!(len, 0, "the small one passes the large one");
                read += len as u64;
                if time == 0 {
                    // The ring may be full, so the first small one waits, and room is made for it:
                    // not so fast that the large one is over before its sender is awake.
                    thread::sleep(Duration::from_millis(1));
                }
            }
            if time == 0 {
                child.expect("sent");
                continue;
            }
            // Beside a peer that reads nothing a large message still gets a chunk in each 100 ms: as
            // this one is, from its last read on, for as long as it gets no processor.
            let took = since.elapsed();
            let patience = took.as_millis() as u64 / 100;
            assert!(
                read - before <= CAPACITY / 4 + patience * CAPACITY / 32,
                "{} bytes before it, time {time}, within {took:?}",
                read - before
            );
        }
        child.say("all");
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                len => read += len as u64,
            }
        }
        assert_eq!(read, LONG as u64);
    }
    child.finish();
}

/// The peer reads on, so it is told at once. Short, because a test that fails waits for all of it.
const TOLD: Duration = Duration::from_secs(10);

fn give_up(conn: &Connection) {
    let late = conn.within(Duration::from_secs(2));
    assert_eq!(kind(late.send(&[2; 100 * FRAME])), ErrorKind::TimedOut);
}

fn gives_up(parent: &'static Parent) {
    let conn = guest(parent);
    give_up(&conn);
    parent.say("given up");
    parent.expect("end");
}

/// The one that gives up tells the peer itself, without a further message.
#[test]
fn a_message_given_up_is_told() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("gives_up", Side::Guest);
    let conn = connected(&link).within(TOLD);
    child.expect("given up");
    assert_eq!(stream_ended(conn.recv()), ABANDONED);
    child.say("end");
    child.finish();
}

/// One thread gives up a large message while another holds the lane and waits for room.
fn gives_up_behind_another(parent: &'static Parent) {
    let conn = guest(parent);
    conn.send(&[1; FRAME]).unwrap();
    thread::scope(|scope| {
        let large = scope.spawn(|| give_up(&conn));
        // By now two chunks are in the ring, and the third waits for room. Were they not, the test
        // would only show less.
        thread::sleep(Duration::from_millis(300));
        let other = scope.spawn(|| conn.send(&[3; FRAME]).unwrap());
        thread::sleep(Duration::from_millis(300));
        parent.say("full");
        large.join().unwrap();
        parent.say("given up");
        other.join().unwrap();
    });
    parent.expect("end");
}

/// Then the other one has to tell the peer, without a further message.
#[test]
fn a_message_given_up_behind_another_is_told() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = host(&place);
    let mut child = place.start("gives_up_behind_another", Side::Guest);
    let conn = connected(&link).within(TOLD);
    child.expect("full");
    // Room for the third chunk, after which the lane goes to the other thread, which finds none.
    assert_eq!(recv(&conn), [1; FRAME]);
    child.expect("given up");
    let mut aborted = false;
    let mut other = false;
    while !(aborted && other) {
        match conn.recv() {
            Ok(message) => {
                assert_eq!(message.unwrap(), [3; FRAME]);
                other = true;
            }
            given_up => {
                assert_eq!(stream_ended(given_up), ABANDONED);
                aborted = true;
            }
        }
    }
    child.say("end");
    child.finish();
}
