//! Full-duplex messages of any size between two processes of one machine, over shared memory.
//!
//! Two processes, one link name, two memory-mapped rings. Each side is told at once when the other
//! connects, closes or crashes. Either side may start first, stop, be killed and come back; the link
//! re-forms by itself.
//!
//! ```
//! use std::time::Duration;
//! use twinring::Link;
//!
//! # fn main() -> twinring::Result<()> {
//! # let name = twinring::testing::unique_name();
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
//! link/      Link, SendStream,      Link, View,      what a program uses
//!            Reservation            RecvStream
//! transfer/  send → outbox          inbox            who may send, receive; waiting; one connection
//!                   outgoing        incoming
//! frame/     writer                 reader           messages ⇄ frames
//! ring/      producer               consumer         positions and memory orderings
//! segment/            layout                         one memory, two rings
//! os/        memory  event  process  endpoint        everything that differs between systems
//! ```
//!
//! `driver/` finds the peer and notices when it goes; `handshake/` has the state machines for it.
//!
//! # Which call for what
//!
//! | what you have, or want | sending | receiving |
//! |---|---|---|
//! | a message | [`send`](Link::send) | [`recv`](Link::recv), [`recv_into`](Link::recv_into) |
//! | a message in several pieces | [`send_vectored`](Link::send_vectored) | |
//! | no extra copy | [`reserve`](Link::reserve), fill, [`commit`](Reservation::commit) | [`recv_in_place`](Link::recv_in_place) |
//! | many small messages at once | [`send_batch`](Link::send_batch) | [`recv_batch`](Link::recv_batch) |
//! | one message of any length in little memory | [`send_stream`](Link::send_stream), [`send_from`](Link::send_from) | [`recv_stream`](Link::recv_stream) |
//!
//! The two columns may be combined freely. While a [`Reservation`] is held, other sends of the link wait;
//! while a [`View`] or a [`RecvStream`] is held, other receivers do. A thread that would wait for what it
//! holds itself gets [`ErrorKind::Deadlock`].
//!
//! ```
//! use std::io::{Read, Write};
//!
//! # let (host, guest) = twinring::testing::pair()?;
//! // In place: written where the peer will read it, read where it was written.
//! let mut message = host.reserve(100)?; // at most 100 bytes
//! write!(message, "frame {}", 7)?;
//! message.commit()?;
//! let view = guest.recv_in_place()?;
//! assert_eq!(view.get(0), Some(*b"frame"));
//! drop(view); // returns its room to the peer
//!
//! // Many at once.
//! host.send_batch(&["one", "two", "three"])?;
//! let mut letters = 0;
//! guest.recv_batch(|message| letters += message.len())?;
//! assert_eq!(letters, 11);
//!
//! // As a stream: complete with `finish`, read while it arrives.
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
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Guarantees
//! Within one connection each message arrives at most once, whole or not at all, and in the order
//! in which its thread sent it. When [`Link::send`] returns `Ok`, the message is committed: it is
//! delivered if the receiver lives and keeps reading, even if the sender's process dies right
//! after. Nothing is carried over to the next connection.
//!
//! # Threads
//! Messages do not pass through a background thread: the thread that calls `send` or `recv` works on the
//! ring itself. The library starts only these threads:
//!
//! | name | how many | what for, and for how long |
//! |---|---|---|
//! | `twinring` | one for a process | finds peers, does handshakes, notices when peers go; while there are links |
//! | `twinring-job` | one for each slow step: allocating the memory of a connection, looking into a [directory](Builder::directory) | only that, some milliseconds; longer if a directory does not answer |
//! | `twinring-calls` | one for each link with callbacks | runs them; while the link is open, and until a running callback has returned |
//! | `twinring-claim` | one for a process, on Windows | holds the names of its hosts; while there are any |

#[cfg(all(twinring_bench, not(loom)))]
#[doc(hidden)]
pub mod benching;
#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod frame;
#[cfg(all(fuzzing, not(loom)))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(loom))]
mod handshake;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
mod os;
// Under the model checker only the modules that it checks are built.
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod ring;
#[cfg_attr(loom, allow(dead_code))]
mod segment;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod sync;

#[cfg(all(feature = "_testing", not(loom)))]
#[doc(hidden)]
pub mod testing;
#[cfg(not(loom))]
mod transfer;

#[cfg(all(twinring_faults, not(loom)))]
#[doc(hidden)]
pub use self::os::faults;
#[cfg(not(loom))]
pub use self::{
    error::{Error, ErrorKind, Result},
    link::{
        Builder, Link, Messages, RecvHalf, RecvStream, Reservation, SendHalf, SendStream, View,
        ViewReader,
    },
    os::process::{Access, ParseUserError, Peer, User},
    transfer::{
        DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_MESSAGE, DEFAULT_RING_CAPACITY, DisconnectReason,
        MAX_NAME_LEN, Status, Wait,
    },
};
