//! A server and the worker processes that it starts, one of which is killed now and then: only what it had not
//! answered is given out again.
//!
//! `cargo run --release --example workers`

use std::collections::VecDeque;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use twinring::{Connection, Link, Result};

const TASKS: u32 = 10_000;
/// How many tasks a worker has at a time.
const AHEAD: usize = 8;
const A_WHILE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    match std::env::args().nth(1) {
        Some(name) => worker(&name),
        None => server(),
    }
}

fn worker(name: &str) -> Result<()> {
    let conn = Link::guest(name).open()?.within(A_WHILE).next()?;
    while let Some(mut tasks) = conn.recv_batch()? {
        while let Some(task) = tasks.next_message() {
            let number = u32::from_le_bytes(task.try_into().expect("four bytes"));
            let answer = u64::from(number) * u64::from(number);
            conn.send(&[task, &answer.to_le_bytes()].concat())?;
            // From now on it is not given out again.
            tasks.take();
        }
    }
    conn.finish()
}

/// What is to be done, and how often each task was answered.
struct Work {
    tasks: Mutex<VecDeque<Vec<u8>>>,
    answers: Mutex<Vec<u32>>,
}

fn server() -> Result<()> {
    let work = Work {
        tasks: Mutex::new((0..TASKS).map(|n| n.to_le_bytes().to_vec()).collect()),
        answers: Mutex::new(vec![0; TASKS as usize]),
    };
    thread::scope(|scope| {
        for number in 0..2 {
            let work = &work;
            scope.spawn(move || employ(number, work).expect("workers can be started"));
        }
    });
    let answers = work.answers.into_inner().unwrap();
    println!(
        "{} tasks, {} answered twice",
        answers.len(),
        answers.iter().filter(|times| **times > 1).count()
    );
    assert!(answers.iter().all(|times| *times > 0), "none is missing");
    Ok(())
}

/// One worker after the other, until there is nothing left to do.
fn employ(number: u32, work: &Work) -> std::io::Result<()> {
    let link = Link::host(&format!("workers example {} {number}", std::process::id())).open()?;
    while !work.tasks.lock().unwrap().is_empty() {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(link.name())
            .spawn()?;
        let conn = link.within(A_WHILE).next()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                child.kill()
            });
            if let Err(e) = serve(&conn, work) {
                eprintln!("{e}");
            }
        });
        for task in conn.take_unread().into_iter().flatten() {
            work.tasks.lock().unwrap().push_front(task);
        }
        child.wait()?;
    }
    Ok(())
}

/// Keeps a worker busy, and takes its answers to the last.
fn serve(conn: &Connection, work: &Work) -> Result<()> {
    let mut under_way = 0;
    let give = |conn: &Connection, under_way: &mut usize| -> Result<()> {
        while *under_way < AHEAD {
            let Some(task) = work.tasks.lock().unwrap().pop_front() else {
                return conn.finish();
            };
            if let Err(e) = conn.send(&task) {
                work.tasks.lock().unwrap().push_front(task);
                // Its answers are still to be had.
                eprintln!("{e}");
                return Ok(());
            }
            *under_way += 1;
        }
        Ok(())
    };
    give(conn, &mut under_way)?;
    while let Some(answer) = conn.recv()? {
        let number = u32::from_le_bytes(answer[..4].try_into().expect("four bytes"));
        work.answers.lock().unwrap()[number as usize] += 1;
        under_way -= 1;
        give(conn, &mut under_way)?;
    }
    Ok(())
}
