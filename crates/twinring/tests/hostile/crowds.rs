//! Guests that call and then do nothing, or too many of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Place, Side, Watchdog, connected, until};
use crate::victim::{Victim, answer};
use crate::wire::{
    BUSY, HELLO, LONG, PACKET, PROTOCOL, REFUSE, Stranger, TIMED_OUT, WAIT, knock, u32_at,
};

/// As many guests of one user may a host have, beside the one that is connected.
const MOST: usize = 32;

/// Those that stay silent do not keep others out: the oldest have to go, and the host says whose they are.
#[test]
fn the_silent_make_room() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let mut silent: Vec<_> = (0..MOST).map(|_| Stranger::connect(&place)).collect();
    let mut told = String::new();
    until("the host has had enough", || {
        silent.push(Stranger::connect(&place));
        let mut lines = victim.child.lines_so_far().into_iter();
        told.extend(lines.find(|line| line.starts_with("error TimedOut ")));
        !told.is_empty()
    });
    let who = format!(
        "process {} of user {}",
        std::process::id(),
        twinring::User::current().unwrap()
    );
    let (reason, text) = silent[0].refusal();
    assert_eq!(reason, TIMED_OUT, "{text}");
    for text in [told, text] {
        for part in [who.as_str(), "did not answer", "needed for others"] {
            assert!(text.contains(part), "{text:?} does not say {part:?}");
        }
    }
    victim.serves(&place, Side::Guest);
}

/// Nor do those that come again and again, faster than the host lets them go.
#[test]
fn those_that_come_again_and_again() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = VecDeque::new();
                while !over.load(Ordering::Relaxed) {
                    held.extend(Stranger::try_connect(&place));
                    if held.len() > MOST {
                        held.pop_front();
                    }
                    thread::sleep(Duration::from_micros(500));
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        for _ in 0..3 {
            victim.serves(&place, Side::Guest);
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Nor do those that knock and never answer HELLO; they are asked one after the other.
#[test]
fn those_that_never_answer_hold_up_nobody() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let mut dumb: Vec<_> = (0..6)
        .map(|_| {
            let mut stranger = Stranger::connect(&place);
            stranger.send(&knock(place.name()));
            stranger
        })
        .collect();
    victim.serves(&place, Side::Guest);
    victim.serves(&place, Side::Guest);
    let first = dumb[0].packet();
    assert_eq!(u32_at(&first, 8), HELLO);
}

/// The queue has an end, and those in it cannot be pushed out by newcomers.
#[test]
fn a_queue_that_is_full() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let guest = place.guest().open().unwrap();
    let conn = connected(&guest);
    let mut queue: Vec<_> = (1..=MOST as u32)
        .map(|number| {
            let mut stranger = Stranger::connect(&place);
            stranger.send(&knock(place.name()));
            stranger.waits(number);
            stranger
        })
        .collect();
    for _ in 0..10 {
        let mut late = Stranger::connect(&place);
        late.send(&knock(place.name()));
        let mut answer = late.packet();
        // It may have been in the queue for a moment.
        if u32_at(&answer, 8) == WAIT {
            answer = late.packet();
        }
        assert_eq!((u32_at(&answer, 8), u32_at(&answer, 64)), (REFUSE, BUSY));
        assert_eq!(late.read_to_the_end().len() % PACKET, 0);
    }
    conn.send(b"ping").unwrap();
    answer(&conn);
    // One that has gone makes room for another.
    drop(queue.pop());
    until("there is room", || {
        let mut next = Stranger::connect(&place);
        next.send(&knock(place.name()));
        let waits = u32_at(&next.packet(), 8) == WAIT;
        queue.push(next);
        waits
    });
    guest.close(0, "");
    // Each in turn, until they are gone; nobody has lost its place.
    assert_eq!(u32_at(&queue[0].packet(), 8), HELLO);
    drop(queue);
    victim.serves(&place, Side::Guest);
}

/// One that does not keep quiet while it waits is refused; the next moves up.
#[test]
fn one_that_talks_while_it_waits() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let guest = place.guest().open().unwrap();
    let _conn = connected(&guest);
    let mut loud = Stranger::connect(&place);
    loud.send(&knock(place.name()));
    loud.waits(1);
    let next = place.guest().open().unwrap();
    loud.send(&knock(place.name()));
    let (reason, text) = loud.refusal();
    assert_eq!(reason, PROTOCOL, "{text}");
    assert!(text.contains("before it was its turn"), "{text}");
    victim.says("error Protocol ");
    guest.close(0, "");
    connected(&next);
}
