//! Asks a provider, and computes on what comes: for each column how many values, their sum, least, greatest and mean.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use database::client::{Error, Event, Options, Query};
use database::protocol::{DEFAULT_BATCH, Finished, MAX_BATCH, MIN_BATCH};
use database::summary::{Summary, Values};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Asks a provider of this user's, and computes on the rows where they were received.
#[derive(Parser)]
struct Args {
    /// The provider's name
    #[arg(long, default_value = "database")]
    name: String,
    /// Seconds to wait for a provider, at the beginning and each time that it has gone
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    wait: f64,
    /// Seconds for which a provider may say nothing
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    silence: f64,
    /// How often in a row the provider may be lost before it has sent anything new
    #[arg(long, default_value_t = 10)]
    attempts: u32,
    /// Bytes of a batch
    #[arg(long, default_value_t = DEFAULT_BATCH as u32, value_parser = clap::value_parser!(u32).range(MIN_BATCH as i64..=MAX_BATCH as i64))]
    batch: u32,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Cancel at the end of the standard input, for a program that has started this one
    #[arg(long)]
    until_end_of_input: bool,
    /// One SELECT
    sql: String,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("0 to 86400 seconds".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tool: {}", printable(&e));
            ExitCode::from(e.exit_code())
        }
    }
}

/// Some of it comes from the provider, and may not do anything to a terminal.
fn printable(e: &Error) -> String {
    let mut text = String::new();
    for c in e.to_string().chars() {
        match c.is_control() && c != '\n' {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text
}

/// What was computed, and how it came.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    finished: Finished,
    /// Of all batches, in bytes.
    bytes: u64,
    /// Batches whose values all lie where they were received. The others were copied.
    in_place: u64,
    /// How often the provider was lost.
    lost: u64,
    seconds: f64,
    columns: Vec<database::summary::Column>,
}

fn run(args: &Args) -> Result<(), Error> {
    let options = Options {
        wait: Duration::from_secs_f64(args.wait),
        silence: Duration::from_secs_f64(args.silence),
        attempts: args.attempts,
        batch_bytes: args.batch as usize,
    };
    let query = Query::new(&args.name, options)?;
    let canceller = query.canceller();
    let interrupted = canceller.clone();
    if let Err(e) = ctrlc::set_handler(move || {
        // Once more: there is nothing to wait for.
        if !interrupted.cancel() {
            std::process::exit(i32::from(Error::Cancelled.exit_code()));
        }
    }) {
        eprintln!("tool: Ctrl-C will not be told to the provider: {e}");
    }
    if args.until_end_of_input {
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            canceller.cancel();
        });
    }

    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    bar.set_style(style.expect("a template that is right"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("waiting for a provider");

    let (began, mut summary) = (Instant::now(), None);
    let (mut rows, mut bytes, mut in_place, mut lost) = (0, 0, 0, 0);
    let result = query.run(&args.sql, |event| match event {
        Event::Connected(pid) => bar.set_message(format!("asked process {pid}")),
        Event::Progress(read) => bar.set_message(format!("{} rows read", HumanCount(read))),
        Event::Lost(e) => {
            lost += 1;
            bar.suspend(|| eprintln!("tool: waiting for the provider: {e}"));
        }
        Event::Batch(batch, schema) => {
            summary
                .get_or_insert_with(|| Summary::new(schema))
                .add(&batch.batch);
            rows += batch.batch.num_rows() as u64;
            bytes += batch.bytes().len() as u64;
            in_place += u64::from(batch.is_in_place());
            let rate = (bytes as f64 / began.elapsed().as_secs_f64()) as u64;
            let (rows, bytes, rate) = (HumanCount(rows), HumanBytes(bytes), HumanBytes(rate));
            bar.set_message(format!("{rows} rows, {bytes}, {rate}/s"));
        }
    });
    bar.finish_and_clear();
    let report = Report {
        finished: result?,
        bytes,
        in_place,
        lost,
        seconds: began.elapsed().as_secs_f64(),
        columns: summary.map_or_else(Vec::new, |summary| summary.columns),
    };
    let text = match args.json {
        true => serde_json::to_string(&report).expect("it has nothing that JSON has not"),
        false => text(&report),
    };
    // Whoever reads this may have gone.
    let _ = writeln!(io::stdout(), "{text}");
    Ok(())
}

fn text(report: &Report) -> String {
    let rate = report.bytes as f64 / report.seconds / 1e6;
    let mut lines = vec![format!(
        "{} rows, {} bytes in {} batches, {:.2} s, {rate:.0} MB/s",
        report.finished.rows, report.bytes, report.finished.batches, report.seconds
    )];
    for column in &report.columns {
        let (name, count, nulls) = (&column.name, column.count, column.nulls);
        let values = match &column.values {
            Values::Integer {
                sum,
                min: Some(min),
                max: Some(max),
            } => {
                let mean = *sum as f64 / count as f64;
                format!("integer, sum {sum}, min {min}, max {max}, mean {mean}")
            }
            Values::Real {
                sum,
                min: Some(min),
                max: Some(max),
            } => {
                let mean = sum / count as f64;
                format!("real, sum {sum}, min {min}, max {max}, mean {mean}")
            }
            Values::Integer { .. } => "integer".to_owned(),
            Values::Real { .. } => "real".to_owned(),
            Values::Text { bytes } => format!("text, {bytes} bytes"),
            Values::Blob { bytes } => format!("blob, {bytes} bytes"),
        };
        lines.push(format!("{name:?}: {count} values, {nulls} nulls, {values}"));
    }
    lines.join("\n")
}
