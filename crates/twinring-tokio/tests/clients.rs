//! Many clients of one server, each side in one runtime.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod tokios;

use common::{LIMIT, Parent, Place, Side, Watchdog, amount, check, message, peers, rounds};
use tokio::time::timeout;
use tokios::{many_threads, one_thread};
use twinring::Result;
use twinring_tokio::{Connection, Link, Listener};

const CLIENTS: u64 = 100;

peers!(many_clients, many_clients_in_one_thread);

async fn echo(conn: Connection) -> Result<()> {
    while let Some(message) = conn.recv().await? {
        conn.send(&message).await?;
    }
    conn.finish()?;
    conn.flush().await
}

async fn clients(parent: &'static Parent) {
    let count: u64 = parent.next_as();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(async move {
                let link = Link::from(parent.builder().open().unwrap());
                let conn = timeout(LIMIT, link.next()).await.unwrap().unwrap();
                drop(link);
                for number in 0..count {
                    let len = (number * 31 % 500) as usize;
                    conn.send(&message(client, number, len)).await.unwrap();
                    let echo = conn.recv().await.unwrap().unwrap();
                    check(&echo, client, number, len);
                }
                conn.finish().unwrap();
                assert_eq!(conn.recv().await.unwrap(), None);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn many_clients(parent: &'static Parent) {
    many_threads().block_on(clients(parent));
}

fn many_clients_in_one_thread(parent: &'static Parent) {
    one_thread().block_on(clients(parent));
}

async fn serve(listener: Listener) {
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let conn = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        tasks.push(tokio::spawn(echo(conn)));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[test]
fn each_client_is_answered() {
    let _watchdog = Watchdog::new(120);
    for (runtime, role) in [
        (many_threads(), "many_clients_in_one_thread"),
        (one_thread(), "many_clients"),
    ] {
        let place = Place::new();
        let listener = Listener::from(place.host().listen().unwrap());
        let mut child = place.start(role, Side::Guest);
        child.say(rounds(amount(200, 2000), 20));
        runtime.block_on(serve(listener));
        child.finish();
    }
}
