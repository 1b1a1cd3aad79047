//! A guest that goes through the handshake as it should and then writes what it likes into the shared memory.

use std::sync::atomic::Ordering::Relaxed;

use crate::common::{Place, Random, Side, Watchdog};
use crate::fds;
use crate::intruder::{
    BYTES, GOODBYE, HEAD, Intruder, LEN, OURS, RECEIVING, RING, SENDING, SPACE_WAIT,
    STOPPED_STREAM, TAIL, THEIRS, frame,
};
use crate::victim::{CAPACITY, MAX_MESSAGE, Victim};
use crate::wire::{ACK, LONG, Stranger, knock, packet, put};

/// Where the causes of ends are.
const CAUSES: usize = 5120;

const DATA: u8 = 1;
const PADDING: u8 = 2;
const BEGIN: u8 = 1;
const END: u8 = 2;
const WHOLE: u8 = BEGIN | END;
const ABORT: u8 = 4;

/// What it is, frames by their places, and how far they are said to reach.
type BadFrames = (&'static str, Vec<(usize, u64)>, u64);

/// What one may write as an incoming message, and may not.
fn bad_frames() -> Vec<BadFrames> {
    let one = |header| vec![(0, header)];
    vec![
        ("a header of zeros", one(0), 8),
        ("a header of ones", one(u64::MAX), 8),
        ("unknown kind", one(frame(0, 3, WHOLE)), 8),
        ("unknown flags", one(frame(0, DATA, 16 | WHOLE)), 8),
        ("handles unasked", one(frame(32, DATA, 8 | WHOLE)), 40),
        ("reserved bits", one(frame(0, DATA, WHOLE) | 1 << 48), 8),
        ("longer than written", one(frame(1, DATA, WHOLE)), 8),
        (
            "longer than the ring",
            one(frame(8192, DATA, WHOLE)),
            CAPACITY,
        ),
        (
            "as long as can be said",
            one(frame(u32::MAX, DATA, WHOLE)),
            CAPACITY,
        ),
        (
            "a length that wraps",
            one(frame(u32::MAX - 6, DATA, WHOLE)),
            8,
        ),
        (
            "beyond the ring's end",
            one(frame(4096, DATA, WHOLE)),
            CAPACITY,
        ),
        (
            "flags on padding",
            one(frame(CAPACITY as u32 - 8, PADDING, BEGIN)),
            CAPACITY,
        ),
        ("padding that ends early", one(frame(16, PADDING, 0)), 24),
        (
            "padding beyond the end",
            one(frame(u32::MAX, PADDING, 0)),
            CAPACITY,
        ),
        ("an end without a beginning", one(frame(8, DATA, END)), 16),
        ("a middle without a beginning", one(frame(8, DATA, 0)), 16),
        (
            "an abort without a beginning",
            one(frame(0, DATA, ABORT)),
            8,
        ),
        (
            "an abort with a cause, without a beginning",
            one(frame(8, DATA, ABORT)),
            16,
        ),
        (
            "an abort with less than a cause",
            vec![(0, frame(8, DATA, BEGIN)), (16, frame(7, DATA, ABORT))],
            32,
        ),
        (
            "an abort with more than a cause",
            vec![(0, frame(8, DATA, BEGIN)), (16, frame(264, DATA, ABORT))],
            288,
        ),
        (
            "an abort that begins",
            one(frame(0, DATA, ABORT | BEGIN)),
            8,
        ),
        (
            "a middle of nothing",
            vec![(0, frame(0, DATA, BEGIN)), (8, frame(0, DATA, 0))],
            16,
        ),
        (
            "a beginning within another",
            vec![(0, frame(8, DATA, BEGIN)), (16, frame(8, DATA, BEGIN))],
            32,
        ),
        (
            "a second abort",
            vec![
                (0, frame(8, DATA, BEGIN)),
                (16, frame(0, DATA, ABORT)),
                (24, frame(0, DATA, ABORT)),
            ],
            32,
        ),
        (
            "nonsense behind a good message",
            vec![(0, frame(8, DATA, WHOLE)), (16, 0xdead_beef_dead_beef)],
            24,
        ),
        (
            "a tail beyond the ring",
            one(frame(0, DATA, WHOLE)),
            CAPACITY + 8,
        ),
        (
            "a tail far beyond",
            one(frame(0, DATA, WHOLE)),
            u64::MAX - 7,
        ),
        ("an odd tail", one(frame(0, DATA, WHOLE)), 9),
        (
            "longer than half of the ring",
            one(frame(2041, DATA, WHOLE)),
            2056,
        ),
        (
            "a chunk longer than half of the ring",
            one(frame(2041, DATA, BEGIN)),
            2056,
        ),
        (
            "padding longer than half of the ring",
            one(frame(CAPACITY as u32 - 8, PADDING, 0)),
            CAPACITY,
        ),
    ]
}

#[test]
fn bad_frames_end_the_connection() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for (what, frames, tail) in bad_frames() {
        println!("{what}");
        let intruder = Intruder::enter(&place);
        intruder.frames(&frames, tail);
        let told = victim.says("disconnected ");
        assert!(told.contains("Fault { by: Peer,"), "{what}: {told}");
        // The intruder is still there; it does not matter.
        victim.serves(&place, Side::Guest);
        drop(intruder);
    }
}

