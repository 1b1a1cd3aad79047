//! Messages filled and read where they are in the ring: whole, in order, and other calls wait only for as
//! long as something is held.

mod common;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    CLOSED, CLOSED_HERE, CRASHED, Child, LIMIT, Parent, Place, Random, Side, Watchdog, check,
    connected, ended, kind, labelled, message, peers, read_label, rounds, until,
};
use twinring::{By, Connection, End, ErrorKind, Reservation, Timeout, View};

peers!(filler, stuffer, sleeper, echo, half, many);

const RING: u64 = 4096;

/// The longest reservation.
fn longest(capacity: u64) -> usize {
    capacity as usize / 2 - 8
}

const SHORT: Duration = Duration::from_millis(20);

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

#[track_caller]
fn view(conn: &Connection) -> View {
    conn.recv_in_place().unwrap().expect("there is more")
}

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
    let conn = connected(&link);
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..count() / 4 {
                let more = Random::new(i).len(100, 40, 10_000);
                conn.send(&labelled(BESIDE, i, more)).unwrap();
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
                let mut dropped = conn.reserve(most).unwrap();
                dropped.put(&vec![0xFF; random.below(most + 1)]).unwrap();
            }
            let mut reservation = match random.below(3) {
                0 => conn.reserve(most),
                1 => conn.within(LIMIT).reserve(most),
                _ => loop {
                    match conn.within(Timeout::Now).reserve(most) {
                        Err(e) if e.is_timeout() => thread::yield_now(),
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
    conn.finish().unwrap();
}

/// Writes these bytes, a part at a time.
fn fill(reservation: &mut Reservation, mut bytes: &[u8], random: &mut Random) {
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

/// The bytes of a view, read in one of all ways.
fn read(view: &View, random: &mut Random) -> Vec<u8> {
    let len = view.len();
    assert_eq!(view.is_empty(), len == 0);
    match random.below(3) {
        0 => view.to_vec(),
        1 => {
            let mut bytes = vec![0; len];
            let at = random.below(len + 1);
            view.copy_to(at, &mut bytes[at..]);
            view.copy_to(0, &mut bytes[..at]);
            bytes
        }
        // As a library that knows no more of it.
        _ => bytes_of(view).to_vec(),
    }
}

fn bytes_of(owner: &impl AsRef<[u8]>) -> &[u8] {
    owner.as_ref()
}

#[test]
fn every_length_wherever_the_ring_wraps() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        for capacity in [RING, 64 * 1024] {
            let place = Place::new();
            let mut child = place.start("filler", side.opposite());
            child.say(capacity);
            let builder = place.builder(side).ring_capacity(capacity);
            let builder = match (side == Side::Host) == (capacity == RING) {
                // SAFETY: the peer is this program, which touches nothing after it was sent.
                true => unsafe { builder.trust_peer() },
                false => builder,
            };
            let conn = connected(&builder.open().unwrap());
            let mut random = Random::new(capacity);
            let mut next = [0; 3];
            loop {
                let view = match random.below(3) {
                    0 => conn.recv_in_place(),
                    1 => conn.within(LIMIT).recv_in_place(),
                    _ => loop {
                        match conn.within(Timeout::Now).recv_in_place() {
                            Err(e) if e.is_timeout() => thread::yield_now(),
                            other => break other,
                        }
                    },
                };
                let Some(view) = view.unwrap() else {
                    break;
                };
                assert_eq!(view.as_ptr() as usize % 8, 0, "it is aligned");
                let bytes = read(&view, &mut random);
                let (sender, sequence) = read_label(&bytes).unwrap();
                let next = &mut next[sender as usize];
                assert_eq!(sequence, *next, "order of sender {sender}");
                *next += 1;
            }
            assert_eq!(next, [0, count(), count() / 4]);
            child.finish();
        }
    }
}

/// Fills the ring, and says what becomes of a further message.
fn stuffer(parent: &'static Parent) {
    let conn = connect(parent);
    let at_once = conn.within(Timeout::Now);
    let sent = (0..)
        .find(|i| at_once.send(&message(1, *i, 1000)).is_err())
        .unwrap();
    assert_eq!(kind(at_once.reserve(1000)), ErrorKind::TimedOut);
    assert_eq!(kind(conn.within(SHORT).reserve(1000)), ErrorKind::TimedOut);
    parent.say(sent);
    let mut reservation = conn.reserve(1000).unwrap();
    reservation.put(&message(1, sent, 1000)).unwrap();
    parent.say("reserved");
    parent.expect("commit");
    reservation.commit().unwrap();
    parent.say("committed");
    conn.finish().unwrap();
}

/// A message that is looked at keeps its room, and that of what is received behind it; the drop, on any
/// thread, wakes a sender that waits for it.
#[test]
fn a_view_holds_its_room() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let (conn, mut child) = start(&place, "stuffer", side);
        let first = view(&conn);
        let sent: u64 = child.next_line().parse().unwrap();
        // It keeps nobody from receiving.
        check(&recv(&conn), 1, 1, 1000);
        thread::sleep(SHORT);
        assert_eq!(child.lines_so_far(), [""; 0]);
        check(&first, 1, 0, 1000);
        thread::spawn(move || drop(first)).join().unwrap();
        child.expect("reserved");
        for i in 2..sent {
            check(&view(&conn), 1, i, 1000);
        }
        let at_once = conn.within(Timeout::Now);
        assert_eq!(kind(at_once.recv_in_place()), ErrorKind::TimedOut);
        child.say("commit");
        child.expect("committed");
        check(&view(&conn), 1, sent, 1000);
        assert_eq!(conn.recv().unwrap(), None);
        child.finish();
    }
}

