//! The place of one name, and reaching the host there.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, connect};

use super::channel::Channel;
use super::errors::{unusable, unusable_file};
use super::files::users;
use super::places::{runtime_directory, shared_directory};
use super::rules::Rules;
use super::socket::stream_socket;
use crate::error::{Error, ErrorKind};
use crate::os::endpoint::common::RendezvousOptions;
use crate::os::system_error;

#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    pub(super) directory: PathBuf,
    pub(super) key: String,
    socket: SocketAddrUnix,
    pub(super) rules: Rules,
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
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            Err(Errno::AGAIN | Errno::INPROGRESS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn socket_name(&self) -> String {
        format!("{}.sock", self.key)
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
                 if it is the right one, name its user in this guest's access, as by Access::Users",
                path.display(),
                stat.st_uid,
                users(&self.hosts)
            ),
        ))
    }

    /// The error for one of the link's files in the directory.
    pub(super) fn failed(&self, what: &str, e: Errno) -> Error {
        unusable_file(&format!("{what} of this link"), &self.directory, e)
    }
}
