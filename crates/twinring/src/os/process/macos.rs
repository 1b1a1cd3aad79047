//! macOS: the socket's credentials, and a kqueue that reports the process's end.
//!
//! Type-checked but never run: none of the machines on which this project is tested is a Mac.

use std::ffi::OsString;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::Pid;

use super::account::UserId;
use super::{Group, Peer, User};
use crate::os::event::{Deadline, Source, wait};

#[derive(Debug)]
pub(crate) struct Process {
    /// Readable from the process's end on, because nobody ever reads the event from it.
    end: OwnedFd,
    groups: Vec<u32>,
}

impl Process {
    /// The process that last used the other end of `socket`: the one that connected it or listens
    /// on it, unless it passed its end on.
    pub(in crate::os) fn of_socket(socket: &OwnedFd) -> io::Result<(Process, Peer)> {
        let (uid, groups) = peer_user(socket)?;
        let pid = peer_pid(socket)?;
        let end = match watch_end(pid) {
            // No such process, or one that has exited and is not reaped yet.
            Err(Errno::SRCH) => return Err(io::ErrorKind::ConnectionReset.into()),
            other => other?,
        };
        let raw = pid.as_raw_pid();
        let peer = Peer {
            started: started(raw),
            executable: executable(raw),
            ..Peer::new(raw.unsigned_abs(), User(uid))
        };
        // If the connection is still open, the pid had not been given to another process before it was
        // registered with the kqueue.
        let now = Deadline::At(Instant::now());
        if wait(&[Source::HungUp(socket.as_fd())], now)?.is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok((Process { end, groups }, peer))
    }

    /// Nothing is missing.
    pub(crate) fn complete(&self, _: &mut Peer) {}

    pub(crate) fn has_ended(&self) -> bool {
        matches!(
            wait(&[self.ended()], Deadline::At(Instant::now())),
            Ok(Some(_))
        )
    }

    /// A Unix socket can be reached only from this machine, and all its users are treated alike.
    pub(crate) fn is_local(&self) -> bool {
        true
    }

    pub(crate) fn is_in(&self, group: &Group) -> bool {
        self.groups.contains(&group.0)
    }

    pub(crate) fn ended(&self) -> Source<'_> {
        Source::Readable(self.end.as_fd())
    }
}

/// The effective user of the process at the other end, as it was when it connected or listened, and its groups: the
/// effective one first, and no more than 16, of which the kernel itself knows no more.
fn peer_user(socket: &OwnedFd) -> io::Result<(UserId, Vec<u32>)> {
    let mut cred = MaybeUninit::<libc::xucred>::zeroed();
    let mut len = mem::size_of::<libc::xucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and `cred` has room for the `len` bytes that the kernel may write.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_LOCAL,
            libc::LOCAL_PEERCRED,
            cred.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was zeroed, and is plain integers.
    let cred = unsafe { cred.assume_init() };
    let groups = usize::try_from(cred.cr_ngroups)
        .ok()
        .and_then(|count| cred.cr_groups.get(..count));
    match groups {
        Some(groups)
            if len as usize == mem::size_of::<libc::xucred>()
                && cred.cr_version == libc::XUCRED_VERSION =>
        {
            Ok((cred.cr_uid, groups.to_vec()))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The program that the process runs.
fn executable(pid: libc::pid_t) -> Option<PathBuf> {
    let mut path = vec![0; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: `path` has room for the number of bytes given.
    let len = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast(), path.len() as u32) };
    path.truncate(usize::try_from(len).ok().filter(|len| *len > 0)?);
    Some(PathBuf::from(OsString::from_vec(path)))
}

fn peer_pid(socket: &OwnedFd) -> io::Result<Pid> {
    let mut pid: libc::pid_t = 0;
    let mut len = mem::size_of::<libc::pid_t>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and `pid` has room for the `len` bytes that the kernel may
    // write.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_LOCAL,
            libc::LOCAL_PEERPID,
            (&raw mut pid).cast(),
            &mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // 0 is the kernel's own process, which connects to nobody; a negative number would make
    // `Pid::from_raw` panic.
    match pid {
        1.. if len as usize == mem::size_of::<libc::pid_t>() => {
            Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A kqueue that is readable once process `pid` has exited.
fn watch_end(pid: Pid) -> Result<OwnedFd, Errno> {
    let queue = kqueue()?;
    // A forked child gets no kqueue anyway; this is for programs started without a fork.
    fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
    let exit = Event::new(
        EventFilter::Proc {
            pid,
            flags: ProcessEvents::EXIT,
        },
        EventFlags::ADD,
        std::ptr::null_mut(),
    );
    // Without room for events this only registers, and fails at once if it cannot.
    let mut none: [Event; 0] = [];
    // SAFETY: the event names a process and no descriptor, so none has to stay open.
    unsafe { kevent(&queue, &[exit], &mut none, Some(Duration::ZERO)) }?;
    Ok(queue)
}

/// When the process was started; `None` where the system does not say, which may be so for another
/// user's process.
fn started(pid: libc::pid_t) -> Option<SystemTime> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = mem::size_of::<libc::proc_bsdinfo>() as libc::c_int;
    // SAFETY: `info` has room for the `size` bytes that the kernel may write.
    let got = unsafe {
        libc::proc_pidinfo(
            pid,
            libc::PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast(),
            size,
        )
    };
    if got != size {
        return None;
    }
    // SAFETY: it was zeroed and the kernel wrote all of it; it is plain integers.
    let info = unsafe { info.assume_init() };
    let since_1970 = Duration::from_secs(info.pbi_start_tvsec)
        .checked_add(Duration::from_micros(info.pbi_start_tvusec))?;
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}
