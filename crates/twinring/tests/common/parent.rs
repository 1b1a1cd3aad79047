//! The test, as its child sees it.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, OnceLock};
use std::thread;

use twinring::Builder;

use super::{Place, Side};

pub(super) const ROLE: &str = "TWINRING_TEST_ROLE";
pub(super) const SIDE: &str = "TWINRING_TEST_SIDE";
pub(super) const NAME: &str = "TWINRING_TEST_NAME";
pub(super) const DIRECTORY: &str = "TWINRING_TEST_DIRECTORY";

/// Begins each line of ours: the test harness writes to the same stdout.
pub(super) const MARK: &str = "@twinring ";

#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) place: Place,
    pub(crate) side: Side,
    lines: Mutex<Receiver<String>>,
}

/// What a child does, by its name.
pub(crate) type Role = (&'static str, fn(&'static Parent));

/// Plays the role that the parent asks for; without a parent, nothing.
pub(crate) fn play(roles: &[Role]) {
    let var = |name| std::env::var(name).ok();
    let Some(wanted) = var(ROLE) else {
        return;
    };
    let (_, role) = roles
        .iter()
        .find(|(name, _)| *name == wanted)
        .unwrap_or_else(|| panic!("there is no role {wanted}"));
    let (line, lines) = mpsc::channel();
    thread::spawn(move || {
        for text in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
        // The parent has ended, whatever the reason: so does its child.
        std::process::exit(1);
    });
    let directory = std::env::var_os(DIRECTORY).map(PathBuf::from).unwrap();
    // Not leaked: the sanitizers would tell.
    static PARENT: OnceLock<Parent> = OnceLock::new();
    role(PARENT.get_or_init(|| Parent {
        place: Place::of_parent(var(NAME).unwrap(), directory),
        side: var(SIDE).unwrap().parse().unwrap(),
        lines: Mutex::new(lines),
    }));
}

/// Starts this executable in another role, beside this child: it ends when the test lets go of
/// this child, even if that is dead.
#[allow(clippy::zombie_processes, reason = "it outlives this process")]
pub(crate) fn run_beside(role: &str) {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peer_main", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
}

impl Parent {
    /// The link's end that the child is.
    pub(crate) fn builder(&self) -> Builder {
        self.place.builder(self.side)
    }

    pub(crate) fn say(&self, line: impl Display) {
        // One write: who is killed in it has said the whole line or none. A test harness's text
        // may stand before it.
        let text = format!("{MARK}{line}\n");
        let mut out = std::io::stdout().lock();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            // The parent has ended: so does its child.
            std::process::exit(1);
        }
    }

    /// The next line that the parent says.
    pub(crate) fn next_line(&self) -> String {
        self.lines.lock().unwrap().recv().unwrap()
    }

    /// The next line, as a number or whatever it should be.
    pub(crate) fn next_as<T: FromStr<Err: std::fmt::Debug>>(&self) -> T {
        self.next_line().parse().unwrap()
    }

    /// Waits for exactly this line.
    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.next_line(), line);
    }

    /// Waits until the parent kills this process.
    pub(crate) fn wait_for_the_end(&self) -> ! {
        let line = self.next_line();
        panic!("expected to be killed, but was told {line:?}");
    }
}
