//! Sends what a program logs to a collector, `twinring log NAME`, over shared memory: a layer for [`tracing`](Log::layer) and a
//! logger for [`log`](Log::logger).
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! # fn main() -> std::io::Result<()> {
//! # let name = twinring::testing::unique_name();
//! let log = twinring_tracing::Log::open(&name)?; // the name of the collector
//! tracing_subscriber::registry().with(log.layer()).init();
//!
//! tracing::info!(user = 7, "signed in");
//! // `log` is dropped at the end of `main`: what is still buffered goes out, if there is a collector.
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! * **Logging does not wait for the collector**, whether there is none, it is stopped, or it is slow, unless
//!   [`Builder::wait`] says how long. (Threads that log at the same moment wait for each other, for as long as a copy takes.)
//! * **A record is committed when the call returns**, if a collector is there and keeps up: it arrives even if the program is
//!   killed at the next instruction. Otherwise it is in a [bounded buffer](Builder::buffer) of the program's, in the order of
//!   its number, and sent as soon as that can be.
//! * **What does not fit is dropped and counted.** Each record has a number, of one [`Log`] 1, 2, 3 and so on; those that
//!   were dropped have theirs too, and a record in their place tells how many. So records that arrived and those that were told as
//!   dropped are all that there were.
//! * **What a collector had not written when it ended goes to the next one**, with the same numbers, before newer records. A collector that
//!   writes files writes no number twice.
//!
//! Lost is what is still buffered when the program ends, or killed before a collector came; `docs/log.md` has the whole list, and the
//! shape of a record.
//!
//! # Threads, forks
//! All handles may be used from any thread. A [`Log`] has one thread, `twinring-log`, beside those of `twinring`. In a forked child
//! logging does nothing; open another [`Log`] there, after `exec` or not.

#![forbid(unsafe_code)]

mod builder;
mod courier;
mod layer;
mod logger;
mod queue;
mod record;
mod shared;

pub use builder::{Builder, DEFAULT_BUFFER, DEFAULT_LINGER};
pub use layer::Layer;
pub use logger::Logger;
pub use record::MAX_RECORD;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinring::Link;

use crate::shared::Shared;

/// What a program logs, on its way to the collector of one name. Made by [`Log::open`] or [`Log::builder`].
///
/// When it is dropped, it waits until the collector has written everything, at most [`Builder::linger`], and then closes. If there
/// has been no collector it does not wait, but gives one 100 ms from its opening to come. Layers and loggers that are left do
/// nothing any more. So keep it until the end of `main`. A program that ends without dropping it, as by
/// [`exit`](std::process::exit), loses what is still buffered, but nothing that is committed.
pub struct Log {
    shared: Arc<Shared>,
    link: Link,
    linger: Duration,
    /// How long a collector may take to be met.
    first_until: Instant,
}

impl Log {
    /// Begins to log to the collector of this name, whether there is one or not. Does not wait for it.
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// let log = twinring_tracing::Log::open(&name)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn open(name: &str) -> io::Result<Log> {
        Log::builder(name).open()
    }

    /// The same, with options.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let name = twinring::testing::unique_name();
    /// let log = twinring_tracing::Log::builder(&name)
    ///     .buffer(16 << 20)
    ///     .wait(Duration::from_millis(5))
    ///     .open()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// A layer for `tracing-subscriber`'s registry. It records every event that it is given: what is worth it is for a filter.
    ///
    /// ```
    /// use tracing_subscriber::filter::LevelFilter;
    /// use tracing_subscriber::prelude::*;
    ///
    /// # let name = twinring::testing::unique_name();
    /// let log = twinring_tracing::Log::open(&name)?;
    /// let layer = log.layer().with_filter(LevelFilter::INFO);
    /// tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
    ///     tracing::info!("hello");
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn layer(&self) -> Layer {
        Layer::new(self.shared.clone())
    }

    /// A logger for the crate `log`.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// let log = twinring_tracing::Log::open(&name)?;
    /// log::set_boxed_logger(Box::new(log.logger())).unwrap();
    /// log::set_max_level(log::LevelFilter::Info);
    /// log::info!("hello");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn logger(&self) -> Logger {
        Logger::new(self.shared.clone())
    }

    /// Waits until a collector has taken all that was logged before this call, at most for `timeout`. Returns whether it has. While
    /// records are buffered, and other threads go on logging, it waits for theirs as well.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let name = twinring::testing::unique_name();
    /// let log = twinring_tracing::Log::open(&name)?;
    /// assert!(log.flush(Duration::ZERO)); // nothing to be taken
    /// # std::io::Result::Ok(())
    /// ```
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.flush(after(timeout))
    }

    /// Whether a collector is connected now. A record may still be buffered if it does not keep up.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// assert!(!twinring_tracing::Log::open(&name)?.is_connected());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// How many records have been dropped until now.
    ///
    /// ```
    /// # let name = twinring::testing::unique_name();
    /// assert_eq!(twinring_tracing::Log::open(&name)?.dropped(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }
}

/// The end of a time that begins now; of the longest ones, one that nobody waits for.
fn after(time: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(1 << 30);
    Instant::now() + time.min(YEARS)
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.shared.meets_a_collector(self.first_until) {
            self.flush(self.linger);
        }
        self.shared.close();
        // Wakes the thread, wherever it waits.
        self.link.close(0, "");
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("name", &self.link.name())
            .field("connected", &self.is_connected())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
