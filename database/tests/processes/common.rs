//! The programs as processes, of which each line that they print is kept.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use database::client::{Options, Query};
use database::sample;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// So long only if something is wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// `short`, or `long` if TWINRING_LONG says so.
pub(crate) fn amount(short: u64, long: u64) -> u64 {
    match std::env::var("TWINRING_LONG") {
        Ok(wanted) if wanted != "0" => long,
        _ => short,
    }
}

/// A process, killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// What one has printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let tell = tell.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        let input = child.stdin.take();
        Program {
            child,
            input,
            lines,
        }
    }

    /// Waits for a line with this in it, and returns it.
    pub(crate) fn line(&self, part: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => others.push(line),
                Err(e) => panic!("no line with {part:?} ({e}), but {others:#?}"),
            }
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(mut self) -> Ended {
        let mut lines = Vec::new();
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(_) if Instant::now() >= deadline => panic!("it does not end: {lines:#?}"),
                Err(_) => break,
            }
        }
        let code = self.child.wait().unwrap().code();
        Ended { code, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What the tool reports, which must have ended well.
    pub(crate) fn report(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        let line = self.lines.iter().find(|line| line.starts_with('{'));
        serde_json::from_str(line.unwrap()).unwrap()
    }

    /// It ended with this code, and said this.
    pub(crate) fn failed(&self, code: i32, part: &str) {
        let said = self.lines.iter().any(|line| line.contains(part));
        assert!(
            self.code == Some(code) && said,
            "not {code}, {part:?}: {self:?}"
        );
        let panicked = self.lines.iter().any(|line| line.contains("panicked"));
        assert!(!panicked, "{self:?}");
    }
}

/// A database, and a provider's name of its own.
pub(crate) struct Scene {
    home: TempDir,
    pub(crate) name: String,
}

impl Scene {
    /// The database is a sample of so many rows.
    pub(crate) fn new(rows: u64) -> Scene {
        let scene = Scene::empty();
        sample::make(&scene.database(), rows).unwrap();
        scene
    }

    /// There is no database.
    pub(crate) fn empty() -> Scene {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Scene {
            home: tempfile::tempdir().unwrap(),
            name: format!("database test {} {number}", std::process::id()),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.home().join("sample.db")
    }

    /// To look at the database, or to change it.
    pub(crate) fn open(&self) -> Connection {
        let conn = Connection::open(self.database()).unwrap();
        conn.busy_timeout(LIMIT).unwrap();
        conn
    }

    pub(crate) fn provider_command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provider"));
        command.args(["serve", "--name", &self.name]).args(more);
        command.arg(self.database());
        command
    }

    /// One that serves.
    pub(crate) fn provider(&self, more: &[&str]) -> Program {
        let provider = Program::start(&mut self.provider_command(more));
        provider.line("serving");
        provider
    }

    pub(crate) fn tool(&self, sql: &str, more: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tool"));
        command.args(["--name", &self.name, "--json"]);
        if !more.contains(&"--wait") {
            command.args(["--wait", "120"]);
        }
        Program::start(command.args(more).arg(sql))
    }

    /// The tool's side within this process.
    pub(crate) fn query(&self, batch_bytes: usize) -> Query {
        let options = Options {
            wait: LIMIT,
            silence: LIMIT,
            batch_bytes,
            ..Options::default()
        };
        Query::new(&self.name, options).unwrap()
    }

    /// Changes the last row that a query of the table gives.
    pub(crate) fn change_last_row(&self) {
        let changed = self.open().execute(
            "UPDATE measurements SET value = -1 WHERE id = (SELECT max(id) FROM measurements)",
            [],
        );
        assert_eq!(changed, Ok(1));
    }
}

/// The most memory that a process has had in place, in bytes; `None` where that is not simple to ask, or it has ended.
pub(crate) fn most_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
