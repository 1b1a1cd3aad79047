//! One end of a cell as the parent sees it: a process of this program, told and heard line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use crate::common::Result;
use crate::control::{Line, Order};

/// A line of an end, which is told by its number; `None` once it is gone.
pub(super) type Said = (usize, Option<Line>);

pub(super) struct End {
    process: Child,
    stdin: ChildStdin,
}

impl End {
    pub(super) fn start(index: usize, role: &str, json: &str, tell: &Sender<Said>) -> Result<End> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["end", role, json])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a child without stdin and stdout".into());
        };
        let tell = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                let said = serde_json::from_str(&line)
                    .unwrap_or_else(|_| Line::Failed(format!("it said {line:?}")));
                if tell.send((index, Some(said))).is_err() {
                    return;
                }
            }
            let _ = tell.send((index, None));
        });
        Ok(End { process, stdin })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn say(&mut self, order: &Order) -> Result<()> {
        let text = serde_json::to_string(order)?;
        Ok(writeln!(self.stdin, "{text}").and_then(|()| self.stdin.flush())?)
    }

    pub(super) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
