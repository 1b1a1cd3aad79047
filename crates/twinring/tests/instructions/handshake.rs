//! Killed at the system calls of `open` and the handshake, right before and right after them: at
//! each in the long form, else at a sample, another one in each run.
//!
//! What happens between two system calls nobody else can see: the memory that a host fills in is
//! handed over by one, and a guest writes nothing to it before it is connected.

use crate::common::{Child, Parent, Place, Random, Side, amount, connected, labelled, read_label};
use crate::survivor::Survivor;
use crate::tracer::{Event, Process, mark};
use crate::{every_instruction, is_permitted, watchdog};

/// Opens the link and exchanges a message, between two marks.
pub(crate) fn comer(parent: &'static Parent) {
    let incarnation: u64 = parent.next_as();
    parent.say("ready");
    parent.expect("go");
    mark();
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    mark();
    conn.send(&labelled(incarnation, 0, 0)).unwrap();
    let answer = conn.recv().unwrap().unwrap();
    assert_eq!(read_label(&answer), Ok((0, incarnation)));
    parent.say("met");
    parent.wait_for_the_end();
}

/// The next victim, ready to begin.
fn start(place: &Place, side: Side, incarnation: u64) -> Child {
    let mut child = place.start("comer", side);
    child.say(incarnation);
    child.expect("ready");
    child
}

/// Kills a victim at the `n`th stop. Whether it was connected by then.
fn kill_at(mut child: Child, n: usize) -> bool {
    let mut process = Process::seize(&child);
    child.say("go");
    while !matches!(process.next(), Event::Mark) {}
    let mut stops = 0;
    let connected = loop {
        if stops == n {
            break false;
        }
        match process.next() {
            Event::Call(..) | Event::Return(..) => stops += 1,
            Event::Mark => break true,
            Event::End => panic!("a victim has ended by itself after {stops} stops"),
        }
    };
    child.kill_now();
    process.reap();
    child.kill();
    connected
}

fn kill_in_handshake(side: Side) {
    let _watchdog = watchdog();
    if !is_permitted() {
        return;
    }
    let place = Place::new();
    let mut survivor = Survivor::start(&place, side.opposite());
    let mut incarnation = 0;
    let mut before = None;
    let seed = Random::unrepeatable().next();
    let mut random = Random::new(seed);
    println!("handshake of the {side}: seed {seed}");
    let stride = if every_instruction() { 1 } else { amount(8, 1) };
    let mut kills = 0;
    let mut n = 0;
    loop {
        let connected = kill_at(start(&place, side, u64::MAX), n);
        // Whatever the victim has left, the next one is served.
        incarnation += 1;
        let mut next = start(&place, side, incarnation);
        next.say("go");
        survivor.meet(incarnation);
        next.expect("met");
        next.kill();
        before.get_or_insert_with(|| survivor.audit());
        if connected {
            println!("handshake of the {side}: killed {kills} times in {n} stops");
            break;
        }
        kills += 1;
        // One of as many as the stride has, the first ones of all included.
        n = kills * stride + random.below(stride);
    }
    survivor.gives_back(&before.unwrap());
    assert_eq!(place.files(), ["lock", "sock"]);
}

#[test]
fn handshake_of_a_guest() {
    kill_in_handshake(Side::Guest);
}

#[test]
fn handshake_of_a_host() {
    kill_in_handshake(Side::Host);
}
