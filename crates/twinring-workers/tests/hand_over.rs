//! What a worker had not taken, and how far it was, goes to its successor.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Place, Watchdog, amount, rounds};
use twinring_workers::{Builder, Event, Then};
use workers::{Killer, my_parent, next, roles, supervisor_with};

roles!(notes, counts);

const LEDGER: &str = "TWINRING_WORKERS_LEDGER";

fn ledger() -> File {
    let path = std::env::var_os(LEDGER).unwrap();
    OpenOptions::new().append(true).open(path).unwrap()
}

/// Notes each number that it is sent.
fn notes() {
    let (parent, mut ledger) = (my_parent(), ledger());
    while let Some(number) = parent.recv().unwrap() {
        ledger.write_all(&number).unwrap();
    }
    parent.finish().unwrap();
}

/// Notes its checkpoint, counts on from there, and says it now and then.
fn counts() {
    let (parent, mut ledger) = (my_parent(), ledger());
    let before = parent
        .checkpoint()
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    ledger
        .write_all(&before.unwrap_or(0).to_le_bytes())
        .unwrap();
    for number in before.unwrap_or(0) + 1.. {
        parent.set_checkpoint(&u64::to_le_bytes(number)).unwrap();
        if number % 10_000 == 0 {
            parent.send(&number.to_le_bytes()).unwrap();
        }
    }
}

fn with_ledger(role: &'static str, path: &Path) -> Builder {
    File::create(path).unwrap();
    let path = path.to_owned();
    supervisor_with(role, move |command| {
        command.env(LEDGER, &path);
    })
}

fn read(path: &Path) -> Vec<u64> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    let numbers = bytes
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    numbers.collect()
}

#[test]
fn messages_go_on_in_order_and_none_twice() {
    let _watchdog = Watchdog::new(600);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("ledger");
    let wanted = amount(rounds(60, 8), rounds(400, 40)) as u64;
    let builder = with_ledger("notes", &path)
        .link(|link| link.ring_capacity(4096))
        .backlog(200);
    let mut workers = builder.start().unwrap();
    let killer = Killer::start(Duration::from_millis(5));
    let (mut number, mut handed_over, mut ends) = (0u64, 0, 0);
    while ends < wanted {
        while workers.send(0, &number.to_le_bytes()).is_ok() {
            number += 1;
        }
        match workers.next_within(Duration::from_millis(1)) {
            Ok(Some(Event::Started { peer, .. })) => killer.aim(peer.pid),
            Ok(Some(Event::Exited(exited))) => {
                assert!(exited.complete && exited.unread.is_empty(), "{exited}");
                handed_over += exited.handed_over;
                ends += 1;
            }
            Ok(Some(other)) => panic!("{other}"),
            Ok(None) => panic!("there is always a successor"),
            Err(_) => {}
        }
    }
    let last_ones = Instant::now();
    drop(killer);
    workers.stop();
    let unread = loop {
        match workers.next().unwrap() {
            Event::Exited(exited) if exited.then == Then::Done => break exited.unread,
            Event::NotStarted { unread, .. } => break unread,
            Event::Started { .. } | Event::Exited(_) => {}
            other => panic!("{other}"),
        }
    };
    let noted = read(&path);
    println!(
        "{number} messages, {} noted, {handed_over} handed over at {ends} ends, stopped in {:?}",
        noted.len(),
        last_ones.elapsed()
    );
    assert!(
        noted.is_sorted_by(|one, next| one < next),
        "in order, and none twice"
    );
    // One that was killed between taking and noting has lost one.
    let left = unread.len() as u64;
    assert!(
        noted.len() as u64 + left + ends + 1 >= number,
        "{} of {number}",
        noted.len()
    );
    assert!(handed_over > 0, "there was something to hand over");
}

#[test]
fn a_successor_goes_on_where_the_last_one_was_killed() {
    let _watchdog = Watchdog::new(600);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("ledger");
    let wanted = amount(rounds(40, 6), rounds(300, 40));
    let mut workers = with_ledger("counts", &path).start().unwrap();
    let killer = Killer::start(Duration::from_millis(10));
    // What each was given, by what its predecessor had set last.
    let (mut given, mut said) = (vec![0], 0);
    while given.len() <= wanted {
        match next(&mut workers) {
            Event::Started { peer, .. } => killer.aim(peer.pid),
            Event::Message { message, .. } => {
                said = u64::from_le_bytes(message.try_into().unwrap())
            }
            Event::Exited(exited) => {
                let last = exited
                    .checkpoint
                    .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
                // It had set this one before it sent the message.
                assert!(last >= said, "{last}, but it had said {said}");
                assert!(last >= *given.last().unwrap());
                given.push(last);
            }
            other => panic!("{other}"),
        }
    }
    drop(killer);
    let first = given[0];
    let last = given[given.len() - 1];
    assert!(last > first, "they have counted");
    drop(workers);
    let noted = read(&path);
    // Who was killed before it had noted anything is missing there.
    let mut rest = given.iter();
    assert!(
        noted.iter().all(|noted| rest.any(|given| given == noted)),
        "{noted:?} by {given:?}"
    );
    assert!(noted.len() > wanted / 2);
}
