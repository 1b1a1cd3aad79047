//! The claim on a name: a lock file, and the socket made under it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fstat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, listen};

use super::errors::unusable;
use super::files::{identity, leads_to, own_uid};
use super::leftovers;
use super::listener::HostListener;
use super::lock::{self, Locked};
use super::rendezvous::Rendezvous;
use super::rules::Rules;
use super::socket::stream_socket;
use crate::error::{Error, ErrorKind};
use crate::os::process::NotInChildren;
use crate::os::system_error;

/// How long to remove what others have left, on a thread that does nothing else.
const TIDY: Duration = Duration::from_millis(20);
/// The same while the program waits.
const TIDY_IN_HASTE: Duration = Duration::from_millis(2);

/// Guests that may wait to be accepted; any more try again.
const BACKLOG: i32 = 16;

impl Rendezvous {
    pub(crate) fn claim(&self, label: &str) -> Result<Option<NameClaim>, Error> {
        let directory = self
            .rules
            .open(&self.directory)?
            .ok_or_else(|| unusable(&self.directory, Errno::NOENT))?;
        loop {
            let file = lock::open(&directory, &self.key, true).map_err(|e| {
                // If it is another user's, that is the error to report.
                let name = lock::name(&self.key);
                let named = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
                named
                    .ok()
                    .and_then(|named| self.check_lock(&named).err())
                    .unwrap_or_else(|| self.failed("open the lock file", e))
            })?;
            let stat = fstat(&file).map_err(|e| self.failed("look at the lock file", e))?;
            self.check_lock(&stat)?;
            match lock::lock(&file, &stat, &directory, &self.key) {
                Ok(Locked::Ours) => {}
                Ok(Locked::NotOurs) => return Ok(None),
                Ok(Locked::Removed) => continue,
                Err(e) => return Err(self.failed("lock the lock file", e)),
            }
            lock::write_text(&file, label);
            return Ok(Some(NameClaim {
                place: self.clone(),
                directory,
                lock: file,
                is_tidy: false,
            }));
        }
    }

    pub(crate) fn claimant(&self) -> Option<String> {
        let lock = openat(
            CWD,
            self.directory.join(lock::name(&self.key)),
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .ok()?;
        lock::read_text(&lock)
    }

    /// The owner of the lock file can take the lock and keep it. What has another name as well may be
    /// another program's file, and would be written to.
    fn check_lock(&self, stat: &Stat) -> Result<(), Error> {
        let path = self.directory.join(lock::name(&self.key));
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
        if stat.st_nlink > 1 {
            return Err(Error::new(
                ErrorKind::RuntimeDirectory,
                format!(
                    "the lock file {} has another name as well (it has {} hard links), so it may be \
                     another program's file; remove it",
                    path.display(),
                    stat.st_nlink
                ),
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
    is_tidy: bool,
}

impl NameClaim {
    pub(crate) fn listen(&self) -> Result<HostListener, Error> {
        let fresh = format!("{}.new", self.place.key);
        let listener = self.listen_at(&fresh);
        if listener.is_err() {
            let _ = unlinkat(&self.directory, &fresh, AtFlags::empty());
        }
        listener
    }

    /// Listens under this name, and renames it to the one that guests know.
    fn listen_at(&self, fresh: &str) -> Result<HostListener, Error> {
        let place = &self.place;
        let fail = |e| place.failed("make the socket", e);
        // We hold the lock, so anything here belongs to a dead host.
        match unlinkat(&self.directory, fresh, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(fail(e)),
        }
        let fd = stream_socket().map_err(|e| system_error("cannot make a socket", e))?;
        let socket = NotInChildren::new(fd);
        let at = SocketAddrUnix::new(place.directory.join(fresh)).map_err(fail)?;
        bind(&socket, &at).map_err(fail)?;
        // For other users, the kernel's word on who calls keeps the wrong ones out.
        let mode = match place.rules {
            Rules::HostsOfOthers => 0o666,
            Rules::Private | Rules::Named | Rules::GuestsOf(_) => 0o600,
        };
        let mode = Mode::from_raw_mode(mode);
        chmodat(&self.directory, fresh, mode, AtFlags::empty()).map_err(fail)?;
        listen(&socket, BACKLOG).map_err(fail)?;
        let made = statat(&self.directory, fresh, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let name = place.socket_name();
        renameat(&self.directory, fresh, &self.directory, &name).map_err(fail)?;
        Ok(HostListener {
            socket,
            path: place.directory.join(name),
            file: identity(&made),
        })
    }

    pub(crate) fn may_tidy() -> bool {
        leftovers::may_look()
    }

    pub(crate) fn tidy(&mut self) {
        self.is_tidy = true;
        leftovers::remove_some(&self.directory, &self.place.key, TIDY);
    }

    pub(crate) fn is_lost(&self) -> bool {
        let path = self.place.directory.join(lock::name(&self.place.key));
        !fstat(&self.lock).is_ok_and(|ours| leads_to(&path, identity(&ours)))
    }
}

impl Drop for NameClaim {
    fn drop(&mut self) {
        if !self.is_tidy && leftovers::may_look() {
            leftovers::remove_some(&self.directory, &self.place.key, TIDY_IN_HASTE);
        }
        // The lock is still held, so these are our own, if this is still the directory in which guests look. A
        // killed host leaves its socket behind, which costs the next guest one refused connect.
        if !self.is_lost() {
            let _ = unlinkat(&self.directory, self.place.socket_name(), AtFlags::empty());
            // Last: from then on it may be another host's name.
            let lock = lock::name(&self.place.key);
            let _ = unlinkat(&self.directory, lock, AtFlags::empty());
        }
        lock::unlock(&self.lock);
    }
}
