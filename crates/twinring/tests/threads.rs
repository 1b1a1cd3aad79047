//! Many threads send and receive over one link.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    CLOSED, Parent, Place, Random, Side, Watchdog, connected, ended, labelled, peers, read_label,
    rounds, until, until_asleep,
};
use twinring::{Connection, Timeout};

peers!(eight_threads, patient, spray, counter);

const THREADS: u64 = 8;

/// Messages that each thread sends.
fn per_thread() -> u64 {
    rounds(10_000, 3000) as u64
}

/// Eight threads send at the same time while one receives; in each one's order, none mixed.
fn send_and_receive(conn: &Connection, side: Side) {
    let first = side.opposite() as u64 * THREADS;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sender = side as u64 * THREADS + thread;
            scope.spawn(move || {
                let mut random = Random::new(sender);
                for sequence in 0..per_thread() {
                    // Some are larger than the ring.
                    let more = random.len(400, 100, 200_000);
                    conn.send(&labelled(sender, sequence, more)).unwrap();
                }
            });
        }
        let mut next = [0; THREADS as usize];
        for _ in 0..THREADS * per_thread() {
            let (sender, sequence) = read_label(&conn.recv().unwrap().unwrap()).unwrap();
            let next = &mut next[(sender - first) as usize];
            assert_eq!(sequence, *next, "order of thread {sender}");
            *next += 1;
        }
        assert_eq!(next, [per_thread(); THREADS as usize]);
    });
    conn.finish().unwrap();
    assert_eq!(conn.recv().unwrap(), None);
}

/// The child's end.
fn connect(parent: &'static Parent) -> Connection {
    let link = parent.builder().ring_capacity(64 * 1024);
    connected(&link.open().unwrap())
}

fn eight_threads(parent: &'static Parent) {
    send_and_receive(&connect(parent), parent.side);
}

#[test]
fn eight_threads_send_each_way() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let child = place.start("eight_threads", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        send_and_receive(&connected(&link), side);
        child.finish();
    }
}

const LARGE: u64 = 1;
const SMALL: u64 = 2;
const PROBE: u64 = 3;

/// Reads nothing until it is told to; then says whose messages come, in their order.
fn patient(parent: &'static Parent) {
    let conn = connect(parent);
    parent.expect("read");
    while let Some(bytes) = conn.recv().unwrap() {
        match read_label(&bytes).unwrap().0 {
            PROBE => {}
            sender => parent.say(sender),
        }
    }
}

/// Waits until another thread has filled the ring and waits for room.
fn until_the_ring_is_full(conn: &Connection) {
    let short = conn.within(Duration::from_millis(20));
    until("the ring is full", || {
        match short.send(&labelled(PROBE, 0, 0)) {
            Ok(()) => false,
            Err(e) => {
                assert!(e.is_timeout(), "{e}");
                true
            }
        }
    });
}

/// A small message of one thread passes a large one of another, even though that one waits for
/// room; a call that does not wait does not wait for the lane either.
#[test]
fn a_small_message_overtakes_a_large_one() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("patient", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        let conn = connected(&link);
        thread::scope(|scope| {
            let large = scope.spawn(|| conn.send(&labelled(LARGE, 0, 64 << 20)));
            until_the_ring_is_full(&conn);
            for len in [0, 10_000, 1_000_000] {
                let at_once = conn.within(Timeout::Now);
                let e = at_once.send(&labelled(SMALL, 0, len)).unwrap_err();
                assert!(e.is_timeout(), "{e}");
            }
            // It waits for the lane before the large one goes on.
            let small = until_asleep(scope, || conn.send(&labelled(SMALL, 0, 10)));
            child.say("read");
            small.join().unwrap().unwrap();
            assert!(!large.is_finished(), "64 MiB do not fit the ring");
            child.expect(&SMALL.to_string());
            child.expect(&LARGE.to_string());
            large.join().unwrap().unwrap();
        });
        conn.finish().unwrap();
        child.finish();
    }
}

/// Sends as many as it is told, and closes.
fn spray(parent: &'static Parent) {
    let conn = connect(parent);
    let count: u64 = parent.next_as();
    let mut random = Random::new(1);
    for i in 0..count {
        conn.send(&labelled(1, i, random.len(200, 100, 100_000)))
            .unwrap();
    }
    conn.close(0, "");
}

/// Each message goes to one of the threads that receive, and to each in order; the end is told to all.
#[test]
fn several_threads_receive() {
    let _watchdog = Watchdog::new(120);
    let count = rounds(20_000, 10_000) as u64;
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("spray", side.opposite());
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        let conn = connected(&link);
        let receive = |timeout: Timeout| {
            let conn = conn.within(timeout);
            let mut got = Vec::new();
            loop {
                match conn.recv() {
                    Ok(bytes) => got.push(read_label(&bytes.unwrap()).unwrap().1),
                    Err(e) if e.is_timeout() => {}
                    end => {
                        assert_eq!(ended(end), CLOSED);
                        assert_eq!(ended(conn.recv()), CLOSED, "each time");
                        return got;
                    }
                }
            }
        };
        let got = thread::scope(|scope| {
            let short = Timeout::After(Duration::from_millis(20));
            let threads = [short, short, Timeout::Never, Timeout::Never]
                .map(|timeout| scope.spawn(move || receive(timeout)));
            child.say(count);
            threads.map(|thread| thread.join().unwrap())
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

/// Counts what each thread of the peer sends, in two threads that receive alternately.
fn counter(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(16 * 1024).open().unwrap();
    let conn = connected(&link);
    let count = |often: bool| {
        let mut counted = [0u32; SENDERS];
        while let Some(message) = conn.recv().unwrap() {
            counted[usize::from(message[0])] += 1;
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
        let conn = connected(&builder.open().unwrap());
        let many = rounds(400_000, 20_000) as u32;
        let ended = AtomicBool::new(false);
        let sent: Vec<u32> = thread::scope(|scope| {
            let others: Vec<_> = (1..SENDERS)
                .map(|sender| {
                    let (conn, ended) = (&conn, &ended);
                    scope.spawn(move || {
                        let message = [sender as u8; 40];
                        let conn = conn.within(match sender {
                            1 => Timeout::Never,
                            2 => Timeout::After(Duration::from_millis(1)),
                            _ => Timeout::Now,
                        });
                        let mut sent = 0;
                        while !ended.load(Ordering::Relaxed) {
                            sent += u32::from(conn.send(&message).is_ok());
                            thread::sleep(Duration::from_micros(500));
                        }
                        sent
                    })
                })
                .collect();
            for _ in 0..many {
                conn.send(&[0; 40]).unwrap();
            }
            ended.store(true, Ordering::Relaxed);
            let others = others.into_iter().map(|other| other.join().unwrap());
            std::iter::once(many).chain(others).collect()
        });
        conn.finish().unwrap();
        child.expect(&format!("{sent:?}"));
    }
}
