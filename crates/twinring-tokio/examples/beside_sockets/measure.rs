//! Measures, and prints the table.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::UnixStream;
use tokio::sync::Barrier;
use twinring_tokio::{Connection, Link};

use super::server::{LAST, Role, runtime};
use super::wire::{Bytes, Socket, Wire};

/// One is enough to see that it runs.
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 5 };
const TIME: Duration = Duration::from_millis(700);
const MIB: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Row {
    Hot,
    Idle,
    OneWay,
    Batches,
    Large,
    Clients(usize),
    /// One client that asks now and then, beside others that only are there, or that ask as fast as they can.
    BesideIdle,
    BesideBusy,
    Connect,
}

const ROWS: [(&str, Row); 11] = [
    ("hot", Row::Hot),
    ("idle", Row::Idle),
    ("one-way", Row::OneWay),
    ("batches", Row::Batches),
    ("large", Row::Large),
    ("10", Row::Clients(10)),
    ("100", Row::Clients(100)),
    ("1000", Row::Clients(1000)),
    ("beside-idle", Row::BesideIdle),
    ("beside-busy", Row::BesideBusy),
    ("connect", Row::Connect),
];

impl Row {
    fn figures(self) -> &'static [&'static str] {
        match self {
            Row::Hot => &["round trip 64 B, hot, µs"],
            Row::Idle => &["round trip 64 B, after 1 ms, µs"],
            Row::OneWay => &["one way 64 B, M/s"],
            Row::Batches => &["one way 64 B, in batches of 64, M/s"],
            Row::Large => &["one way 1 MiB, GB/s"],
            Row::Clients(10) => &["10 clients, k/s", "server, µs each", "p99, µs"],
            Row::Clients(100) => &["100 clients, k/s", "server, µs each", "p99, µs"],
            Row::Clients(_) => &["1000 clients, k/s", "server, µs each", "p99, µs"],
            Row::BesideIdle => &["beside 999 idle clients, µs", "p99, µs"],
            Row::BesideBusy => &["beside 100 busy clients, µs", "p99, µs"],
            Row::Connect => &["connect, ask, leave, µs", "memory of a client, KiB"],
        }
    }

    fn role(self) -> Role {
        match self {
            Row::OneWay | Row::Large => Role::Take,
            Row::Batches => Role::TakeSome,
            _ => Role::Echo,
        }
    }
}

