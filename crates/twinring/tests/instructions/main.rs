//! A process is killed after each single instruction of what it does, and in each system call of
//! its handshake; the survivor gets what it was promised every time, and the next peer is served. What the
//! survivor has sent was taken, or comes back to it by `take_unread`.
//!
//! The test traces one thread of a child, the victim, with ptrace, from right before an operation
//! to right after it. It is killed at a sample of the instructions, another one in each run, whose
//! seed is printed. With `TWINRING_LONG=1` the samples are larger, and sending and receiving a small
//! message is killed at every instruction; `TWINRING_EVERY_INSTRUCTION=1` takes every instruction of
//! everything. Only on Linux x86-64: elsewhere there is nothing in this file.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "../common/mod.rs"]
mod common;
mod handshake;
mod operation;
mod survivor;
#[path = "../tracer/mod.rs"]
mod tracer;
mod victim;

use common::{Place, Random, Side, Watchdog, amount, is_long};
use handshake::comer;
use operation::Operation;
use survivor::{Survivor, survivor};
use tracer::{is_permitted, sitter};
use victim::{Fate, Victim, victim};

common::peers!(victim, survivor, comer, sitter);

fn every_instruction() -> bool {
    std::env::var_os("TWINRING_EVERY_INSTRUCTION").is_some_and(|value| value == "1")
}

/// How long a whole test may take.
fn watchdog() -> Watchdog {
    Watchdog::new(if every_instruction() { 4 * 3600 } else { 600 })
}

/// Where the victims of an operation are killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Points {
    Every,
    Sample,
}

/// How many points a sample has, besides the first and the last one: of an operation, and of one
/// that the long form kills at every instruction.
fn sample(points: Points) -> usize {
    match points {
        Points::Sample => amount(8, 40),
        Points::Every => 30,
    }
}

fn kill_in(operation: Operation, side: Side, points: Points) {
    let _watchdog = watchdog();
    if !is_permitted() {
        return;
    }
    let place = Place::new();
    let mut survivor = Survivor::start(&place, side.opposite());
    let mut run = Run {
        place: &place,
        side,
        operation,
        survivor: &mut survivor,
        incarnation: 0,
    };

    // To the end once: how far that is, and everything that is made only once is made.
    let whole = run.kill_after(usize::MAX);
    assert!(whole.finished);
    run.kill_after(0);
    let before = run.survivor.audit();

    let (first, stride) = match points {
        _ if every_instruction() => (1, 1),
        Points::Every if is_long() => (1, 1),
        points => {
            let seed = Random::unrepeatable().next();
            let stride = whole.instructions.div_ceil(sample(points));
            println!("{operation:?} ({side}): seed {seed}");
            (1 + Random::new(seed).below(stride), stride)
        }
    };
    let (mut kills, mut last_without, mut first_with) = (2, 0, None);
    let mut n = first;
    loop {
        let fate = run.kill_after(n);
        kills += 1;
        match fate.passed {
            true => _ = first_with.get_or_insert(n),
            false => last_without = n,
        }
        if fate.finished {
            break;
        }
        n += stride;
    }
    println!(
        "{operation:?} ({side}): {kills} kills, every {stride} of {} instructions",
        whole.instructions
    );
    let what = match operation {
        _ if operation.sends() => "delivered",
        _ if operation.receives() => "taken",
        Operation::SetCheckpoint => "set",
        _ => "told",
    };
    println!("  not {what} up to {last_without}, {what} from {first_with:?}");
    // Both happened, so the moment of truth was between two kills.
    assert!(last_without > 0 && first_with.is_some());
    run.survivor.gives_back(&before);
}

/// The kills of one operation.
struct Run<'a> {
    place: &'a Place,
    /// Whose.
    side: Side,
    operation: Operation,
    survivor: &'a mut Survivor,
    incarnation: u64,
}

impl Run<'_> {
    /// Kills a victim `n` instructions into the operation, or at its end if that comes first, and
    /// checks what the survivor got of it.
    fn kill_after(&mut self, n: usize) -> Fate {
        self.incarnation += 1;
        let mut victim = Victim::start(self.place, self.side, self.operation, self.incarnation);
        self.survivor.meet(self.incarnation);
        victim.prepare(self.survivor);
        let fate = victim.kill_after(n, self.survivor);
        self.survivor.outlives(self.operation, fate, n)
    }
}

macro_rules! operations {
    ($($test:ident: $operation:ident, $points:ident;)+) => {$(
        mod $test {
            use super::*;

            #[test]
            fn by_a_guest() {
                kill_in(Operation::$operation, Side::Guest, Points::$points);
            }

            #[test]
            fn by_a_host() {
                kill_in(Operation::$operation, Side::Host, Points::$points);
            }
        }
    )+};
}

operations! {
    send: Send, Every;
    send_to_a_sleeper: SendToSleeper, Sample;
    send_around_the_end: SendAround, Sample;
    send_in_chunks: SendChunks, Sample;
    send_into_a_full_ring: SendFull, Sample;
    reserve_and_commit: Reserve, Sample;
    send_a_batch: SendBatch, Sample;
    send_a_handle: SendHandle, Sample;
    recv: Recv, Every;
    recv_for_a_sleeper: RecvForSleeper, Sample;
    recv_in_chunks: RecvChunks, Sample;
    recv_from_an_empty_ring: RecvEmpty, Sample;
    recv_in_place: RecvInPlace, Sample;
    recv_a_batch_and_take_it: RecvBatch, Sample;
    recv_a_handle: RecvHandle, Sample;
    set_a_checkpoint: SetCheckpoint, Every;
    finish: Finish, Sample;
    close: Close, Sample;
    drop_the_connection: Drop, Sample;
}
