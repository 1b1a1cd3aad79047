//! Windows: a process handle, and users as SIDs.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::ptr;
use std::thread;
use std::time::{Duration, SystemTime};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_PIPE_CONNECTED_STATE, FILE_PIPE_LOCAL_INFORMATION, FilePipeLocalInformation,
    NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::{
    DuplicateHandle, ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_NO_TOKEN, FILETIME, HANDLE,
};
use windows_sys::Win32::Security::{RevertToSelf, TOKEN_QUERY, TokenGroups};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::Pipes::{
    GetNamedPipeClientProcessId, GetNamedPipeClientSessionId, GetNamedPipeServerProcessId,
    GetNamedPipeServerSessionId, ImpersonateNamedPipeClient,
};
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, GetProcessId, GetProcessTimes, OpenProcess,
    OpenThreadToken, PROCESS_DUP_HANDLE, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    QueryFullProcessImageNameW,
};
use windows_sys::core::BOOL;

use super::account::{UserId, token_user};
use super::{Group, Integrity, Peer, User};
use crate::error::{Error, ErrorKind, quoted};
use crate::os::event::{Deadline, Source, wait};
use crate::os::system_error;
use crate::os::windows::{
    AccessList, GUEST_RIGHTS, groups, integrity, is_code, is_elevated, is_end_of_pipe, keep_code,
    logon, may_be_denied, ok, own, own_token, owner, process_token, restricting_services, status,
};

/// The group of users who are logged on at the machine or by remote desktop.
const INTERACTIVE: &str = "S-1-5-4";

/// There is no `fork` here.
pub(crate) fn count_forks() {}

/// But when the process ends, it is as a forked child: its other threads have been ended, wherever they were, and
/// whatever they held is held for ever.
#[inline]
pub(crate) fn forks() -> u32 {
    // SAFETY: it only reads.
    u32::from(unsafe { RtlDllShutdownInProgress() })
}

// windows-sys does not have this one.
#[cfg_attr(
    target_arch = "x86",
    link(name = "ntdll", kind = "raw-dylib", import_name_type = "undecorated")
)]
#[cfg_attr(not(target_arch = "x86"), link(name = "ntdll", kind = "raw-dylib"))]
unsafe extern "system" {
    /// Whether the process is ending.
    fn RtlDllShutdownInProgress() -> u8;
}

#[derive(Debug)]
pub(crate) struct Process {
    /// `None` while we may not open the process and have not been given a handle of it.
    handle: Option<OwnedHandle>,
    /// Its end of the handshake's pipe, which tells the same where there is no handle.
    pipe: Option<Box<dyn KeptPipe>>,
    caller: Caller,
    role: Role,
}

/// What the process is to the link.
#[derive(Clone, Copy, Debug)]
enum Role {
    Host,
    Guest,
}

/// A pipe that stays open for as long as the process at its other end wants it to.
pub(in crate::os) trait KeptPipe: fmt::Debug + Send + Sync {
    /// Set when the other end has been closed.
    fn closed(&self) -> BorrowedHandle<'_>;
}

/// The user of one end of a pipe.
#[derive(Debug)]
struct Caller {
    user: UserId,
    /// The services that an access list has to name beside the user: see [`restricting_services`].
    services: Vec<String>,
    /// Those that count for access.
    groups: Vec<String>,
    /// Its logon session.
    logon: Option<String>,
    /// What it has shown of itself by the pipe, until the host has decided about it.
    token: Option<OwnedHandle>,
    integrity: Option<Integrity>,
    elevated: Option<bool>,
}

/// A function that returns a number about a pipe.
type Ask = unsafe extern "system" fn(HANDLE, *mut u32) -> BOOL;

fn ask(pipe: BorrowedHandle<'_>, name: &'static str, ask: Ask) -> io::Result<u32> {
    let mut answer = 0;
    // SAFETY: a live handle, and room for the result.
    ok(name, || unsafe { ask(pipe.as_raw_handle(), &mut answer) }).map_err(end_of_pipe)?;
    Ok(answer)
}

