//! Linux and macOS: poll(2).
//!
//! The doorbells are two stream sockets: the connection itself, whose end of file also says that the
//! peer hung up, rings for data; a second pair rings for space. They are sockets and not eventfds
//! because the two ends of a socket are two open file descriptions: the peer can neither fill our
//! end so that ringing blocks (each send is non-blocking by its own flag) nor change our flags.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
#[cfg(target_os = "linux")]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
#[cfg(target_os = "linux")]
use rustix::thread::futex;

use super::deadline::Deadline;

/// Bytes of a doorbell read per wake-up; any more stay for the next one.
const DRAIN: usize = 256;

#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Ready while the event is set.
    LocalEvent(&'a LocalEvent),
    /// Ready while the descriptor can be read.
    Readable(BorrowedFd<'a>),
    /// Ready while the descriptor can be written.
    Writable(BorrowedFd<'a>),
    /// Ready once the other end of the socket is gone.
    HungUp(BorrowedFd<'a>),
    /// Ready when rung, and then drained.
    Doorbell(&'a DoorbellSocket),
    /// For a poller: reported each time that it is rung.
    Rings(BorrowedFd<'a>),
    /// Never ready: used where a system has nothing to offer.
    Never,
}

/// What a program's own loop can wait for.
pub(crate) type Waitable<'a> = BorrowedFd<'a>;

impl<'a> From<Waitable<'a>> for Source<'a> {
    fn from(waitable: Waitable<'a>) -> Source<'a> {
        Source::Readable(waitable)
    }
}

/// Implements the system's traits for a type that has a method `waitable`.
macro_rules! impl_waitable {
    ($type:ty) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.waitable()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.waitable().as_raw_fd()
            }
        }
    };
}
pub(crate) use impl_waitable;

/// One doorbell: our end of a stream socket.
#[derive(Debug)]
pub(crate) struct DoorbellSocket {
    socket: OwnedFd,
    /// Set when the peer has closed its end: from then on the socket would always be readable.
    closed: AtomicBool,
}

impl DoorbellSocket {
    fn new(socket: OwnedFd) -> io::Result<DoorbellSocket> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(DoorbellSocket {
            socket,
            closed: AtomicBool::new(false),
        })
    }

    /// Rings. Returns whether the thread that sleeps at the other end, if any, wakes up.
    fn ring(&self) -> bool {
        loop {
            match send(&self.socket, &[1], SEND_FLAGS) {
                // The system has no memory for a byte right now.
                Err(Errno::NOBUFS | Errno::NOMEM) => return false,
                Err(Errno::INTR) => {}
                // A full socket has been rung already; a broken one has nobody at its other end, which the
                // driver's watch of the connection finds out by itself.
                Ok(_) | Err(_) => return true,
            }
        }
    }

    fn drain(&self) {
        let mut bytes = [0u8; DRAIN];
        match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.closed.store(true, Ordering::Relaxed),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.closed.store(true, Ordering::Relaxed),
        }
    }
}

#[cfg(target_os = "linux")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
/// macOS has no such flag for SIGPIPE; SO_NOSIGPIPE is set on the sockets instead.
#[cfg(target_os = "macos")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

#[derive(Debug)]
pub(crate) struct Doorbells {
    data: DoorbellSocket,
    space: DoorbellSocket,
    /// The same socket as of `data`, for a poller that watches that for the peer's end already.
    rings: OnceLock<OwnedFd>,
}

impl Doorbells {
    /// The end of the connection's socket is closed by the peer, or by the kernel with it.
    pub(crate) const HANG_UP_IS_FINAL: bool = true;
    /// What is sent to a socket arrives at its other end.
    pub(crate) const RINGS_ITSELF: bool = false;

    /// `connection` is the socket of the handshake, `space` the end of a second pair.
    pub(in crate::os) fn new(connection: OwnedFd, space: OwnedFd) -> io::Result<Doorbells> {
        Ok(Doorbells {
            data: DoorbellSocket::new(connection)?,
            space: DoorbellSocket::new(space)?,
            rings: OnceLock::new(),
        })
    }

    pub(crate) fn ring_data(&self) -> bool {
        self.data.ring()
    }

    pub(crate) fn ring_space(&self) -> bool {
        self.space.ring()
    }

    pub(crate) fn ring_own_data(&self) {}

    /// The hang-up will show.
    pub(crate) fn ring_own(&self) {}

    pub(crate) fn prepare_rings(&self) -> io::Result<()> {
        if self.rings.get().is_none() {
            let rings = rustix::io::fcntl_dupfd_cloexec(&self.data.socket, 0)?;
            // The driver alone does this.
            let _ = self.rings.set(rings);
        }
        Ok(())
    }

