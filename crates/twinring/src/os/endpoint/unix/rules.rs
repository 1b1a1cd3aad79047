//! What a directory must be like, so that nobody else can change what is in it. See the table in
//! `unix.rs`.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat, stat, statat};
use rustix::io::Errno;

use super::errors::{unusable, useless};
use super::files::{own_uid, users};
use crate::error::{Error, ErrorKind};

#[derive(Clone, Debug)]
pub(super) enum Rules {
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
    pub(super) fn make(&self, path: &Path) -> Result<(), Error> {
        match self {
            Rules::GuestsOf(_) => return Ok(()),
            Rules::Private | Rules::Named | Rules::HostsOfOthers => {}
        }
        match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => self.check_parent(path)?,
            Err(e) => return Err(self.unusable(path, e)),
        }
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(self.unusable(path, e)),
        }
        if matches!(self, Rules::HostsOfOthers) {
            // By descriptor, since the path may lead elsewhere by now. Not by `mkdirat`, because of
            // the umask.
            let fd =
                openat(CWD, path, DIRECTORY, Mode::empty()).map_err(|e| self.unusable(path, e))?;
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            fchmod(&fd, mode).map_err(|e| self.unusable(path, e))?;
        }
        Ok(())
    }

    /// Nothing is made in a directory of another user's: that user may be shut out by it (root with the
    /// environment of another user), and could exchange it. One that is everybody's, like /tmp, is no such.
    fn check_parent(&self, path: &Path) -> Result<(), Error> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        let stat = stat(parent).map_err(|e| self.unusable(path, e))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let own = own_uid();
        if [own, 0].contains(&stat.st_uid) || mode.contains(Mode::SVTX | Mode::WOTH) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongOwner,
            format!(
                "the runtime directory {} does not exist and is not made, because {} belongs to user {} \
                 and this process to user {own}; {}",
                path.display(),
                parent.display(),
                stat.st_uid,
                self.other_place()
            ),
        ))
    }

    /// How to have the files elsewhere.
    fn other_place(&self) -> String {
        let own = own_uid();
        match self {
            Rules::Private => format!(
                "set TWINRING_RUNTIME_DIR or XDG_RUNTIME_DIR to a directory of user {own}'s, or unset \
                 them (sudo -E and su keep those of the user before)"
            ),
            Rules::Named | Rules::HostsOfOthers | Rules::GuestsOf(_) => {
                format!("name one in a directory of user {own}'s or root's, or make it beforehand")
            }
        }
    }

    fn unusable(&self, path: &Path, e: Errno) -> Error {
        match (self, e) {
            (Rules::Private, Errno::ACCESS | Errno::PERM) => Error::new(
                ErrorKind::AccessDenied,
                format!(
                    "user {} may not make or open the runtime directory {}: {e}; {}",
                    own_uid(),
                    path.display(),
                    self.other_place()
                ),
            )
            .with_source(e),
            _ => unusable(path, e),
        }
    }

    /// Opens the directory and checks it; `None` if there is none.
    pub(super) fn open(&self, path: &Path) -> Result<Option<OwnedFd>, Error> {
        let fd = match openat(CWD, path, DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(self.unusable(path, e)),
        };
        let stat = fstat(&fd).map_err(|e| self.unusable(path, e))?;
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
                    "the runtime directory {} belongs to user {}, not to {}; {}",
                    path.display(),
                    stat.st_uid,
                    users(&owners),
                    match self {
                        Rules::Private => self.other_place(),
                        _ => "use another directory or, if that user's is the right one, name the user \
                              in the link's access, as by Access::Users"
                            .to_owned(),
                    }
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

pub(super) const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);