impl Process {
    /// The process that opened the other end of the pipe whose server end is `pipe`.
    ///
    /// Must be called on a thread of our own: an impersonation of the calling thread is lost (see `client`).
    pub(in crate::os) fn client_of(pipe: BorrowedHandle<'_>) -> io::Result<(Process, Peer)> {
        let pid = ask(
            pipe,
            "GetNamedPipeClientProcessId",
            GetNamedPipeClientProcessId,
        )?;
        let session = ask(
            pipe,
            "GetNamedPipeClientSessionId",
            GetNamedPipeClientSessionId,
        )
        .ok();
        Process::at_the_end_of(pipe, Role::Guest, pid, session, client)
    }

    /// The process that created the pipe whose client end is `pipe`.
    pub(in crate::os) fn server_of(pipe: BorrowedHandle<'_>) -> io::Result<(Process, Peer)> {
        let pid = ask(
            pipe,
            "GetNamedPipeServerProcessId",
            GetNamedPipeServerProcessId,
        )?;
        let session = ask(
            pipe,
            "GetNamedPipeServerSessionId",
            GetNamedPipeServerSessionId,
        )
        .ok();
        // No process can create an object in another user's name. That does not show its user's groups.
        Process::at_the_end_of(pipe, Role::Host, pid, session, |pipe| {
            Ok(Caller {
                user: UserId(owner(pipe)?),
                services: Vec::new(),
                groups: Vec::new(),
                logon: None,
                token: None,
                integrity: None,
                elevated: None,
            })
        })
    }

