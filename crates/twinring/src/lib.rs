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
//!     .on_status(|status| println!("service: {status}"))
//!     .on_message(|conn, message| {
//!         let _ = conn.send(&message.to_ascii_uppercase());
//!     })
//!     .open()?;
//!
//! // In its GUI, another process:
//! let gui = Link::guest(&name).open()?;
//! let conn = gui.within(Duration::from_secs(5)).next()?;
//! conn.send(b"hello")?;
//! assert_eq!(conn.recv()?, Some(b"HELLO".to_vec()));
//! # Ok(()) }
//! ```
//!
//! # A link and its connections
//! A [`Link`] is a name: it waits for a peer, and connects again by itself whenever the peer has gone. A
//! [`Connection`] is between two processes, once. What fails on a connection fails for good, and says how the
//! connection [ended](End); nothing that was sent on one goes to another. A [`Listener`] is a name for many guests.
//!
//! # How data flows
//! Down the left side, and up the right one in the other process:
//!
//! ```text
//!            Connection             Connection
//! link/      SendStream,            View, Batch,     what a program uses
//!            Reservation            RecvStream
//! transfer/  send → outbox          inbox            who may send, receive; waiting; one connection
//!                   outgoing        incoming
//! frame/     writer                 reader           messages ⇄ frames
//! ring/      producer               consumer         positions and memory orderings
//! segment/            layout                         one memory, two rings
//! os/        memory  event  process  endpoint  handles  everything that differs between systems
//! ```
//!
//! `driver/` finds the peer and notices when it goes; `handshake/` has the state machines for it.
//!
//! # Which call for what
//!
//! | what you have, or want | sending | receiving |
//! |---|---|---|
//! | a message | [`send`](Connection::send) | [`recv`](Connection::recv), [`recv_into`](Connection::recv_into) |
//! | a message in several pieces | [`send_vectored`](Connection::send_vectored) | |
//! | no extra copy | [`reserve`](Connection::reserve), fill, [`commit`](Reservation::commit) | [`recv_in_place`](Connection::recv_in_place) |
//! | many small messages at once | [`send_batch`](Connection::send_batch) | [`recv_batch`](Connection::recv_batch) |
//! | one message of any length in little memory | [`send_stream`](Connection::send_stream) | [`recv_stream`](Connection::recv_stream) |
//! | to hand over a file, a socket, the end of a link | [`send_with_handles`](Connection::send_with_handles) | [`recv_with_handles`](Connection::recv_with_handles) |
//! | to know what was done | [`flush`](Connection::flush), [`taken`](Connection::taken), [`take_unread`](Connection::take_unread) | [`Batch::take`] |
//! | to know how far the other side was | [`set_checkpoint`](Connection::set_checkpoint) | [`peer_checkpoint`](Connection::peer_checkpoint) |
//! | to await any of them | [`poll_ready`](Connection::poll_ready) | [`poll_ready`](Connection::poll_ready) |
//! | to end well | [`finish`](Connection::finish) | `Ok(None)` |
//! | to end otherwise | [`close`](Connection::close) | [`close`](Connection::close), [`stop`](Connection::stop) |
//!
//! The two columns may be combined freely. How long a call may wait is said once, on the handle:
//! [`within`](Connection::within). While a [`Reservation`] is held, other sends of the connection wait; while a
//! [`RecvStream`] is, other receivers do. A thread that would wait for what it holds itself gets
//! [`ErrorKind::Held`].
//!
//! ```
//! use std::io::{Read, Write};
//!
//! # let (host, guest) = twinring::testing::pair()?;
//! // In place: written where the peer will read it, read where it was written.
//! let mut message = host.reserve(100)?; // at most 100 bytes
//! write!(message, "frame {}", 7)?;
//! message.commit()?;
//! let view = guest.recv_in_place()?.unwrap();
//! assert_eq!(&view[..], b"frame 7");
//! drop(view); // returns its room to the peer
//!
//! // Many at once.
//! host.send_batch(&["one", "two", "three"])?;
//! let mut batch = guest.recv_batch()?.unwrap();
//! let mut letters = 0;
//! while let Some(message) = batch.next_message() {
//!     letters += message.len();
//! }
//! batch.take();
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
//! guest.recv_stream()?.unwrap().read_to_string(&mut text)?;
//! assert!(text.ends_with("row 99999\n"));
//! # sender.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Guarantees
//! Within one connection each message arrives at most once, whole or not at all, and in the order
//! in which its thread sent it. When [`Connection::send`] returns `Ok`, the message is committed: either the
//! peer takes it, even if the sender's process dies right after, or it is among what
//! [`take_unread`](Connection::take_unread) gives back after the end. Never neither; but of a message longer than a
//! frame (32 KiB, or a quarter of the ring) that it had taken in part, only that there was one ([`Unread::partial`]),
//! and what has [overtaken a stream](RecvStream) counts as taken before it is received. Never both, unless the peer
//! goes while it holds a view or a batch: then what it has received behind that comes back as well. Nothing is carried
//! over to the next connection.
//!
//! # Threads
//! Messages do not pass through a background thread: the thread that calls `send` or `recv` works on the
//! ring itself. The library starts only these threads:
//!
//! | name | how many | what for, and for how long |
//! |---|---|---|
//! | `twinring` | one for a process | finds peers, does handshakes, notices when peers go; while there are links |
//! | `twinring-job` | one for each slow step: allocating the memory of a connection, looking into a [directory](Builder::directory), removing what hosts have left behind that were killed, asking the program about a peer ([`admit`](Builder::admit)) | only that, some milliseconds; longer if a directory or the program does not answer |
//! | `twinring-serve` | 4 for each call of [`Listener::serve`], up to 64 while handlers wait | run the handlers; while that call runs |
//! | `twinring-calls` | one for each link with callbacks | runs them; while the link is open, and until a running callback has returned |
//! | `twinring-open` | one, on Windows, for a link that is opened by a thread that acts as another user | opens it as the process; until it is open |
//! | `twinring-probe` | one, on Windows, for a link that is dropped and whose name is not free after half a second | shows whether threads can start; at once, or as soon as they can |
//! | `twinring-claim` | one for a process, on Windows | holds the names of its hosts; while there are any |
//!
//! Everything may be dropped anywhere: also at the end of a thread, by a `thread_local`; and on Windows in `DllMain`, when
//! a plug-in is unloaded or the process ends. Where no thread can start or end meanwhile, a link that is dropped waits
//! a second at most for its name to be free. Do not open or [`close`](Link::close) a link there, and make no call that
//! waits for the peer. On Windows a library with links stays in memory until the process ends, whatever unloads it: its
//! threads may be about to end.

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
#[cfg(all(test, not(loom)))]
#[path = "../tests/common/page.rs"]
mod page;
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
    error::{By, End, Error, ErrorKind, Result},
    link::{
        Batch, Builder, Connection, Connections, Doorbell, Link, LinkEnd, Listener, RecvHalf,
        RecvStream, Reservation, SendHalf, SendStream, Status, Unread, View, WaitSet,
    },
    os::handles::{Handle, HandleKind, MAX_HANDLES},
    os::process::{Access, Group, Integrity, ParseGroupError, ParseUserError, Peer, User},
    transfer::{
        Checkpoint, DEFAULT_CLIENT_RING_CAPACITY, DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_CLIENTS,
        DEFAULT_MAX_MESSAGE, DEFAULT_RING_CAPACITY, Interest, MAX_CHECKPOINT_LEN, MAX_NAME_LEN,
        Taken, Timeout, Wait,
    },
};
