//! Worker processes: started, watched and replaced, each joined to its supervisor by a [`twinring`] link that nobody else can take.
//!
//! A program is its own worker, or starts another one. A pool of four that upper-cases:
//!
//! ```no_run
//! use std::process::Command;
//! use twinring_workers::{Supervisor, parent};
//!
//! # fn main() -> std::io::Result<()> {
//! if let Some(parent) = parent()? {
//!     return Ok(parent.serve(|task| task.to_ascii_uppercase())?); // this process is a worker
//! }
//! let program = std::env::current_exe()?;
//! let mut pool = Supervisor::of(move |_| Command::new(&program)).workers(4).start_pool()?;
//! for done in pool.map(["one", "two", "three"].map(Vec::from)) {
//!     println!("{:?}", done?.answer);
//! }
//! # Ok(()) }
//! ```
//!
//! Workers that are sent messages, send some, and are started again where the last one was killed:
//!
//! ```no_run
//! # use std::process::Command;
//! # use std::time::Duration;
//! # use twinring_workers::{Event, Supervisor};
//! # fn main() -> std::io::Result<()> {
//! let mut workers = Supervisor::of(|_| Command::new("plugin"))
//!     .silence(Duration::from_secs(5))
//!     .start()?;
//! workers.send(0, b"hello")?;
//! for event in workers {
//!     match event {
//!         Event::Message { message, .. } => println!("{message:?}"),
//!         other => println!("{other}"), // has started; has ended: exit status, why, and what follows
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Which for what
//!
//! | what you have | what to use |
//! |---|---|
//! | tasks with answers, for any of many workers | [`Pool`], and [`Parent::serve`] in the worker |
//! | messages to and from one worker, or each of many | [`Supervisor`], [`Parent::recv`], [`Parent::send`] |
//! | work that goes on where the last worker was | [`Parent::set_checkpoint`], [`Parent::checkpoint`] |
//! | somebody else's code that may hang | [`Builder::silence`], [`Parent::alive`] |
//! | streams, messages in place, batches | [`Supervisor::connection`], [`Parent::connection`] |
//! | tokio | the feature `tokio`: `next_async`, `next_done_async`, `Parent::to_tokio`; any other executor: [`Supervisor::poll_next`] |
//!
//! # What is guaranteed
//! * **One event for the end of a worker**, [`Exited`], once its process and its connection have both ended, in whatever order: exit status,
//!   cause, end of the connection, what it had not taken, checkpoint, and what follows. All that it had sent comes before.
//! * **What a worker had not taken goes to its successor**, before newer messages and in order, if it is killed at any instruction; so does
//!   its last checkpoint. Messages that it had taken (received) are not given out again, but for a [`Pool`]'s tasks that it had not
//!   answered. A message longer than a frame that it had taken in part is lost, and [`Exited::complete`] says so.
//! * **Nobody else gets the link**: its name is random, and of those who know it only the child is let in, by its process id as the kernel
//!   tells it.
//! * **Workers end with their supervisor's process**, however that ends. On Windows the system sees to it, by a job, for all that workers start as
//!   well. Elsewhere the worker's side of this library does, at once when the connection ends with the supervisor, and within 100 ms otherwise
//!   ([`Parent`]); not PR_SET_PDEATHSIG, which goes by the end of a *thread*.
//! * **Other children of the program are left alone**: only what it has started itself is waited for or killed.
//!
//! # What is not
//! * On Unix a process that never calls [`parent`] outlives a supervisor that is killed, as do programs that workers start.
//! * On Windows a supervisor that is killed within the system's call that starts a process may leave one that has never run, nor ever will.
//! * A hostile worker may harm its own messages and answers, and no others: what it sends is bounded by
//!   [`max_message`](twinring::Builder::max_message), 1 GiB unless [`Builder::link`] says less.
//! * A supervisor does everything while its program waits for events, without a thread of its own (but the link library's). While the
//!   program does something else, nobody is replaced or killed for silence.
//!
//! `docs/workers.md` has figures, and who can read what.

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
