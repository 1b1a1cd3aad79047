//! What a supervisor is told at its start.

use std::time::Duration;

use crate::backoff::{Backoff, Restart};

/// Changes a link's options.
pub(crate) type LinkOptions = dyn Fn(twinring::Builder) -> twinring::Builder + Send;

/// Options of all workers of a supervisor.
pub(crate) struct Options {
    pub(crate) restart: Restart,
    pub(crate) backoff: Backoff,
    pub(crate) silence: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) connect_within: Duration,
    pub(crate) hand_over: bool,
    pub(crate) backlog: usize,
    pub(crate) link: Box<LinkOptions>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            restart: Restart::default(),
            backoff: Backoff::default(),
            silence: None,
            grace: Duration::from_secs(5),
            connect_within: Duration::from_secs(30),
            hand_over: true,
            backlog: 1024,
            link: Box::new(|link| link),
        }
    }
}
