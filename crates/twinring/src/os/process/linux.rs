//! Linux: the socket's credentials and a pidfd.

use std::fs::File;
use std::io::{self, Read};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::{Group, Peer, User};
use crate::os::event::{Deadline, Source, wait};

#[derive(Debug)]
pub(crate) struct Process {
    /// Without one, only the socket shows that the peer is gone.
    pidfd: Option<OwnedFd>,
    groups: Vec<u32>,
}

impl Process {
    /// The process that created the other end of `socket`.
    pub(in crate::os) fn of_socket(socket: &OwnedFd) -> io::Result<(Process, Peer)> {
        let cred: libc::ucred = socket_option(socket, libc::SO_PEERCRED)?;
        let groups = peer_groups(socket, cred.gid)?;
        // 0: the peer is in a PID namespace that we cannot see.
        let pid = Pid::from_raw(cred.pid);
        let mut peer = Peer::new(cred.pid.unsigned_abs(), User(cred.uid));
        if let Ok(fd) = socket_option::<libc::c_int>(socket, libc::SO_PEERPIDFD) {
            // SAFETY: the kernel has just made this descriptor for us alone.
            let pidfd = Some(unsafe { OwnedFd::from_raw_fd(fd) });
            // `complete` does the rest.
            return Ok((Process { pidfd, groups }, peer));
        }
        // A kernel before 6.5, or a peer that has ended. A kernel before 5.3 has no pidfds at all.
        let mut pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let here = pid.filter(|_| pidfd.is_none());
        (peer.started, peer.executable) = (
            here.and_then(|_| started(cred.pid)),
            here.and_then(|_| executable(cred.pid)),
        );
        // As long as the connection was open, the pid, by which all of this was looked up, had not been given to
        // another process. If it is not, what the peer has sent before can still be read.
        if wait(&[Source::HungUp(socket.as_fd())], Deadline::Now)?.is_some() {
            (pidfd, peer.started, peer.executable) = (None, None, None);
        }
        Ok((Process { pidfd, groups }, peer))
    }

    pub(crate) fn complete(&self, peer: &mut Peer) {
        if self.pidfd.is_some() && peer.pid != 0 {
            // While the process has not ended, the pid is its own.
            let pid = peer.pid as i32;
            let (started, executable) = (started(pid), executable(pid));
            if !self.has_ended() {
                (peer.started, peer.executable) = (started, executable);
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.pidfd.is_some() && matches!(wait(&[self.ended()], Deadline::Now), Ok(Some(_)))
    }

    /// A Unix socket can be reached only from this machine, and all its users are treated alike.
    pub(crate) fn is_local(&self) -> bool {
        true
    }

    pub(crate) fn is_in(&self, group: &Group) -> bool {
        self.groups.contains(&group.0)
    }

    pub(crate) fn ended(&self) -> Source<'_> {
        match &self.pidfd {
            Some(fd) => Source::Readable(fd.as_fd()),
            None => Source::Never,
        }
    }
}

/// A socket option of level SOL_SOCKET. rustix has no SO_PEERPIDFD, and its SO_PEERCRED has no room
/// for pid 0.
fn socket_option<T: Copy>(socket: &OwnedFd, option: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` has room for the `len` bytes that the kernel may write.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            value.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if len as usize != mem::size_of::<T>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel wrote all of it, and T is plain integers (ucred or int).
    Ok(unsafe { value.assume_init() })
}

/// The groups of the process that created the other end, as they were then: `first`, its effective one, and the
/// supplementary ones. rustix does not have SO_PEERGROUPS.
fn peer_groups(socket: &OwnedFd, first: u32) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let mut len = mem::size_of_val(&groups[..]) as libc::socklen_t;
        // SAFETY: `groups` has room for the `len` bytes that the kernel may write.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &mut len,
            )
        };
        let needed = len as usize / mem::size_of::<libc::gid_t>();
        match io::Error::last_os_error() {
            _ if result == 0 => {
                groups.truncate(needed);
                groups.push(first);
                return Ok(groups);
            }
            e => match e.raw_os_error() {
                Some(libc::ERANGE) if needed > groups.len() => groups.resize(needed, 0),
                // A kernel before 4.13.
                Some(libc::ENOPROTOOPT) => return Ok(vec![first]),
                _ => return Err(e),
            },
        }
    }
}

/// The program that the process runs, by /proc; `None` where that hides it.
fn executable(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// When the process was started, by /proc: field 22 of `stat`, in clock ticks since boot. Exact to about a
/// tick, unless the clock has been set since; `None` where /proc hides it.
fn started(pid: i32) -> Option<SystemTime> {
    // One read, because the kernel builds the text for each, which takes a while.
    let mut bytes = [0; 1024];
    let len = File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| file.read(&mut bytes))
        .ok()?;
    let stat = String::from_utf8_lossy(&bytes[..len]);
    // The second field is the program's name in brackets, which may contain anything.
    let ticks: u64 = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let since_boot = Duration::from_millis(ticks.saturating_mul(1000) / per_second);
    booted()?.checked_add(since_boot)
}

/// When the system was started. Asked once: a process is told of by the same time each time.
fn booted() -> Option<SystemTime> {
    static BOOTED: OnceLock<Option<SystemTime>> = OnceLock::new();
    *BOOTED.get_or_init(|| {
        let up = clock_gettime(ClockId::Boottime);
        let up = Duration::new(up.tv_sec.try_into().ok()?, up.tv_nsec.try_into().ok()?);
        SystemTime::now().checked_sub(up)
    })
}
