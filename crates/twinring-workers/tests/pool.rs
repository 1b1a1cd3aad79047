//! Tasks of a pool whose workers are killed at random moments.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Place, Watchdog, amount, is_wine};
use twinring_workers::{Cause, Event, Exited, NoWorkersLeft, Pool};
use workers::{Killer, my_parent, roles, supervisor, supervisor_with};

roles!(serves, works_ahead, dies_of_some, floods, exits);

const LEDGER: &str = "TWINRING_WORKERS_LEDGER";
const WORKERS: usize = 2;

/// One for each process: not every system appends to one file for two of them.
fn ledger() -> File {
    let directory = PathBuf::from(std::env::var_os(LEDGER).unwrap());
    let path = directory.join(format!("{}.ledger", std::process::id()));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

/// One task at a time: notes it, and answers.
fn serves() {
    let mut ledger = ledger();
    my_parent()
        .serve(|task| {
            ledger.write_all(task).unwrap();
            work();
            answer(task)
        })
        .unwrap();
}

/// Takes as many tasks as there are, and then answers them.
fn works_ahead() {
    let (parent, mut ledger) = (my_parent(), ledger());
    let conn = parent.connection();
    while let Some(task) = conn.recv().unwrap() {
        let mut tasks = VecDeque::from([task]);
        while let Ok(Some(task)) = conn.within(twinring::Timeout::Now).recv() {
            tasks.push_back(task);
        }
        for task in &tasks {
            ledger.write_all(task).unwrap();
        }
        for task in &tasks {
            work();
            conn.send(&answer(task)).unwrap();
        }
    }
    parent.finish().unwrap();
}

/// For long enough that there are moments to be killed in.
fn work() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(30) {
        std::hint::spin_loop();
    }
}

fn answer(task: &[u8]) -> Vec<u8> {
    let number = u32::from_le_bytes(task.try_into().unwrap());
    (u64::from(number) * u64::from(number))
        .to_le_bytes()
        .to_vec()
}

/// Dies of what it is told to die of.
fn dies_of_some() {
    my_parent()
        .serve(|task| {
            if task == b"die" {
                std::process::exit(8);
            }
            task.to_vec()
        })
        .unwrap();
}

/// Answers one task three times, and is slow with another.
fn floods() {
    let parent = my_parent();
    while let Some(task) = parent.recv().unwrap() {
        if task == b"slow" {
            std::thread::sleep(Duration::from_secs(1));
        }
        for _ in 0..if task == b"flood" { 3 } else { 1 } {
            parent.send(&task).unwrap();
        }
    }
}

fn exits() {
    std::process::exit(8);
}

/// Of 20,000 tasks, at most one for each kill is begun twice by `serves`, and at most a window by one that works ahead.
fn none_is_lost(role: &'static str, window: usize, most_for_a_kill: u64) {
    let tasks: u32 = if is_wine() {
        4000
    } else {
        amount(20_000, 100_000)
    };
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let for_children = place.directory().to_owned();
    let builder = supervisor_with(role, move |command| {
        command.env(LEDGER, &for_children);
    });
    let mut pool = builder.workers(WORKERS).start_pool().unwrap();
    pool.window(window);
    pool.attempts(u32::MAX);
    let killer = Killer::start(Duration::from_millis(5));
    let ends = Arc::new(Mutex::new((0u64, 0u64)));
    pool.on_event({
        let ends = ends.clone();
        move |event| match event {
            Event::Started { peer, .. } => killer.aim(peer.pid),
            Event::Exited(Exited {
                complete,
                handed_over,
                unread,
                ..
            }) => {
                assert!(*complete && *handed_over == 0);
                let mut ends = ends.lock().unwrap();
                *ends = (ends.0 + 1, ends.1 + unread.len() as u64);
            }
            other => panic!("{other}"),
        }
    });
    let mut answers = vec![0; tasks as usize];
    for done in pool.map((0..tasks).map(|number| number.to_le_bytes().to_vec())) {
        let done = done.unwrap();
        assert_eq!(done.answer.unwrap(), answer(&done.task));
        answers[u32::from_le_bytes(done.task.try_into().unwrap()) as usize] += 1;
    }
    drop(pool);
    assert!(
        answers.iter().all(|count| *count == 1),
        "one answer for each"
    );

    let mut begun = vec![0u64; tasks as usize];
    for file in std::fs::read_dir(place.directory()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "ledger") {
            for number in std::fs::read(path).unwrap().chunks_exact(4) {
                begun[u32::from_le_bytes(number.try_into().unwrap()) as usize] += 1;
            }
        }
    }
    assert!(begun.iter().all(|count| *count >= 1), "none is lost");
    let again: u64 = begun.iter().map(|count| count - 1).sum();
    let (ends, unread) = *ends.lock().unwrap();
    println!(
        "{role}: {tasks} tasks, {ends} kills, {again} begun again, {unread} that a dead worker had not taken"
    );
    assert!(
        ends >= if is_wine() { 2 } else { 20 },
        "they were killed: {ends}"
    );
    assert!(again <= ends * most_for_a_kill, "{again} at {ends} kills");
}

