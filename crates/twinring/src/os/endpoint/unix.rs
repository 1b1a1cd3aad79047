//! Linux and macOS: a lock file and a Unix socket in a directory that only the host's user can write.
//!
//! For a name whose key is `K` the directory holds `K.lock`, locked by the host for as long as it
//! lives and never deleted (a deleted lock file can be locked twice), and `K.sock`. The socket is
//! created as `K.new` and renamed once it listens: a guest that sees `K.sock` can connect to it, or it
//! belongs to a dead host, and the next host replaces it under the lock.
//!
//! | link                  | directory                  | made                    | belongs to            |
//! |-----------------------|----------------------------|-------------------------|-----------------------|
//! | of one user           | the runtime directory      | 0700 by the first of them | the user            |
//! | the same              | named by `directory`       | 0700 by the first of them | the user or root    |
//! | between users, host   | named, or the system's     | 0755 by the host        | the host's user or root |
//! | the same, guest       | the same                   | never                   | a user trusted as host, or root |
//!
//! In no case may others write to it. A guest checks the directory and the socket each time before
//! it connects, and then asks the kernel who listens there (`identify`).

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, mkdirat,
    openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio, read, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SocketAddrUnix, SocketType, accept, bind, connect,
    listen, recvmsg, sendmsg, socket, socketpair,
};
use rustix::net::{SendFlags, sockopt};

use super::common::{HANDOVER, PACKET, Packet, RendezvousOptions, refused};
use crate::error::{Error, ErrorKind};
use crate::os::event::{Doorbells, Source};
use crate::os::memory::{Memory, Pages};
use crate::os::process::{Access, NotInChildren, Peer, Process, User};
use crate::os::system_error;

/// Guests that may wait to be accepted; any more try again.
const BACKLOG: i32 = 16;

/// The most descriptors that one message can carry (SCM_MAX_FD of Linux): the buffer has room for
/// all of them, so that surplus ones arrive, and are closed, instead of leaking.
const MOST_FDS: usize = 253;

/// What an offer carries: the memory, and the guest's end of the doorbell for space.
const OFFERED: usize = 2;

/// The directory for links between different users if root is one of them.
const SYSTEM_DIRECTORY: &str = if cfg!(target_os = "macos") {
    "/var/run/twinring"
} else {
    "/run/twinring"
};

#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    directory: PathBuf,
    key: String,
    socket: SocketAddrUnix,
    rules: Rules,
    /// Users whose sockets a guest connects to.
    hosts: Vec<u32>,
    named: bool,
}

impl Rendezvous {
    /// A host sees us as the same user that `new` has seen, on the same thread.
    pub(crate) const CONNECTS_ON_ANY_THREAD: bool = true;

    pub(crate) fn new(key: &str, options: &RendezvousOptions) -> Result<Rendezvous, Error> {
        let whose = |e| system_error("cannot find out which user this process runs as", e);
        let shared = options.access.is_shared().map_err(whose)?;
        let hosts = options.access.hosts().map_err(whose)?;
        let hosts: Vec<u32> = hosts.into_iter().map(|user| user.0).collect();
        let directory = match &options.directory {
            Some(directory) => directory.clone(),
            None if shared => shared_directory(&options.access)?,
            None => runtime_directory()?,
        };
        let path = directory.join(format!("{key}.sock"));
        let socket = SocketAddrUnix::new(&path).map_err(|e| {
            Error::new(
                ErrorKind::RuntimeDirectory,
                format!(
                    "the path {} is too long for a socket; use a runtime directory with a shorter path",
                    path.display()
                ),
            )
            .with_source(e)
        })?;
        let rules = match (shared, options.is_guest) {
            (true, false) => Rules::HostsOfOthers,
            (true, true) => Rules::GuestsOf(hosts.clone()),
            (false, _) if options.directory.is_none() => Rules::Private,
            (false, _) => Rules::Named,
        };
        rules.make(&directory)?;
        // A guest may come before a host of another user has created it.
        if rules.open(&directory)?.is_none() && !(options.is_guest && shared) {
            return Err(unusable(&directory, Errno::NOENT));
        }
        Ok(Rendezvous {
            directory,
            key: key.to_owned(),
            socket,
            rules,
            hosts,
            named: options.directory.is_some(),
        })
    }

