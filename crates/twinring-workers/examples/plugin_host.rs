//! A plug-in of somebody else's, in a process of its own: one that hangs is killed and started again.
//!
//! `cargo run --release -p twinring-workers --example plugin_host`

use std::process::Command;
use std::time::Duration;
use std::{env, io, thread};

use twinring_workers::{Cause, Event, Parent, Supervisor, parent};

fn main() -> io::Result<()> {
    if let Some(parent) = parent()? {
        return plugin(&parent);
    }
    let program = env::current_exe()?;
    let mut plugin = Supervisor::of(move |_| Command::new(&program))
        .silence(Duration::from_millis(300))
        .start()?;
    let mut killed = 0;
    plugin.send(0, b"what it hangs on")?;
    plugin.send(0, b"hello")?;
    while let Some(event) = plugin.next() {
        println!("{event}");
        match event {
            Event::Exited(exited) if exited.cause == Cause::Silent => killed += 1,
            Event::Message { message, .. } => {
                assert_eq!((&message[..], killed), (&b"HELLO"[..], 1));
                plugin.stop();
            }
            _ => {}
        }
    }
    Ok(())
}

fn plugin(parent: &Parent) -> io::Result<()> {
    while let Some(message) = parent.recv()? {
        if message == b"what it hangs on" {
            thread::sleep(Duration::MAX);
        }
        parent.send(&message.to_ascii_uppercase())?;
    }
    Ok(parent.finish()?)
}
