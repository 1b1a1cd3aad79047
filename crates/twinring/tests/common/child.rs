//! A child process, as the test sees it.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use super::parent::{DIRECTORY, MARK, NAME, ROLE, SIDE};
use super::{LIMIT, Place, Side};

/// A child; killed on drop.
#[derive(Debug)]
pub(crate) struct Child {
    role: String,
    process: process::Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Child {
    pub(super) fn start(
        place: &Place,
        role: &str,
        side: Side,
        change: impl FnOnce(&mut Command),
    ) -> io::Result<Child> {
        // Where there is such a thing, by what needs no path: as another user the child may not
        // be able to reach it.
        let mut command = match cfg!(target_os = "linux") {
            true => Command::new("/proc/self/exe"),
            false => Command::new(std::env::current_exe()?),
        };
        command
            .args(["--exact", "peer_main", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(SIDE, side.to_string())
            .env(NAME, place.name())
            .env(DIRECTORY, place.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        change(&mut command);
        let mut process = command.spawn()?;
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            // A line without an end is one that the child was killed in the middle of.
            while matches!(output.read_until(b'\n', &mut text), Ok(n) if n > 0)
                && text.last() == Some(&b'\n')
            {
                let whole = String::from_utf8_lossy(&text);
                if let Some((_, said)) = whole.trim_end().split_once(MARK) {
                    // The test may have lost interest.
                    let _ = line.send(said.to_owned());
                }
                text.clear();
            }
        });
        Ok(Child {
            role: format!("{role} ({side})"),
            process,
            input,
            lines,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    #[track_caller]
    pub(crate) fn say(&mut self, line: impl Display) {
        writeln!(self.input, "{line}").expect("the child reads its input");
    }

    /// The next line that the child says.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> String {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} has said nothing for {LIMIT:?}", self.role)
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{} has ended: {:?}", self.role, self.process.wait())
            }
        }
    }

    /// Skips lines until one is as wanted, and returns that one.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, mut wanted: impl FnMut(&str) -> bool) -> String {
        let mut before = Vec::new();
        loop {
            match self.next_line_or_end() {
                Some(line) if wanted(&line) => return line,
                Some(line) => before.push(line),
                None => panic!("{} has ended; it said {before:#?}", self.role),
            }
            assert!(before.len() < 10_000, "{} only says {before:#?}", self.role);
        }
    }

    /// The next line, if the child says any more before it ends.
    #[track_caller]
    pub(crate) fn next_line_or_end(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} has said nothing for {LIMIT:?}", self.role)
            }
        }
    }

    /// Waits for exactly this line.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.next_line(), line, "what {} says", self.role);
    }

    /// What the child has said by now.
    pub(crate) fn lines_so_far(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Kills the child, like SIGKILL or the task manager, and returns what it said to the end.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        self.kill_now();
        self.process.wait().expect("a killed child ends");
        self.lines.iter().collect()
    }

    /// Begins to kill the child: it may live for a moment yet.
    pub(crate) fn kill_now(&mut self) {
        self.process.kill().expect("a child can be killed");
    }

    /// Kills the child and waits until it is dead; on Unix it stays a zombie until drop.
    pub(crate) fn kill_unreaped(&mut self) {
        self.kill_now();
        #[cfg(unix)]
        {
            use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
            let id = WaitId::Pid(Pid::from_raw(self.pid() as i32).unwrap());
            waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        }
        #[cfg(windows)]
        self.process.wait().unwrap();
    }

    /// Waits for the child to end by itself, with success.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        if let Some(line) = self.next_line_or_end() {
            panic!("{} should end, but says {line:?}", self.role);
        }
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{} has failed: {status}", self.role);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
