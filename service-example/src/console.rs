//! The GUI without a window: what there is to see as lines of text, commands as words on the standard input.
//! For tests, and for machines without a screen.

use std::io::{BufRead, stdin};
use std::sync::mpsc;
use std::thread;

use clap::Parser;
use inventory::{Client, Command, Meeting, Presence, Seen};

#[derive(Parser)]
#[command(about = "Shows what the service does; takes the commands start, pause, cancel and quit")]
struct Args {
    #[command(flatten)]
    meeting: Meeting,
}

enum Event {
    Changed,
    Typed(String),
    /// The end of the input.
    Quit,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (tell, events) = mpsc::channel();
    let changed = tell.clone();
    let client = Client::open(&args.meeting, move || {
        let _ = changed.send(Event::Changed);
    })?;
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            let _ = tell.send(Event::Typed(line));
        }
        let _ = tell.send(Event::Quit);
    });

    let mut shown = text(&client.seen());
    println!("{shown}");
    for event in events {
        match event {
            Event::Changed => {
                let new = text(&client.seen());
                if new != shown {
                    println!("{new}");
                    shown = new;
                }
            }
            Event::Typed(word) => {
                let sent = match word.trim() {
                    "start" => client.send(Command::Start),
                    "pause" => client.send(Command::Pause),
                    "cancel" => client.send(Command::Cancel),
                    "quit" => break,
                    _ => {
                        println!("commands: start, pause, cancel, quit");
                        continue;
                    }
                };
                if let Err(e) = sent {
                    println!("not sent: {e}");
                }
            }
            Event::Quit => break,
        }
    }
    Ok(())
}

fn text(seen: &Seen) -> String {
    match &seen.presence {
        Presence::Absent(None) => "service not running, waiting".to_owned(),
        Presence::Absent(Some(why)) => format!("service not running, waiting ({why})"),
        Presence::Busy(why) => format!("busy: {why}"),
        Presence::Refused(why) => format!("refused: {why}"),
        Presence::Trouble(why) => format!("trouble: {why}"),
        Presence::Connected(peer) => match &seen.snapshot {
            None => format!("connected to {peer}"),
            Some(now) => format!(
                "{}: {} of {} files, {} of {} bytes{}",
                now.stage,
                now.files.done,
                now.files.total,
                now.bytes.done,
                now.bytes.total,
                now.recent.first().map_or_else(String::new, |entry| format!(
                    "; {} {}",
                    entry.sha256, entry.path
                ))
            ),
        },
    }
}
