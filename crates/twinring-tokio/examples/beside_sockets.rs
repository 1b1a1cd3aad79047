//! What a program gains that takes this crate in the place of `tokio::net::UnixStream` with a length of 4 bytes before
//! each message. Two processes; both ways measured in turn, in one run; medians of 5 rounds.
//!
//! ```text
//! cargo run --release -p twinring-tokio --example beside_sockets -- [one-thread] [ROW...]
//! ```
//!
//! `one-thread`: runtimes of one thread in both processes, in the place of one worker for each processor.

#[cfg(unix)]
#[path = "beside_sockets/measure.rs"]
mod measure;
#[cfg(unix)]
#[path = "beside_sockets/server.rs"]
mod server;
#[cfg(unix)]
#[path = "beside_sockets/wire.rs"]
mod wire;

#[cfg(unix)]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("server") => server::run(&args[1..]),
        _ => measure::run(&args),
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("there are no Unix sockets here to compare with");
}
