//! Many threads send and receive over one link.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    Parent, Place, Random, Side, Watchdog, connected, labelled, peers, read_label, rounds, until,
    until_asleep,
};
use twinring::{ErrorKind, Link};

peers!(eight_threads, patient, spray, counter);

const THREADS: u64 = 8;

/// Messages that each thread sends.
fn per_thread() -> u64 {
    rounds(10_000, 3000) as u64
}

/// Eight threads send at the same time while one receives; in each one's order, none mixed.
fn send_and_receive(link: &Link, side: Side) {
    let first = side.opposite() as u64 * THREADS;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sender = side as u64 * THREADS + thread;
            scope.spawn(move || {
                let mut random = Random::new(sender);
                for sequence in 0..per_thread() {
                    // Some are larger than the ring.
                    let more = random.len(400, 100, 200_000);
                    link.send(&labelled(sender, sequence, more)).unwrap();
                }
            });
        }
        let mut next = [0; THREADS as usize];
        for _ in 0..THREADS * per_thread() {
            let (sender, sequence) = read_label(&link.recv().unwrap()).unwrap();
            let next = &mut next[(sender - first) as usize];
            assert_eq!(sequence, *next, "order of thread {sender}");
            *next += 1;
        }
        assert_eq!(next, [per_thread(); THREADS as usize]);
    });
}

fn eight_threads(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    send_and_receive(&link, parent.side);
    parent.say("done");
    assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn eight_threads_send_each_way() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("eight_threads", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        connected(&link);
        send_and_receive(&link, side);
        child.expect("done");
        link.close();
        child.finish();
    }
}

const LARGE: u64 = 1;
const SMALL: u64 = 2;
const PROBE: u64 = 3;

/// Reads nothing until it is told to; then says whose messages come, in their order.
fn patient(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    parent.expect("read");
    for message in link.messages() {
        match message.map(|bytes| read_label(&bytes).unwrap().0) {
            Ok(PROBE) => {}
            Ok(sender) => parent.say(sender),
            Err(e) => return assert_eq!(e.kind(), ErrorKind::Closed),
        }
    }
}

/// Waits until another thread has filled the ring and waits for room.
fn until_the_ring_is_full(link: &Link) {
    until("the ring is full", || {
        match link.send_timeout(&labelled(PROBE, 0, 0), Duration::from_millis(20)) {
            Ok(()) => false,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
                true
            }
        }
    });
}

/// A small message of one thread passes a large one of another, even though that one waits for
/// room; `try_send` does not wait for the lane.
#[test]
fn a_small_message_overtakes_a_large_one() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("patient", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        connected(&link);
        thread::scope(|scope| {
            let large = scope.spawn(|| link.send(&labelled(LARGE, 0, 64 << 20)));
            until_the_ring_is_full(&link);
            for len in [0, 10_000, 1_000_000] {
                let e = link.try_send(&labelled(SMALL, 0, len)).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Full, "{e}");
            }
            // It waits for the lane before the large one goes on.
            let small = until_asleep(scope, || link.send(&labelled(SMALL, 0, 10)));
            child.say("read");
            small.join().unwrap().unwrap();
            assert!(!large.is_finished(), "64 MiB do not fit the ring");
            child.expect(&SMALL.to_string());
            child.expect(&LARGE.to_string());
            large.join().unwrap().unwrap();
        });
        link.close();
        child.finish();
    }
}

/// Sends until it is told to stop, and says how many it sent.
fn spray(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    let count: u64 = parent.next_as();
    let mut random = Random::new(1);
    for i in 0..count {
        link.send(&labelled(1, i, random.len(200, 100, 100_000)))
            .unwrap();
    }
    link.close();
}

/// Each message goes to one of the threads that receive, and to each in order.
#[test]
fn several_threads_receive() {
    let _watchdog = Watchdog::new(120);
    let count = rounds(20_000, 10_000) as u64;
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("spray", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        connected(&link);
        let ended = AtomicBool::new(false);
        let receive = || {
            let mut got = Vec::new();
            loop {
                match link.recv_timeout(Duration::from_millis(20)) {
                    Ok(bytes) => got.push(read_label(&bytes).unwrap().1),
                    // The end is told once, to one of the threads.
                    Err(e) if e.kind() == ErrorKind::Closed => {
                        assert!(!ended.swap(true, Ordering::SeqCst), "the end is told once");
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
                        if ended.load(Ordering::SeqCst) {
                            return got;
                        }
                    }
                }
            }
        };
        let got = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(receive)).collect();
            child.say(count);
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert!(
            got.iter().all(|got| got.is_sorted()),
            "each gets them in order"
        );
        let mut all = got.concat();
        all.sort();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        child.finish();
    }
}

/// Counts what each thread of the peer sends, in two threads that receive alternately; until a
/// message of length 1 says that there are no more.
fn counter(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(16 * 1024).open().unwrap();
    connected(&link);
    let ended = AtomicBool::new(false);
    let count = |often: bool| {
        let mut counted = [0u32; SENDERS];
        while !ended.load(Ordering::Relaxed) {
            match link.recv_timeout(Duration::from_millis(20)) {
                Ok(message) if message.len() == 1 => ended.store(true, Ordering::Relaxed),
                Ok(message) => counted[usize::from(message[0])] += 1,
                Err(e) => assert_eq!(e.kind(), ErrorKind::TimedOut),
            }
            if !often {
                thread::sleep(Duration::from_millis(1));
            }
        }
        counted
    };
    let counted = thread::scope(|scope| {
        let seldom = scope.spawn(|| count(false));
        let often = count(true);
        let seldom = seldom.join().unwrap();
        std::array::from_fn::<_, SENDERS, _>(|i| often[i] + seldom[i])
    });
    parent.say(format!("{counted:?}"));
}

const SENDERS: usize = 4;

/// One thread sends all the time, and unlocks the lane each time with a plain store; others take it in between,
/// also by calls that do not wait for it. What was sent arrives, and nothing else.
#[test]
fn others_send_beside_one_that_sends_all_the_time() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("counter", side);
        let builder = place.builder(side.opposite()).ring_capacity(16 * 1024);
        let link = builder.open().unwrap();
        connected(&link);
        let many = rounds(400_000, 20_000) as u32;
        let ended = AtomicBool::new(false);
        let sent: Vec<u32> = thread::scope(|scope| {
            let others: Vec<_> = (1..SENDERS)
                .map(|sender| {
                    let (link, ended) = (&link, &ended);
                    scope.spawn(move || {
                        let message = [sender as u8; 40];
                        let mut sent = 0;
                        while !ended.load(Ordering::Relaxed) {
                            let done = match sender {
                                1 => link.send(&message),
                                2 => link.send_timeout(&message, Duration::from_millis(1)),
                                _ => link.try_send(&message),
                            };
                            sent += u32::from(done.is_ok());
                            thread::sleep(Duration::from_micros(500));
                        }
                        sent
                    })
                })
                .collect();
            for _ in 0..many {
                link.send(&[0; 40]).unwrap();
            }
            ended.store(true, Ordering::Relaxed);
            let others = others.into_iter().map(|other| other.join().unwrap());
            std::iter::once(many).chain(others).collect()
        });
        link.send(b".").unwrap();
        child.expect(&format!("{sent:?}"));
    }
}
