//! Worker processes.

mod backoff;
mod event;
mod options;
mod os;
mod parent;
mod pool;
mod process;
mod signal;
mod silence;
mod slot;
mod supervisor;
mod ticket;
#[cfg(feature = "tokio")]
mod timed;

pub use backoff::{Backoff, Restart};
pub use event::{Cause, Event, Exited, Then};
pub use parent::{ORPHANED, Parent, ParentBuilder, parent};
pub use pool::{Answers, Done, NoWorkersLeft, Pool, TaskFailed};
pub use slot::SendError;
pub use supervisor::{Builder, Supervisor, TimedOut};
pub use ticket::VARIABLE;
