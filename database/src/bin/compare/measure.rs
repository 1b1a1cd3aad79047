//! Measures, and prints the tables.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use anyhow::Context;
use arrow_array::Array;
use clap::ValueEnum;
use database::provider::Database;
use database::sample;
use database::summary::Summary;

use super::receive::Receiver;
use super::send::batches;
use super::{Args, Send, Source, Transport, os};

/// Of the database: some 12 MB of batches, more than a processor keeps.
const ROWS: u64 = 100_000;

/// Removed at the end.
struct Sample(PathBuf);

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One measurement: MB/s, and processor time of sender and receiver for each MB.
struct Figures {
    rate: f64,
    sender: f64,
    receiver: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.rounds > 0, "no rounds");
    let database = env::temp_dir().join(format!("twinring-compare-{}.db", process::id()));
    sample::make(&database, ROWS)?;
    let database = Sample(database);
    let (bytes, expected) = once(&database.0, args.batch)?;

    for (source, share, title) in [
        (Source::Prepared, 1, "Batches that are there beforehand"),
        (Source::Sqlite, 5, "SQLite as their source"),
    ] {
        let times = (args.megabytes * 1_000_000 / share / bytes).max(1);
        let megabytes = (times * bytes) as f64 / 1e6;
        println!(
            "\n{title}: {megabytes:.0} MB each, batches of {} bytes, median of {}\n",
            args.batch, args.rounds
        );
        println!(
            "| | MB/s | ratio | ms of sender for each GB | of receiver |\n|---|---:|---:|---:|---:|"
        );
        let ways: Vec<_> = Transport::value_variants()
            .iter()
            .filter(|way| **way != Transport::UnixSocket || os::HAS_UNIX_SOCKETS)
            .collect();
        let mut figures: Vec<Vec<Figures>> = ways.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds {
            for i in 0..ways.len() {
                // Each is first once, and finds the machine as another one leaves it.
                let i = (i + round) % ways.len();
                let send = Send {
                    over: *ways[i],
                    source,
                    address: String::new(),
                    times,
                    batch: args.batch,
                    database: database.0.clone(),
                };
                let (figure, summary) = measure(send, megabytes)?;
                check(&summary, &expected, times)?;
                figures[i].push(figure);
            }
        }
        let of_link = median(&figures[0], |f| f.rate);
        for (way, figures) in ways.iter().zip(&figures) {
            let rate = median(figures, |f| f.rate);
            println!(
                "| {} | {rate:.0} | {:.2} | {:.0} | {:.0} |",
                way.name(),
                of_link / rate,
                median(figures, |f| f.sender),
                median(figures, |f| f.receiver),
            );
        }
    }
    Ok(())
}

/// All rows once: bytes of the batches, and what is to be computed.
fn once(database: &Path, batch: usize) -> anyhow::Result<(u64, Summary)> {
    let batches = batches(&Database::open(database)?, batch)?;
    let mut summary = Summary::new(&batches[0].schema());
    let mut bytes = 0;
    for batch in &batches {
        summary.add(batch);
        for column in batch.columns() {
            bytes += column.to_data().get_slice_memory_size()? as u64;
        }
    }
    Ok((bytes, summary))
}

fn measure(mut send: Send, megabytes: f64) -> anyhow::Result<(Figures, Summary)> {
    let receiver = Receiver::new(send.over)?;
    send.address = receiver.address.clone();
    let mut process = Command::new(env::current_exe()?)
        .args(["send", "--over", &word(&send.over)])
        .args(["--source", &word(&send.source)])
        .args(["--address", &send.address])
        .args(["--times", &send.times.to_string()])
        .args(["--batch", &send.batch.to_string()])
        .arg(&send.database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = process.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    let mut input = process.stdin.take().expect("it is piped");
    let mut line = || {
        lines
            .next()
            .unwrap_or(Ok("the sender has ended".to_owned()))
    };
    let ready = line()?;
    anyhow::ensure!(ready == "ready", "{ready}");
    let (began, before) = (Instant::now(), os::processor_time());
    writeln!(input)?;
    let summary = receiver.connected(output)?.summary()?;
    let (seconds, after) = (began.elapsed().as_secs_f64(), os::processor_time());
    let of_sender = line()?;
    let of_sender = of_sender
        .parse()
        .with_context(|| format!("the sender: {of_sender}"))?;
    let of_sender = Duration::from_nanos(of_sender);
    anyhow::ensure!(process.wait()?.success(), "the sender has failed");
    let of_receiver = after.zip(before).map(|(after, before)| after - before);
    let for_each_gb = |time: Duration| time.as_secs_f64() * 1e6 / megabytes;
    let figures = Figures {
        rate: megabytes / seconds,
        sender: for_each_gb(of_sender),
        receiver: for_each_gb(of_receiver.unwrap_or_default()),
    };
    Ok((figures, summary))
}

/// As the command line has it.
fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value().expect("none is hidden");
    value.get_name().to_owned()
}

/// Every row arrived, each time.
fn check(found: &Summary, once: &Summary, times: u64) -> anyhow::Result<()> {
    for (found, once) in found.columns.iter().zip(&once.columns) {
        let right = found.count == once.count * times && found.nulls == once.nulls * times;
        anyhow::ensure!(right, "{found:?}, where {times} times {once:?} was sent");
    }
    Ok(())
}

fn median(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
