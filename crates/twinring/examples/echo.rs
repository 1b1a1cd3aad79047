//! A service that sends everything back in upper case, and its client. Start both, in either
//! order; kill and restart either.
//!
//! ```text
//! cargo run --example echo -- host
//! cargo run --example echo -- guest hello world
//! ```
//!
//! Without arguments it runs both, in two processes, and ends.

use std::process::Command;
use std::time::Duration;

use twinring::{Link, Result};

const NAME: &str = "echo example";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("host") => host(args.get(1).is_some_and(|arg| arg == "--once")),
        Some("guest") => guest(&args[1..].join(" ")),
        _ => {
            let this = std::env::current_exe().expect("the path of this program");
            let mut child = Command::new(this)
                .args(["host", "--once"])
                .spawn()
                .expect("a second process");
            let done = guest("hello from the other process");
            child.wait().expect("its end");
            done
        }
    }
}

fn host(once: bool) -> Result<()> {
    let link = Link::host(NAME)
        .on_status(|_link, status| println!("host: {status}"))
        .on_message(|link, message| {
            if let Err(e) = link.send(&message.to_ascii_uppercase()) {
                eprintln!("host: {e}");
            }
        })
        .open()?;
    link.wait_connected(Duration::from_secs(60))?;
    while !once || link.status().is_connected() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn guest(text: &str) -> Result<()> {
    let link = Link::guest(NAME).open()?;
    let host = link.wait_connected(Duration::from_secs(10))?;
    link.send(text.as_bytes())?;
    let answer = link.recv_timeout(Duration::from_secs(10))?;
    println!("guest: {host} says {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}
