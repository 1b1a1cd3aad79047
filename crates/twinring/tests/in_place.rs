//! Messages filled and read where they are in the ring: whole, in order, and other calls wait only for as
//! long as something is held.

mod common;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, labelled, message, peers,
    read_label, rounds, until,
};
use twinring::{ErrorKind, Link, Reservation, Result};

peers!(filler, stuffer, sleeper, echo, half);

const RING: u64 = 4096;

/// The longest reservation.
fn longest(capacity: u64) -> usize {
    capacity as usize / 2 - 8
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

const SHORT: Duration = Duration::from_millis(20);

/// Messages in place, and ordinary ones of another thread.
const IN_PLACE: u64 = 1;
const BESIDE: u64 = 2;

fn count() -> u64 {
    rounds(30_000, 6000) as u64
}

/// Fills messages of all lengths in all ways, and gives up some; another thread sends beside it.
fn filler(parent: &'static Parent) {
    let capacity = parent.next_as();
    let link = parent.builder().ring_capacity(capacity).open().unwrap();
    connected(&link);
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..count() / 4 {
                let more = Random::new(i).len(100, 40, 10_000);
                link.send(&labelled(BESIDE, i, more)).unwrap();
            }
        });
        let mut random = Random::new(capacity);
        for i in 0..count() {
            let usual = if capacity == RING { longest(RING) } else { 300 };
            let more = random.len(usual, 30, longest(capacity)).saturating_sub(16);
            let bytes = labelled(IN_PLACE, i, more);
            // More than is used in the end, where that fits.
            let most = (bytes.len() + random.below(200)).min(longest(capacity));
            if random.one_in(5) {
                let mut dropped = link.reserve(most).unwrap();
                dropped.put(&vec![0xFF; random.below(most + 1)]).unwrap();
            }
            let mut reservation = match random.below(3) {
                0 => link.reserve(most),
                1 => link.reserve_timeout(most, LIMIT),
                _ => loop {
                    match link.try_reserve(most) {
                        Err(e) if e.kind() == ErrorKind::Full => thread::yield_now(),
                        other => break other,
                    }
                },
            }
            .unwrap();
            assert_eq!((reservation.written(), reservation.remaining()), (0, most));
            fill(&mut reservation, &bytes, &mut random);
            assert_eq!(reservation.written(), bytes.len());
            assert_eq!(reservation.remaining(), most - bytes.len());
            reservation.commit().unwrap();
        }
    });
    parent.expect("end");
}

/// Writes these bytes, a part at a time.
fn fill(reservation: &mut Reservation<'_>, mut bytes: &[u8], random: &mut Random) {
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(random.below(bytes.len()) + 1);
        match random.below(3) {
            0 => reservation.put(part).unwrap(),
            1 => reservation.write_all(part).unwrap(),
            _ => {
                // SAFETY: the peer is this program, which touches nothing before it is sent.
                let spare = unsafe { reservation.spare_trusting_peer() };
                for (to, byte) in spare.iter_mut().zip(part) {
                    to.write(*byte);
                }
                // SAFETY: so many were written.
                unsafe { reservation.advance(part.len()) };
            }
        }
        bytes = rest;
    }
}

/// Reads the next message in one of all ways.
fn read(link: &Link, random: &mut Random) -> Vec<u8> {
    let view = match random.below(3) {
        0 => link.recv_in_place().unwrap(),
        1 => link.recv_in_place_timeout(LIMIT).unwrap(),
        _ => loop {
            match link.try_recv_in_place().unwrap() {
                Some(view) => break view,
                None => thread::yield_now(),
            }
        },
    };
    let len = view.len();
    assert_eq!(view.is_empty(), len == 0);
    match random.below(4) {
        0 => view.to_vec(),
        1 => {
            let mut bytes = Vec::new();
            view.reader().read_to_end(&mut bytes).unwrap();
            bytes
        }
        2 => {
            let mut bytes = vec![0; len];
            let at = random.below(len + 1);
            view.copy_to(at, &mut bytes[at..]);
            view.copy_to(0, &mut bytes[..at]);
            bytes
        }
        // SAFETY: the peer is this program, which touches nothing after it was sent.
        _ => unsafe { view.as_slice_trusting_peer() }.to_vec(),
    }
}

