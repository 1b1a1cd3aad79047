//! A database provider hands its records to a processing tool in another process: many small
//! messages, one huge one between them, and an end that is reported to the other side.
//!
//! `cargo run --release --example records` runs both, in two processes.

use std::process::Command;
use std::time::{Duration, Instant};

use twinring::{ErrorKind, Link, Result};

const RECORDS: u32 = 1_000_000;
const PICTURE: usize = 256 * 1024 * 1024;

fn main() -> Result<()> {
    if let Some(name) = std::env::args().nth(1) {
        return provider(&name);
    }
    let name = format!("records example {}", std::process::id());
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .arg(&name)
        .spawn()
        .expect("a second process");
    let done = processor(&name);
    child.wait().expect("its end");
    done
}

/// Sends everything and closes by dropping the link.
fn provider(name: &str) -> Result<()> {
    let link = Link::guest(name).open()?;
    link.wait_connected(Duration::from_secs(10))?;
    for record in 0..RECORDS {
        link.send(format!("record {record}").as_bytes())?;
        if record == RECORDS / 2 {
            link.send(&vec![7; PICTURE])?;
        }
    }
    Ok(())
}

fn processor(name: &str) -> Result<()> {
    let link = Link::host(name).open()?;
    link.wait_connected(Duration::from_secs(10))?;
    let start = Instant::now();
    let (mut records, mut bytes) = (0u32, 0u64);
    // One buffer for all messages: it grows once.
    let mut message = Vec::new();
    loop {
        match link.recv_into(&mut message) {
            Ok(len) if len == PICTURE => println!("a picture of {len} bytes"),
            Ok(_) => records += 1,
            Err(e) if e.kind() == ErrorKind::Closed => break,
            Err(e) => return Err(e),
        }
        bytes += message.len() as u64;
    }
    println!("{records} records, {bytes} bytes in {:?}", start.elapsed());
    assert_eq!(records, RECORDS);
    Ok(())
}