    pub(crate) fn may_be_slow(&self) -> bool {
        self.named
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the names of its files begin with.
    #[cfg(target_os = "linux")]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn claim(&self, label: &str) -> Result<Option<NameClaim>, Error> {
        let directory = self
            .rules
            .open(&self.directory)?
            .ok_or_else(|| unusable(&self.directory, Errno::NOENT))?;
        let path = format!("{}.lock", self.key);
        loop {
            let lock = openat(
                &directory,
                &path,
                OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW,
                Mode::RUSR | Mode::WUSR,
            )
            .map_err(|e| {
                // If it is another user's, that is the error to report.
                let named = statat(&directory, &path, AtFlags::SYMLINK_NOFOLLOW);
                named
                    .ok()
                    .and_then(|named| self.check_lock(&named).err())
                    .unwrap_or_else(|| self.failed("open the lock file", e))
            })?;
            let ours = fstat(&lock).map_err(|e| self.failed("look at the lock file", e))?;
            self.check_lock(&ours)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(self.failed("lock the lock file", e)),
            }
            // Someone may have removed the file between the two calls; a lock on a file without a
            // name excludes nobody.
            match statat(&directory, &path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if identity(&named) == identity(&ours) => {}
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(e) => return Err(self.failed("look at the lock file", e)),
            }
            // For people only; if it fails (a full disk), that is no reason not to run.
            let _ = rustix::fs::ftruncate(&lock, 0);
            let _ = write(
                &lock,
                format!("process {}: {label}\n", std::process::id()).as_bytes(),
            );
            return Ok(Some(NameClaim {
                place: self.clone(),
                directory,
                lock: NotInChildren::new(lock),
            }));
        }
    }

    pub(crate) fn claimant(&self) -> Option<String> {
        let path = format!("{}.lock", self.key);
        let lock = openat(
            CWD,
            self.directory.join(path),
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .ok()?;
        let mut text = [0u8; 32];
        let n = read(&lock, &mut text).ok()?;
        let text = std::str::from_utf8(&text[..n]).ok()?;
        Some(text.split(':').next()?.to_owned()).filter(|owner| owner.starts_with("process "))
    }

    pub(crate) fn connect(&self) -> io::Result<Option<Channel>> {
        // Each time: the directory may have been created or replaced since.
        let Some(directory) = self.rules.open(&self.directory)? else {
            return Ok(None);
        };
        match statat(&directory, self.socket_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => self.check_socket(&stat)?,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        let fd = stream_socket()?;
        match connect(&fd, &self.socket) {
            Ok(()) => Ok(Some(Channel::new(fd))),
            // No host, a dead host's socket, or a host whose queue is full.
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::INPROGRESS) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn socket_name(&self) -> String {
        format!("{}.sock", self.key)
    }

    /// The owner of the lock file can take the lock and keep it.
    fn check_lock(&self, stat: &Stat) -> Result<(), Error> {
        let path = self.directory.join(format!("{}.lock", self.key));
        let uid = own_uid();
        if stat.st_uid != uid {
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "the lock file {} belongs to user {}, not to user {uid}; host the link as that \
                     user, or remove the file if nobody uses it",
                    path.display(),
                    stat.st_uid
                ),
            ));
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(
                ErrorKind::RuntimeDirectory,
                format!("{} is no plain file; remove it", path.display()),
            ));
        }
        Ok(())
    }

    /// Only a socket of a user trusted as host is connected to.
    fn check_socket(&self, stat: &Stat) -> Result<(), Error> {
        let path = self.directory.join(self.socket_name());
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Err(Error::new(
                ErrorKind::RuntimeDirectory,
                format!("{} is no socket; remove it", path.display()),
            ));
        }
        if self.hosts.contains(&stat.st_uid) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongOwner,
            format!(
                "the socket {} belongs to user {}, and only a host of {} is trusted; remove it or, \
                 if it is the right one, name its user in this guest's Access::Users",
                path.display(),
                stat.st_uid,
                users(&self.hosts)
            ),
        ))
    }

    fn failed(&self, what: &str, e: Errno) -> Error {
        system_error(
            &format!("cannot {what} of this link in {}", self.directory.display()),
            e.into(),
        )
    }
}