    fn at_the_end_of(
        pipe: BorrowedHandle<'_>,
        role: Role,
        pid: u32,
        session: Option<u32>,
        caller_by_pipe: fn(BorrowedHandle<'_>) -> io::Result<Caller>,
    ) -> io::Result<(Process, Peer)> {
        let access = PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
        let denied = may_be_denied(match role {
            Role::Guest => "watch-guest",
            Role::Host => "watch-host",
        });
        let handle = match denied.and_then(|()| open_process(pid, access)) {
            Ok(handle) => Some(handle),
            // The process no longer exists: then the pipe is not connected either.
            Err(e) if is_code(&e, &[ERROR_INVALID_PARAMETER]) => None,
            // Another user's. A host that is more privileged gives a handle of itself with HELLO; otherwise
            // the pipe tells us of its end.
            Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => None,
            Err(e) => return Err(e),
        };
        let by_pipe = caller_by_pipe(pipe);
        let by_process = handle
            .as_ref()
            .and_then(|handle| process_token(handle.as_raw_handle()).ok())
            .and_then(|token| token_caller(&token).ok());
        let started = handle.as_ref().and_then(started);
        let executable = handle.as_ref().and_then(executable);
        let integrity = by_process.as_ref().and_then(|caller| caller.integrity);
        let elevated = by_process.as_ref().and_then(|caller| caller.elevated);
        // A process that has ended stays open to us for a while, and its pid is free only afterwards:
        // if the pipe is still connected and this process alive, it was never another's. (Unless
        // the pipe was passed on before its process ended, which shows in the users.)
        if handle.as_ref().is_some_and(is_set) || !is_connected(pipe)? {
            return match role {
                // What it has said before can still be read. Whose the pipe is, the pipe says.
                Role::Host => {
                    let caller = by_pipe?;
                    let peer = Peer::new(pid, User(caller.user.clone()));
                    let (handle, pipe) = (None, None);
                    let process = Process {
                        handle,
                        pipe,
                        caller,
                        role,
                    };
                    Ok((process, peer))
                }
                Role::Guest => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        let caller = match (by_pipe, by_process) {
            (Ok(caller), Some(other)) if caller.user != other.user => {
                return Err(Error::new(
                    ErrorKind::WrongOwner,
                    format!(
                        "the pipe is user {}'s, but process {pid} at its other end is user {}'s: \
                         it is not known whose it is, so it is trusted by nobody; end that process",
                        caller.user, other.user
                    ),
                )
                .into());
            }
            // Another user's process may not show its token, and a client may forbid impersonation;
            // one of the two is enough.
            (Ok(caller), _) | (Err(_), Some(caller)) => caller,
            (Err(e), None) => return Err(e),
        };
        let peer = Peer {
            started,
            session,
            executable,
            integrity: caller.integrity.or(integrity),
            elevated: caller.elevated.or(elevated),
            ..Peer::new(pid, User(caller.user.clone()))
        };
        let process = Process {
            handle,
            pipe: None,
            caller,
            role,
        };
        Ok((process, peer))
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(wait(&[self.ended()], Deadline::Now), Ok(Some(_)))
    }

    pub(crate) fn ended(&self) -> Source<'_> {
        match (&self.handle, &self.pipe) {
            (Some(handle), _) => Source::Handle(handle.as_handle()),
            (None, Some(pipe)) => Source::Handle(pipe.closed()),
            (None, None) => Source::Never,
        }
    }

    /// Nothing is missing.
    pub(crate) fn complete(&self, _: &mut Peer) {}

    pub(crate) fn is_local(&self) -> bool {
        self.has(INTERACTIVE)
    }

    pub(crate) fn is_in(&self, group: &Group) -> bool {
        self.has(&group.0.0)
    }

    fn has(&self, group: &str) -> bool {
        self.caller.groups.iter().any(|it| it == group)
    }

    /// Whether it was started in the logon session of this process.
    pub(crate) fn is_of_this_logon(&self) -> bool {
        this_logon().is_ok_and(|own| self.caller.logon == Some(own))
    }

    /// Whether this access list lets it in. Not if it does not show who it is.
    pub(crate) fn is_let_in_by(&self, sddl: &str) -> bool {
        let judge = |token| {
            let own = User::current()?;
            // The system judges by no list without an owner and a group.
            let list = format!("O:{own}G:{own}D:P{}", sddl_entries(sddl)?);
            AccessList::parse(&list)?.gives(token, GUEST_RIGHTS)
        };
        let token = self.caller.token.as_ref();
        token.is_some_and(|token| judge(token).is_ok_and(|let_in: bool| let_in))
    }

    /// Was only for the decision whether to let it in.
    pub(in crate::os) fn forget_token(&mut self) {
        self.caller.token = None;
    }

    /// The user it runs as.
    pub(in crate::os) fn user(&self) -> &str {
        &self.caller.user.0
    }

    /// Whom an access list has to let in for it.
    pub(in crate::os) fn accounts(&self) -> impl Iterator<Item = &str> {
        let services = self.caller.services.iter().map(String::as_str);
        std::iter::once(self.user()).chain(services)
    }

    /// Whether we have a handle that tells when it ends.
    pub(in crate::os) fn is_watched(&self) -> bool {
        self.handle.is_some()
    }

    /// Takes a handle that the process gave of itself, unless we have a better one.
    pub(in crate::os) fn watch_by(&mut self, handle: OwnedHandle) {
        self.handle.get_or_insert(handle);
    }

    /// Keeps its end of the pipe, which tells when it ends if there is no handle of it.
    pub(in crate::os) fn keep_pipe(&mut self, pipe: impl KeptPipe + 'static) {
        self.pipe = Some(Box::new(pipe));
    }

    /// Another handle, for giving handles to the process and taking them from it.
    ///
    /// # Errors
    /// `ERROR_ACCESS_DENIED` if we may not.
    pub(in crate::os) fn open_for_handles(&self) -> io::Result<OwnedHandle> {
        // Its pid alone might belong to another process by now.
        let Some(handle) = &self.handle else {
            return Err(io::Error::from_raw_os_error(ERROR_ACCESS_DENIED as i32));
        };
        // SAFETY: a live handle. Its pid is not given to another process for as long as we hold it.
        let pid = unsafe { GetProcessId(handle.as_raw_handle()) };
        may_be_denied(match self.role {
            Role::Guest => "open-guest",
            Role::Host => "open-host",
        })?;
        let opened = open_process(pid, PROCESS_DUP_HANDLE)?;
        // Some guards against malware take the right out of the handle, which shows only when it is used.
        may_be_denied("duplicate")?;
        let mut itself = ptr::null_mut();
        // SAFETY: a live handle, constants that stand for the process that they are used in, and room for the result.
        ok("DuplicateHandle", || unsafe {
            let current = GetCurrentProcess();
            let opened = opened.as_raw_handle();
            DuplicateHandle(
                opened,
                current,
                current,
                &mut itself,
                PROCESS_SYNCHRONIZE,
                0,
                0,
            )
        })?;
        // SAFETY: the call above has just made this handle for us.
        drop(unsafe { OwnedHandle::from_raw_handle(itself) });
        Ok(opened)
    }

    /// As if it were another user's, which we may not open.
    #[cfg(test)]
    pub(in crate::os) fn closed_to_us(mut self) -> Process {
        self.handle = None;
        self
    }
}

/// The entries of an access list in SDDL for guests.
pub(in crate::os) fn sddl_entries(sddl: &str) -> Result<String, Error> {
    let wrong = |what: &str| {
        Error::new(
            ErrorKind::InvalidOption,
            format!("access is {}, {what}", quoted(sddl)),
        )
    };
    // The system would read no further.
    if sddl.contains('\0') {
        return Err(wrong("which has a zero in it"));
    }
    let list = AccessList::parse(sddl).map_err(|e| {
        wrong(&format!("which is no security descriptor in SDDL: {e}")).with_source(e)
    })?;
    let failed = |e| system_error("cannot look into the access list", e);
    if list.says_more().map_err(failed)? {
        return Err(wrong(
            "which says more than a DACL: leave owner, group and SACL out, they are the link's",
        ));
    }
    let entries = list.entries().map_err(failed)?;
    entries.ok_or_else(|| wrong("which has no DACL, so that everybody would be let in"))
}

/// The logon session of this process.
///
/// # Errors
/// If it is in none, as the system itself is.
pub(in crate::os) fn this_logon() -> io::Result<String> {
    let none = "it is in none, as services of the system may be; use Access::SameUser";
    logon(&own_token()?)?.ok_or_else(|| io::Error::other(none))
}

/// The session that this process runs in.
pub(in crate::os) fn this_session() -> io::Result<u32> {
    let mut session = 0;
    // SAFETY: a number, and room for the result.
    ok("ProcessIdToSessionId", || unsafe {
        ProcessIdToSessionId(std::process::id(), &mut session)
    })?;
    Ok(session)
}

/// Whether this thread acts as another user, or may do so: the system does not show every token.
fn may_impersonate() -> bool {
    let mut token = ptr::null_mut();
    // SAFETY: the call returns a constant that stands for this thread; room for the result. The token is opened in
    // the process's own name (TRUE).
    let opened = ok("OpenThreadToken", || unsafe {
        OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, 1, &mut token)
    });
    match opened {
        Ok(()) => {
            // SAFETY: the call above has just made this handle for us.
            drop(unsafe { OwnedHandle::from_raw_handle(token) });
            true
        }
        Err(e) => !is_code(&e, &[ERROR_NO_TOKEN]),
    }
}

/// As [`super::as_itself`].
pub(crate) fn as_itself<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    if !may_impersonate() {
        return Ok(f());
    }
    keep_code()?;
    // A new thread has the process's token.
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("twinring-open".to_owned())
            .spawn_scoped(scope, f)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn is_set(handle: &OwnedHandle) -> bool {
    let source = Source::Handle(handle.as_handle());
    matches!(wait(&[source], Deadline::Now), Ok(Some(_)))
}

fn open_process(pid: u32, access: u32) -> io::Result<OwnedHandle> {
    // SAFETY: plain numbers; the handle is not inheritable and nobody else's.
    unsafe { own("OpenProcess", || OpenProcess(access, 0, pid)) }
}

/// Whether both ends of the pipe are still open. Peeking for something to read would not show it:
/// it succeeds for as long as a peer that has gone left something behind.
fn is_connected(pipe: BorrowedHandle<'_>) -> io::Result<bool> {
    let mut block = IO_STATUS_BLOCK::default();
    let mut info = FILE_PIPE_LOCAL_INFORMATION::default();
    // SAFETY: a live handle; `info` is what this class of information fills in, and has the given
    // length. The call does not go on after it returns.
    let asked = status("NtQueryInformationFile", || unsafe {
        NtQueryInformationFile(
            pipe.as_raw_handle(),
            &mut block,
            (&raw mut info).cast(),
            size_of::<FILE_PIPE_LOCAL_INFORMATION>() as u32,
            FilePipeLocalInformation,
        )
    });
    match asked {
        Ok(()) => Ok(info.NamedPipeState == FILE_PIPE_CONNECTED_STATE),
        Err(e) if is_end_of_pipe(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn end_of_pipe(e: io::Error) -> io::Error {
    if is_end_of_pipe(&e) {
        io::Error::new(io::ErrorKind::ConnectionReset, e)
    } else {
        e
    }
}

/// Who opened the client end of the pipe, by the token that the kernel kept.
fn client(pipe: BorrowedHandle<'_>) -> io::Result<Caller> {
    may_be_denied("impersonate")?;
    // SAFETY: a live handle; from here on this thread acts as the client.
    ok("ImpersonateNamedPipeClient", || unsafe {
        ImpersonateNamedPipeClient(pipe.as_raw_handle())
    })?;
    let mut token = ptr::null_mut();
    // SAFETY: the call returns a constant that stands for this thread. The token is opened in our
    // own name (TRUE), because the client only allows us to identify it.
    let opened = ok("OpenThreadToken", || unsafe {
        OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, 1, &mut token)
    });
    // SAFETY: ends what was begun above.
    if unsafe { RevertToSelf() } == 0 {
        // Nothing may run on a thread that still acts as another user.
        std::process::abort();
    }
    opened?;
    // SAFETY: the call above has just made this handle for us.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let caller = token_caller(&token)?;
    Ok(Caller {
        token: Some(token),
        ..caller
    })
}

fn token_caller(token: &OwnedHandle) -> io::Result<Caller> {
    Ok(Caller {
        user: token_user(token)?,
        services: restricting_services(token),
        groups: groups(token, TokenGroups)?,
        logon: logon(token)?,
        token: None,
        integrity: integrity(token).ok().flatten().map(Integrity::of),
        elevated: is_elevated(token).ok(),
    })
}

/// The program that the process runs.
fn executable(process: &OwnedHandle) -> Option<PathBuf> {
    // The longest path that the system has.
    let mut path = vec![0; 32_768];
    let mut len = path.len() as u32;
    // SAFETY: a live handle, and room for the number of characters given.
    ok("QueryFullProcessImageNameW", || unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), 0, path.as_mut_ptr(), &mut len)
    })
    .ok()?;
    Some(PathBuf::from(OsString::from_wide(&path[..len as usize])))
}

