//! Windows: a process handle, and users as SIDs.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr;
use std::time::{Duration, SystemTime};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_PIPE_CONNECTED_STATE, FILE_PIPE_LOCAL_INFORMATION, FilePipeLocalInformation,
    NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, FILETIME, HANDLE, RtlNtStatusToDosError,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, RevertToSelf, SECURITY_MAX_SID_SIZE, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::Pipes::{
    GetNamedPipeClientProcessId, GetNamedPipeServerProcessId, ImpersonateNamedPipeClient,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, GetProcessId, GetProcessTimes, OpenProcess,
    OpenProcessToken, OpenThreadToken, PROCESS_DUP_HANDLE, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE,
};

use super::{Peer, User};
use crate::os::event::{Deadline, Source, wait};
use crate::os::windows::{canonical_sid, is_code, is_end_of_pipe, ok, own, owner, sid_text};

/// A SID in the system's own spelling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::os) struct UserId(String);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) const USER_FORM: &str = "a security identifier such as S-1-5-18";

pub(super) fn current_user() -> io::Result<UserId> {
    // The process's own user, also when this thread acts for another one.
    // SAFETY: the call gives a constant that stands for this process.
    token_user(&process_token(unsafe { GetCurrentProcess() })?)
}

pub(super) fn parse_user(text: &str) -> Option<UserId> {
    canonical_sid(text).map(UserId)
}

/// There is no `fork` here.
pub(crate) fn count_forks() {}

#[inline]
pub(crate) fn forks() -> u32 {
    0
}

#[derive(Debug)]
pub(crate) struct Process {
    handle: OwnedHandle,
}

impl Process {
    /// The process that opened the other end of the pipe whose server end is `pipe`.
    ///
    /// To be called on a thread of our own: what the thread may act as is lost (see `client_user`).
    pub(in crate::os) fn client_of(pipe: BorrowedHandle<'_>) -> io::Result<(Process, Peer)> {
        let mut pid = 0;
        // SAFETY: a live handle, and room for the result.
        ok(unsafe { GetNamedPipeClientProcessId(pipe.as_raw_handle(), &mut pid) })
            .map_err(end_of_pipe)?;
        Process::at_the_end_of(pipe, pid, client_user)
    }

    /// The process that made the pipe whose client end is `pipe`.
    pub(in crate::os) fn server_of(pipe: BorrowedHandle<'_>) -> io::Result<(Process, Peer)> {
        let mut pid = 0;
        // SAFETY: a live handle, and room for the result.
        ok(unsafe { GetNamedPipeServerProcessId(pipe.as_raw_handle(), &mut pid) })
            .map_err(end_of_pipe)?;
        // Nobody can make an object in the name of another user.
        Process::at_the_end_of(pipe, pid, |pipe| owner(pipe).map(UserId))
    }

    fn at_the_end_of(
        pipe: BorrowedHandle<'_>,
        pid: u32,
        user_by_pipe: fn(BorrowedHandle<'_>) -> io::Result<UserId>,
    ) -> io::Result<(Process, Peer)> {
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
        let access = PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
        let process = match open_process(pid, access) {
            Ok(handle) => Process { handle },
            // There is no such process any more.
            Err(e) if is_code(&e, &[ERROR_INVALID_PARAMETER]) => return Err(gone()),
            Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("process {pid} at the other end does not let this user watch it: {e}"),
                ));
            }
            Err(e) => return Err(e),
        };
        let by_pipe = user_by_pipe(pipe);
        let by_process =
            process_token(process.handle.as_raw_handle()).and_then(|token| token_user(&token));
        // A process that ended stays open to us for a while, and its pid is free only afterwards:
        // if the pipe is still connected and this process alive, then it was never another one's.
        // (Unless the pipe was passed on before its process ended, which shows in the users.)
        if process.has_ended() || !is_connected(pipe)? {
            return Err(gone());
        }
        let user = match (by_pipe, by_process) {
            (Ok(user), Ok(other)) if user != other => {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "the pipe is user {user}'s, process {pid} at its other end is {other}'s"
                    ),
                ));
            }
            // Another user's process may not show its token, and a client may hide behind the
            // pipe; it is enough if one of them tells.
            (Ok(user), _) | (_, Ok(user)) => user,
            (Err(e), Err(_)) => return Err(e),
        };
        let started = started(&process.handle);
        let user = User(user);
        Ok((process, Peer { pid, user, started }))
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(wait(&[self.ended()], Deadline::Now), Ok(Some(_)))
    }

    pub(crate) fn ended(&self) -> Source<'_> {
        Source::Handle(self.handle.as_handle())
    }

    /// A further handle, by which handles can be given to the process and taken from it.
    pub(in crate::os) fn open_for_handles(&self) -> io::Result<OwnedHandle> {
        // SAFETY: a live handle. Its pid is not given to another process for as long as we hold it.
        let pid = unsafe { GetProcessId(self.handle.as_raw_handle()) };
        open_process(pid, PROCESS_DUP_HANDLE)
    }
}

fn open_process(pid: u32, access: u32) -> io::Result<OwnedHandle> {
    // SAFETY: plain numbers; the handle is not inheritable and nobody else's.
    unsafe { own(OpenProcess(access, 0, pid)) }
}