/// The directory for this user's links: the user's own, which lasts as long as the login.
///
/// Never a shared one such as /tmp, where anybody could take the name first.
fn runtime_directory() -> Result<PathBuf, Error> {
    let from_env = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(own) = from_env("TWINRING_RUNTIME_DIR") {
        return Ok(own);
    }
    if let Some(xdg) = from_env("XDG_RUNTIME_DIR") {
        return Ok(xdg.join("twinring"));
    }
    #[cfg(target_os = "macos")]
    if let Some(own) = from_env("TMPDIR") {
        return Ok(own.join("twinring"));
    }
    let uid = own_uid();
    let login = PathBuf::from(format!("/run/user/{uid}"));
    if login.is_dir() {
        return Ok(login.join("twinring"));
    }
    // Not the system directory itself, which others can reach.
    if uid == 0 && Path::new("/run").is_dir() {
        return Ok(PathBuf::from("/run/twinring-0"));
    }
    Err(Error::new(
        ErrorKind::RuntimeDirectory,
        format!(
            "user {uid} has no runtime directory: neither TWINRING_RUNTIME_DIR nor XDG_RUNTIME_DIR \
             is set and /run/user/{uid} does not exist; set TWINRING_RUNTIME_DIR to a directory \
             that only this user can write"
        ),
    ))
}

/// The directory for a link between users who have not named one.
fn shared_directory(access: &Access) -> Result<PathBuf, Error> {
    let root = |users: &Vec<User>| users.iter().any(|user| user.0 == 0);
    let with_root = match access {
        Access::Users(users) => own_uid() == 0 || root(users),
        _ => true,
    };
    if with_root {
        return Ok(PathBuf::from(SYSTEM_DIRECTORY));
    }
    Err(Error::new(
        ErrorKind::RuntimeDirectory,
        "a link between different users, none of them root, has no directory of its own; name one on \
         both sides with Builder::directory: it must belong to the host's user, only that user may \
         write to it, and the guests must be able to reach it (mode 755)",
    ))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn users(uids: &[u32]) -> String {
    let users: Vec<_> = uids.iter().map(|uid| format!("user {uid}")).collect();
    users.join(" or ")
}

/// What a directory must be like, so that nobody else can change what is in it. See the table at the
/// top of this file.
#[derive(Clone, Debug)]
enum Rules {
    /// This user's own: nobody else can even reach it.
    Private,
    /// One user's, named by that user.
    Named,
    /// For a host whose guests are other users.
    HostsOfOthers,
    /// For a guest that trusts hosts of these users.
    GuestsOf(Vec<u32>),
}

impl Rules {
    /// Creates the directory if it does not exist and is ours to create.
    fn make(&self, path: &Path) -> Result<(), Error> {
        match self {
            Rules::GuestsOf(_) => return Ok(()),
            Rules::Private | Rules::Named | Rules::HostsOfOthers => {}
        }
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(unusable(path, e)),
        }
        if matches!(self, Rules::HostsOfOthers) {
            // By descriptor, since the path may lead elsewhere by now. Not by `mkdirat`, because of
            // the umask.
            let fd = openat(CWD, path, DIRECTORY, Mode::empty()).map_err(|e| unusable(path, e))?;
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            fchmod(&fd, mode).map_err(|e| unusable(path, e))?;
        }
        Ok(())
    }

    /// Opens the directory and checks it; `None` if there is none.
    fn open(&self, path: &Path) -> Result<Option<OwnedFd>, Error> {
        let fd = match openat(CWD, path, DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(unusable(path, e)),
        };
        let stat = fstat(&fd).map_err(|e| unusable(path, e))?;
        self.check(path, &stat)?;
        Ok(Some(fd))
    }

    fn check(&self, path: &Path, stat: &Stat) -> Result<(), Error> {
        let own = own_uid();
        let mut owners = match self {
            Rules::Private | Rules::Named | Rules::HostsOfOthers => vec![own],
            Rules::GuestsOf(hosts) => hosts.clone(),
        };
        if !matches!(self, Rules::Private) && !owners.contains(&0) {
            owners.push(0);
        }
        if !owners.contains(&stat.st_uid) {
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "the runtime directory {} belongs to user {}, not to {}; use another directory \
                     or, if that user's is the right one, name the user in Access::Users",
                    path.display(),
                    stat.st_uid,
                    users(&owners)
                ),
            ));
        }
        // Mode, because the raw bits have another type on macOS.
        let mode = Mode::from_raw_mode(stat.st_mode);
        let refused = |what: &str, change: &str| {
            let why = format!(
                "is {what} (mode {:o}): chmod {change} {}",
                mode.as_raw_mode() & 0o7777,
                path.display()
            );
            Err(useless(path, &why))
        };
        match self {
            Rules::Private if mode.intersects(Mode::RWXG | Mode::RWXO) => {
                refused("open to other users; make it private", "700")
            }
            _ if mode.intersects(Mode::WGRP | Mode::WOTH) => {
                refused("open to other users, who could write to it", "go-w")
            }
            Rules::HostsOfOthers if !mode.intersects(Mode::XGRP | Mode::XOTH) => {
                refused("closed to the users who are to be guests", "go+x")
            }
            _ => Ok(()),
        }
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);

