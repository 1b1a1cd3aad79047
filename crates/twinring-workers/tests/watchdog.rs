//! Workers that are silent for too long are killed and replaced, and others are not.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, Watchdog};
use twinring_workers::{Cause, Event};
use workers::{my_parent, next_exited, next_message, roles, supervisor, until_started};

roles!(
    hangs,
    is_busy_but_alive,
    sets_checkpoints,
    sends,
    waits_for_messages,
    works_with_messages
);

/// Long beside what a thread has to wait for a processor.
const SILENCE: Duration = Duration::from_millis(1500);

fn hangs() {
    let parent = my_parent();
    parent.send(b"hello").unwrap();
    thread::sleep(Duration::from_secs(3600));
}

fn now_and_then(mut sign: impl FnMut()) {
    loop {
        sign();
        thread::sleep(SILENCE / 10);
    }
}

fn is_busy_but_alive() {
    let parent = my_parent();
    now_and_then(|| parent.alive());
}

fn sets_checkpoints() {
    let parent = my_parent();
    now_and_then(|| parent.set_checkpoint(b"the same").unwrap());
}

fn sends() {
    let parent = my_parent();
    now_and_then(|| parent.send(b"message").unwrap());
}

fn waits_for_messages() {
    let parent = my_parent();
    parent.set_checkpoint(b"mine").unwrap();
    while let Some(message) = parent.recv().unwrap() {
        parent.send(&message).unwrap();
    }
    parent.finish().unwrap();
}

fn works_with_messages() {
    my_parent().serve(<[u8]>::to_vec).unwrap();
}

#[test]
fn one_that_hangs_is_replaced() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("hangs").silence(SILENCE).start().unwrap();
    let pid = until_started(&mut workers);
    assert_eq!(next_message(&mut workers), b"hello");
    let start = Instant::now();
    let exited = next_exited(&mut workers);
    println!("killed after {:?}", start.elapsed());
    assert_eq!((exited.cause, exited.pid), (Cause::Silent, pid));
    assert!(start.elapsed() >= SILENCE * 3 / 4 && !exited.status.success());
    assert_ne!(until_started(&mut workers), pid);
}

/// Whatever its threads do.
#[test]
#[cfg(unix)]
fn one_that_is_stopped_is_replaced() {
    use rustix::process::{Pid, Signal, kill_process};
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("is_busy_but_alive")
        .silence(SILENCE)
        .start()
        .unwrap();
    let pid = until_started(&mut workers);
    assert!(workers.next_within(SILENCE * 2).is_err(), "it lives");
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::STOP).unwrap();
    let exited = next_exited(&mut workers);
    assert_eq!((exited.cause, exited.pid), (Cause::Silent, pid));
    assert_ne!(until_started(&mut workers), pid);
}

#[test]
fn signs_of_life_keep_alive() {
    let _watchdog = Watchdog::new(300);
    for role in [
        "is_busy_but_alive",
        "sets_checkpoints",
        "sends",
        "waits_for_messages",
        "works_with_messages",
    ] {
        let mut workers = supervisor(role).silence(SILENCE).start().unwrap();
        until_started(&mut workers);
        let end = Instant::now() + SILENCE * 2;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match workers.next_within(left) {
                Err(_) | Ok(Some(Event::Message { .. })) => {}
                other => panic!("{role}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_program_that_does_not_look_sees_no_silence() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("hangs").silence(SILENCE).start().unwrap();
    until_started(&mut workers);
    thread::sleep(SILENCE * 2);
    assert_eq!(next_message(&mut workers), b"hello");
    let start = Instant::now();
    assert_eq!(next_exited(&mut workers).cause, Cause::Silent);
    assert!(
        start.elapsed() >= SILENCE / 2,
        "after {:?}",
        start.elapsed()
    );
}

/// To say that it is alive changes nothing that it has set.
#[test]
fn what_was_set_stays_while_it_waits() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("waits_for_messages")
        .silence(SILENCE)
        .start()
        .unwrap();
    until_started(&mut workers);
    assert!(workers.next_within(SILENCE).is_err());
    workers.kill(0);
    let exited = next_exited(&mut workers);
    assert_eq!(
        (exited.cause, exited.checkpoint),
        (Cause::Killed, Some(b"mine".to_vec()))
    );

    // One that has none hands on what it was given.
    let mut workers = supervisor("works_with_messages")
        .silence(SILENCE)
        .start()
        .unwrap();
    until_started(&mut workers);
    assert!(workers.next_within(SILENCE).is_err());
    workers.stop();
    let exited = next_exited(&mut workers);
    assert_eq!((exited.cause, exited.checkpoint), (Cause::Asked, None));
    assert!(matches!(workers.next_within(LIMIT), Ok(None)));
}
