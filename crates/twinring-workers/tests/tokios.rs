//! Awaited in tokio, on both sides.

#![cfg(feature = "tokio")]

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::time::Duration;

use common::{LIMIT, Watchdog};
use tokio::time::timeout;
use twinring_workers::{Cause, Event, Supervisor};
use workers::{my_parent, roles, supervisor};

roles!(answers_in_tokio, serves, hangs);

#[tokio::main(flavor = "current_thread")]
async fn answers_in_tokio() {
    let parent = my_parent();
    let conn = parent.to_tokio();
    while let Some(message) = conn.recv().await.unwrap() {
        conn.send(&message).await.unwrap();
    }
    conn.finish().unwrap();
}

fn serves() {
    my_parent().serve(<[u8]>::to_vec).unwrap();
}

fn hangs() {
    let _parent = my_parent();
    std::thread::sleep(Duration::from_secs(3600));
}

async fn next(workers: &mut Supervisor) -> Option<Event> {
    timeout(LIMIT, workers.next_async())
        .await
        .expect("it is woken")
}

#[tokio::test]
async fn messages_and_ends() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("answers_in_tokio").start().unwrap();
    assert!(matches!(
        next(&mut workers).await,
        Some(Event::Started { .. })
    ));
    for number in 0..200u8 {
        workers.send(0, &[number]).unwrap();
        // Dropped before it is done, mostly, and nothing is lost.
        let mut early = timeout(Duration::from_micros(20), workers.next_async())
            .await
            .ok();
        while early.is_none() {
            early = timeout(Duration::from_millis(1), workers.next_async())
                .await
                .ok();
        }
        match early.flatten() {
            Some(Event::Message { message, .. }) => assert_eq!(message, [number]),
            other => panic!("{other:?}"),
        }
    }
    workers.kill(0);
    assert!(matches!(next(&mut workers).await, Some(Event::Exited(_))));
    assert!(matches!(
        next(&mut workers).await,
        Some(Event::Started { .. })
    ));
    workers.stop();
    match next(&mut workers).await {
        Some(Event::Exited(exited)) => assert_eq!(exited.cause, Cause::Asked, "{exited}"),
        other => panic!("{other:?}"),
    }
    assert!(next(&mut workers).await.is_none());
}

/// What comes with time comes, with nobody to wake the task.
#[tokio::test]
async fn silence() {
    let _watchdog = Watchdog::new(120);
    let limit = Duration::from_millis(500);
    let mut workers = supervisor("hangs").silence(limit).start().unwrap();
    assert!(matches!(
        next(&mut workers).await,
        Some(Event::Started { .. })
    ));
    match next(&mut workers).await {
        Some(Event::Exited(exited)) => assert_eq!(exited.cause, Cause::Silent, "{exited}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool() {
    let _watchdog = Watchdog::new(120);
    let mut pool = supervisor("serves").workers(2).start_pool().unwrap();
    let task = tokio::spawn(async move {
        for number in 0..100u8 {
            pool.submit(vec![number]);
        }
        let mut answers = Vec::new();
        while let Some(done) = timeout(LIMIT, pool.next_done_async())
            .await
            .unwrap()
            .unwrap()
        {
            answers.push(done.answer.unwrap());
        }
        answers.sort();
        answers
    });
    let answers = task.await.unwrap();
    assert_eq!(
        answers,
        (0..100).map(|number| vec![number]).collect::<Vec<_>>()
    );
}
