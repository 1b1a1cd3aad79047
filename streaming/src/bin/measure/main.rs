//! Measures the server: how long a connection takes to be handed over, how soon a killed worker is replaced, and what a worker costs.

mod client;
mod os;
mod server;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use streaming::server::sockets_count;

use self::client::ask;
use self::server::{Server, serve_in_process};

/// Measures the server beside one that has no workers.
#[derive(Parser)]
struct Args {
    /// Downloads of each kind
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Connections, and kills, of each kind
    #[arg(long, default_value_t = 101)]
    times: usize,
    /// MiB of a download
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Serves this file without workers
    #[arg(long, hide = true)]
    in_process: Option<PathBuf>,
}

/// A worker that has lived for so long has its successor at once.
const HEALTHY: Duration = Duration::from_millis(1100);
/// Each takes longer than that.
const MAX_STARTS: usize = 31;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(file) = &args.in_process {
        return serve_in_process(file);
    }
    let home = tempfile::tempdir()?;
    let (small, large) = (home.path().join("small"), home.path().join("large"));
    std::fs::write(small, "x")?;
    let mut file = File::create(&large)?;
    for _ in 0..args.size {
        file.write_all(&[b'x'; 1 << 20])?;
    }
    drop(file);
    connections(home.path(), args.times)?;
    kills(home.path(), args.times, "4")?;
    kills(home.path(), args.times.min(MAX_STARTS), "1")?;
    downloads(home.path(), &large, args.rounds)
}

fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    of[of.len() / 2]
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// From before the connection to the first byte: of an answer by the server, and by a worker.
fn connections(home: &Path, times: usize) -> anyhow::Result<()> {
    let server = Server::serve(home, &[])?;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..times {
        here.push(ask(&server.address, "HEAD", "small")?.first_byte);
        there.push(ask(&server.address, "GET", "small")?.first_byte);
    }
    let (here, there) = (microseconds(median(here)), microseconds(median(there)));
    println!("connect to first byte: {here:.0} us by the server, {there:.0} us by a worker");
    Ok(())
}

/// From the kill of a worker to the first byte of its successor's, and the longest that the client waited for any byte meanwhile: there
/// were some in the sockets.
fn kills(home: &Path, times: usize, workers: &str) -> anyhow::Result<()> {
    let server = Server::serve(home, &["--workers", workers])?;
    let (mut taken, mut waits) = (Vec::new(), Vec::new());
    while taken.len() < times {
        if workers == "1" {
            std::thread::sleep(HEALTHY);
        }
        let mut answer = ask(&server.address, "GET", "large")?;
        let line = server.line(": from byte 0 on")?;
        let pid = line.rsplit(' ').next().context("a process")?.parse()?;
        while answer.received < 64 << 20 {
            answer.receive()?;
        }
        let killed = Instant::now();
        os::kill(pid)?;
        let mut marks = Vec::new();
        // A part is enough to see it.
        while answer.received < 512 << 20 && answer.receive()? {
            marks.push((answer.received, killed.elapsed()));
        }
        drop(answer);
        // It may have been written to the end.
        let line = server.line(": from byte ")?;
        let (_, from) = line.split_once(": from byte ").context("a position")?;
        let from: u64 = from.split(' ').next().context("a position")?.parse()?;
        if let Some(at) = marks.iter().position(|(received, _)| *received > from) {
            let times = marks[..=at].iter().map(|(_, time)| *time);
            let before = std::iter::once(Duration::ZERO).chain(times.clone());
            let wait = times.zip(before).map(|(time, before)| time - before).max();
            taken.push(marks[at].1);
            waits.extend(wait);
        }
        server.line("the client has gone")?;
    }
    let (taken, wait) = (microseconds(median(taken)), microseconds(median(waits)));
    println!(
        "kill to the next byte, workers {workers}: {taken:.0} us; the longest wait of the client {wait:.0} us"
    );
    Ok(())
}

/// One stream as fast as it goes, in each way.
fn downloads(home: &Path, file: &Path, rounds: usize) -> anyhow::Result<()> {
    let mut servers = vec![(
        "through the server (--relay)",
        Server::serve(home, &["--relay"])?,
    )];
    if sockets_count() {
        servers.insert(0, ("by a worker", Server::serve(home, &[])?));
        servers.insert(0, ("without workers", Server::in_process(file)?));
    }
    let mut rates = vec![Vec::new(); servers.len()];
    for _ in 0..rounds {
        for ((_, server), rates) in servers.iter().zip(&mut rates) {
            let began = Instant::now();
            let mut answer = ask(&server.address, "GET", "large")?;
            while answer.receive()? {}
            rates.push(answer.received as f64 / began.elapsed().as_secs_f64() / 1e6);
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for ((name, _), rate) in servers.iter().zip(&rates) {
        println!(
            "{name}: {rate:.0} MB/s, {:.2} of the first",
            rate / rates[0]
        );
    }
    Ok(())
}