const MANY: u64 = 500;

/// Sends many messages, more than the ring has room for, and waits until they are taken.
fn many(parent: &'static Parent) {
    let conn = connect(parent);
    for i in 0..MANY {
        conn.send(&message(1, i, 100)).unwrap();
        if i == 9 {
            parent.say("ten");
        }
    }
    conn.finish().unwrap();
    conn.flush().unwrap();
    let taken = conn.taken().unwrap();
    assert_eq!((taken.messages, taken.waiting), (MANY, 0));
    parent.say("taken");
    parent.expect("end");
}

/// Several are held, and dropped in any order; with half of the ring, no more are given, but other calls still
/// receive.
#[test]
fn views_are_held_and_dropped_in_any_order() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let (conn, mut child) = start(&place, "many", side);
        child.expect("ten");
        let mut random = Random::new(1);
        let mut views = Vec::new();
        let (mut next, mut refused) = (0, 0);
        while next < MANY {
            match conn.recv_in_place() {
                Ok(view) => {
                    views.push((view.expect("there is more"), next));
                    next += 1;
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Held, "{e}");
                    let held: usize = views.iter().map(|(view, _)| view.len()).sum();
                    assert!(held > 0, "{e}");
                    refused += 1;
                    if random.one_in(4)
                        && let Ok(bytes) = conn.within(Timeout::Now).recv()
                    {
                        check(&bytes.unwrap(), 1, next, 100);
                        next += 1;
                    }
                    for _ in 0..=random.below(views.len()) {
                        let (view, sequence) = views.swap_remove(random.below(views.len()));
                        check(&view, 1, sequence, 100);
                    }
                }
            }
        }
        assert!(refused > 5, "{refused}");
        thread::sleep(SHORT);
        assert_eq!(child.lines_so_far(), [""; 0], "some are held");
        for (view, sequence) in views.drain(..) {
            check(&view, 1, sequence, 100);
        }
        child.expect("taken");
        assert_eq!(conn.recv().unwrap(), None);
        child.say("end");
        child.finish();
    }
}

/// What is out of range, of a message in the ring, and of one that came in chunks.
#[test]
fn looks_out_of_range() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let (conn, mut child) = start(&place, "echo", Side::Host);
    for len in [0, 1, 8, 100, 3000] {
        conn.send(&message(0, 0, len)).unwrap();
        let view = view(&conn);
        assert_eq!(view.len(), len);
        check(&view, 0, 0, len);
        for beyond in [len, len + 1, usize::MAX - 3, usize::MAX] {
            assert_eq!(view.get(beyond), None);
            let copied = catch_unwind(AssertUnwindSafe(|| view.copy_to(beyond, &mut [0; 4])));
            assert!(copied.is_err(), "{beyond} of {len}");
        }
        let copied = catch_unwind(AssertUnwindSafe(|| view.copy_to(0, &mut vec![0; len + 1])));
        assert!(copied.is_err());
        view.copy_to(len, &mut []);
    }
    conn.close(0, "");
    child.expect(CLOSED);
    child.finish();
}

