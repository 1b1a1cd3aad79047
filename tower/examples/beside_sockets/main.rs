//! tonic over a link, and over a Unix socket (on Windows over TCP). Two processes; both ways measured in turn, in one run;
//! medians of several rounds.
//!
//! ```text
//! cargo run --release --features tonic --example beside_sockets -- [--rounds N] [ROW...]
//! ```

mod calls;
mod measure;
mod os;
#[path = "../grpc/pb.rs"]
mod pb;
mod server;
#[path = "../grpc/service.rs"]
mod service;

use clap::{Parser, Subcommand};
use tokio::runtime::{self, Runtime};

use calls::Row;

/// tonic over a link, beside tonic over a socket.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    server: Option<Command>,
    /// How often each way is measured.
    #[arg(long, default_value_t = if cfg!(debug_assertions) { 1 } else { 5 })]
    rounds: usize,
    /// The rings' capacity in bytes; that of `Incoming::bind` by default.
    #[arg(long, default_value_t = twinring::DEFAULT_RING_CAPACITY, global = true)]
    ring: u64,
    /// Runtimes of one thread in both processes, in the place of one for each processor.
    #[arg(long, global = true)]
    one_thread: bool,
    /// Only these, in the place of all.
    rows: Vec<Row>,
}

#[derive(Subcommand)]
enum Command {
    /// The second process, which the first one starts.
    #[command(hide = true)]
    Server { name: String },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let runtime = runtime(args.one_thread)?;
    match &args.server {
        Some(Command::Server { name }) => runtime.block_on(server::run(name, args.ring)),
        None => runtime.block_on(measure::run(&args)),
    }
}

fn runtime(one_thread: bool) -> std::io::Result<Runtime> {
    match one_thread {
        true => runtime::Builder::new_current_thread(),
        false => runtime::Builder::new_multi_thread(),
    }
    .enable_all()
    .build()
}
