//! How a log is opened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use twinring::{Access, Link};

use crate::Log;
use crate::courier;
use crate::shared::Shared;

/// How much is buffered by default while no collector takes it: 4 MiB.
pub const DEFAULT_BUFFER: usize = 4 << 20;

/// How long a [`Log`] that is dropped waits for its collector by default: 1 s.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(1);

/// A collector that is there is met within some milliseconds, on a busy machine a few more.
const FIRST: Duration = Duration::from_millis(100);

/// Options for a [`Log`]; made by [`Log::builder`].
#[derive(Debug)]
#[must_use = "nothing happens before `open`"]
pub struct Builder {
    link: twinring::Builder,
    buffer: usize,
    wait: Duration,
    linger: Duration,
    process: Option<String>,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Builder {
        Builder {
            link: Link::guest(name),
            buffer: DEFAULT_BUFFER,
            wait: Duration::ZERO,
            linger: DEFAULT_LINGER,
            process: None,
        }
    }

    /// How many bytes of records are kept while no collector takes them; [`DEFAULT_BUFFER`] by default. Beyond that the newest
    /// are dropped. What a collector that ended had not taken is kept besides.
    pub fn buffer(mut self, bytes: usize) -> Builder {
        self.buffer = bytes;
        self
    }

    /// How long one call may wait for room in the buffer before its record is dropped; by default not at all.
    pub fn wait(mut self, longest: Duration) -> Builder {
        self.wait = longest;
        self
    }

    /// How long a [`Log`] that is dropped waits for its collector; [`DEFAULT_LINGER`] by default. Where no collector has been
    /// met, it does not wait, but for the first 100 ms of a program that has logged something: so long it may take to meet one.
    pub fn linger(mut self, longest: Duration) -> Builder {
        self.linger = longest;
        self
    }

    /// The name of this process in its records; by default that of the program file.
    pub fn process(mut self, name: &str) -> Builder {
        self.process = Some(name.to_owned());
        self
    }

    /// Which users the collector may be; see [`twinring::Builder::access`].
    pub fn access(mut self, access: Access) -> Builder {
        self.link = self.link.access(access);
        self
    }

    /// The directory of the link, the same as the collector's; see [`twinring::Builder::directory`].
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.link = self.link.directory(path);
        self
    }

    /// Begins to log.
    ///
    /// # Errors
    /// What [`twinring::Builder::open`] says, mostly of a name that cannot be one; or that there is no thread for it.
    pub fn open(self) -> io::Result<Log> {
        let opened = Instant::now();
        let link = self.link.open()?;
        let process = self.process.unwrap_or_else(program);
        let shared = Arc::new(Shared::new(&process, self.buffer, self.wait));
        let thread = thread::Builder::new().name("twinring-log".into()).spawn({
            let (shared, link) = (shared.clone(), link.clone());
            move || courier::run(&shared, &link)
        });
        shared.deliver_by(thread?.thread().clone());
        Ok(Log {
            shared,
            link,
            linger: self.linger,
            first_until: opened + self.linger.min(FIRST),
        })
    }
}

/// The name of the program file.
fn program() -> String {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(|file| file.file_stem());
    name.map_or_else(
        || "?".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