#[test]
fn one_task_for_each_kill_is_begun_again() {
    let _watchdog = Watchdog::new(600);
    none_is_lost("serves", 8, 1);
}

#[test]
fn a_window_for_each_kill_is_begun_again() {
    let _watchdog = Watchdog::new(600);
    none_is_lost("works_ahead", 8, 8);
}

fn answers_of(pool: &mut Pool, tasks: &[&[u8]]) -> Vec<Result<Vec<u8>, String>> {
    let mut answers: Vec<_> = pool
        .map(tasks.iter().map(|task| task.to_vec()))
        .map(|done| done.unwrap())
        .collect();
    answers.sort_by_key(|done| done.number);
    let texts = answers
        .into_iter()
        .map(|done| done.answer.map_err(|e| e.to_string()));
    texts.collect()
}

#[test]
fn a_task_that_nobody_survives_fails() {
    let _watchdog = Watchdog::new(120);
    let mut pool = supervisor("dies_of_some").workers(2).start_pool().unwrap();
    pool.window(4);
    let ends = Arc::new(Mutex::new(0));
    let counter = ends.clone();
    pool.on_event(move |event| {
        *counter.lock().unwrap() += u32::from(matches!(event, Event::Exited(_)))
    });
    let answers = answers_of(
        &mut pool,
        &[b"1", b"2", b"die", b"4", b"5", b"6", b"7", b"8"],
    );
    for (number, answer) in answers.iter().enumerate() {
        match number {
            2 => assert!(
                answer
                    .as_ref()
                    .unwrap_err()
                    .starts_with("3 workers have ended with the task")
            ),
            other => assert_eq!(answer.as_deref(), Ok((other + 1).to_string().as_bytes())),
        }
    }
    assert_eq!(*ends.lock().unwrap(), 3);
}

#[test]
fn a_worker_that_answers_what_nobody_asked_is_replaced() {
    let _watchdog = Watchdog::new(120);
    let mut pool = supervisor("floods").workers(2).start_pool().unwrap();
    pool.window(1);
    let counts = Arc::new(Mutex::new((0, 0)));
    let counter = counts.clone();
    pool.on_event(move |event| {
        let (started, killed) = &mut *counter.lock().unwrap();
        match event {
            Event::Started { .. } => *started += 1,
            Event::Exited(exited) if exited.cause == Cause::Killed => *killed += 1,
            other => panic!("{other}"),
        }
    });
    // Otherwise one of them would get both, and what it says too much be an answer to the second.
    while counts.lock().unwrap().0 < 2 {
        assert_eq!(answers_of(&mut pool, &[b"ping"]), [Ok(b"ping".to_vec())]);
    }
    let answers = answers_of(&mut pool, &[b"flood", b"slow"]);
    assert_eq!(answers, [Ok(b"flood".to_vec()), Ok(b"slow".to_vec())]);
    assert_eq!(counts.lock().unwrap().1, 1);
}

#[test]
fn a_task_that_is_too_long_fails() {
    let _watchdog = Watchdog::new(120);
    let builder = supervisor("dies_of_some").link(|link| link.ring_capacity(4096));
    let mut pool = builder.start_pool().unwrap();
    let long = [1; 10_000];
    let answers = answers_of(&mut pool, &[b"1", &long, b"3"]);
    assert_eq!(
        (&answers[0], &answers[2]),
        (&Ok(b"1".to_vec()), &Ok(b"3".to_vec()))
    );
    assert!(
        answers[1]
            .as_ref()
            .unwrap_err()
            .starts_with("the task cannot be sent")
    );
}

#[test]
fn without_workers_it_says_so() {
    let _watchdog = Watchdog::new(120);
    let backoff = twinring_workers::Backoff {
        limit: Some(1),
        ..Default::default()
    };
    let mut pool = supervisor("exits")
        .workers(2)
        .backoff(backoff)
        .start_pool()
        .unwrap();
    pool.submit(b"1".to_vec());
    assert_eq!(pool.next_done().unwrap_err(), NoWorkersLeft);
    let mut pool = supervisor("dies_of_some").start_pool().unwrap();
    assert!(
        pool.next_done().unwrap().is_none(),
        "there is nothing to do"
    );
}
