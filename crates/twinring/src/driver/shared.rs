//! What the driver's thread shares with other threads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link_task::LinkTask;
use super::token::NAME_WATCHER;
use crate::error::Result;
use crate::os::endpoint::{NameWatcher, Spare};
use crate::os::event::Poller;
use crate::os::system_error;

/// The driver of a process, while it has links: finds their peers and notices when they go.
pub(super) struct Driver {
    pub(super) poller: Poller,
    pub(super) name_watcher: NameWatcher,
    /// For the guests of all hosts.
    pub(super) spare: Spare,
    /// Whether the thread has been started. There are no commands before that.
    pub(super) started: Mutex<bool>,
    commands: Mutex<Commands>,
    /// The id of the next link.
    pub(super) next_id: AtomicU64,
    /// How many links are registered. Changed only while the slot is locked.
    pub(super) registrations: AtomicU64,
    /// There are no registrations any more, and there will be none.
    pub(super) retired: AtomicBool,
}

/// What other threads ask of the driver.
#[derive(Default)]
pub(super) struct Commands {
    pub(super) begun: Vec<(u64, Box<dyn LinkTask>)>,
    /// Tokens.
    pub(super) notified: BTreeSet<u64>,
}

impl Driver {
    pub(super) fn new() -> Result<Arc<Driver>> {
        let failed = |e| system_error("cannot create what the library's thread needs", e);
        let poller = Poller::new().map_err(failed)?;
        let name_watcher = NameWatcher::new(&poller, NAME_WATCHER).map_err(failed)?;
        Ok(Arc::new(Driver {
            poller,
            name_watcher,
            spare: Spare::default(),
            started: Mutex::new(false),
            commands: Mutex::default(),
            next_id: AtomicU64::new(1),
            registrations: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }))
    }

    pub(super) fn commands(&self) -> MutexGuard<'_, Commands> {
        // Nothing can panic while it is held.
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