/// Sends back what comes.
fn echo(parent: &'static Parent) {
    let builder = parent.builder().ring_capacity(RING).max_message(4000);
    let conn = connected(&builder.open().unwrap());
    let e = loop {
        match conn.recv() {
            Ok(bytes) => conn.send(&bytes.unwrap()).unwrap(),
            Err(e) => break e,
        }
    };
    parent.say(ended(Err::<(), _>(e)));
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
            let mut child = place.start("echo", side.opposite());
            let conn = connected(&link);
            for len in [most + 1, 20_000, usize::MAX] {
                let error = conn.reserve(len).expect_err("an error");
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{len}");
                // Unless it is the peer that takes no such message. The ring is the host's.
                let advice = format!("a ring_capacity of {} bytes at the host", 2 * capacity);
                let is_next = most == longest(capacity) && len == most + 1;
                assert!(!is_next || error.to_string().contains(&advice), "{error}");
                let at_once = conn.within(Timeout::Now);
                assert_eq!(kind(at_once.reserve(len)), ErrorKind::TooLarge, "{len}");
            }
            let mut reservation = conn.reserve(most).unwrap();
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
            check(&recv(&conn), 0, 0, most);
            // An empty one, with and without room for more.
            conn.reserve(0).unwrap().commit().unwrap();
            conn.reserve(100).unwrap().commit().unwrap();
            assert_eq!(recv(&conn), b"");
            assert_eq!(recv(&conn), b"");
            conn.close(0, "");
            child.expect(CLOSED);
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
        let (conn, mut child) = start(&place, "echo", side);
        let mut stream = conn.send_stream().unwrap();
        let mut reservation = conn.reserve(100).unwrap();
        reservation.put(&message(0, 0, 100)).unwrap();
        let (at_once, short) = (conn.within(Timeout::Now), conn.within(SHORT));
        let refused: [ErrorKind; 9] = [
            kind(conn.send(b"x")),
            kind(conn.send(&[0; 3000])),
            kind(at_once.send(b"x")),
            kind(short.send(b"x")),
            kind(conn.send_vectored(&[std::io::IoSlice::new(b"x")])),
            kind(conn.send_batch(&["x"])),
            kind(conn.reserve(1)),
            kind(at_once.reserve(1)),
            kind(conn.send_stream()),
        ];
        assert_eq!(refused, [ErrorKind::Held; 9]);
        let e = stream.write_all(&[0; 3000]).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::Deadlock);
        drop(stream);
        // What does not send does not wait.
        assert_eq!(at_once.taken().unwrap().waiting, 0);
        at_once.flush().unwrap();
        let elsewhere = at_once.clone();
        let looking = thread::spawn(move || elsewhere.taken().and_then(|_| elsewhere.flush()));
        looking.join().unwrap().unwrap();

        let sent = AtomicBool::new(false);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                [
                    kind(at_once.send(b"x")),
                    kind(short.send(b"x")),
                    kind(short.send(&[0; 3000])),
                    kind(at_once.reserve(1)),
                    kind(short.reserve(1)),
                ]
            });
            assert_eq!(other.join().unwrap(), [ErrorKind::TimedOut; 5]);
            let waiting = scope.spawn(|| {
                conn.send(&message(0, 1, 100)).unwrap();
                sent.store(true, Ordering::Relaxed);
                conn.send_batch(&[message(0, 2, 100)]).unwrap();
                let mut second = conn.reserve(100).unwrap();
                second.put(&message(0, 3, 100)).unwrap();
                second.commit().unwrap();
            });
            thread::sleep(SHORT);
            assert!(!sent.load(Ordering::Relaxed));
            reservation.commit().unwrap();
            waiting.join().unwrap();
        });
        for i in 0..4 {
            check(&recv(&conn), 0, i, 100);
        }
        conn.close(0, "");
        child.expect(CLOSED);
        child.finish();
    }
}

/// Connects, and reads nothing.
fn sleeper(parent: &'static Parent) {
    let _conn = connect(parent);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A reservation outlives the end of its connection: it holds up neither the next one nor another link.
#[test]
fn the_peer_is_killed_during_a_reservation() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let (place, beside) = (Place::new(), Place::new());
        let link = place.builder(side).ring_capacity(RING).open().unwrap();
        let (other, mut friend) = start(&beside, "echo", side);
        for finish in [true, false] {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            let mut reservation = conn.reserve(500).unwrap();
            reservation.put(&[1; 200]).unwrap();
            let waiting = conn.clone();
            let waiting = thread::spawn(move || ended(waiting.send(b"?")));
            thread::sleep(SHORT);
            child.kill_unreaped();
            assert_eq!(ended(conn.recv()), CRASHED);
            // Also who has waited before; and what was sent can be had.
            assert_eq!(waiting.join().unwrap(), CRASHED);
            assert_eq!(conn.take_unread().unwrap().count(), 0);
            // What would wait for the reservation is told of the end instead.
            assert_eq!(ended(conn.send(b"?")), CRASHED);
            assert_eq!(ended(conn.within(Timeout::Now).send(b"?")), CRASHED);

            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            let next = connected(&link);
            reservation.put(&[1; 300]).unwrap();
            thread::scope(|scope| {
                let filling = scope.spawn(|| {
                    loop {
                        if let Err(e) = next.send(&[0; 100]) {
                            break ended(Err::<(), _>(e));
                        }
                    }
                });
                until("somebody waits for room", || {
                    next.within(SHORT).send(&[]).is_err_and(|e| e.is_timeout())
                });
                other.send(b"beside").unwrap();
                assert_eq!(recv(&other), b"beside");
                match finish {
                    true => assert_eq!(ended(reservation.commit()), CRASHED),
                    false => drop(reservation),
                }
                assert!(!filling.is_finished());
                child.kill_unreaped();
                assert_eq!(filling.join().unwrap(), CRASHED);
            });
            assert_eq!(ended(next.recv()), CRASHED);
        }
        other.close(0, "");
        friend.expect(CLOSED);
        friend.finish();
    }
}

