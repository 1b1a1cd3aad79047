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

use twinring::{Link, Result, Status};

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
    let (tell, over) = std::sync::mpsc::channel();
    let _link = Link::host(NAME)
        .on_status(move |status| {
            println!("host: {status}");
            match status {
                // The guest has all its answers: nothing more comes from here.
                Status::PeerFinished(conn) => {
                    let _ = conn.finish();
                }
                Status::Disconnected(..) => {
                    let _ = tell.send(());
                }
                _ => {}
            }
        })
        .on_message(|conn, message| {
            if let Err(e) = conn.send(&message.to_ascii_uppercase()) {
                eprintln!("host: {e}");
            }
        })
        .open()?;
    for () in over {
        if once {
            break;
        }
    }
    Ok(())
}

fn guest(text: &str) -> Result<()> {
    let link = Link::guest(NAME).open()?;
    let patience = Duration::from_secs(10);
    let conn = link.within(patience).next()?.within(patience);
    conn.send(text.as_bytes())?;
    conn.finish()?;
    while let Some(answer) = conn.recv()? {
        let answer = String::from_utf8_lossy(&answer);
        println!("guest: {} says {answer:?}", conn.peer());
    }
    Ok(())
}