fn useless(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::RuntimeDirectory,
        format!("the runtime directory {} {why}", path.display()),
    )
}

fn unusable(path: &Path, e: Errno) -> Error {
    let e = io::Error::from(e);
    if e.kind() == io::ErrorKind::PermissionDenied || crate::os::is_out_of_handles(&e) {
        let what = format!(
            "cannot make or open the runtime directory {}",
            path.display()
        );
        return system_error(&what, e);
    }
    useless(path, &format!("cannot be used: {e}"))
}

fn stream_socket() -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    prepare(&fd)?;
    Ok(fd)
}

/// Not inherited by programs that are started, non-blocking, no SIGPIPE.
fn prepare(fd: &OwnedFd) -> io::Result<()> {
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    ioctl_fionbio(fd, true)?;
    #[cfg(target_os = "macos")]
    sockopt::set_socket_nosigpipe(fd, true).map_err(|e| match e {
        // What macOS reports for a socket whose other end is gone already.
        Errno::INVAL => Errno::CONNABORTED,
        e => e,
    })?;
    Ok(())
}

/// What distinguishes a file from every other, whatever its name.
fn identity(stat: &Stat) -> (u64, u64) {
    // These have other types on macOS.
    #[allow(clippy::unnecessary_cast, reason = "not on every system")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Whether `path` leads to the file of this identity.
fn leads_to(path: &Path, file: (u64, u64)) -> bool {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|named| identity(&named) == file)
}

#[derive(Debug)]
pub(crate) struct NameClaim {
    place: Rendezvous,
    /// The directory that was checked, wherever its path leads now.
    directory: OwnedFd,
    lock: NotInChildren,
}

impl NameClaim {
    pub(crate) fn listen(&self) -> Result<Listener, Error> {
        let place = &self.place;
        let fresh = format!("{}.new", place.key);
        let fail = |e: io::Error| {
            system_error(
                &format!("cannot listen in {}", place.directory.display()),
                e,
            )
        };
        // We hold the lock, so anything here belongs to a dead host.
        match unlinkat(&self.directory, &fresh, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(fail(e.into())),
        }
        let fd = stream_socket().map_err(fail)?;
        let at = SocketAddrUnix::new(place.directory.join(&fresh)).map_err(|e| fail(e.into()))?;
        bind(&fd, &at).map_err(|e| fail(e.into()))?;
        // For other users, the kernel's word on who calls keeps the wrong ones out.
        let mode = match place.rules {
            Rules::HostsOfOthers => 0o666,
            Rules::Private | Rules::Named | Rules::GuestsOf(_) => 0o600,
        };
        rustix::fs::chmodat(
            &self.directory,
            &fresh,
            Mode::from_raw_mode(mode),
            AtFlags::empty(),
        )
        .map_err(|e| fail(e.into()))?;
        listen(&fd, BACKLOG).map_err(|e| fail(e.into()))?;
        let made = statat(&self.directory, &fresh, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| fail(e.into()))?;
        let name = place.socket_name();
        renameat(&self.directory, &fresh, &self.directory, &name).map_err(|e| fail(e.into()))?;
        Ok(Listener {
            socket: NotInChildren::new(fd),
            path: place.directory.join(name),
            file: identity(&made),
        })
    }