#[test]
fn every_length_wherever_the_ring_wraps() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for capacity in [RING, 64 * 1024] {
            let place = Place::new();
            let mut child = place.start("filler", side.opposite());
            child.say(capacity);
            let link = place.builder(side).ring_capacity(capacity).open().unwrap();
            let mut random = Random::new(capacity);
            let mut next = [0; 3];
            while next != [0, count(), count() / 4] {
                let bytes = read(&link, &mut random);
                let (sender, sequence) = read_label(&bytes).unwrap();
                let next = &mut next[sender as usize];
                assert_eq!(sequence, *next, "order of sender {sender}");
                *next += 1;
            }
            assert!(link.try_recv_in_place().unwrap().is_none());
            child.say("end");
            child.finish();
        }
    }
}

/// Fills the ring, and says what becomes of a further message.
fn stuffer(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    let sent = (0..)
        .find(|i| link.try_send(&message(1, *i, 1000)).is_err())
        .unwrap();
    assert_eq!(kind(link.try_reserve(1000)), ErrorKind::Full);
    assert_eq!(kind(link.reserve_timeout(1000, SHORT)), ErrorKind::TimedOut);
    parent.say(sent);
    let mut reservation = link.reserve(1000).unwrap();
    reservation.put(&message(1, sent, 1000)).unwrap();
    parent.say("reserved");
    parent.expect("commit");
    reservation.commit().unwrap();
    parent.say("committed");
    parent.expect("end");
}

/// A message that is looked at keeps its room; the drop wakes a sender that waits for it.
#[test]
fn a_view_holds_its_room() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("stuffer", side.opposite());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let view = link.recv_in_place().unwrap();
        let sent: u64 = child.next_line().parse().unwrap();
        thread::sleep(SHORT);
        assert_eq!(child.lines_so_far(), [""; 0]);
        check(&view.to_vec(), 1, 0, 1000);

        // The same thread would wait for itself, another one just waits.
        let refused: [ErrorKind; 7] = [
            kind(link.recv()),
            kind(link.recv_timeout(SHORT)),
            kind(link.try_recv()),
            kind(link.recv_in_place()),
            kind(link.try_recv_in_place()),
            kind(link.recv_stream()),
            kind(link.recv_batch(|_| {})),
        ];
        assert_eq!(refused, [ErrorKind::Deadlock; 7]);
        thread::scope(|scope| {
            let other = scope.spawn(|| kind(link.recv_timeout(SHORT)));
            assert_eq!(other.join().unwrap(), ErrorKind::TimedOut);
            let other = scope.spawn(|| link.recv_timeout(LIMIT).unwrap());
            drop(view);
            check(&other.join().unwrap(), 1, 1, 1000);
        });
        child.expect("reserved");
        for i in 2..sent {
            check(&link.recv_in_place().unwrap().to_vec(), 1, i, 1000);
        }
        assert!(link.try_recv_in_place().unwrap().is_none(), "not committed");
        child.say("commit");
        child.expect("committed");
        check(&link.recv_in_place().unwrap().to_vec(), 1, sent, 1000);
        child.say("end");
        child.finish();
    }
}

/// What is out of range, of a message in the ring, and of one that came in chunks.
#[test]
fn looks_out_of_range() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = place.host().ring_capacity(RING).open().unwrap();
    let mut child = place.start("echo", Side::Guest);
    connected(&link);
    for len in [0, 1, 8, 100, 3000] {
        link.send(&message(0, 0, len)).unwrap();
        let view = link.recv_in_place().unwrap();
        assert_eq!(view.len(), len);
        check(&view.to_vec(), 0, 0, len);
        assert_eq!(view.get::<8>(0).is_some(), len >= 8);
        assert_eq!(view.get::<0>(len), Some([]));
        for beyond in [len, len + 1, usize::MAX - 3, usize::MAX] {
            assert_eq!(view.get::<4>(beyond), None);
            let copied = catch_unwind(AssertUnwindSafe(|| view.copy_to(beyond, &mut [0; 4])));
            assert!(copied.is_err(), "{beyond} of {len}");
        }
        let copied = catch_unwind(AssertUnwindSafe(|| view.copy_to(0, &mut vec![0; len + 1])));
        assert!(copied.is_err());
        view.copy_to(len, &mut []);
    }
    link.close();
    child.expect("Closed");
    child.finish();
}

