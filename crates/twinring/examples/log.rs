//! An application's log survives the end of its collector: what that had not written comes back, and goes
//! to the next one.
//!
//! `cargo run --release --example log` runs both, in two processes, and kills the collector now and then.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use twinring::{Connection, Link, Result};

const LINES: usize = 100_000;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [name, file] => collector(name, Path::new(file)),
        _ => both(),
    }
}

/// The application's side. Lines that were written twice had been written by a collector that was killed
/// before it said so: none is missing.
fn application(link: &Link, lines: &Receiver<Vec<u8>>) -> Result<()> {
    let mut queue = VecDeque::new();
    for conn in link.connections() {
        match feed(&conn, lines, &mut queue) {
            Ok(()) => break,
            Err(e) => eprintln!("{e}"),
        }
        for line in conn.take_unread()?.rev() {
            queue.push_front(line);
        }
    }
    Ok(())
}

fn feed(conn: &Connection, lines: &Receiver<Vec<u8>>, queue: &mut VecDeque<Vec<u8>>) -> Result<()> {
    loop {
        while let Some(line) = queue.front() {
            conn.send(line)?;
            queue.pop_front();
        }
        queue.extend(lines.try_iter().take(1000));
        if queue.is_empty() {
            // Before it sleeps: all is in the file, or comes back.
            conn.flush()?;
            match lines.recv() {
                Ok(line) => queue.push_back(line),
                Err(_) => return conn.finish(),
            }
        }
    }
}

/// The collector's side.
fn collector(name: &str, file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let conn = Link::host(name).open()?.next()?;
    while let Some(mut lines) = conn.recv_batch()? {
        while let Some(line) = lines.next_message() {
            file.write_all(&[line, b"\n"].concat())?;
        }
        // A full disk, a panic or a kill before this: they go back.
        lines.take();
    }
    Ok(conn.finish()?)
}

fn both() -> io::Result<()> {
    let name = format!("log example {}", std::process::id());
    let file = std::env::temp_dir().join(&name);
    let start = || -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([name.as_ref(), file.as_os_str()]).spawn()
    };
    let link = Link::guest(&name).open()?;
    let (log, lines) = sync_channel(1000);
    let application = thread::spawn(move || application(&link, &lines));
    let writer = thread::spawn(move || {
        for number in 0..LINES {
            let _ = log.send(format!("line {number}").into_bytes());
        }
    });
    let mut collector = start()?;
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(20));
        collector.kill()?;
        collector.wait()?;
        collector = start()?;
    }
    writer.join().expect("the writer");
    application.join().expect("the application")?;
    // Killed just before its last word, a collector leaves one that waits for nobody.
    collector.kill()?;
    collector.wait()?;
    let text = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let found: HashSet<&str> = text.lines().collect();
    println!(
        "{} lines, {} of them different",
        text.lines().count(),
        found.len()
    );
    let missing = (0..LINES).filter(|number| !found.contains(&*format!("line {number}")));
    assert_eq!(missing.count(), 0);
    Ok(())
}