/// A peer that wants no more, and an end, reach those who wait behind a reservation; and whoever holds much of the ring
/// is told of the end, and not to hold less.
#[test]
fn an_end_reaches_those_who_wait_for_the_program() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = twinring::Link::pair().unwrap();
    let reservation = host.reserve(100).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| host.send(b"?"));
        thread::sleep(SHORT);
        assert!(!waiting.is_finished());
        guest.stop(5, "enough");
        let e = waiting.join().unwrap().unwrap_err();
        assert!(matches!(e.end(), Some(End::Stopped { code: 5, .. })), "{e}");
        let e = scope.spawn(|| host.within(LIMIT).send(b"?"));
        let e = e.join().unwrap().unwrap_err();
        assert!(matches!(e.end(), Some(End::Stopped { code: 5, .. })), "{e}");
    });
    drop(reservation);

    let place = Place::new();
    let builder = |side| place.builder(side).ring_capacity(4096);
    let host = builder(Side::Host).open().unwrap();
    let guest = builder(Side::Guest).open().unwrap();
    let (host, guest) = (connected(&host), connected(&guest));
    let views: Vec<_> = (0..3)
        .map(|_| {
            host.send(&[1; 1000]).unwrap();
            guest.recv_in_place().unwrap().unwrap()
        })
        .collect();
    assert_eq!(kind(guest.recv_in_place()), ErrorKind::Held);
    guest.close(1, "enough");
    let e = guest.recv_in_place().unwrap_err();
    assert!(
        matches!(e.end(), Some(End::Closed { by: By::Local, .. })),
        "{e}"
    );
    drop(views);
    let e = guest.recv_in_place().unwrap_err();
    assert!(
        matches!(e.end(), Some(End::Closed { by: By::Local, .. })),
        "{e}"
    );
}

/// `close` waits for nothing that is held, and the thread that holds it is told.
#[test]
fn close_waits_for_no_guard() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let (conn, mut child) = start(&place, "half", side);
        let seen = view(&conn);
        let mut stream = conn.send_stream().unwrap();
        stream.write_all(&[1; 2000]).unwrap();
        let mut reservation = conn.reserve(100).unwrap();
        reservation.put(&[1; 50]).unwrap();
        let closing = conn.clone();
        thread::spawn(move || closing.close(0, "")).join().unwrap();
        check(&seen, 1, 0, 100);
        reservation.put(&[1; 50]).unwrap();
        assert_eq!(ended(reservation.commit()), CLOSED_HERE);
        assert_eq!(ended(stream.finish()), CLOSED_HERE);
        drop(seen);
        assert_eq!(ended(conn.recv_in_place()), CLOSED_HERE);
        assert_eq!(ended(conn.reserve(1)), CLOSED_HERE);
        child.kill();

        // And with a stream that is received: nothing more is taken, and its sender has back what was not read.
        let (conn, mut child) = start(&place, "half", side);
        let mut stream = conn.recv_stream().unwrap().unwrap();
        let mut bytes = [0; 100];
        stream.read_exact(&mut bytes[..50]).unwrap();
        let closing = conn.clone();
        thread::spawn(move || closing.close(0, "")).join().unwrap();
        for _ in 0..2 {
            assert!(stream.read_exact(&mut bytes[50..]).is_err());
            assert_eq!(ended(stream.next_chunk()), CLOSED_HERE);
        }
        drop(stream);
        assert_eq!(ended(conn.recv_stream()), CLOSED_HERE);
        child.kill();
    }
}

/// Sends a message, and is killed while it fills another.
fn half(parent: &'static Parent) {
    let conn = connect(parent);
    conn.send(&message(1, 0, 100)).unwrap();
    let mut reservation = conn.reserve(600).unwrap();
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
            let conn = connected(&link);
            check(&view(&conn), 1, 0, 100);
            assert_eq!(ended(conn.recv_in_place()), CRASHED);
        }
    }
}