/// A peer that breaks the protocol behind good messages: a batch gets those, and the next call is
/// told.
#[test]
fn bad_frames_in_the_middle_of_a_batch() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = place.start("batcher", Side::Host);
    victim.expect("ready");
    for (what, frames, tail) in bad_frames() {
        println!("{what}");
        let good = |i: usize| (i * 16, frame(8, DATA, WHOLE));
        // Positions are for the test of them; some frames are only bad where they are.
        if tail > 32 {
            continue;
        }
        let intruder = Intruder::enter(&place);
        let behind = frames.iter().map(|(at, header)| (at + 48, *header));
        let all: Vec<_> = (0..3).map(good).chain(behind).collect();
        intruder.frames(&all, tail + 48);
        // An odd tail is not even looked at; some have a good one before the bad one.
        if tail % 8 == 0 {
            let told = victim.next_line();
            assert!(["3 good", "4 good"].contains(&&*told), "{what}: {told}");
        }
        // One of them gives a message up before it is wrong.
        if what == "a second abort" {
            victim.expect("StreamEnded Some(Abandoned { by: Peer })");
        }
        let told = victim.next_line();
        assert!(
            told.starts_with("Ended Some(Fault { by: Peer,"),
            "{what}: {told}"
        );
    }
}

/// Padding at the ring's end, and what comes with it.
#[test]
fn bad_padding_ends_the_connection() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let good = frame(8, DATA, WHOLE);
    // Where the padding begins, its header, what stands behind it, and how far all that reaches.
    let rest = 512;
    let padding = frame(rest - 8, PADDING, 0);
    let cases = [
        ("alone", padding, good, 512, "without a frame after it"),
        ("with half a frame", padding, good, 520, "longer than what"),
        ("twice", padding, padding, 1024, "padding follows padding"),
        (
            "too short",
            frame(rest - 16, PADDING, 0),
            good,
            528,
            "does not reach the end",
        ),
    ];
    for (what, padding, behind, reach, cause) in cases {
        println!("padding {what}");
        let intruder = Intruder::enter(&place);
        let begin = RING - rest as usize;
        let empty: Vec<_> = (0..begin)
            .step_by(8)
            .map(|at| (at, frame(0, DATA, WHOLE)))
            .collect();
        intruder.frames(&empty, begin as u64);
        while intruder.ours(HEAD).load(Relaxed) != begin as u64 {
            std::thread::yield_now();
        }
        let tail = begin as u64 + reach;
        intruder.frames(&[(begin, padding), (0, behind)], tail);
        let told = victim.says("disconnected ");
        assert!(told.contains("Fault { by: Peer,"), "{what}: {told}");
        assert!(told.contains(cause), "{what}: {told}");
        victim.serves(&place, Side::Guest);
    }
}

/// Positions that go back or ahead, of either ring.
#[test]
fn bad_positions_end_the_connection() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let tails = [8, 1 << 40, u64::MAX, 1];
    for tail in tails {
        // A good message first, so that there is something to go back from.
        let intruder = Intruder::enter(&place);
        intruder.frames(
            &[(0, frame(8, DATA, WHOLE)), (16, frame(0, DATA, WHOLE))],
            24,
        );
        while intruder.ours(HEAD).load(Relaxed) != 24 {
            std::thread::yield_now();
        }
        intruder.frames(&[], tail);
        let told = victim.says("disconnected ");
        assert!(told.contains("Fault { by: Peer,"), "tail {tail}: {told}");
        victim.serves(&place, Side::Guest);
    }
    for head in [u64::MAX, 1 << 40, CAPACITY + 8, u64::MAX - CAPACITY, 12] {
        let intruder = Intruder::enter(&place);
        // The victim sends until its ring is full, and then looks at our position.
        while intruder.u32_at(THEIRS + SPACE_WAIT).load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        intruder.theirs(HEAD).store(head, Relaxed);
        intruder.ring();
        let told = victim.says("disconnected ");
        assert!(told.contains("Fault { by: Peer,"), "head {head}: {told}");
        victim.serves(&place, Side::Guest);
    }
}

