//! The logger for the crate `log`.

use std::fmt;
use std::sync::Arc;

use log::{Metadata, Record};

use crate::record::{Body, MAX_TEXTS};
use crate::shared::Shared;

/// Sends each record of the crate `log` to the collector; made by [`Log::logger`](crate::Log::logger).
pub struct Logger {
    shared: Arc<Shared>,
}

impl Logger {
    pub(crate) fn new(shared: Arc<Shared>) -> Logger {
        Logger { shared }
    }
}

impl log::Log for Logger {
    /// Always: what is worth it, [`log::set_max_level`] says.
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut body = Vec::with_capacity(256);
        let (level, target) = (record.level().as_str(), record.target());
        let mut text = Body::begin(&mut body, level, target, &self.shared.process);
        text.message(*record.args(), MAX_TEXTS);
        text.end(false);
        self.shared.submit(&body);
    }

    /// Does nothing: records are on their way already. [`Log::flush`](crate::Log::flush) waits for them.
    fn flush(&self) {}
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}
