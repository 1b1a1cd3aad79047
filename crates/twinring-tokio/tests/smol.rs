//! The library's own `poll_ready`, in another executor than tokio's.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;

use std::time::Duration;

use common::{
    Parent, Place, Side, Watchdog, amount, check, connected, message, peers, rounds, when_ready,
};
use twinring::{Connection, Interest, Result};

peers!(echo);

async fn recv(conn: &Connection) -> Result<Option<Vec<u8>>> {
    when_ready(conn, Interest::Recv, Connection::recv).await
}

async fn send(conn: &Connection, message: &[u8]) -> Result<()> {
    when_ready(conn, Interest::Send(message.len()), |now| now.send(message)).await
}

fn echo(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    smol::block_on(smol::spawn(async move {
        while let Some(message) = recv(&conn).await.unwrap() {
            send(&conn, &message).await.unwrap();
        }
        conn.finish().unwrap();
        when_ready(&conn, Interest::Flush, Connection::flush)
            .await
            .unwrap();
    }));
}

#[test]
fn messages_come_back() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let link = place.host().open().unwrap();
    let child = place.start("echo", Side::Guest);
    let conn = connected(&link);
    let count = rounds(amount(2000, 20_000), 500) as u64;
    smol::block_on(async {
        for number in 0..count {
            let len = number as usize % 3000;
            send(&conn, &message(0, number, len)).await.unwrap();
            check(&recv(&conn).await.unwrap().unwrap(), 0, number, len);
            if number % 100 == 0 {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        }
        conn.finish().unwrap();
        assert_eq!(recv(&conn).await.unwrap(), None);
    });
    child.finish();
}
