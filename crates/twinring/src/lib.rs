//! Full-duplex messages of any size between two processes of one machine, over shared memory.
//!
//! Two processes, one link name, two memory-mapped rings. Each side is told at once when the other
//! connects, closes or crashes; either may start first, stop, be killed and come back, and the
//! link re-forms by itself.
//!
//! ```
//! use std::time::Duration;
//! use twinring::Link;
//!
//! # fn main() -> twinring::Result<()> {
//! # let name = format!("crate-example-{}", std::process::id());
//! // In the service:
//! let service = Link::host(&name)
//!     .on_status(|_link, status| println!("service: {status}"))
//!     .on_message(|link, message| {
//!         let _ = link.send(&message.to_ascii_uppercase());
//!     })
//!     .open()?;
//!
//! // In its GUI, another process:
//! let gui = Link::guest(&name).open()?;
//! gui.wait_connected(Duration::from_secs(5))?;
//! gui.send(b"hello")?;
//! assert_eq!(gui.recv()?, b"HELLO");
//! # Ok(()) }
//! ```
//!
//! # How data flows
//! Down the left side, and up the right one in the other process:
//!
//! ```text
//!            Link                   Link
//! link/      send.rs                recv.rs          messages, waiting, the life of a connection
//!            reservation.rs         view.rs          one message in place
//!            send_stream.rs         recv_stream.rs   one message as a stream
//! frame/     writer.rs              reader.rs        messages ⇄ frames
//! ring/      producer.rs            consumer.rs      positions and memory orderings
//! segment/            layout.rs                      one memory, two rings
//! os/        memory  event  process  endpoint        all that differs between systems
//! ```
//!
//! # Which call for what
//!
//! | what you have, or want | sending | receiving |
//! |---|---|---|
//! | a message | [`send`](Link::send) | [`recv`](Link::recv), [`recv_into`](Link::recv_into) |
//! | a message that lies in several places | [`send_vectored`](Link::send_vectored) | |
//! | no copy of one's own | [`reserve`](Link::reserve), fill, [`commit`](Reservation::commit) | [`recv_in_place`](Link::recv_in_place) |
//! | many small messages at once | [`send_batch`](Link::send_batch) | [`recv_batch`](Link::recv_batch) |
//! | one message of any length in little memory | [`send_stream`](Link::send_stream), [`send_from`](Link::send_from) | [`recv_stream`](Link::recv_stream) |
//!
//! The two columns mix as you like. While a [`Reservation`] is held, other sends of the link wait;
//! while a [`View`] or a [`RecvStream`] is, other receivers do. A thread that would wait for what it
//! holds itself gets [`ErrorKind::Deadlock`].
//!
//! ```
//! use std::io::{Read, Write};
//! # use std::time::Duration;
//! # use twinring::*;
//!
//! # fn main() -> std::io::Result<()> {
//! # let name = format!("crate-calls-example-{}", std::process::id());
//! # let host = Link::host(&name).open()?;
//! # let guest = Link::guest(&name).open()?;
//! # host.wait_connected(Duration::from_secs(5))?;
//! # guest.wait_connected(Duration::from_secs(5))?;
//! // In place: written where the peer will read it, read where it was written.
//! let mut message = host.reserve(100)?; // at most so many bytes
//! write!(message, "frame {}", 7)?;
//! message.commit()?;
//! let view = guest.recv_in_place()?;
//! assert_eq!(view.get(0), Some(*b"frame"));
//! drop(view); // gives its room back
//!
//! // Many at once.
//! host.send_batch(&["one", "two", "three"])?;
//! let mut letters = 0;
//! guest.recv_batch(|message| letters += message.len())?;
//! assert_eq!(letters, 11);
//!
//! // As a stream: complete with `finish`, read while it comes.
//! let sender = std::thread::spawn(move || -> std::io::Result<()> {
//!     let mut stream = host.send_stream()?;
//!     for row in 0..100_000 {
//!         writeln!(stream, "row {row}")?;
//!     }
//!     Ok(stream.finish()?)
//! });
//! let mut text = String::new();
//! guest.recv_stream()?.read_to_string(&mut text)?;
//! assert!(text.ends_with("row 99999\n"));
//! # sender.join().unwrap()?;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! Within one connection each message arrives at most once, whole or not at all, and in the order
//! of the thread that sent it. [`Link::send`] returning `Ok` means that it is committed: it is
//! delivered if the receiver lives and keeps reading, even if the sender's process dies right
//! after. Nothing is carried over to the next connection.
//!
//! # Threads
//! Messages never pass through a thread of the library's: sending and receiving work on the ring from
//! the caller's. These are all that it starts:
//!
//! | name | how many | for what, and how long |
//! |---|---|---|
//! | `twinring` | one for a process; a second one while a handshake goes on beside something else | finds peers, shakes hands, notices ends; while there are links |
//! | `twinring-hello` | one for each further handshake at the same time, at most seven for a host | that handshake, at most its [timeout](Builder::handshake_timeout) |
//! | `twinring-calls` | one for each link with callbacks | runs them; while the link is open, and until a callback that runs has returned |
//! | `twinring-claim` | one for a process, on Windows | holds the names of its hosts; while there are any |

#[cfg(all(twinring_bench, not(loom)))]
#[doc(hidden)]
pub mod benching;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod frame;
#[cfg(all(fuzzing, not(loom)))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
mod os;
// Under the model checker only the rooms that it checks are built.
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod ring;
#[cfg_attr(loom, allow(dead_code))]
mod segment;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod sync;

#[cfg(all(feature = "_testing", not(loom)))]
#[doc(hidden)]
pub mod testing;

#[cfg(all(twinring_faults, not(loom)))]
#[doc(hidden)]
pub use self::os::faults;
#[cfg(not(loom))]
pub use self::{
    error::{Error, ErrorKind, Result},
    link::name::MAX_NAME_LEN,
    link::options::{
        Builder, DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_MESSAGE, DEFAULT_RING_CAPACITY,
    },
    link::recv_stream::RecvStream,
    link::reservation::Reservation,
    link::send_stream::SendStream,
    link::status::{DisconnectReason, Status},
    link::view::{View, ViewReader},
    link::wait::Wait,
    link::{Link, Messages, RecvHalf, SendHalf},
    os::process::{Access, ParseUserError, Peer, User},
};