fn started(process: &OwnedHandle) -> Option<SystemTime> {
    /// From 1601, where the system's time begins, to 1970, in its units of 100 ns.
    const TO_1970: u64 = 11_644_473_600 * 10_000_000;
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: a live handle, and room for the four results.
    ok("GetProcessTimes", || unsafe {
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
    fn a_thread_that_acts_as_another_user_opens_nothing_itself() {
        use windows_sys::Win32::Security::{ImpersonateSelf, SecurityImpersonation};
        let here = || (thread::current().id(), may_impersonate());
        let me = thread::current().id();
        assert_eq!(as_itself(here).unwrap(), (me, false));
        // SAFETY: a plain number; the thread gets a token, a copy of its process's, until it is taken away below.
        ok("ImpersonateSelf", || unsafe {
            ImpersonateSelf(SecurityImpersonation)
        })
        .unwrap();
        assert!(may_impersonate());
        let (thread, impersonating) = as_itself(here).unwrap();
        assert!(thread != me && !impersonating);
        assert!(may_impersonate(), "the caller goes on as before");
        // SAFETY: ends what was begun above.
        assert_ne!(unsafe { RevertToSelf() }, 0);
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
        let age = started(&handle).unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
        let process = Process {
            handle: Some(handle),
            pipe: None,
            caller: Caller {
                user: UserId(String::new()),
                services: Vec::new(),
                groups: Vec::new(),
                logon: None,
                token: None,
                integrity: None,
                elevated: None,
            },
            role: Role::Guest,
        };
        assert!(!process.has_ended());
        drop(process.open_for_handles().unwrap());
        child.kill().unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert_eq!(wait(&[process.ended()], deadline).unwrap(), Some(0));
        assert!(process.has_ended());
        child.wait().unwrap();
    }
}
