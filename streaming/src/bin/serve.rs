//! Serves a directory over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::value_parser as parser;
use streaming::server::{Options, serve};
use streaming::worker;

/// Serves the files of a directory over HTTP/1.1, each stream by a process of its own that may be killed.
#[derive(Parser)]
struct Args {
    /// Where clients come; port 0 for a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Processes, each with one stream at a time; who comes beyond that waits
    #[arg(long, default_value_t = 4, value_parser = parser!(u16).range(1..=256))]
    workers: u16,
    /// Clients at once; the system keeps the others waiting
    #[arg(long, default_value_t = 256, value_parser = parser!(u16).range(1..))]
    clients: u16,
    /// Seconds that a client may take to say what it wants
    #[arg(long, default_value_t = 10, value_parser = parser!(u64).range(1..=86_400))]
    head: u64,
    /// Seconds that a client may take nothing
    #[arg(long, default_value_t = 60, value_parser = parser!(u64).range(1..=86_400))]
    stall: u64,
    /// Seconds without a sign of life after which a worker is replaced
    #[arg(long, default_value_t = 2, value_parser = parser!(u64).range(1..=86_400))]
    silence: u64,
    /// The workers only read, and the server writes: always so where sockets do not count
    #[arg(long)]
    relay: bool,
    /// What is served
    dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    if let Some(parent) = worker::parent()? {
        return worker::run(&parent);
    }
    let args = Args::parse();
    let options = Options {
        dir: args.dir,
        listen: args.listen,
        workers: args.workers.into(),
        clients: args.clients.into(),
        head_within: Duration::from_secs(args.head),
        stall: Duration::from_secs(args.stall),
        silence: Duration::from_secs(args.silence),
        relay: args.relay,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(options))
}
