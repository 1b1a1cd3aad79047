//! The same batches by a link, a pipe, TCP and a Unix socket, from one process to another that computes on them. All ways in
//! turn, in one run; medians of several rounds.
//!
//! ```text
//! cargo run --release --bin compare -- [--rounds N] [--megabytes N]
//! ```

mod measure;
mod os;
mod receive;
mod send;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use database::protocol::DEFAULT_BATCH;

/// Batches of Arrow by a link, and by what else there is.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    sender: Option<Command>,
    /// How often each way is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each measurement with batches that are there beforehand; a fifth of it with SQLite as their source
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Bytes of a batch
    #[arg(long, default_value_t = DEFAULT_BATCH)]
    batch: usize,
}

#[derive(Subcommand)]
enum Command {
    /// The second process, which the first one starts
    #[command(hide = true)]
    Send(Send),
}

/// What is to be sent, and where to.
#[derive(clap::Args, Clone)]
struct Send {
    #[arg(long)]
    over: Transport,
    #[arg(long)]
    source: Source,
    #[arg(long)]
    address: String,
    /// How often all rows of the database.
    #[arg(long)]
    times: u64,
    #[arg(long)]
    batch: usize,
    database: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// A message for each batch, received into aligned memory and used there, as provider and tool do.
    Link,
    /// One message for all, written and read by Arrow's own writer and reader.
    LinkStream,
    Pipe,
    Tcp,
    UnixSocket,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// In the sender's memory.
    Prepared,
    Sqlite,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Link => "twinring, a message for each batch",
            Transport::LinkStream => "twinring, one stream",
            Transport::Pipe => "pipe",
            Transport::Tcp => "TCP",
            Transport::UnixSocket => "Unix socket",
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.sender {
        Some(Command::Send(send)) => send::run(send),
        None => measure::run(&args),
    }
}
