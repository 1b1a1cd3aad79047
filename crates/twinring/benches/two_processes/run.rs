//! The cells and their table.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::transport::{Kind, Transport};

/// What is measured; each gives one figure per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// Median time of a message there and one back, in microseconds.
    RoundTrip(usize),
    /// Messages per second, one way.
    Messages(usize),
    /// Gigabytes per second, one way.
    Bytes(usize),
    /// Processor time of both processes while nothing is sent, in milliseconds per second.
    Idle,
}

const CELLS: [Cell; 6] = [
    Cell::RoundTrip(64),
    Cell::RoundTrip(1024),
    Cell::Messages(64),
    Cell::Bytes(64 * 1024),
    Cell::Bytes(1024 * 1024),
    Cell::Idle,
];

impl Cell {
    fn title(self) -> String {
        match self {
            Cell::RoundTrip(len) => format!("round trip {len} B, µs"),
            Cell::Messages(len) => format!("one way {len} B, M messages/s"),
            Cell::Bytes(len) => format!("one way {} KiB, GB/s", len / 1024),
            Cell::Idle => "idle, ms CPU/s".into(),
        }
    }
}

pub(crate) fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, kind, rest @ ..] = &args[..]
        && role == "child"
    {
        let kind = Kind::ALL[kind.parse::<usize>().unwrap()];
        return serve(Transport::child(kind, rest.first().map(String::as_str)));
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let rounds = args
        .iter()
        .position(|arg| arg == "--rounds")
        .map_or(if quick { 1 } else { 5 }, |at| {
            args[at + 1].parse().unwrap()
        });
    let time = Duration::from_millis(if quick { 50 } else { 300 });

    let mut figures: BTreeMap<(usize, Cell), Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        // Transports change fastest: where the two processors lie to each other changes every few
        // seconds on virtual machines, and what is compared should be alike in that.
        for cell in CELLS {
            for (i, kind) in Kind::ALL.into_iter().enumerate() {
                // A spinning receiver is never idle.
                let spins = matches!(kind, Kind::BareSpin | Kind::Spin);
                if cell == Cell::Idle && spins {
                    continue;
                }
                figures
                    .entry((i, cell))
                    .or_default()
                    .push(run(i, kind, cell, time));
            }
        }
    }
    print(&figures);
}

fn print(figures: &BTreeMap<(usize, Cell), Vec<f64>>) {
    let median_of = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let median = |i: usize, cell: Cell| Some(median_of(figures.get(&(i, cell))?.clone()));
    let row = |cells: Vec<String>| println!("| {} |", cells.join(" | "));
    row(std::iter::once("transport".to_owned())
        .chain(CELLS.map(Cell::title))
        .collect());
    row(vec!["---".to_owned(); CELLS.len() + 1]);
    for (i, kind) in Kind::ALL.into_iter().enumerate() {
        let cells = CELLS.map(|cell| median(i, cell).map_or("-".into(), |m| format!("{m:.2}")));
        row(std::iter::once(kind.name().to_owned())
            .chain(cells)
            .collect());
    }
    println!();
    // Twinring against the bare ring that waits in the same way, within each round.
    for (i, limit) in [(2, 0), (3, 1)] {
        for cell in &CELLS[..5] {
            let (ours, bare) = (&figures[&(i, *cell)], &figures[&(limit, *cell)]);
            let ratios = ours
                .iter()
                .zip(bare)
                .map(|(ours, bare)| ours / bare)
                .collect();
            println!(
                "{}: {} = {:.2} x {}",
                cell.title(),
                Kind::ALL[i].name(),
                median_of(ratios),
                Kind::ALL[limit].name()
            );
        }
    }
}

const STOP: u8 = 0;
const ECHO: u8 = 1;
const TAKE: u8 = 2;
const REST: u8 = 3;

/// The child: does what the first byte of each message says.
fn serve(mut transport: Transport) {
    let mut message = Vec::new();
    let mut sum = 0u64;
    loop {
        transport.recv(&mut message);
        match message[0] {
            ECHO => transport.send(&message),
            TAKE => sum = sum.wrapping_add(touch(&message)),
            REST => transport.send(&[sum as u8]),
            STOP => return,
            other => panic!("unknown order {other}"),
        }
    }
}

/// Reads every byte.
fn touch(message: &[u8]) -> u64 {
    let (words, rest) = message.as_chunks::<8>();
    words.iter().fold(rest.len() as u64, |sum, word| {
        sum.wrapping_add(u64::from_ne_bytes(*word))
    })
}

fn run(index: usize, kind: Kind, cell: Cell, time: Duration) -> f64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("child").arg(index.to_string());
    let mut transport = Transport::parent(kind, &mut command);
    let mut child = command.spawn().unwrap();
    drop(command);
    transport.ready();
    let mut message = Vec::new();
    round_trips(&mut transport, &mut message, 64, Duration::from_millis(5));
    let figure = match cell {
        Cell::RoundTrip(len) => round_trips(&mut transport, &mut message, len, time),
        Cell::Messages(len) => stream(&mut transport, &mut message, len, time) / 1e6,
        Cell::Bytes(len) => stream(&mut transport, &mut message, len, time) * len as f64 / 1e9,
        Cell::Idle => idle(&mut transport, &mut message, &child),
    };
    transport.send(&[STOP]);
    child.wait().unwrap();
    figure
}

fn round_trips(t: &mut Transport, message: &mut Vec<u8>, len: usize, time: Duration) -> f64 {
    let order = vec![ECHO; len];
    let mut times = Vec::new();
    let end = Instant::now() + time;
    loop {
        let start = Instant::now();
        t.send(&order);
        t.recv(message);
        times.push(start.elapsed());
        if Instant::now() > end {
            break;
        }
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Messages per second.
fn stream(t: &mut Transport, message: &mut Vec<u8>, len: usize, time: Duration) -> f64 {
    let order = vec![TAKE; len];
    let batch = (4 * 1024 * 1024 / len).clamp(4, 4096);
    let mut sent = 0u64;
    let start = Instant::now();
    while start.elapsed() < time {
        for _ in 0..batch {
            t.send(&order);
        }
        sent += batch as u64;
    }
    t.send(&[REST]);
    t.recv(message);
    sent as f64 / start.elapsed().as_secs_f64()
}

fn idle(t: &mut Transport, message: &mut Vec<u8>, child: &Child) -> f64 {
    let used = || cpu("self") + cpu(&child.id().to_string());
    // Both wait: the child in its recv, we in ours for the answer that comes at the end.
    std::thread::sleep(Duration::from_millis(20));
    let before = used();
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let spent = used() - before;
    let figure = spent * 1e3 / start.elapsed().as_secs_f64();
    t.send(&[REST]);
    t.recv(message);
    figure
}

/// Processor seconds of a process, all threads, to the nanosecond.
fn cpu(pid: &str) -> f64 {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}