/// Whether both ends of the pipe are still open. A look at what there is to read would not tell:
/// it succeeds for as long as a peer that has gone left something behind.
fn is_connected(pipe: BorrowedHandle<'_>) -> io::Result<bool> {
    let mut status = IO_STATUS_BLOCK::default();
    let mut info = FILE_PIPE_LOCAL_INFORMATION::default();
    // SAFETY: a live handle; `info` is what this class of information fills in, and of the length
    // given. The call does not go on after it returns.
    let result = unsafe {
        NtQueryInformationFile(
            pipe.as_raw_handle(),
            &mut status,
            (&raw mut info).cast(),
            size_of::<FILE_PIPE_LOCAL_INFORMATION>() as u32,
            FilePipeLocalInformation,
        )
    };
    if result < 0 {
        // SAFETY: looks a number up in a table.
        let code = unsafe { RtlNtStatusToDosError(result) };
        let e = io::Error::from_raw_os_error(code.cast_signed());
        return if is_end_of_pipe(&e) {
            Ok(false)
        } else {
            Err(e)
        };
    }
    Ok(info.NamedPipeState == FILE_PIPE_CONNECTED_STATE)
}

fn end_of_pipe(e: io::Error) -> io::Error {
    if is_end_of_pipe(&e) {
        io::Error::new(io::ErrorKind::ConnectionReset, e)
    } else {
        e
    }
}

/// The user who opened the client end of the pipe, by the token that the kernel kept of it.
fn client_user(pipe: BorrowedHandle<'_>) -> io::Result<UserId> {
    // SAFETY: a live handle; from here on this thread acts as the client.
    ok(unsafe { ImpersonateNamedPipeClient(pipe.as_raw_handle()) })?;
    let mut token = ptr::null_mut();
    // SAFETY: the call gives a constant that stands for this thread. The token is opened in our
    // own name (TRUE), for the client only lets itself be identified.
    let opened = ok(unsafe { OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, 1, &mut token) });
    // SAFETY: ends what was begun above.
    if unsafe { RevertToSelf() } == 0 {
        // Nothing may run on a thread that still acts as somebody else.
        std::process::abort();
    }
    opened?;
    // SAFETY: the call above has just made this handle for us.
    token_user(&unsafe { own(token) }?)
}

fn process_token(process: HANDLE) -> io::Result<OwnedHandle> {
    let mut token = ptr::null_mut();
    // SAFETY: a live handle or the constant for this process, and room for the result.
    ok(unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the call above has just made this handle for us.
    unsafe { own(token) }
}

fn token_user(token: &OwnedHandle) -> io::Result<UserId> {
    /// What the system writes: the structure, and right after it the SID that it points to.
    #[repr(C)]
    struct Answer {
        user: TOKEN_USER,
        sid: [u8; SECURITY_MAX_SID_SIZE as usize],
    }
    let mut answer = MaybeUninit::<Answer>::zeroed();
    let mut written = 0;
    // SAFETY: a live handle, and room for the number of bytes given.
    ok(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            answer.as_mut_ptr().cast(),
            size_of::<Answer>() as u32,
            &mut written,
        )
    })?;
    // SAFETY: the call filled in the structure, whose SID lies within `answer`.
    unsafe { sid_text((*answer.as_ptr()).user.User.Sid) }.map(UserId)
}

fn started(process: &OwnedHandle) -> Option<SystemTime> {
    /// From 1601, where the system counts from, to 1970, in its steps of 100 ns.
    const TO_1970: u64 = 11_644_473_600 * 10_000_000;
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: a live handle, and room for the four results.
    ok(unsafe {
        GetProcessTimes(
            process.as_raw_handle(),
            &mut created,
            &mut ended,
            &mut kernel,
            &mut user,
        )
    })
    .ok()?;
    let ticks = u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime);
    let ticks = ticks.checked_sub(TO_1970)?;
    let since_1970 = Duration::new(ticks / 10_000_000, (ticks % 10_000_000) as u32 * 100);
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn users_have_one_spelling() {
        let me = User::current().unwrap();
        assert_eq!(me.to_string().parse(), Ok(me));
        assert_eq!("s-1-5-18".parse::<User>().unwrap().to_string(), "S-1-5-18");
        for wrong in [
            "",
            "S",
            "SY",
            "S-",
            "S-1-5-",
            "1000",
            "S-1-5-18\0",
            "é",
            "S-1-5-18 ",
        ] {
            let e = wrong.parse::<User>().unwrap_err();
            assert!(e.to_string().contains("security identifier"), "{e}");
        }
    }

    #[test]
    fn a_process_is_seen_to_end() {
        let mut child = Command::new("cmd")
            .args(["/c", "pause"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let access = PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
        let handle = open_process(child.id(), access).unwrap();
        let process = Process { handle };
        assert!(!process.has_ended());
        let age = started(&process.handle).unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
        drop(process.open_for_handles().unwrap());
        child.kill().unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert_eq!(wait(&[process.ended()], deadline).unwrap(), Some(0));
        assert!(process.has_ended());
        child.wait().unwrap();
    }
}
