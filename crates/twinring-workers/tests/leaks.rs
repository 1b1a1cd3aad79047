//! After many kills a supervisor has as much of the system's things as before.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use common::{AUDITED, Watchdog, amount, count, rounds};
use twinring_workers::{Event, Supervisor};
use workers::{my_parent, roles, supervisor};

roles!(waits);

fn waits() {
    let parent = my_parent();
    parent.send(b"hello").unwrap();
    while let Ok(Some(_)) = parent.recv() {}
}

/// Kills each worker when it has said something, and half of them a moment before.
fn kill(workers: &mut Supervisor, kills: usize) {
    for kill in 0..kills {
        loop {
            match workers.next().unwrap() {
                Event::Started { worker, .. } if kill % 2 == 0 => workers.kill(worker),
                Event::Message { worker, .. } => workers.kill(worker),
                Event::Started { worker, .. } => workers.send(worker, b"something").unwrap(),
                Event::Exited(_) => break,
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn nothing_is_left_of_those_that_were_killed() {
    let _watchdog = Watchdog::new(900);
    let mut workers = supervisor("waits").start().unwrap();
    kill(&mut workers, 10);
    // Between an end and the next start.
    let before = count();
    let kills = amount(rounds(100, 20), rounds(1000, 100));
    kill(&mut workers, kills);
    let after = count();
    println!("{kills} kills: {before:?} and then {after:?} of {AUDITED:?}");
    for ((name, before), after) in AUDITED.iter().zip(before).zip(after) {
        if *name == "bytes of memory" {
            assert!(
                after < before + (8 << 20),
                "{name}: {before} and then {after}"
            );
        } else {
            // A thread of the library's may be about to end.
            assert!(after <= before + 3, "{name}: {before} and then {after}");
        }
    }
}
