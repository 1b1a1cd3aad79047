//! [`twinring`] links in [tokio](https://docs.rs/tokio): full-duplex messages between two processes of one machine, awaited.
//!
//! Nothing here has a thread or a reactor of its own. On Linux and macOS the runtime's reactor listens to a connection
//! once a task has waited for it, until its last clone is dropped, so the runtime needs `enable_io` there (`#[tokio::main]`
//! and `enable_all` do it), or the wait panics, as those of tokio's sockets do. On Windows, in other executors, and in
//! a second runtime, `twinring`'s thread wakes the tasks. Opening, options and ends are the library's; this crate makes its calls
//! awaitable.
//!
//! ```
//! use twinring_tokio::{Link, Listener, Result};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let name = twinring::testing::unique_name();
//! // In the service:
//! let listener = Listener::bind(&name)?;
//! tokio::spawn(async move {
//!     while let Ok(conn) = listener.accept().await {
//!         tokio::spawn(async move {
//!             while let Some(message) = conn.recv().await? {
//!                 conn.send(&message.to_ascii_uppercase()).await?;
//!             }
//!             conn.finish()
//!         });
//!     }
//! });
//!
//! // In its client, another process:
//! let conn = Link::from(twinring::Link::guest(&name).open()?).next().await?;
//! conn.send(b"hello").await?;
//! assert_eq!(conn.recv().await?, Some(b"HELLO".to_vec()));
//! conn.finish()?; // all is said
//! # Ok(()) }
//! ```
//!
//! # Which for what
//!
//! | what you want | what to use |
//! |---|---|
//! | messages | [`Connection::send`], [`Connection::recv`] and their kin |
//! | a `Stream` and `Sink` of messages, for combinators | [`Messages`] |
//! | bytes, for what is written for sockets (hyper, tonic, codecs) | [`ByteStream`] |
//! | to connect | [`Link`] |
//! | to serve many | [`Listener`] |
//!
//! # Cancel safety
//! Every call may be dropped before it is done, as `select!` and timeouts do. A dropped `recv` has received nothing; a dropped
//! `send` has sent nothing. Once a call has been polled to its end it has happened, and its result is there.
//!
//! # Busy and idle
//! Waking a task that sleeps takes as long as for a socket. So a task that waits looks again before it sleeps: at once for 2 µs,
//! then 8 times, letting other tasks run before each time, then up to 100 times unless there are many others. That is less
//! than 0.1 ms of the processor's time for one wait. What was in vain several times in a row, a connection leaves out for its next 16
//! waits, and for longer each time. So a busy connection or server needs no system calls, and one on which nothing comes
//! takes no time.

mod byte_stream;
mod connection;
mod connections;
mod link;
mod messages;
mod os;
mod pace;
mod wait;

pub use byte_stream::{ByteStream, OwnedReadHalf, OwnedWriteHalf};
pub use connection::Connection;
pub use connections::Connections;
pub use link::{Link, Listener};
pub use messages::Messages;
pub use twinring::{Error, Result};
