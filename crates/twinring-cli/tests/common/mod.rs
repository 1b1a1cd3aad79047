//! Real processes of `twinring`, none of which outlives its test or runs for ever.

// Each test file uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "../../../twinring/tests/common/long.rs"]
mod long;

pub(crate) use long::is_long;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What every process of a test must have done by then.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How long after a process's end the last of its output may come.
const REST: Duration = Duration::from_secs(10);

/// A test's directories and link name.
pub(crate) struct Place {
    pub(crate) name: String,
    runtime: PathBuf,
    work: TempDir,
    _runtime: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let work = tempfile::tempdir().unwrap();
        let runtime = tempfile::tempdir().unwrap();
        Place {
            // The directory's name is random, so two runs at a time do not meet on Windows.
            name: format!("test {count} {}", work.path().display()),
            // The library makes this one, private to the user.
            runtime: runtime.path().join("run"),
            work,
            _runtime: runtime,
        }
    }

    /// Where the links of this test are (not on Windows).
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// A path in the working directory of the test's processes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Writes a file into the working directory.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// Makes a directory in the working directory.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// A command line that begins with `twinring`.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_twinring")), args)
    }

    /// Another program's, in the same surroundings.
    pub(crate) fn prepared<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        command
            .args(args)
            .current_dir(self.work.path())
            .env("TWINRING_RUNTIME_DIR", &self.runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts `twinring COMMAND NAME ARGS`.
    pub(crate) fn start(&self, command: &str, args: &[&str]) -> Running {
        self.start_named(command, &self.name, args)
    }

    /// Starts `twinring COMMAND` with another link name.
    pub(crate) fn start_named(&self, command: &str, name: &str, args: &[&str]) -> Running {
        let all = [command, name].into_iter().chain(args.iter().copied());
        Running::start(self.command(all))
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A process whose output is collected while it runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    shown: String,
    stdin: Option<ChildStdin>,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
}

/// What has come of an output, and the thread that reads it.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let shown = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|e| panic!("{shown}: {e}"));
        Running::of(child, shown)
    }

    /// One whose outputs the test may have taken for itself.
    pub(crate) fn of(mut child: Child, shown: String) -> Running {
        Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            child,
            shown,
        }
    }

    /// Writes to its input, in the background if it takes long; the input stays open.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("its input is closed");
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Writes all of its input from a thread, and ends it.
    pub(crate) fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("its input is closed");
        // The process may end before it has read everything.
        thread::spawn(move || stdin.write_all(&bytes).is_ok());
    }

    /// Waits until this has appeared on its standard output.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        wait_for_text(self.stdout.as_ref(), text);
    }

    /// Waits until this has appeared on its standard error.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        wait_for_text(self.stderr.as_ref(), text);
    }

    /// Waits until it has said this so many times.
    #[track_caller]
    pub(crate) fn says_times(&self, text: &str, times: usize) {
        until(&format!("{text:?}, {times} times"), || {
            self.said(text) >= times
        });
    }

    /// How many times it has said this until now.
    pub(crate) fn said(&self, text: &str) -> usize {
        let bytes = &self.stderr.as_ref().expect("nobody reads it").bytes;
        String::from_utf8_lossy(&bytes.lock().unwrap())
            .matches(text)
            .count()
    }

    /// How much it has written to its standard output.
    pub(crate) fn stdout_len(&self) -> usize {
        let stdout = self.stdout.as_ref().expect("nobody reads it");
        stdout.bytes.lock().unwrap().len()
    }

    /// How many lines it has written to its standard output.
    pub(crate) fn stdout_lines(&self) -> usize {
        let stdout = self.stdout.as_ref().expect("nobody reads it");
        let bytes = stdout.bytes.lock().unwrap();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Kills it and waits for its end.
    pub(crate) fn killed(mut self) -> Ended {
        self.kill();
        self.finish()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends its input and waits for its end.
    pub(crate) fn finish(mut self) -> Ended {
        self.stdin = None;
        self.wait()
    }

    /// Waits for its end, its input open as it is.
    pub(crate) fn wait(self) -> Ended {
        self.wait_for(LIMIT)
    }

    pub(crate) fn wait_for(mut self, limit: Duration) -> Ended {
        let begin = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if begin.elapsed() > limit => break None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let _ = self.child.kill();
        let ended = Ended {
            code: status.and_then(|status| status.code()),
            stdout: join(self.stdout.take()),
            stderr: String::from_utf8_lossy(&join(self.stderr.take())).into_owned(),
        };
        assert!(status.is_some(), "{} does not end: {ended:?}", self.shown);
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Ended {
        let stdout = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(500)]);
        let Ended {
            code: is, stderr, ..
        } = &self;
        assert_eq!(*is, Some(code), "stderr:\n{stderr}\nstdout:\n{stdout}");
        self
    }

    /// Checks that standard error says this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Ended {
        let stderr = &self.stderr;
        assert!(stderr.contains(text), "{text:?} is not in:\n{stderr}");
        self
    }

    /// Standard output as text, without what Windows adds to line ends.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace("\r\n", "\n")
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let thread = thread::spawn({
        let bytes = bytes.clone();
        move || {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                bytes.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        }
    });
    Collected { bytes, thread }
}

fn join(collected: Option<Collected>) -> Vec<u8> {
    let Some(Collected { bytes, thread }) = collected else {
        return Vec::new();
    };
    // The process has ended; but another one that inherited the output may live for ever, as
    // under Wine a program does whose parent was killed while it started it.
    let begin = Instant::now();
    while !thread.is_finished() && begin.elapsed() < REST {
        thread::sleep(Duration::from_millis(1));
    }
    std::mem::take(&mut *bytes.lock().unwrap())
}

#[track_caller]
fn wait_for_text(collected: Option<&Collected>, text: &str) {
    let bytes = &collected.expect("nobody reads it").bytes;
    let shown = || String::from_utf8_lossy(&bytes.lock().unwrap()).replace("\r\n", "\n");
    let begin = Instant::now();
    while !shown().contains(text) {
        assert!(begin.elapsed() < LIMIT, "{text:?} is not in {:?}", shown());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LIMIT, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes of every value, not in any order.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
