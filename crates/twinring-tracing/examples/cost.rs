//! What a record costs the thread that logs it: over the link, to a file, to a pipe, and by `tracing-appender`.
//!
//! `cargo run --release -p twinring-tracing --example cost` prints medians of several runs, in turn. The reader is another process each
//! time: for the link it is a small collector that writes to a file, too. Each record is told by `tracing`, with a field.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::prelude::*;
use twinring::Link;
use twinring_tracing::Log;

const RUNS: usize = 7;

/// Records of one run: at once, and one after the other with a pause.
const FAST: u32 = 20_000;
const SLOW: u32 = 300;
const PAUSE: Duration = Duration::from_millis(1);

type Run = fn(&str, u32, Duration) -> io::Result<[u64; 2]>;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [role, name, file] if role == "collector" => return collect(name, file),
        [role, file] if role == "pipe" => return copy(file),
        _ => {}
    }
    let ways: [(&str, Run); 4] = [
        ("twinring-tracing", over_the_link),
        ("a file", to_a_file),
        ("a pipe", to_a_pipe),
        ("tracing-appender, to a file", by_appender),
    ];
    println!(
        "ns for a record, mean and median call: of each the median of {RUNS} runs (least to most)"
    );
    for (count, pause, text) in [
        (FAST, Duration::ZERO, "at once"),
        (SLOW, PAUSE, "one each millisecond"),
    ] {
        println!("{count} records, {text}:");
        let mut runs = vec![Vec::new(); ways.len()];
        for run in 0..RUNS {
            for (way, runs) in ways.iter().zip(&mut runs) {
                let name = format!("cost {} {count} {run}", std::process::id());
                runs.push((way.1)(&name, count, pause)?);
            }
        }
        let link = runs[0].clone();
        for ((name, _), runs) in ways.iter().zip(&runs) {
            let [mean, call] = [0, 1].map(|which| shown(runs, &link, which));
            println!("  {name:<28} {mean}   {call}");
        }
    }
    Ok(())
}

/// One of the two figures of all runs, and beside that of the link.
fn shown(runs: &[[u64; 2]], link: &[[u64; 2]], which: usize) -> String {
    let sorted = |runs: &[[u64; 2]]| {
        let mut all: Vec<u64> = runs.iter().map(|run| run[which]).collect();
        all.sort_unstable();
        all
    };
    let (all, link) = (sorted(runs), sorted(link));
    let median = all[RUNS / 2];
    let ratio = median as f64 / link[RUNS / 2] as f64;
    let range = format!("({} to {})", all[0], all[RUNS - 1]);
    format!("{median:>6} {range:<17} x {ratio:<5.2}")
}

/// How long the calls took that log so many records, in ns: on average, and half of them at most.
fn logged(
    layer: impl tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync,
    count: u32,
    pause: Duration,
) -> [u64; 2] {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let mut calls = Vec::new();
        for number in 0..count {
            if !pause.is_zero() {
                thread::sleep(pause);
            }
            let begin = Instant::now();
            tracing::info!(
                number,
                "a record of an ordinary length, as applications have"
            );
            calls.push(begin.elapsed().as_nanos() as u64);
        }
        let mean = calls.iter().sum::<u64>() / u64::from(count);
        calls.sort_unstable();
        [mean, calls[calls.len() / 2]]
    })
}

/// The others have the same content, as the same library writes it.
fn json<W>(writer: W) -> impl tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_thread_names(true)
        .with_writer(writer)
}

fn over_the_link(name: &str, count: u32, pause: Duration) -> io::Result<[u64; 2]> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log");
    let file = file.to_string_lossy();
    // So that all arrive: what is dropped costs less.
    let log = Log::builder(name).buffer(64 << 20).open()?;
    let mut collector = this(&["collector", name, &file]).spawn()?;
    while !log.is_connected() {
        thread::sleep(Duration::from_millis(1));
    }
    let time = logged(log.layer(), count, pause);
    assert!(log.flush(Duration::from_secs(30)), "it is written");
    assert_eq!(log.dropped(), 0);
    drop(log);
    collector.wait()?;
    assert_eq!(
        std::fs::read_to_string(&*file)?.lines().count() as u32,
        count
    );
    Ok(time)
}

fn to_a_file(_: &str, count: u32, pause: Duration) -> io::Result<[u64; 2]> {
    let folder = tempfile::tempdir()?;
    let file = File::create(folder.path().join("log"))?;
    Ok(logged(json(Mutex::new(file)), count, pause))
}

fn to_a_pipe(_: &str, count: u32, pause: Duration) -> io::Result<[u64; 2]> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log");
    let mut reader: Child = this(&["pipe", &file.to_string_lossy()])
        .stdin(Stdio::piped())
        .spawn()?;
    let pipe = reader.stdin.take().expect("a pipe");
    let time = logged(json(Mutex::new(pipe)), count, pause);
    reader.wait()?;
    Ok(time)
}

fn by_appender(_: &str, count: u32, pause: Duration) -> io::Result<[u64; 2]> {
    let folder = tempfile::tempdir()?;
    let file = File::create(folder.path().join("log"))?;
    let (writer, _guard) = tracing_appender::non_blocking(file);
    Ok(logged(json(writer), count, pause))
}

fn this(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
    command.args(args);
    command
}

/// Takes a batch when it has written it, and looks again 5 ms later if there was little, as `twinring log` does.
fn collect(name: &str, file: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let conn = Link::host(name).ring_capacity(256 << 10).open()?.next()?;
    let mut lines = Vec::new();
    // The application closes it.
    while let Ok(Some(mut batch)) = conn.recv_batch() {
        lines.clear();
        while let Some(record) = batch.next_message() {
            lines.extend_from_slice(record);
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        batch.take();
        if lines.len() < 32 << 10 {
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

fn copy(file: &str) -> io::Result<()> {
    let mut file = File::create(file)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match io::stdin().read(&mut piece)? {
            0 => return Ok(()),
            len => file.write_all(&piece[..len])?,
        }
    }
}