    pub(crate) fn data_rings(&self) -> Source<'_> {
        let rings = self.rings.get();
        rings.map_or(Source::Never, |rings| Source::Rings(rings.as_fd()))
    }

    pub(crate) fn space_rings(&self) -> Source<'_> {
        Source::Rings(self.space.socket.as_fd())
    }

    pub(crate) fn data_waitable(&self) -> Waitable<'_> {
        self.data.socket.as_fd()
    }

    pub(crate) fn space_waitable(&self) -> Waitable<'_> {
        self.space.socket.as_fd()
    }

    pub(crate) fn heard_data(&self, others: bool) {
        // A thread that sleeps on it drains it.
        if !others {
            self.data.drain();
        }
    }

    pub(crate) fn heard_space(&self, others: bool) {
        if !others {
            self.space.drain();
        }
    }

    pub(crate) fn hang_up(&self) {
        // Fails only if the peer hung up first.
        let _ = shutdown(&self.data.socket, Shutdown::Both);
        let _ = shutdown(&self.space.socket, Shutdown::Both);
    }

    pub(crate) fn data(&self) -> Source<'_> {
        Source::Doorbell(&self.data)
    }

    pub(crate) fn space(&self) -> Source<'_> {
        Source::Doorbell(&self.space)
    }

    pub(crate) fn hung_up(&self) -> Source<'_> {
        Source::HungUp(self.data.socket.as_fd())
    }
}

#[derive(Debug)]
pub(crate) struct LocalEvent {
    /// The end to wait on.
    read_end: OwnedFd,
    /// The end to write to; the same object on Linux.
    #[cfg(not(target_os = "linux"))]
    write_end: OwnedFd,
    /// 1 while the event is set, for threads that wait for words.
    #[cfg(target_os = "linux")]
    word: AtomicU32,
}

impl LocalEvent {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<LocalEvent> {
        use rustix::event::{EventfdFlags, eventfd};
        let read_end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(LocalEvent {
            read_end,
            word: AtomicU32::new(0),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<LocalEvent> {
        use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
        let (read_end, write_end) = rustix::pipe::pipe()?;
        for fd in [&read_end, &write_end] {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
            ioctl_fionbio(fd, true)?;
        }
        Ok(LocalEvent {
            read_end,
            write_end,
        })
    }

    pub(crate) fn set(&self) {
        #[cfg(target_os = "linux")]
        let write_end = {
            // Release: a thread that this wakes sees why.
            self.word.store(1, Ordering::Release);
            // Cannot fail for an address that is mapped.
            let _ = futex::wake(&self.word, futex::Flags::PRIVATE, i32::MAX as u32);
            &self.read_end
        };
        #[cfg(not(target_os = "linux"))]
        let write_end = &self.write_end;
        // Only "full" can go wrong, and then the event is set. (An eventfd takes 8 bytes at a time; a
        // pipe takes them as well.)
        let _ = rustix::io::write(write_end, &1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        #[cfg(target_os = "linux")]
        self.word.store(0, Ordering::Relaxed);
        let mut bytes = [0u8; DRAIN];
        while matches!(rustix::io::read(&self.read_end, &mut bytes), Ok(n) if n == DRAIN) {}
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::LocalEvent(self)
    }

    /// Readable while it is set.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }

    /// Not 0 while it is set.
    #[cfg(target_os = "linux")]
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.word
    }
}

pub(crate) fn wait(sources: &[Source<'_>], deadline: Deadline) -> io::Result<Option<usize>> {
    #[cfg(target_os = "linux")]
    const HUNG_UP: PollFlags = PollFlags::RDHUP;
    /// Here POLLHUP also says that the other end has only shut down its sending; it has to be
    /// requested when nothing else is.
    #[cfg(target_os = "macos")]
    const HUNG_UP: PollFlags = PollFlags::HUP;
    #[cfg(target_os = "linux")]
    const LONGEST: u64 = i64::MAX as u64;
    /// Here a timeout is milliseconds in 32 bits, so a longer one is waited for in pieces.
    #[cfg(target_os = "macos")]
    const LONGEST: u64 = 24 * 60 * 60;

    // A doorbell whose peer has closed it would be reported as readable for ever, so it is left out.
    let (index, mut list): (Vec<usize>, Vec<PollFd<'_>>) = sources
        .iter()
        .enumerate()
        .filter_map(|(i, source)| {
            let (fd, flags) = match *source {
                Source::LocalEvent(event) => (event.read_end.as_fd(), PollFlags::IN),
                Source::Readable(fd) => (fd, PollFlags::IN),
                Source::Writable(fd) => (fd, PollFlags::OUT),
                Source::HungUp(fd) => (fd, HUNG_UP),
                Source::Doorbell(doorbell) if !doorbell.closed.load(Ordering::Relaxed) => {
                    (doorbell.socket.as_fd(), PollFlags::IN)
                }
                Source::Doorbell(_) | Source::Rings(_) | Source::Never => return None,
            };
            Some((i, PollFd::from_borrowed_fd(fd, flags)))
        })
        .unzip();
    loop {
        let timeout = deadline.left().map(|left| Timespec {
            tv_sec: left.as_secs().min(LONGEST) as i64,
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut list, timeout.as_ref()) {
            Ok(0) if cfg!(target_os = "linux") || deadline.passed() => return Ok(None),
            // Too early. Either a piece of a long wait is over, or only the hang-up of a socket was
            // requested and it has unread bytes, for which macOS returns at once without reporting
            // anything: look again soon, but do not spin.
            #[cfg(target_os = "macos")]
            Ok(0) => std::thread::sleep(std::time::Duration::from_millis(1)),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
        if let Some(at) = list.iter().position(|fd| !fd.revents().is_empty()) {
            if let Source::Doorbell(doorbell) = sources[index[at]] {
                doorbell.drain();
            }
            return Ok(Some(index[at]));
        }
    }
}
