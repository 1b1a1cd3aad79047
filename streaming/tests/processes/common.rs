//! A server as a process, of which each line that it prints is kept.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// So long only if something is wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// `short`, or `long` if TWINRING_LONG says so.
pub(crate) fn amount(short: usize, long: usize) -> usize {
    match std::env::var("TWINRING_LONG") {
        Ok(wanted) if wanted != "0" => long,
        _ => short,
    }
}

/// Sets it when it is dropped, by a panic as well: so that threads end which others wait for.
pub(crate) struct Finally<'a>(pub(crate) &'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A directory with one file in it, `data`, of nothing that repeats.
pub(crate) struct Scene {
    pub(crate) home: TempDir,
    pub(crate) data: Vec<u8>,
}

impl Scene {
    pub(crate) fn new(len: usize) -> Scene {
        let home = tempfile::tempdir().unwrap();
        let mut data = vec![0; len];
        fastrand::fill(&mut data);
        std::fs::write(home.path().join("data"), &data).unwrap();
        Scene { home, data }
    }

    pub(crate) fn serve(&self, more: &[&str]) -> Server {
        Server::start(self, more)
    }

    /// All of it, and nothing else.
    pub(crate) fn check(&self, body: &[u8]) {
        let first = self.data.iter().zip(body).position(|(a, b)| a != b);
        let lens = (self.data.len(), body.len());
        assert!(
            first.is_none() && lens.0 == lens.1,
            "{lens:?} bytes, not the same from {first:?} on"
        );
    }
}

/// Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Arc<Lines>,
    pub(crate) address: String,
}

#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    more: Condvar,
}

impl Server {
    fn start(scene: &Scene, more: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_serve"))
            .arg(scene.home.path())
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::<Lines>::default();
        let (output, to) = (child.stderr.take().unwrap(), lines.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                to.all.lock().unwrap().push(line);
                to.more.notify_all();
            }
        });
        let mut server = Server {
            child,
            lines,
            address: String::new(),
        };
        let line = server.line("serving ");
        let (_, address) = line.split_once("http://").unwrap();
        address
            .split('/')
            .next()
            .unwrap_or_default()
            .clone_into(&mut server.address);
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        // A test that fails shows them once more.
        self.lines
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line with this in it.
    pub(crate) fn line(&self, part: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut lines = self.lines();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {part:?}, but {lines:#?}");
            lines = self.lines.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// The processes that have jobs, so far as has been told.
    pub(crate) fn busy(&self) -> Vec<u32> {
        let mut busy = HashMap::new();
        for line in self.lines().iter() {
            let mut words = line.split([' ', ':', ',']).filter(|word| !word.is_empty());
            match words.next() {
                Some("job") => {
                    let job: u64 = words.next().unwrap().parse().unwrap();
                    busy.remove(&job);
                    if line.contains(": from byte ") {
                        let pid: u32 = words.next_back().unwrap().parse().unwrap();
                        busy.insert(job, pid);
                    }
                }
                Some("worker") => {
                    let (_, rest) = line.split_once("process ").unwrap();
                    let pid: u32 = rest.split(' ').next().unwrap().parse().unwrap();
                    busy.retain(|_, of| *of != pid);
                }
                _ => {}
            }
        }
        busy.into_values().collect()
    }

    /// Waits until a process has a job.
    pub(crate) fn one_busy(&self) -> u32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(pid) = fastrand::choice(self.busy()) {
                return pid;
            }
            assert!(Instant::now() < deadline, "no job: {:#?}", self.lines());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How often a worker has gone on with what another had begun.
    pub(crate) fn resumed(&self) -> usize {
        let lines = self.lines();
        let from = lines.iter().filter(|line| line.contains(": from byte "));
        from.filter(|line| !line.contains(": from byte 0 ")).count()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket
    }

    /// Says this, and returns all that comes.
    pub(crate) fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut socket = self.connect();
        socket.write_all(request).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        answer
    }

    /// It runs, and nothing in it has panicked.
    pub(crate) fn is_well(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None);
        assert_eq!(self.count("panicked"), 0, "{:#?}", self.lines());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{:#?}", self.lines());
        }
    }
}