    pub(crate) fn is_lost(&self) -> bool {
        let path = self
            .place
            .directory
            .join(format!("{}.lock", self.place.key));
        !fstat(&self.lock).is_ok_and(|ours| leads_to(&path, identity(&ours)))
    }
}

impl Drop for NameClaim {
    fn drop(&mut self) {
        // The lock is still held, so this is our own socket, if this is still the directory in which
        // guests look. A killed host leaves it behind, which costs the next guest one refused
        // connect.
        if !self.is_lost() {
            let _ = unlinkat(&self.directory, self.place.socket_name(), AtFlags::empty());
        }
        // Unlocked explicitly and not only by closing it: a process that another thread is just
        // starting has a copy of the descriptor for a moment.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: NotInChildren,
    path: PathBuf,
    /// The identity of the socket's file.
    file: (u64, u64),
}

impl Listener {
    pub(crate) fn is_lost(&self) -> bool {
        !leads_to(&self.path, self.file)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Readable(self.socket.as_fd())
    }

    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        match accept(&self.socket) {
            Ok(fd) => match prepare(&fd) {
                Ok(()) => Ok(Some(Channel::new(fd))),
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
                Err(e) => Err(e),
            },
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    /// What it waits for: to write (`true`) or to read.
    sending: AtomicBool,
    partial: Mutex<Partial>,
}

/// A packet that has been sent or received in part.
#[derive(Debug)]
struct Partial {
    packet: Packet,
    done: usize,
    fds: Vec<OwnedFd>,
}

impl Partial {
    const NONE: Partial = Partial {
        packet: [0; PACKET],
        done: 0,
        fds: Vec::new(),
    };
}

impl Channel {
    fn new(socket: OwnedFd) -> Channel {
        Channel {
            socket,
            sending: AtomicBool::new(false),
            partial: Mutex::new(Partial::NONE),
        }
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        // Nothing can panic while it is held.
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn identify(&self) -> io::Result<(Process, Peer)> {
        Process::of_socket(&self.socket)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        match self.sending.load(Ordering::Relaxed) {
            true => Source::Writable(self.socket.as_fd()),
            false => Source::Readable(self.socket.as_fd()),
        }
    }

    pub(crate) fn make_offer(
        &self,
        PreparedOffer { space, ours }: PreparedOffer,
        _: &Process,
        memory: OwnedFd,
    ) -> io::Result<Offer> {
        Ok(Offer {
            memory,
            space,
            ours,
        })
    }

    pub(crate) fn finish_host(self, offer: Offer) -> io::Result<Doorbells> {
        Doorbells::new(self.socket, offer.ours)
    }

    pub(crate) fn finish_guest(self, taken: Taken) -> io::Result<Doorbells> {
        Doorbells::new(self.socket, taken.space)
    }

    pub(crate) fn reset(&self) {
        *self.partial() = Partial::NONE;
    }

    pub(crate) fn send(&self, packet: &Packet, offer: Option<&Offer>) -> io::Result<()> {
        self.sending.store(true, Ordering::Relaxed);
        let mut partial = self.partial();
        while partial.done < PACKET {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERED))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds;
            if let (0, Some(offer)) = (partial.done, offer) {
                fds = [offer.memory.as_fd(), offer.space.as_fd()];
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let bytes = [io::IoSlice::new(&packet[partial.done..])];
            match sendmsg(
                &self.socket,
                &bytes,
                &mut control,
                SendFlags::DONTWAIT | NO_SIGNAL,
            ) {
                Ok(n) => partial.done += n,
                Err(Errno::INTR) => {}
                // Includes "would block".
                Err(e) => return Err(e.into()),
            }
        }
        *partial = Partial::NONE;
        Ok(())
    }

