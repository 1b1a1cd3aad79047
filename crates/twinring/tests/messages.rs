//! Messages of every size arrive whole, once and in order, both ways at once, however received.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, message, peers, rounds, until,
};
use twinring::{Connection, End, RecvHalf, Timeout, Wait};

peers!(exchanger, sender, echo);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The longest payload of one frame.
fn max_payload(capacity: usize) -> usize {
    (capacity / 4).min(32 * KIB) - 8
}

/// Lengths of the messages that each side sends.
fn plan(kind: &str, capacity: usize) -> Vec<usize> {
    let frame = max_payload(capacity);
    match kind {
        // Each length at which something begins: a word, a frame, a further chunk, a full ring.
        "boundaries" => {
            let around = |len: usize| len.saturating_sub(17)..=len + 17;
            [
                0,
                frame,
                2 * frame,
                3 * frame,
                capacity / 2,
                capacity,
                2 * capacity,
                4 * capacity,
            ]
            .into_iter()
            .flat_map(around)
            .collect()
        }
        // Lengths that grow by one: frames of each length begin at ever other offsets, so that the
        // ring wraps at each of them, with every padding.
        "wrap" => (0..3).flat_map(|_| 0..=frame + 40).collect(),
        "random" => {
            let mut random = Random::new(capacity as u64);
            (0..rounds(4000, 1500))
                .map(|_| random.len(frame / 4, 8, 3 * frame))
                .collect()
        }
        "large" => vec![16 * MIB, 0, 16 * MIB + 1, 1, 5 * MIB - 3],
        other => panic!("there is no plan {other}"),
    }
}

/// Sends and receives at the same time, to the end of both.
fn exchange(conn: Connection, side: Side, plan: &[usize]) {
    let (ours, theirs) = (side as u64, side.opposite() as u64);
    let (sender, receiver) = conn.split();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (i, &len) in plan.iter().enumerate() {
                sender.send(&message(ours, i as u64, len)).unwrap();
            }
            sender.finish().unwrap();
        });
        for (i, &len) in plan.iter().enumerate() {
            check(&next(&receiver), theirs, i as u64, len);
        }
        assert_eq!(receiver.recv().unwrap(), None, "that was all");
    });
    until("both sides have everything", || sender.end().is_some());
    assert_eq!(sender.end(), Some(End::Finished));
}

#[track_caller]
fn next(receiver: &RecvHalf) -> Vec<u8> {
    receiver.recv().unwrap().expect("there is more")
}

fn exchanger(parent: &'static Parent) {
    let capacity: usize = parent.next_as();
    let kind = parent.next_line();
    let link = parent
        .builder()
        .wait(wait(&parent.next_line()))
        .ring_capacity(capacity as u64)
        .open()
        .unwrap();
    exchange(connected(&link), parent.side, &plan(&kind, capacity));
}

fn exchange_with_child(kind: &str, capacity: usize) {
    exchange_waiting(kind, capacity, "Adaptive", "Adaptive");
}

/// How this side waits, and how the child does.
fn exchange_waiting(kind: &str, capacity: usize, here: &str, there: &str) {
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("exchanger", side.opposite());
        child.say(capacity);
        child.say(kind);
        child.say(there);
        let link = place
            .builder(side)
            .wait(wait(here))
            .ring_capacity(capacity as u64)
            .open()
            .unwrap();
        exchange(connected(&link), side, &plan(kind, capacity));
        child.finish();
    }
}

#[test]
fn lengths_around_every_boundary() {
    let _watchdog = Watchdog::new(120);
    for capacity in [4 * KIB, 64 * KIB, MIB] {
        exchange_with_child("boundaries", capacity);
    }
}

#[test]
fn the_ring_wraps_at_every_offset() {
    let _watchdog = Watchdog::new(120);
    exchange_with_child("wrap", 4 * KIB);
}

fn wait(name: &str) -> Wait {
    match name {
        "Sleep" => Wait::Sleep,
        "Adaptive" => Wait::Adaptive,
        "Spin" => Wait::Spin,
        other => panic!("there is no Wait::{other}"),
    }
}

#[test]
fn every_way_to_wait() {
    let _watchdog = Watchdog::new(240);
    for (here, there) in [
        ("Sleep", "Sleep"),
        ("Sleep", "Spin"),
        ("Spin", "Spin"),
        ("Spin", "Adaptive"),
    ] {
        exchange_waiting("random", 4 * KIB, here, there);
    }
}

#[test]
fn random_lengths() {
    let _watchdog = Watchdog::new(120);
    for capacity in [4 * KIB, 64 * KIB, MIB] {
        exchange_with_child("random", capacity);
    }
}

#[test]
fn messages_far_larger_than_the_ring() {
    let _watchdog = Watchdog::new(120);
    for capacity in [4 * KIB, MIB] {
        exchange_with_child("large", capacity);
    }
}