/// Sends back what comes.
fn echo(parent: &'static Parent) {
    let link = parent
        .builder()
        .ring_capacity(RING)
        .max_message(4000)
        .open()
        .unwrap();
    let e = loop {
        match link.recv() {
            Ok(bytes) => link.send(&bytes).unwrap(),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.kind()));
}

/// No longer than the ring allows, nor than the peer takes, nor than was reserved.
#[test]
fn what_is_too_large() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        // By the ring, and by what the peer takes.
        for (capacity, most) in [(RING, longest(RING)), (64 * 1024, 4000)] {
            // The host's capacity counts, and a child as host has the small one.
            if side == Side::Guest && capacity != RING {
                continue;
            }
            let place = Place::new();
            let link = place.builder(side).ring_capacity(capacity).open().unwrap();
            assert_eq!(kind(link.reserve(1)), ErrorKind::NotConnected);
            let mut child = place.start("echo", side.opposite());
            connected(&link);
            for len in [most + 1, 20_000, usize::MAX] {
                let error = link.reserve(len).expect_err("an error");
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{len}");
                // Unless it is the peer that takes no such message. The ring is the host's.
                let advice = format!("a ring_capacity of {} bytes at the host", 2 * capacity);
                let is_next = most == longest(capacity) && len == most + 1;
                assert!(!is_next || error.to_string().contains(&advice), "{error}");
                assert_eq!(kind(link.try_reserve(len)), ErrorKind::TooLarge, "{len}");
            }
            let mut reservation = link.reserve(most).unwrap();
            reservation.put(&message(0, 0, most)[..most - 1]).unwrap();
            assert_eq!(kind(reservation.put(&[1, 2])), ErrorKind::TooLarge);
            assert_eq!(
                (reservation.written(), reservation.remaining()),
                (most - 1, 1)
            );
            // As `write` does: as much as there is room for.
            let last = message(0, 0, most)[most - 1];
            assert_eq!(reservation.write(&[last, 7, 7]).unwrap(), 1);
            assert_eq!(reservation.write(&[7]).unwrap(), 0);
            let advanced = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: it panics.
                unsafe { reservation.advance(1) }
            }));
            assert!(advanced.is_err());
            reservation.commit().unwrap();
            check(&link.recv().unwrap(), 0, 0, most);
            // An empty one, with and without room for more.
            link.reserve(0).unwrap().commit().unwrap();
            link.reserve(100).unwrap().commit().unwrap();
            assert_eq!(link.recv().unwrap(), b"");
            assert_eq!(link.recv().unwrap(), b"");
            link.close();
            child.expect("Closed");
            child.finish();
        }
    }
}

/// Who holds a reservation cannot send besides; all others wait, as long as they want to.
#[test]
fn others_wait_for_a_reservation() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut child = place.start("echo", side.opposite());
        connected(&link);
        let mut stream = link.send_stream().unwrap();
        let mut reservation = link.reserve(100).unwrap();
        reservation.put(&message(0, 0, 100)).unwrap();
        let refused: [ErrorKind; 9] = [
            kind(link.send(b"x")),
            kind(link.send(&[0; 3000])),
            kind(link.try_send(b"x")),
            kind(link.send_timeout(b"x", SHORT)),
            kind(link.send_vectored(&[std::io::IoSlice::new(b"x")])),
            kind(link.send_batch(&["x"])),
            kind(link.reserve(1)),
            kind(link.try_reserve(1)),
            kind(link.send_from(&mut &b"x"[..])),
        ];
        assert_eq!(refused, [ErrorKind::Deadlock; 9]);
        let e = stream.write_all(&[0; 3000]).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::Deadlock);
        drop(stream);

        let sent = AtomicBool::new(false);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                [
                    kind(link.try_send(b"x")),
                    kind(link.send_timeout(b"x", SHORT)),
                    kind(link.send_timeout(&[0; 3000], SHORT)),
                    kind(link.try_reserve(1)),
                    kind(link.reserve_timeout(1, SHORT)),
                ]
            });
            use ErrorKind::{Full, TimedOut};
            let expected = [Full, TimedOut, TimedOut, Full, TimedOut];
            assert_eq!(other.join().unwrap(), expected);
            let waiting = scope.spawn(|| {
                link.send(&message(0, 1, 100)).unwrap();
                sent.store(true, Ordering::Relaxed);
                link.send_batch(&[message(0, 2, 100)]).unwrap();
                let mut second = link.reserve(100).unwrap();
                second.put(&message(0, 3, 100)).unwrap();
                second.commit().unwrap();
            });
            thread::sleep(SHORT);
            assert!(!sent.load(Ordering::Relaxed));
            reservation.commit().unwrap();
            waiting.join().unwrap();
        });
        for i in 0..4 {
            check(&link.recv().unwrap(), 0, i, 100);
        }
        link.close();
        child.expect("Closed");
        child.finish();
    }
}

