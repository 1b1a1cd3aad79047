//! A database provider hands its records to a processing tool in another process: many small
//! messages, one huge one between them, and an end that tells "that is all" from "it has failed".
//!
//! `cargo run --release --example records` runs both, in two processes; with `fail`, the query fails.

use std::process::Command;
use std::time::{Duration, Instant};

use twinring::{Link, Result};

const RECORDS: u32 = 1_000_000;
const PICTURE: usize = 256 * 1024 * 1024;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [how, name] => return provider(name, how == "fail"),
        [] | ["fail"] => {}
        _ => panic!("arguments: none, or `fail`"),
    }
    let how = args.first().unwrap_or(&"well");
    let name = format!("records example {}", std::process::id());
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args([how, name.as_str()])
        .spawn()
        .expect("a second process");
    let done = processor(&name);
    child.wait().expect("its end");
    done
}

/// What a database answers: records with a picture among them, or a failure half-way.
fn query(fails: bool) -> impl Iterator<Item = std::result::Result<Vec<u8>, &'static str>> {
    let record = |number| format!("record {number}").into_bytes();
    let first = (0..RECORDS / 2).map(move |number| Ok(record(number)));
    let picture = match fails {
        false => Ok(vec![7; PICTURE]),
        true => Err("the disk of the database is broken"),
    };
    let second = (RECORDS / 2..RECORDS).map(move |number| Ok(record(number)));
    first.chain([picture]).chain(second)
}

/// Sends what the query answers. Whether that was all, or it failed, the processor learns from the end.
fn provider(name: &str, fails: bool) -> Result<()> {
    let conn = Link::guest(name)
        .open()?
        .within(Duration::from_secs(10))
        .next()?;
    for record in query(fails) {
        match record {
            Ok(record) => conn.send(&record)?,
            Err(why) => {
                conn.close(1, why);
                return Ok(());
            }
        }
    }
    conn.finish()
}

fn processor(name: &str) -> Result<()> {
    let conn = Link::host(name)
        .open()?
        .within(Duration::from_secs(10))
        .next()?;
    let start = Instant::now();
    let (mut records, mut bytes) = (0u32, 0u64);
    // One buffer for all messages: it grows once.
    let mut message = Vec::new();
    // `None` is the provider's word that this is everything; a provider that fails is an error.
    while let Some(len) = conn.recv_into(&mut message)? {
        match len {
            PICTURE => println!("a picture of {len} bytes"),
            _ => records += 1,
        }
        bytes += len as u64;
    }
    conn.finish()?;
    println!("{records} records, {bytes} bytes in {:?}", start.elapsed());
    assert_eq!(records, RECORDS);
    Ok(())
}
