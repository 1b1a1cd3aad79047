//! Many messages at once: in order and whole, and all room is given back, whatever happens within.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, labelled, message, peers,
    read_label, rounds,
};
use twinring::{ErrorKind, Link, Result};

peers!(batches, threads, stuffer, reader);

const RING: u64 = 4096;

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

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

/// Sends batches of many lengths, most of them longer than the ring.
fn batches(parent: &'static Parent) {
    let link = parent
        .builder()
        .ring_capacity(parent.next_as())
        .open()
        .unwrap();
    connected(&link);
    let mut random = Random::new(1);
    let mut next = 0;
    while next < count() {
        let end = count().min(next + random.below(400) as u64);
        let batch: Vec<_> = (next..end).map(|i| message(1, i, len_of(i))).collect();
        assert_eq!(link.send_batch(&batch).unwrap(), batch.len());
        next = end;
    }
    parent.expect("end");
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
            let (mut next, mut largest) = (0, 0);
            while next < count() {
                let before = next;
                let taken = link.recv_batch(|bytes| {
                    check(bytes, 1, next, len_of(next));
                    next += 1;
                });
                assert_eq!(taken.unwrap() as u64, next - before);
                largest = largest.max(next - before);
                // Some are received in other ways.
                if next.is_multiple_of(7) && next < count() {
                    check(&link.recv().unwrap(), 1, next, len_of(next));
                    next += 1;
                }
            }
            assert!(largest > 1, "there was never more than one at once");
            assert_eq!(link.try_recv().unwrap(), None);
            child.say("end");
            child.finish();
        }
    }
}

const THREADS: u64 = 4;

/// Several threads send batches at once.
fn threads(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let link = &link;
            scope.spawn(move || {
                let all: Vec<_> = (0..count() / 10)
                    .map(|i| labelled(thread, i, len_of(i)))
                    .collect();
                for batch in all.chunks(1 + 40 * thread as usize) {
                    assert_eq!(link.send_batch(batch).unwrap(), batch.len());
                }
            });
        }
    });
    parent.expect("end");
}

#[test]
fn threads_keep_their_order() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("threads", side.opposite());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut next = [0; THREADS as usize];
        while next.iter().sum::<u64>() < THREADS * (count() / 10) {
            link.recv_batch(|bytes| {
                let (thread, sequence) = read_label(bytes).unwrap();
                let next = &mut next[thread as usize];
                assert_eq!(sequence, *next, "order of thread {thread}");
                *next += 1;
            })
            .unwrap();
        }
        child.say("end");
        child.finish();
    }
}

/// Frames of a batch that fills the ring: a short one and then so many of an eighth of it.
const FILL: u64 = 8;

/// Fills the ring with one batch, and says when there is room again for a message of the length
/// that it is told.
fn stuffer(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    let batch: Vec<_> = (0..=FILL)
        .map(|i| message(1, i, if i == 0 { 8 } else { 480 }))
        .collect();
    assert_eq!(link.send_batch(&batch).unwrap(), batch.len());
    assert_eq!(kind(link.try_send(&[0; 480])), ErrorKind::Full);
    parent.say("full");
    let len = parent.next_as();
    link.send_timeout(&message(1, FILL + 1, len), LIMIT / 2)
        .unwrap();
    parent.say("room");
    parent.expect("end");
}

/// What a batch has taken is given back at its end, also what was kept for later.
#[test]
fn all_room_is_given_back() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("stuffer", side.opposite());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        child.expect("full");
        assert_eq!(link.recv_batch(|_| {}).unwrap() as u64, FILL + 1);
        // It has to wait for room unless all has been given back, and there is nothing left that
        // could be received.
        child.say(1000);
        child.expect("room");
        check(&link.recv().unwrap(), 1, FILL + 1, 1000);
        child.say("end");
        child.finish();
    }
}

/// A closure that panics: its message and those before it are taken and given back, the link goes
/// on with the next one.
#[test]
fn a_panic_gives_back_what_was_taken() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("stuffer", side.opposite());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        child.expect("full");
        let mut got = 0;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            link.recv_batch(|_| {
                got += 1;
                assert!(got < 2, "as the test wants it");
            })
        }));
        assert!(panicked.is_err() && got == 2);
        // Only just, and only with the room of both.
        child.say(480);
        child.expect("room");
        for i in 2..=FILL + 1 {
            check(&link.recv().unwrap(), 1, i, 480);
        }
        child.say("end");
        child.finish();
    }
}

/// Within the closure, the same thread may send but not receive; another thread waits.
#[test]
fn receiving_within_a_batch_is_a_deadlock() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut child = place.start("stuffer", Side::Guest);
    let link = place.host().ring_capacity(RING).open().unwrap();
    child.expect("full");
    let short = Duration::from_millis(20);
    thread::scope(|scope| {
        let (told, telling) = mpsc::channel();
        let mut first = true;
        let taken = link.recv_batch(|_| {
            if !std::mem::take(&mut first) {
                return;
            }
            let refused: [ErrorKind; 7] = [
                kind(link.recv()),
                kind(link.recv_timeout(short)),
                kind(link.try_recv()),
                kind(link.recv_into(&mut Vec::new())),
                kind(link.recv_in_place()),
                kind(link.recv_stream()),
                kind(link.recv_batch(|_| {})),
            ];
            assert_eq!(refused, [ErrorKind::Deadlock; 7]);
            link.send(b"answer").unwrap();
            let other = scope.spawn(|| kind(link.recv_timeout(short)));
            assert_eq!(other.join().unwrap(), ErrorKind::TimedOut);
            let told = told.clone();
            let link = &link;
            scope.spawn(move || told.send(link.recv().unwrap()).unwrap());
        });
        assert_eq!(taken.unwrap() as u64, FILL + 1);
        child.say(100);
        check(&telling.recv_timeout(LIMIT).unwrap(), 1, FILL + 1, 100);
    });
    child.expect("room");
    child.say("end");
    child.finish();
}

/// Reads so many and then no more.
fn reader(parent: &'static Parent) {
    let link: Link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    for i in 0..parent.next_as() {
        check(&link.recv().unwrap(), 1, i, 100);
    }
    parent.say("read");
    match parent.next_line().as_str() {
        "close" => link.close(),
        _ => parent.wait_for_the_end(),
    }
}

/// The peer goes while a batch waits for room: as many as were committed are told, and the next
/// call tells why.
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
        for (what, ends) in [("die", ErrorKind::PeerGone), ("close", ErrorKind::Closed)] {
            let mut child = place.start("reader", side.opposite());
            connected(&link);
            let sent = thread::scope(|scope| {
                let sending = scope.spawn(|| link.send_batch(&all));
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
            let next = kind(link.send_batch(&all[sent..]));
            assert!(next == ends || next == ErrorKind::NotConnected, "{next:?}");
            assert_eq!(kind(link.recv()), ends);
        }
    }
}

#[test]
fn a_batch_of_none() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let mut child = place.start("reader", Side::Guest);
    let link = place
        .host()
        .ring_capacity(RING)
        .max_message(10)
        .open()
        .unwrap();
    connected(&link);
    assert_eq!(link.send_batch::<&[u8]>(&[]).unwrap(), 0);
    child.say(0);
    child.expect("read");
    child.say("close");
    child.finish();
    assert_eq!(kind(link.recv()), ErrorKind::Closed);
    assert_eq!(
        kind(link.send_batch(&["to nobody"])),
        ErrorKind::NotConnected
    );
}
