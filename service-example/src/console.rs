//! The GUI without a window: what there is to see as lines of text, commands as words on the standard input.
//! For tests, and for machines without a screen.

use std::io::{BufRead, stdin};
use std::sync::mpsc;
use std::thread;

use clap::Parser;
use inventory::{Client, Command, Meeting, Presence, Seen, Snapshot};

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

    let mut shown = Lines::default();
    shown.print(&client.seen());
    for event in events {
        match event {
            Event::Changed => shown.print(&client.seen()),
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

/// What was printed last.
#[derive(Default)]
struct Lines {
    presence: String,
    progress: String,
}

impl Lines {
    /// Prints what is new in what was seen.
    fn print(&mut self, seen: &Seen) {
        let presence = presence(&seen.presence);
        if presence != self.presence {
            println!("{presence}");
            *self = Lines {
                presence,
                progress: String::new(),
            };
        }
        let connected = matches!(seen.presence, Presence::Connected(_));
        if let Some(snapshot) = seen.snapshot.as_ref().filter(|_| connected) {
            let progress = progress(snapshot);
            if progress != self.progress {
                println!("{progress}");
                self.progress = progress;
            }
        }
    }
}

fn presence(presence: &Presence) -> String {
    match presence {
        Presence::Absent(None) => "service not running, waiting".to_owned(),
        Presence::Absent(Some(why)) => format!("service not running, waiting ({why})"),
        Presence::Busy(why) => format!("busy: {why}"),
        Presence::Refused(why) => format!("refused: {why}"),
        Presence::Trouble(why) => format!("trouble: {why}"),
        Presence::Connected(peer) => format!("connected to {peer}"),
    }
}

fn progress(now: &Snapshot) -> String {
    let last = now.recent.first().map_or_else(String::new, |file| {
        format!("; {} {}", file.sha256, file.path)
    });
    format!(
        "{}: {} of {} files, {} of {} bytes{last}",
        now.stage, now.files.done, now.files.total, now.bytes.done, now.bytes.total
    )
}
