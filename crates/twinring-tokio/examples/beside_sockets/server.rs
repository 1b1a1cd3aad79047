//! The other process: echoes, or takes messages and answers the last one.

use std::io::{BufRead, Write};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixListener;
use tokio::runtime::{self, Runtime};
use twinring_tokio::Listener;

use super::wire::{Bytes, Socket, Wire};

/// Ends what is sent one way. All other messages begin with another byte.
pub(crate) const LAST: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Echo,
    /// Takes one message at a time.
    Take,
    /// Takes what is there.
    TakeSome,
}

const ROLES: [Role; 3] = [Role::Echo, Role::Take, Role::TakeSome];

pub(crate) fn runtime(one_thread: bool) -> Runtime {
    let mut builder = match one_thread {
        true => runtime::Builder::new_current_thread(),
        false => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build().expect("a runtime")
}

/// The arguments: how, role, capacity of rings, name, threads.
pub(crate) fn run(args: &[String]) {
    let [how, role, capacity, name, threads] = args else {
        panic!("not for people");
    };
    let role = ROLES
        .into_iter()
        .find(|other| format!("{other:?}") == *role)
        .expect("a role");
    std::thread::spawn(|| {
        // Each line asks for the processor time so far.
        for _ in std::io::stdin().lock().lines() {
            say(processor_time().as_nanos());
        }
        std::process::exit(0);
    });
    runtime(threads == "one-thread").block_on(async {
        // Not the task of `block_on`, which is no task as others are.
        let served = tokio::spawn(serve(how.clone(), role, capacity.clone(), name.clone()));
        served.await.expect("a server");
    });
}

async fn serve(how: String, role: Role, capacity: String, name: String) {
    if how == "sockets" {
        let listener = UnixListener::bind(&name).expect("a socket");
        say("ready");
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            tokio::spawn(play(Socket::from(stream), role));
        }
    }
    let capacity = capacity.parse().expect("a capacity");
    let builder = twinring::Link::host(&name).ring_capacity(capacity);
    let listener = Listener::from(builder.max_clients(1000, 1000).listen().expect("a name"));
    say("ready");
    loop {
        let conn = listener.accept().await.expect("a client");
        match how == "bytes" {
            true => tokio::spawn(play(Bytes::from(conn), role)),
            false => tokio::spawn(play(conn, role)),
        };
    }
}

fn say(what: impl std::fmt::Display) {
    println!("{what}");
    std::io::stdout().flush().expect("someone who asks");
}

async fn play<W: Wire>(mut wire: W, role: Role) {
    let mut message = Vec::new();
    loop {
        let count = match role {
            Role::TakeSome => wire.recv_some(&mut message).await,
            _ => wire.recv(&mut message).await.into(),
        };
        if count == 0 {
            return;
        }
        if role == Role::Echo {
            wire.send(&message).await;
        } else if message[0] == LAST {
            wire.send(&[LAST]).await;
        }
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
