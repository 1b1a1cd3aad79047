//! The programs as processes, of which each line that they print is kept.

// Each test program uses some of it.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// So long only if something is wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A process, killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
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
        Program { child, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Waits for a line that begins like this, and returns it.
    pub(crate) fn line(&self, begin: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(begin) => return line,
                Ok(line) => others.push(line),
                Err(e) => panic!("no line {begin:?} ({e}), but {others:#?}"),
            }
        }
    }

    /// No such line comes for this long.
    pub(crate) fn no_line(&self, begin: &str, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => assert!(!line.starts_with(begin), "{line}"),
                Err(RecvTimeoutError::Timeout) => return,
                Err(e) => panic!("{e}"),
            }
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder to take stock of, and a link's name of its own.
pub(crate) struct Scene {
    home: TempDir,
    name: String,
    /// How both programs are to be started.
    private: bool,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::at(tempfile::tempdir().unwrap(), true)
    }

    /// Between users: the service must be one of the system.
    pub(crate) fn public() -> Scene {
        Scene::at(tempfile::tempdir().unwrap(), false)
    }

    /// The folder has 80 files of 20,000 bytes.
    pub(crate) fn at(home: TempDir, private: bool) -> Scene {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("inventory test {} {number}", std::process::id());
        let scene = Scene {
            home,
            name,
            private,
        };
        fs::create_dir(scene.folder()).unwrap();
        for number in 0..80 {
            let content = [b'a' + number % 26; 20_000];
            fs::write(scene.folder().join(format!("file {number:02}")), content).unwrap();
        }
        scene
    }

    /// For what else a test needs.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn folder(&self) -> PathBuf {
        self.home().join("files")
    }

    fn meeting(&self) -> Vec<&str> {
        let mut arguments = vec!["--name", &self.name];
        arguments.extend(self.private.then_some("--private"));
        arguments
    }

    /// What the service is told: an action, and what comes after it.
    pub(crate) fn service_arguments(&self, action: &str, more: &[&str]) -> Vec<OsString> {
        let mut arguments = vec![action.into(), self.folder().into()];
        arguments.extend(self.meeting().iter().map(OsString::from));
        arguments.extend(more.iter().map(OsString::from));
        arguments
    }

    pub(crate) fn service_command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inventory-service"));
        command.args(self.service_arguments("run", more));
        command
    }

    /// A service that is done within an instant.
    pub(crate) fn service(&self) -> Program {
        Program::start(&mut self.service_command(&[]))
    }

    /// One that takes 8 seconds.
    pub(crate) fn slow_service(&self) -> Program {
        Program::start(&mut self.service_command(&["--limit", "200"]))
    }

    pub(crate) fn console_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inventory-console"));
        command.args(self.meeting());
        command
    }

    /// A link like that of a service, by itself.
    pub(crate) fn host(&self) -> twinring::Link {
        twinring::Link::host(&self.name).open().unwrap()
    }

    /// A link like that of a GUI, by itself.
    pub(crate) fn guest(&self) -> twinring::Link {
        twinring::Link::guest(&self.name).open().unwrap()
    }

    pub(crate) fn console(&self) -> Program {
        Program::start(&mut self.console_command())
    }

    /// One that has started the work of a service; with the first line about it.
    pub(crate) fn console_at_work(&self) -> (Program, String) {
        let mut gui = self.console();
        gui.line("idle");
        gui.say("start");
        let working = gui.line("hashing");
        (gui, working)
    }
}

/// How many files a line says are done.
pub(crate) fn files_done(line: &str) -> u32 {
    let words: Vec<_> = line.split_whitespace().collect();
    words[1].parse().unwrap()
}
