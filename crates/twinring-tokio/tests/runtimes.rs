//! Connections that outlive the runtime that they were first awaited in, or change it.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod tokios;

use std::future::{Future, poll_fn};
use std::thread;
use std::time::Duration;

use common::{Child, LIMIT, Parent, Place, Side, Watchdog, connected, peers, rounds};
use smol::future::FutureExt;
use tokio::time::{sleep, timeout};
use tokios::{many_threads, one_thread};
use twinring::{Interest, WaitSet};
use twinring_tokio::{Connection, Result};

peers!(answers_late);

/// Answers each message after a while, in which the other side falls asleep.
fn answers_late(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    while let Some(message) = conn.recv().unwrap() {
        thread::sleep(Duration::from_millis(3));
        conn.send(&message).unwrap();
    }
    conn.finish().unwrap();
    conn.flush().unwrap();
}

fn start() -> (twinring::Link, Child, Connection) {
    let place = Place::new();
    let link = place.host().open().unwrap();
    let child = place.start("answers_late", Side::Guest);
    let conn = connected(&link).into();
    (link, child, conn)
}

fn end(conn: Connection, child: Child) {
    conn.finish().unwrap();
    drop(conn);
    child.finish();
}

async fn in_time<T>(call: impl Future<Output = Result<T>>) -> T {
    timeout(LIMIT, call).await.expect("it is woken").unwrap()
}

async fn ask(conn: &Connection) {
    in_time(conn.send(b"hello")).await;
    assert_eq!(in_time(conn.recv()).await, Some(b"hello".to_vec()));
}

/// The reactor that listened has ended.
#[test]
fn a_connection_outlives_its_runtime() {
    let _watchdog = Watchdog::new(60);
    let (_link, child, conn) = start();
    for _ in 0..rounds(20, 5) {
        many_threads().block_on(ask(&conn));
        one_thread().block_on(ask(&conn));
    }
    end(conn, child);
}

/// The reactor that listened has ended while a task of another runtime waits.
#[test]
fn a_runtime_ends_while_another_waits() {
    let _watchdog = Watchdog::new(60);
    for _ in 0..rounds(20, 5) {
        let (_link, child, conn) = start();
        let (first, second) = (many_threads(), many_threads());
        first.block_on(ask(&conn));
        let other = conn.clone();
        let waits = second.spawn(async move { in_time(other.recv()).await });
        second.block_on(async { sleep(Duration::from_millis(1)).await });
        drop(first);
        second.block_on(in_time(conn.send(b"hello")));
        assert_eq!(second.block_on(waits).unwrap(), Some(b"hello".to_vec()));
        end(conn, child);
    }
}

/// Only `block_on` drives a runtime of one thread: between two calls nobody looks at its reactor.
#[test]
fn a_runtime_that_rests_holds_nobody_up() {
    let _watchdog = Watchdog::new(60);
    let (_link, child, conn) = start();
    let (rests, works) = (one_thread(), one_thread());
    for _ in 0..rounds(20, 5) {
        rests.block_on(ask(&conn));
        works.block_on(ask(&conn));
    }
    end(conn, child);
}

/// Tasks of two runtimes, of which each waits for what comes next.
#[test]
fn two_runtimes_share_a_connection() {
    let _watchdog = Watchdog::new(60);
    let (_link, child, conn) = start();
    let runtimes = [many_threads(), one_thread()];
    thread::scope(|scope| {
        for runtime in &runtimes {
            let conn = &conn;
            scope.spawn(move || {
                runtime.block_on(async {
                    for _ in 0..rounds(50, 10) {
                        ask(conn).await;
                    }
                })
            });
        }
    });
    end(conn, child);
}

/// Outside of tokio there is no reactor.
#[test]
fn other_executors_serve_as_well() {
    let _watchdog = Watchdog::new(60);
    let (_link, child, conn) = start();
    for _ in 0..rounds(10, 5) {
        smol::block_on(async {
            conn.send(b"hello").await.unwrap();
            assert_eq!(conn.recv().await.unwrap(), Some(b"hello".to_vec()));
        });
        one_thread().block_on(ask(&conn));
    }
    end(conn, child);
}

/// The runtime in whose reactor the doorbell is does not look: it rests, with a task that waits or without, or has ended. Whoever
/// else waits for the same connection is woken all the same.
#[test]
fn a_reactor_that_does_not_look_holds_up_nobody_else() {
    let _watchdog = Watchdog::new(60);
    let (_link, child, conn) = start();
    for round in 0..rounds(60, 12) {
        let runtime = one_thread();
        // A new one, which has not learnt yet that its runtimes change.
        let wrapper = Connection::from(conn.as_ref().clone());
        let waits = wrapper.clone();
        let task = runtime.spawn(async move {
            let message = waits.recv_batch().await.unwrap();
            assert!(message.is_none(), "nobody else has received it");
        });
        runtime.block_on(async { sleep(Duration::from_millis(1)).await });
        if round % 3 == 0 {
            task.abort();
            runtime.block_on(async { task.await.unwrap_err() });
        }
        let runtime = (round % 3 != 2).then_some(runtime);
        let blocking = conn.as_ref().within(LIMIT);
        blocking.send(b"hello").unwrap();
        match round / 3 % 3 {
            0 => {
                let mut set = WaitSet::new();
                set.add(&blocking, Interest::Recv);
                assert_eq!(set.wait(LIMIT).len(), 1, "it is woken");
            }
            1 => smol::block_on(async {
                poll_fn(|task| blocking.poll_ready(Interest::Recv, task))
                    .or(async {
                        smol::Timer::after(LIMIT).await;
                        panic!("it is woken")
                    })
                    .await
            }),
            _ => {
                let other = Connection::from(blocking.clone());
                one_thread()
                    .block_on(async { timeout(LIMIT, other.recv_batch()).await.unwrap().unwrap() });
            }
        }
        // What was only seen, or not taken.
        assert_eq!(blocking.recv().unwrap(), Some(b"hello".to_vec()));
        drop((runtime, wrapper));
    }
    end(conn, child);
}
