//! Applications: this program again, told by its environment what to do.

use std::io::BufRead;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::prelude::*;
use twinring_tracing::Log;

use crate::common::{Place, Running};

const ROLE: &str = "TWINRING_TEST_APPLICATION";
const NAME: &str = "TWINRING_TEST_NAME";

/// How long an application waits for its collector at its end.
const LONG: Duration = Duration::from_secs(100);

/// Starts one that does this; see [`act`].
pub(crate) fn start(place: &Place, role: &str) -> Running {
    let this = std::env::current_exe().unwrap();
    let args = [
        "--exact",
        "application::application",
        "--nocapture",
        "--test-threads=1",
    ];
    let mut command = place.prepared(Command::new(this), args);
    command.env(ROLE, role).env(NAME, &place.name);
    Running::start(command)
}

#[test]
fn application() {
    if let (Ok(role), Ok(name)) = (std::env::var(ROLE), std::env::var(NAME)) {
        let role: Vec<&str> = role.split(' ').collect();
        match role.as_slice() {
            ["evil", how] => crate::hostile::act(how, &name),
            role => act(role, &name),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn act(role: &[&str], name: &str) {
    if role == ["registers"] {
        eprintln!("ready");
        std::io::stdin()
            .lock()
            .read_line(&mut String::new())
            .unwrap();
    }
    let buffer = match role {
        ["paced" | "burst" | "meets", _, buffer, ..] => number(buffer) as usize,
        _ => twinring_tracing::DEFAULT_BUFFER,
    };
    let log = Log::builder(name).buffer(buffer).open().unwrap();
    let subscriber = tracing_subscriber::registry().with(log.layer());
    tracing::subscriber::with_default(subscriber, || match role {
        // COUNT records in MILLIS.
        ["paced", count, _, millis] => {
            let (count, millis) = (number(count), number(millis));
            let begin = Instant::now();
            for i in 0..count {
                tracing::info!(i, "a record of an application");
                let due = Duration::from_millis(millis * i / count);
                if i % 10 == 0 {
                    thread::sleep(due.saturating_sub(begin.elapsed()));
                }
            }
        }
        // One record, and COUNT more when it is told to go on.
        ["meets", count, ..] => {
            tracing::info!("first");
            assert!(log.flush(LONG));
            eprintln!("met");
            wait_for_word();
            for i in 0..number(count) {
                tracing::info!(i, "a record of an application");
            }
            eprintln!("logged");
        }
        ["ends"] => tracing::info!("all that it has to say"),
        // COUNT records at once.
        ["burst", count, ..] => {
            for i in 0..number(count) {
                tracing::info!(i, "a record of an application");
            }
            eprintln!("logged");
        }
        // Two records, of which the second is committed; then it waits to be killed.
        ["commits"] => {
            tracing::info!("the first word");
            assert!(log.flush(LONG));
            tracing::info!("the last word");
            eprintln!("committed");
            thread::sleep(LONG);
        }
        ["good", count] => {
            for i in 0..number(count) {
                tracing::info!(i, "a good record");
                thread::sleep(Duration::from_millis(1));
            }
        }
        // At all levels, in spans.
        ["levels"] => {
            let _span = tracing::info_span!("request", id = 7).entered();
            tracing::error!(code = 3, "it failed");
            tracing::warn!("it was slow");
            tracing::info!("it went well");
            tracing::debug!(detail = ?[1, 2], "it went on");
        }
        ["registers"] => {
            tracing::info!("here");
            thread::sleep(LONG);
        }
        other => panic!("{other:?}"),
    });
    // Its drop is to see to the rest.
    if role != ["ends"] {
        assert!(log.flush(LONG));
        eprintln!("dropped {}", log.dropped());
    }
}

fn wait_for_word() {
    let mut word = String::new();
    std::io::stdin().lock().read_line(&mut word).unwrap();
}