/// Connects, and reads nothing.
fn sleeper(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A reservation outlives its connection: it holds up neither the next one nor another link, and
/// is itself not held up by them.
#[test]
fn the_peer_is_killed_during_a_reservation() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let (place, beside) = (Place::new(), Place::new());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let other = beside.builder(side).ring_capacity(RING).open().unwrap();
        let mut friend = beside.start("echo", side.opposite());
        connected(&other);
        for finish in [true, false] {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            let mut reservation = link.reserve(500).unwrap();
            reservation.put(&[1; 200]).unwrap();
            child.kill_unreaped();
            assert_eq!(kind(link.recv()), ErrorKind::PeerGone);

            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            reservation.put(&[1; 300]).unwrap();
            thread::scope(|scope| {
                let filling = scope.spawn(|| {
                    loop {
                        if let Err(e) = link.send(&[0; 100]) {
                            break e.kind();
                        }
                    }
                });
                until("somebody waits for room", || {
                    kind_or_ok(link.send_timeout(&[], SHORT)) == Some(ErrorKind::TimedOut)
                });
                other.send(b"beside").unwrap();
                assert_eq!(other.recv().unwrap(), b"beside");
                match finish {
                    true => assert_eq!(kind(reservation.commit()), ErrorKind::PeerGone),
                    false => drop(reservation),
                }
                assert!(!filling.is_finished());
                child.kill_unreaped();
                assert_eq!(filling.join().unwrap(), ErrorKind::PeerGone);
            });
            assert_eq!(kind(link.recv()), ErrorKind::PeerGone);
        }
        other.close();
        friend.expect("Closed");
        friend.finish();
    }
}

fn kind_or_ok<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}

/// `close` waits for nothing that is held, and the thread that holds it is told.
#[test]
fn close_waits_for_no_guard() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut child = place.start("half", side.opposite());
        let view = link.recv_in_place().unwrap();
        let mut stream = link.send_stream().unwrap();
        stream.write_all(&[1; 2000]).unwrap();
        let mut reservation = link.reserve(100).unwrap();
        reservation.put(&[1; 50]).unwrap();
        thread::scope(|scope| scope.spawn(|| link.close()).join().unwrap());
        check(&view.to_vec(), 1, 0, 100);
        reservation.put(&[1; 50]).unwrap();
        assert_eq!(kind(reservation.commit()), ErrorKind::ClosedHere);
        assert_eq!(kind(stream.finish()), ErrorKind::ClosedHere);
        drop(view);
        assert_eq!(kind(link.recv_in_place()), ErrorKind::ClosedHere);
        assert_eq!(kind(link.reserve(1)), ErrorKind::ClosedHere);
        child.kill();

        // And with a stream that is received.
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let mut child = place.start("half", side.opposite());
        let mut stream = link.recv_stream().unwrap();
        stream.read_exact(&mut [0; 50]).unwrap();
        thread::scope(|scope| scope.spawn(|| link.close()).join().unwrap());
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 50);
        drop(stream);
        assert_eq!(kind(link.recv_stream()), ErrorKind::ClosedHere);
        child.kill();
    }
}

/// Sends a message, and is killed while it fills another.
fn half(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(RING).open().unwrap();
    connected(&link);
    link.send(&message(1, 0, 100)).unwrap();
    let mut reservation = link.reserve(600).unwrap();
    reservation.put(&[1; 500]).unwrap();
    parent.say("half");
    parent.wait_for_the_end();
}

#[test]
fn nothing_arrives_of_what_was_not_committed() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        for _ in 0..3 {
            let mut child = place.start("half", side.opposite());
            child.expect("half");
            child.kill_unreaped();
            check(&link.recv_in_place().unwrap().to_vec(), 1, 0, 100);
            assert_eq!(kind(link.recv_in_place()), ErrorKind::PeerGone);
        }
    }
}
