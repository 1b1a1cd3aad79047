//! The claim on a name: a lock file.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::net::{SocketAddrUnix, bind, listen};

use super::errors::unusable;
use super::files::{identity, leads_to, own_uid};
use super::listener::Listener;
use super::rendezvous::Rendezvous;
use super::rules::Rules;
use super::socket::stream_socket;
use crate::error::{Error, ErrorKind};
use crate::os::process::NotInChildren;
use crate::os::system_error;

/// Guests that may wait to be accepted; any more try again.
const BACKLOG: i32 = 16;

impl Rendezvous {
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
