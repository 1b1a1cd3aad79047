//! How long a worker takes to start and to be replaced, and how fast two of them are: medians.
//!
//! `cargo run --release -p twinring-workers --example measure`

use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, io};

use twinring_workers::{Backoff, Builder, Event, Restart, Supervisor, parent};

const ROUNDS: usize = 101;
const MESSAGES: u32 = 400_000;
const TASKS: u32 = 100_000;
/// Unanswered messages of a worker.
const WINDOW: u32 = 64;

fn main() -> io::Result<()> {
    if let Some(parent) = parent()? {
        // A pool would take it for an answer.
        if env::args().len() == 1 {
            parent.send(b"hello")?;
        }
        return Ok(parent.serve(<[u8]>::to_vec)?);
    }
    println!("until a worker has connected: {:?}", median(connect)?);
    let mut workers = builder()?.start()?;
    until_hello(&mut workers);
    let replace = median(|| {
        let start = Instant::now();
        workers.kill(0);
        until_hello(&mut workers);
        Ok(start.elapsed())
    })?;
    println!("from a kill to the successor's first message: {replace:?}");
    println!(
        "messages of 64 bytes to two workers and back: {:.0} a second",
        messages()?
    );
    for window in [2, 16] {
        let rate = tasks(window)?;
        println!("tasks of a pool of two workers, {window} at a time: {rate:.0} a second");
    }
    Ok(())
}

fn builder() -> io::Result<Builder> {
    let program = env::current_exe()?;
    let builder = Supervisor::of(move |_| Command::new(&program));
    Ok(builder.restart(Restart::Always).backoff(Backoff {
        first: Duration::ZERO,
        limit: None,
        ..Backoff::default()
    }))
}

fn median(mut measure: impl FnMut() -> io::Result<Duration>) -> io::Result<Duration> {
    let times: io::Result<Vec<_>> = (0..ROUNDS).map(|_| measure()).collect();
    let mut times = times?;
    times.sort();
    Ok(times[ROUNDS / 2])
}

fn connect() -> io::Result<Duration> {
    let start = Instant::now();
    let mut workers = builder()?.start()?;
    assert!(matches!(workers.next(), Some(Event::Started { .. })));
    Ok(start.elapsed())
}

fn until_hello(workers: &mut Supervisor) {
    workers.find(|event| matches!(event, Event::Message { .. }));
}

fn messages() -> io::Result<f64> {
    let mut workers = builder()?.workers(2).start()?;
    until_hello(&mut workers);
    until_hello(&mut workers);
    let start = Instant::now();
    let (mut sent, mut received) = (0, 0);
    for _ in 0..WINDOW {
        workers.send(0, &[0; 64])?;
        workers.send(1, &[1; 64])?;
        sent += 2;
    }
    while received < MESSAGES {
        if let Some(Event::Message { worker, message }) = workers.next() {
            received += 1;
            if sent < MESSAGES {
                workers.send(worker, &message)?;
                sent += 1;
            }
        }
    }
    Ok(f64::from(MESSAGES) / start.elapsed().as_secs_f64())
}

fn tasks(window: usize) -> io::Result<f64> {
    let program = env::current_exe()?;
    let mut pool = Supervisor::of(move |_| {
        let mut command = Command::new(&program);
        command.arg("without a word");
        command
    })
    .workers(2)
    .start_pool()?;
    pool.window(window);
    let start = Instant::now();
    for done in pool.map((0..TASKS).map(|task| task.to_le_bytes().to_vec())) {
        done?;
    }
    Ok(f64::from(TASKS) / start.elapsed().as_secs_f64())
}
