//! A program of one thread: nothing of what the supervisor has handed to it is left for programs that it starts.

use std::process::{Command, Stdio};
use std::time::Duration;

use twinring_workers::{Event, Supervisor, VARIABLE, parent};

fn main() {
    if let Some(parent) = parent().unwrap() {
        let is_left = std::env::var_os(VARIABLE).is_some();
        parent.send(&[u8::from(is_left)]).unwrap();
        parent.finish().unwrap();
        return;
    }
    let program = std::env::current_exe().unwrap();
    let quiet = move |_| {
        let mut command = Command::new(&program);
        command.stdout(Stdio::null());
        command
    };
    let mut workers = Supervisor::of(quiet).start().unwrap();
    let event = loop {
        match workers
            .next_within(Duration::from_secs(60))
            .unwrap()
            .unwrap()
        {
            Event::Started { .. } => {}
            other => break other,
        }
    };
    let Event::Message { message, .. } = event else {
        panic!("{event}");
    };
    let stays = cfg!(not(any(windows, target_os = "linux")));
    assert_eq!(message, [u8::from(stays)]);
    println!("ok");
}
