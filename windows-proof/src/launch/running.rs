//! A side that runs: what it says, and how it is ended.

use std::os::windows::io::OwnedHandle;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Account;
use crate::side::{self, Line, Order};
use crate::system::calls::{ends_within, kill};
use crate::system::service::Service;
use crate::system::task::Task;
use crate::undo::{self, Undo};

const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps the side, and ends with it.
pub(super) enum Holder {
    Process { process: OwnedHandle, _undo: Undo },
    Task(#[expect(dead_code, reason = "dropped, it ends the task")] Task),
    Service(#[expect(dead_code, reason = "dropped, it ends the service")] Service),
}

pub(super) fn kept(process: OwnedHandle) -> anyhow::Result<Holder> {
    let killed = process.try_clone()?;
    let undo = undo::at_the_end("a process of a proof", move || {
        if !ends_within(&killed, Duration::ZERO) {
            kill(&killed);
            ends_within(&killed, Duration::from_secs(5));
        }
        Ok(())
    });
    Ok(Holder::Process {
        process,
        _undo: undo,
    })
}

/// A side that runs.
pub(crate) struct Side {
    pub(super) account: Account,
    pub(super) log: PathBuf,
    pub(super) holder: Holder,
    pub(crate) runs_as: String,
}

impl Side {
    /// The next line that begins like this, of all that it has said.
    pub(crate) fn wait_for(&self, begin: &str) -> anyhow::Result<Line> {
        let end = Instant::now() + PATIENCE;
        loop {
            let lines = side::lines(&self.log);
            if let Some(line) = lines.iter().find(|line| line.text.starts_with(begin)) {
                return Ok(line.clone());
            }
            if Instant::now() > end {
                let texts: Vec<&str> = lines.iter().map(|line| &*line.text).collect();
                bail!(
                    "{} has not said \"{begin}...\" within {PATIENCE:?}, but: {texts:?}",
                    self.account
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has said something that begins like this.
    pub(crate) fn has_said(&self, begin: &str) -> bool {
        side::lines(&self.log)
            .iter()
            .any(|line| line.text.starts_with(begin))
    }

    /// Ends it in this way; the line that it says right before.
    pub(crate) fn order(&self, order: Order) -> anyhow::Result<Line> {
        side::give(&self.log, order)?;
        self.wait_for(&order.said())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It leaves by itself also if we may not end it. That it cannot be told is no harm: it has ended.
        let _ = side::give(&self.log, Order::Leave);
        match &self.holder {
            Holder::Process { process, .. } => {
                // Else it is killed.
                ends_within(process, Duration::from_secs(5));
            }
            // Ended by the system when they are removed.
            Holder::Task(_) | Holder::Service(_) => {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
