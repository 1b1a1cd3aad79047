//! gRPC over a link, between two processes: a server, and a client that makes each kind of call.
//!
//! ```text
//! cargo run --features tonic --example grpc -- server
//! cargo run --features tonic --example grpc -- client     in another terminal
//! ```

mod client;
mod pb;
mod server;
mod service;

use clap::{Parser, Subcommand};

/// gRPC over a link, between two processes.
#[derive(Parser)]
struct Args {
    /// The link's name: the same for both.
    #[arg(long, default_value = "grpc example", global = true)]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until Ctrl-C; calls in flight may finish.
    Server,
    /// Makes each kind of call once. Waits ten seconds for a server.
    Client,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    match args.command {
        Command::Server => server::run(&args.name).await,
        Command::Client => client::run(&args.name).await,
    }
}