/// The host's capacity counts, from the smallest to the largest.
#[test]
fn ring_capacities() {
    let _watchdog = Watchdog::new(120);
    for capacity in [4 * KIB, 64 * MIB, 1024 * MIB] {
        let need = 3 * capacity as u64;
        if capacity > 64 * MIB && common::free_memory().is_none_or(|free| free < need + (1 << 30)) {
            println!("skipped: rings of {capacity} bytes, for which there is too little memory");
            continue;
        }
        let place = Place::new();
        let host = place.host().ring_capacity(capacity as u64).open().unwrap();
        let child = place.start("echo", Side::Guest);
        let conn = connected(&host);
        // Fits only if the guest took the host's capacity for its own.
        let len = (capacity / 2).min(48 * MIB);
        conn.within(Timeout::Now).send(&message(0, 0, len)).unwrap();
        check(&conn.recv().unwrap().unwrap(), 0, 0, len);
        conn.finish().unwrap();
        child.finish();
    }
}

fn echo(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    while let Some(message) = conn.recv().unwrap() {
        conn.send(&message).unwrap();
    }
    conn.finish().unwrap();
}

/// Sends as many messages as it is told to.
fn sender(parent: &'static Parent) {
    let builder = parent.builder().ring_capacity(64 * KIB as u64);
    let conn = connected(&builder.open().unwrap());
    let mut next = 0;
    loop {
        match parent.next_line().as_str() {
            "end" => return conn.finish().unwrap(),
            count => {
                let end = next + count.parse::<u64>().unwrap();
                while next < end {
                    conn.send(&message(1, next, len_of(next))).unwrap();
                    next += 1;
                }
            }
        }
    }
}

/// The length of message `i` of [`sender`]: some are larger than its ring.
fn len_of(i: u64) -> usize {
    let mut random = Random::new(i);
    random.len(3 * KIB, 50, 200 * KIB)
}

#[test]
fn every_way_to_receive() {
    let _watchdog = Watchdog::new(120);
    const COUNT: u64 = 300;
    let place = Place::new();
    let mut child = place.start("sender", Side::Host);
    let conn = connected(&place.guest().open().unwrap());
    let mut next = 0;
    let mut is_next = |message: &[u8]| {
        check(message, 1, next, len_of(next));
        next += 1;
    };

    for timeout in [
        Timeout::Never,
        Timeout::After(LIMIT),
        Timeout::At(Instant::now() + LIMIT),
    ] {
        let conn = conn.within(timeout);
        child.say(COUNT);
        for _ in 0..COUNT {
            is_next(&conn.recv().unwrap().unwrap());
        }
        child.say(COUNT);
        let mut buffer = b"what lay there before".to_vec();
        for _ in 0..COUNT {
            let len = conn.recv_into(&mut buffer).unwrap();
            assert_eq!(len, Some(buffer.len()));
            is_next(&buffer);
        }
    }

    // A time that keeps being over in the middle of messages loses nothing.
    let past = Timeout::At(Instant::now());
    let short = Timeout::After(Duration::from_micros(20));
    for timeout in [Timeout::Now, past, short] {
        let conn = conn.within(timeout);
        child.say(COUNT);
        let mut got = 0;
        while got < COUNT {
            match conn.recv() {
                Ok(message) => {
                    is_next(&message.unwrap());
                    got += 1;
                }
                Err(e) => {
                    assert!(e.is_timeout(), "{e}");
                    thread::yield_now();
                }
            }
        }
    }

    let (send_half, recv_half) = conn.split();
    child.say(COUNT);
    for _ in 0..COUNT {
        is_next(&recv_half.recv().unwrap().unwrap());
    }
    drop(send_half);
    child.say(COUNT);
    for _ in 0..COUNT {
        is_next(&recv_half.recv().unwrap().unwrap());
    }
    let e = recv_half.within(Timeout::Now).recv().unwrap_err();
    assert!(e.is_timeout(), "nothing more was sent: {e}");
    child.say("end");
    assert_eq!(recv_half.recv().unwrap(), None);
    child.finish();
}

#[test]
fn recv_into_keeps_the_memory_of_the_buffer() {
    let _watchdog = Watchdog::new(60);
    // As long as messages come in one frame; a larger one changes places with the buffer.
    let count = (0..).take_while(|&i| len_of(i) <= 3 * KIB).count() as u64;
    assert!(count > 10);
    let place = Place::new();
    let mut child = place.start("sender", Side::Guest);
    let conn = connected(&place.host().open().unwrap());
    child.say(count);
    let mut buffer = Vec::with_capacity(3 * KIB);
    let memory = buffer.as_ptr();
    for i in 0..count {
        conn.recv_into(&mut buffer).unwrap();
        check(&buffer, 1, i, len_of(i));
        assert_eq!(buffer.as_ptr(), memory);
    }
    child.say("end");
    child.finish();
}