/// A message without end: memory does not grow beyond what the victim takes, and it stops the message. The
/// connection goes on, unless the message does so, too.
#[test]
fn a_message_without_end() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for heeds in [true, false] {
        let intruder = Intruder::enter(&place);
        let chunk = 1024 - 8;
        let mut tail = 0u64;
        let mut flags = BEGIN;
        let goodbye = || intruder.u32_at(THEIRS + GOODBYE).load(Relaxed);
        let mut after = 0;
        // What it has in hand when it is told to stop, or more.
        while (!heeds || after < CAPACITY) && goodbye() == 0 {
            if tail + 1024 - intruder.ours(HEAD).load(Relaxed) > CAPACITY {
                intruder.ring();
                continue;
            }
            let at = (tail % CAPACITY) as usize;
            tail += 1024;
            assert!(tail < 4 * MAX_MESSAGE, "it is never stopped");
            intruder.frames(&[(at, frame(chunk, DATA, flags))], tail);
            flags = 0;
            if intruder.ours(STOPPED_STREAM).load(Relaxed) != 0 {
                after += 1024;
            }
        }
        assert_eq!(intruder.ours(STOPPED_STREAM).load(Relaxed), 1);
        let most = MAX_MESSAGE / u64::from(chunk) * 1024 + 2 * CAPACITY;
        assert!(
            tail - after < most,
            "it read {} bytes of one message",
            tail - after
        );
        victim.says("recv TooLarge");
        if heeds {
            // The next message is received, whatever became of that one. Not before there is room for it.
            while tail + 8 - intruder.ours(HEAD).load(Relaxed) > CAPACITY {
                intruder.ring();
                std::thread::yield_now();
            }
            let at = (tail % CAPACITY) as usize;
            intruder.frames(&[(at, frame(0, DATA, ABORT))], tail + 8);
            crate::common::until("it reads on", || {
                intruder.ours(HEAD).load(Relaxed) == tail + 8
            });
            assert_eq!(goodbye(), 0);
        } else {
            assert_eq!(goodbye(), 2);
            assert!(after <= 4 * CAPACITY, "it skipped {after} bytes");
        }
        drop(intruder);
        let told = victim.says("disconnected ");
        let end = if heeds { "Crashed" } else { "told to stop" };
        assert!(told.contains(end), "{told}");
        victim.serves(&place, Side::Guest);
    }
}

/// What one may say of an end, and may not: the words of both directions, and the causes behind them, which
/// are whatever bytes there are.
#[test]
fn false_words_about_ends() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for (word, name, most) in [
        (OURS + SENDING, "sending", 2),
        (THEIRS + RECEIVING, "receiving", 2),
        (OURS + GOODBYE, "goodbye", 4),
    ] {
        for value in [1, 2, 3, 4, 5, 6, 1 << 31, u32::MAX] {
            println!("{name}: {value}");
            let intruder = Intruder::enter(&place);
            for at in (CAUSES..BYTES).step_by(8) {
                intruder.u64_at(at).store(u64::MAX / 3, Relaxed);
            }
            intruder.u32_at(word).store(value, Relaxed);
            intruder.ring();
            let means_nothing = value > most;
            if means_nothing && name != "goodbye" {
                crate::common::until("it is found out", || {
                    intruder.u32_at(THEIRS + GOODBYE).load(Relaxed) == 2
                });
            }
            // Only now is the goodbye looked at.
            drop(intruder);
            let told = victim.says("disconnected ");
            assert!(!told.contains(char::is_control), "{told:?}");
            let said = format!("`{name}` has become {value},");
            assert_eq!(told.contains(&said), means_nothing, "{told}");
            victim.serves(&place, Side::Guest);
        }
    }
}

/// Who has finished has sent everything: half a message is not that, whether it goes on or leaves as well.
#[test]
fn finished_within_a_message() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for leaves in [false, true] {
        let intruder = Intruder::enter(&place);
        // First, or a victim that looks in between has everything.
        intruder.frames(&[(0, frame(8, DATA, BEGIN))], 16);
        intruder.u32_at(OURS + SENDING).store(1, Relaxed);
        if leaves {
            intruder.u32_at(OURS + GOODBYE).store(4, Relaxed);
            drop(intruder);
        } else {
            intruder.ring();
        }
        let torn = |line: &str| line.contains("it finished within a message");
        victim.child.wait_for_line(torn);
        victim.serves(&place, Side::Guest);
    }
}

