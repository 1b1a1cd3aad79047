//! Workers of a test file: this executable again, in a role, without the parent of `common`.

#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "each test file uses some of it"
)]

mod kill;
mod killer;

pub(crate) use kill::kill;
pub(crate) use killer::Killer;

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use twinring_workers::{Backoff, Builder, Event, Exited, Parent, Supervisor, parent};

use crate::common::LIMIT;

const ROLE: &str = "TWINRING_WORKERS_ROLE";

/// What the workers of a test file do: functions without arguments.
macro_rules! roles {
    ($($role:ident),+ $(,)?) => {
        #[test]
        #[ignore = "what the workers of the other tests run"]
        fn worker_main() {
            $crate::workers::play(&[$((stringify!($role), $role)),+]);
        }
    };
}
pub(crate) use roles;

pub(crate) fn play(roles: &[(&str, fn())]) {
    let Ok(wanted) = std::env::var(ROLE) else {
        return;
    };
    let found = roles.iter().find(|(name, _)| *name == wanted);
    let (_, role) = found.unwrap_or_else(|| panic!("there is no role {wanted}"));
    role();
    // The harness would print what nobody reads.
    std::process::exit(0);
}

/// This executable in a role. Its output is where this process's is.
pub(crate) fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "worker_main", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::null());
    command
}

/// Workers in a role, silent, restarted at once and without a limit.
pub(crate) fn supervisor(role: &'static str) -> Builder {
    supervisor_with(role, |_| {})
}

/// The same, with changes to their processes.
pub(crate) fn supervisor_with(
    role: &'static str,
    mut change: impl FnMut(&mut Command) + Send + 'static,
) -> Builder {
    let quiet = move |_| {
        let mut command = command(role);
        command.stdout(Stdio::null());
        change(&mut command);
        command
    };
    Supervisor::of(quiet).backoff(Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        limit: None,
        ..Backoff::default()
    })
}

/// The supervisor, which this process has, unless it has been killed: then this process ends as well.
pub(crate) fn my_parent() -> Parent {
    match parent() {
        Ok(parent) => parent.expect("this is a worker"),
        Err(e) if e.kind() == ErrorKind::NotFound => std::process::exit(1),
        Err(e) => panic!("{e}"),
    }
}

#[track_caller]
pub(crate) fn next(supervisor: &mut Supervisor) -> Event {
    let event = supervisor
        .next_within(LIMIT)
        .expect("something happens in time");
    event.expect("there are workers left")
}

/// Skips what comes before the next end.
#[track_caller]
pub(crate) fn next_exited(supervisor: &mut Supervisor) -> Exited {
    loop {
        match next(supervisor) {
            Event::Exited(exited) => return exited,
            Event::NotStarted { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

#[track_caller]
pub(crate) fn next_message(supervisor: &mut Supervisor) -> Vec<u8> {
    loop {
        match next(supervisor) {
            Event::Message { message, .. } => return message,
            Event::Started { .. } => {}
            other => panic!("{other}"),
        }
    }
}

#[track_caller]
pub(crate) fn until_started(supervisor: &mut Supervisor) -> u32 {
    match next(supervisor) {
        Event::Started { peer, .. } => peer.pid,
        other => panic!("{other}"),
    }
}