    pub(crate) fn receive(&self) -> io::Result<(Packet, Handover)> {
        self.sending.store(false, Ordering::Relaxed);
        let mut partial = self.partial();
        while partial.done < PACKET {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let Partial { packet, done, fds } = &mut *partial;
            // Never beyond this packet: what follows it are doorbell bytes.
            let mut bytes = [io::IoSliceMut::new(&mut packet[*done..])];
            match recvmsg(
                &self.socket,
                &mut bytes,
                &mut control,
                RecvFlags::DONTWAIT | CLOEXEC,
            ) {
                Ok(message) => {
                    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
                    for item in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(new) = item {
                            fds.extend(new);
                        }
                    }
                    // There was room for everything one message can carry, so it is this process that
                    // cannot take the descriptors.
                    if truncated {
                        return Err(Errno::MFILE.into());
                    }
                    if fds.len() > MOST_FDS {
                        return Err(refused("the peer sent too many descriptors"));
                    }
                    if message.bytes == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *done += message.bytes;
                }
                Err(Errno::INTR) => {}
                // Includes "would block".
                Err(e) => return Err(e.into()),
            }
        }
        let Partial { packet, fds, .. } = mem::replace(&mut *partial, Partial::NONE);
        for fd in &fds {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
        if packet[HANDOVER].iter().any(|byte| *byte != 0) {
            return Err(refused(
                "a handshake message has bytes set that must be zero",
            ));
        }
        Ok((packet, Handover { fds }))
    }
}

#[cfg(target_os = "linux")]
const CLOEXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
/// macOS has no such flag; `receive` sets CLOEXEC right after.
#[cfg(target_os = "macos")]
const CLOEXEC: RecvFlags = RecvFlags::empty();
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// macOS has no such flag; SO_NOSIGPIPE is set on the socket.
#[cfg(target_os = "macos")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

#[derive(Debug)]
pub(crate) struct Offer {
    memory: OwnedFd,
    /// The guest's end of the doorbell for space.
    space: OwnedFd,
    /// Our end of it.
    ours: OwnedFd,
}

/// The doorbell for space.
#[derive(Debug)]
pub(crate) struct PreparedOffer {
    space: OwnedFd,
    ours: OwnedFd,
}

impl PreparedOffer {
    pub(crate) fn new() -> io::Result<PreparedOffer> {
        let (ours, space) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            rustix::net::SocketFlags::empty(),
            None,
        )?;
        prepare(&ours)?;
        prepare(&space)?;
        Ok(PreparedOffer { space, ours })
    }
}

#[derive(Debug)]
pub(crate) struct Handover {
    fds: Vec<OwnedFd>,
}

impl Handover {
    pub(crate) fn none_expected(&self) -> io::Result<()> {
        match self.fds.len() {
            0 => Ok(()),
            n => Err(refused(format!("the peer sent {n} descriptors unasked"))),
        }
    }

    pub(crate) fn open(
        self,
        _: &mut Process,
        len: usize,
        pages: Pages,
    ) -> io::Result<(Memory, Taken)> {
        let n = self.fds.len();
        let [memory, space]: [OwnedFd; OFFERED] = self.fds.try_into().map_err(|_| {
            refused(format!(
                "the host sent {n} descriptors instead of {OFFERED}"
            ))
        })?;
        let memory = Memory::open(memory, len, pages)?;
        let stat = fstat(&space)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket
            || sockopt::socket_type(&space)? != SocketType::STREAM
        {
            return Err(refused("the doorbell handed over is no stream socket"));
        }
        prepare(&space)?;
        Ok((memory, Taken { space }))
    }
}

#[derive(Debug)]
pub(crate) struct Taken {
    space: OwnedFd,
}