/// Random words, everywhere, while the victim sends and receives: each connection ends, at the
/// latest when the intruder goes.
#[test]
fn random_words_everywhere() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let mut random = Random::unrepeatable();
    let words: Vec<usize> = [THEIRS, OURS]
        .into_iter()
        .flat_map(|ring| {
            (0..=STOPPED_STREAM)
                .step_by(128)
                .map(move |word| ring + word)
        })
        .collect();
    for _ in 0..150 {
        let intruder = Intruder::enter(&place);
        println!("{random:?}");
        for _ in 0..2000 {
            let value = match random.below(6) {
                0 => 0,
                1 => random.next(),
                2 => random.below(3 * RING) as u64 & !7,
                3 => frame(random.below(3000) as u32, DATA, random.below(8) as u8),
                4 => intruder
                    .theirs(TAIL)
                    .load(Relaxed)
                    .wrapping_add(random.below(64) as u64 * 8),
                _ => intruder
                    .ours(HEAD)
                    .load(Relaxed)
                    .wrapping_add(random.below(64) as u64 * 8),
            };
            let at = match random.below(3) {
                0 => words[random.below(words.len())],
                1 => random.below(LEN / 8) * 8,
                _ => BYTES + random.below(2 * RING / 8) * 8,
            };
            intruder.u64_at(at).store(value, Relaxed);
            if random.one_in(8) {
                intruder.ring();
            }
        }
        drop(intruder);
        victim.says("disconnected ");
        victim.says("waiting");
    }
    victim.serves(&place, Side::Guest);
}

/// Doorbells that never stop, with nothing to read: the victim is not kept from its work.
#[test]
fn bells_without_end() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let intruder = Intruder::enter(&place);
    for round in 0..50 {
        for _ in 0..2000 {
            intruder.ring();
        }
        // It still reads each message at once.
        let at = round * 16;
        intruder.frames(&[(at as usize, frame(8, DATA, WHOLE))], at + 16);
        while intruder.ours(HEAD).load(Relaxed) != at + 16 {
            intruder.ring();
        }
    }
    drop(intruder);
    victim.says("disconnected Crashed");
    victim.serves(&place, Side::Guest);
}

/// Descriptors that nobody asked for are refused, and closed.
#[test]
fn surplus_descriptors_are_closed() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    victim.serves(&place, Side::Guest);
    let files = format!("/proc/{}/fd", victim.child.pid());
    let open = || std::fs::read_dir(&files).unwrap().count();
    let before = open();
    let null = std::fs::File::open("/dev/null").unwrap();
    for count in [1, 10, fds::MOST] {
        let mut stranger = Stranger::connect(&place);
        fds::send(
            &stranger.0,
            &knock(place.name()),
            &fds::copies(&null, count),
        );
        stranger.refusal();
        victim.says("error Protocol ");
        victim.serves(&place, Side::Guest);

        // With each byte of the packet, as long as the victim takes it.
        let stranger = Stranger::connect(&place);
        for byte in knock(place.name()) {
            fds::send(&stranger.0, &[byte], &fds::copies(&null, count));
        }
        drop(stranger);
        victim.says("error ");
        victim.serves(&place, Side::Guest);
    }
    crate::common::until("all of them are closed", || open() <= before);
}

/// Nor may any come with the last word of the handshake.
#[test]
fn descriptors_with_the_ack_are_closed() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    victim.serves(&place, Side::Guest);
    let files = format!("/proc/{}/fd", victim.child.pid());
    let open = || std::fs::read_dir(&files).unwrap().count();
    let before = open();
    for count in [1, 2, fds::MOST] {
        let mut stranger = Stranger::connect(&place);
        stranger.send(&knock(place.name()));
        let (hello, theirs) = fds::receive(&stranger.0);
        let mut ack = packet(ACK);
        put(&mut ack, 32, &hello[32..48]);
        // Their own, handed back to them.
        fds::send(&stranger.0, &ack, &fds::copies(&theirs[0], count));
        stranger.refusal();
        victim.says("error Protocol ");
        victim.serves(&place, Side::Guest);
    }
    crate::common::until("all of them are closed", || open() <= before);
}
