//! A worker that counts, says how far it is, and crashes now and then: its successor goes on where it left.
//!
//! `cargo run --release -p twinring-workers --example counter`

use std::process::Command;
use std::{env, io, process};

use twinring_workers::{Parent, Supervisor, parent};

fn main() -> io::Result<()> {
    if let Some(parent) = parent()? {
        return count(&parent);
    }
    let program = env::current_exe()?;
    for event in Supervisor::of(move |_| Command::new(&program)).start()? {
        println!("{event}");
    }
    Ok(())
}

fn count(parent: &Parent) -> io::Result<()> {
    let before = parent.checkpoint().and_then(|bytes| bytes.try_into().ok());
    let first = before.map_or(0, u64::from_le_bytes);
    for number in first..1000 {
        parent.set_checkpoint(&(number + 1).to_le_bytes())?;
        if number % 300 == 299 {
            process::abort(); // a bug that comes back
        }
    }
    parent.send(b"a thousand")?;
    Ok(parent.finish()?)
}
