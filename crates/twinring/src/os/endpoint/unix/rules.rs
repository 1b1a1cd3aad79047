//! What a directory must be like, so that nobody else can change what is in it. See the table in
//! `unix.rs`.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::errors::{unusable, useless};
use super::files::{own_uid, users};
use crate::error::{Error, ErrorKind};

/// What a directory must be like, so that nobody else can change what is in it. See the table at the
/// top of this file.
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
    pub(super) fn open(&self, path: &Path) -> Result<Option<OwnedFd>, Error> {
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

pub(super) const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);