pub(crate) fn run(args: &[String]) {
    raise_limit_of_files();
    let one_thread = args.iter().any(|arg| arg == "one-thread");
    let wanted: Vec<_> = args.iter().filter(|arg| *arg != "one-thread").collect();
    println!("| | twinring | UnixStream | ratio |\n|---|---:|---:|---:|");
    for (name, row) in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| *wanted == name) {
            continue;
        }
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let ours = match row {
                    Row::Large => measure::<Bytes>(row, "bytes", one_thread),
                    _ => measure::<Connection>(row, "messages", one_thread),
                };
                (ours, measure::<Socket>(row, "sockets", one_thread))
            })
            .collect();
        for (i, figure) in row.figures().iter().enumerate() {
            let ours = median(rounds.iter().map(|(ours, _)| ours[i]).collect());
            let theirs = median(rounds.iter().map(|(_, theirs)| theirs[i]).collect());
            println!(
                "| {figure} | {ours:.2} | {theirs:.2} | {:.2} |",
                ours / theirs
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A client takes four descriptors on each side.
fn raise_limit_of_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("as many files as may be open");
}

struct Server {
    process: Child,
    name: String,
    socket: Option<PathBuf>,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(row: Row, how: &str, one_thread: bool) -> Server {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let mut name = format!("beside-sockets-{}-{number}", std::process::id());
        let socket = (how == "sockets").then(|| std::env::temp_dir().join(&name));
        if let Some(path) = &socket {
            name = path.to_str().expect("a path").to_owned();
        }
        let capacity = match row {
            Row::Clients(_) | Row::BesideIdle | Row::BesideBusy | Row::Connect => {
                twinring::DEFAULT_CLIENT_RING_CAPACITY
            }
            _ => twinring::DEFAULT_RING_CAPACITY,
        };
        let threads = if one_thread { "one-thread" } else { "many" };
        let role = format!("{:?}", row.role());
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["server", how, &role, &capacity.to_string(), &name, threads])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process");
        let lines = BufReader::new(process.stdout.take().expect("its output"));
        let mut server = Server {
            process,
            name,
            socket,
            lines,
        };
        assert_eq!(server.line(), "ready");
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    fn processor_time(&mut self) -> Duration {
        let mut input = self.process.stdin.as_ref().expect("its input");
        input.write_all(b"\n").expect("a server");
        Duration::from_nanos(self.line().parse().expect("a time"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("its end");
        self.process.wait().expect("its end");
        if let Some(path) = &self.socket {
            std::fs::remove_file(path).expect("its socket");
        }
    }
}

trait Connect: Wire + Sized {
    fn connect(name: &str) -> impl Future<Output = Self> + Send;
}

impl Connect for Connection {
    async fn connect(name: &str) -> Connection {
        let link = twinring::Link::guest(name).open().expect("a link");
        Link::from(link).next().await.expect("a host")
    }
}

impl Connect for Bytes {
    async fn connect(name: &str) -> Bytes {
        Bytes::from(Connection::connect(name).await)
    }
}

impl Connect for Socket {
    async fn connect(name: &str) -> Socket {
        Socket::from(UnixStream::connect(name).await.expect("a server"))
    }
}

fn measure<W: Connect>(row: Row, how: &str, one_thread: bool) -> Vec<f64> {
    let mut server = Server::start(row, how, one_thread);
    runtime(one_thread).block_on(async {
        match row {
            Row::Clients(count) => return clients::<W>(count, &mut server).await,
            Row::BesideIdle => return beside::<W>(999, false, &server.name).await,
            Row::BesideBusy => return beside::<W>(100, true, &server.name).await,
            Row::Connect => return connects::<W>(&server).await,
            _ => {}
        }
        let name = server.name.clone();
        let measured = tokio::spawn(async move {
            let wire = W::connect(&name).await;
            match row {
                Row::Hot => median(round_trips(wire, Duration::ZERO).await),
                Row::Idle => median(round_trips(wire, Duration::from_millis(1)).await),
                Row::Large => one_way(wire, &vec![0; MIB], 1).await / 1000.0 * MIB as f64 / 1e6,
                Row::Batches => one_way(wire, &[0; 64], 64).await / 1e6,
                _ => one_way(wire, &[0; 64], 1).await / 1e6,
            }
        });
        vec![measured.await.expect("a figure")]
    })
}

/// Each in microseconds.
async fn round_trips<W: Wire>(mut wire: W, pause: Duration) -> Vec<f64> {
    let (mut times, mut message) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        let start = Instant::now();
        wire.send(&[0; 64]).await;
        assert!(wire.recv(&mut message).await);
        times.push(start.elapsed().as_nanos() as f64 / 1000.0);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    times
}

/// The median and the 99th percentile of a round trip each millisecond, in microseconds.
async fn beside<W: Connect>(others: usize, busy: bool, name: &str) -> Vec<f64> {
    let barrier = Arc::new(Barrier::new(others + 1));
    let over = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..others)
        .map(|_| {
            let (name, barrier, over) = (name.to_owned(), barrier.clone(), over.clone());
            tokio::spawn(async move {
                let mut message = Vec::new();
                let mut wire = ask::<W>(&name, &mut message).await;
                barrier.wait().await;
                while busy && !over.load(Ordering::Relaxed) {
                    wire.send(&[0; 64]).await;
                    assert!(wire.recv(&mut message).await);
                }
                wire
            })
        })
        .collect();
    let name = name.to_owned();
    let measured = tokio::spawn(async move {
        let wire = W::connect(&name).await;
        barrier.wait().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        round_trips(wire, Duration::from_millis(1)).await
    });
    let mut times = measured.await.expect("a client");
    over.store(true, Ordering::Relaxed);
    for other in others {
        other.await.expect("a client");
    }
    times.sort_by(f64::total_cmp);
    vec![times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// What a client that comes, asks once and leaves takes, in microseconds; and what one that stays takes of the server's
/// memory, in KiB.
async fn connects<W: Connect>(server: &Server) -> Vec<f64> {
    const STAY: usize = 200;
    let (name, pid) = (server.name.clone(), server.process.id());
    let measured = tokio::spawn(async move {
        let mut times = Vec::new();
        let mut message = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < TIME {
            let start = Instant::now();
            ask::<W>(&name, &mut message).await;
            times.push(start.elapsed().as_nanos() as f64 / 1000.0);
        }
        let (before, mut staying) = (memory_of(pid), Vec::new());
        for _ in 0..STAY {
            staying.push(ask::<W>(&name, &mut message).await);
        }
        let grown = memory_of(pid).saturating_sub(before);
        vec![median(times), grown as f64 / STAY as f64]
    });
    measured.await.expect("a client")
}

async fn ask<W: Connect>(name: &str, message: &mut Vec<u8>) -> W {
    let mut wire = W::connect(name).await;
    wire.send(&[0; 64]).await;
    assert!(wire.recv(message).await);
    wire
}

/// What a process has in memory, also of what it shares, in KiB.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("its memory")
}

/// Messages per second.
async fn one_way<W: Wire>(mut wire: W, message: &[u8], batch: usize) -> f64 {
    let begun = Instant::now();
    let mut sent = 0;
    let many = vec![[0; 64]; batch];
    while begun.elapsed() < TIME {
        for _ in 0..if message.len() > 64 { 1 } else { 64 } {
            match batch {
                1 => wire.send(message).await,
                _ => wire.send_all(&many).await,
            }
            sent += batch;
        }
    }
    wire.send(&[LAST]).await;
    assert!(wire.recv(&mut Vec::new()).await);
    sent as f64 / begun.elapsed().as_secs_f64()
}

/// Thousands of round trips per second, the server's microseconds for each, the 99th percentile in microseconds.
async fn clients<W: Connect>(count: usize, server: &mut Server) -> Vec<f64> {
    let barrier = Arc::new(Barrier::new(count + 1));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (name, barrier) = (server.name.clone(), barrier.clone());
            tokio::spawn(async move {
                let mut wire = W::connect(&name).await;
                let (mut times, mut message) = (Vec::new(), Vec::new());
                barrier.wait().await; // all are connected
                barrier.wait().await;
                let begun = Instant::now();
                while begun.elapsed() < TIME {
                    let start = Instant::now();
                    wire.send(&[0; 64]).await;
                    assert!(wire.recv(&mut message).await);
                    times.push(start.elapsed().as_nanos() as f64 / 1000.0);
                }
                times
            })
        })
        .collect();
    barrier.wait().await;
    let before = server.processor_time();
    barrier.wait().await;
    let begun = Instant::now();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a client"));
    }
    let elapsed = begun.elapsed();
    let used = server.processor_time() - before;
    times.sort_by(f64::total_cmp);
    vec![
        times.len() as f64 / elapsed.as_secs_f64() / 1000.0,
        used.as_nanos() as f64 / 1000.0 / times.len() as f64,
        times[times.len() * 99 / 100],
    ]
}
