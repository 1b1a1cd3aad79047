//! Handles, taken out of the sender's process by the receiver.
//!
//! The other way round, a sender that is killed between the two steps would leave handles in the receiver that nobody knows of; and a
//! receiver would have to believe numbers that are said to stand for something in its own process. This way all handles of a process
//! go with it, and a peer can name only its own. For that the receiver must be allowed to open the sender's process; if it
//! is not, it says in the segment that it takes none.
//!
//! A socket is taken in the same way, and then made known to Winsock in this process by WSADuplicateSocketW and WSASocketW. (For another
//! process, WSADuplicateSocketW itself puts a handle there at once.) So sockets of layered service providers cannot be sent.

use std::io;
use std::os::windows::io::{
    AsRawHandle, FromRawHandle, FromRawSocket, OwnedHandle, OwnedSocket, RawSocket,
};
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, HANDLE,
};
use windows_sys::Win32::Networking::WinSock::{
    FROM_PROTOCOL_INFO, INVALID_SOCKET, SOCKET, WSA_FLAG_NO_HANDLE_INHERIT, WSA_FLAG_OVERLAPPED,
    WSADATA, WSADuplicateSocketW, WSAGetLastError, WSAPROTOCOL_INFOW, WSASocketW, WSAStartup,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentProcessId};

use super::object::{SystemObject, kind_of, number};
use crate::os::handles::entry::{HandleEntry, NotTaken};
use crate::os::handles::handle::{Handle, HandleObject};
use crate::os::handles::kind::HandleKind;
use crate::os::process::Process;
use crate::os::windows::{is_code, may_fail, ok};

#[derive(Debug)]
pub(crate) struct HandleChannel {
    /// The peer's process, if handles may be taken out of it.
    peer: Option<OwnedHandle>,
}

impl HandleChannel {
    pub(crate) const KEEPS: bool = true;

    pub(in crate::os) fn new(peer: &Process) -> HandleChannel {
        HandleChannel {
            peer: peer.open_for_handles().ok(),
        }
    }

    pub(crate) fn can_take(&self) -> bool {
        self.peer.is_some()
    }

    pub(crate) fn offer(&self, handles: &[Handle]) -> io::Result<Vec<HandleEntry>> {
        let entry = |handle: &Handle| {
            let object = match &handle.0 {
                HandleObject::End(end) => return Ok(HandleEntry::of_end(end)),
                HandleObject::System(object) => object,
            };
            let mut value = [0; 16];
            value[..8].copy_from_slice(&object.value().to_le_bytes());
            Ok(HandleEntry {
                kind: kind_of(object)?,
                detail: 0,
                value,
            })
        };
        handles.iter().map(entry).collect()
    }

    pub(crate) fn take(&self, entries: &[HandleEntry]) -> Result<Vec<Handle>, NotTaken> {
        entries.iter().map(|entry| self.take_one(entry)).collect()
    }

    fn take_one(&self, entry: &HandleEntry) -> Result<Handle, NotTaken> {
        if let Some(end) = entry.end() {
            return Ok(Handle::of_end(end));
        }
        let Some(peer) = &self.peer else {
            return Err(NotTaken::Peer(
                "it sent handles, which this side cannot take",
            ));
        };
        let taken = copy_from(peer, number(&entry.value))?;
        let object = match entry.kind {
            HandleKind::Socket => SystemObject::Socket(socket(&taken)?),
            _ => SystemObject::Handle(taken),
        };
        match kind_of(&object).map_err(NotTaken::Now)? == entry.kind {
            true => Ok(Handle::system(object)),
            false => Err(NotTaken::Peer("a handle is of another kind than it said")),
        }
    }

    /// They stay where they are, until the sender learns that the message was taken.
    pub(crate) fn discard(&self, _: &[HandleEntry]) {}
}

fn copy_from(peer: &OwnedHandle, number: u64) -> Result<OwnedHandle, NotTaken> {
    let mut copy = ptr::null_mut();
    // SAFETY: two handles of live processes, and room for the result; the new handle is not inheritable. A number
    // that is not a handle is refused.
    let copied = ok("DuplicateHandle", || unsafe {
        DuplicateHandle(
            peer.as_raw_handle(),
            number as usize as HANDLE,
            GetCurrentProcess(),
            &mut copy,
            0,
            0,
            DUPLICATE_SAME_ACCESS,
        )
    });
    match copied {
        // SAFETY: the call above has just made this handle for us.
        Ok(()) => Ok(unsafe { OwnedHandle::from_raw_handle(copy) }),
        // A process that has ended has no handles.
        Err(e) if is_code(&e, &[ERROR_INVALID_HANDLE, ERROR_ACCESS_DENIED]) => {
            Err(NotTaken::Gone(e))
        }
        Err(e) => Err(NotTaken::Now(e)),
    }
}

/// The socket that a handle is of, as Winsock knows it.
fn socket(taken: &OwnedHandle) -> Result<OwnedSocket, NotTaken> {
    start().map_err(NotTaken::Now)?;
    let mut info = WSAPROTOCOL_INFOW::default();
    may_fail("WSADuplicateSocketW").map_err(NotTaken::Now)?;
    // SAFETY: a live handle, which is refused unless it is a socket's, and room for the result.
    let described = unsafe {
        let itself = GetCurrentProcessId();
        WSADuplicateSocketW(taken.as_raw_handle() as SOCKET, itself, &mut info)
    };
    if described != 0 {
        return Err(NotTaken::Peer("a handle is of another kind than it said"));
    }
    may_fail("WSASocketW").map_err(NotTaken::Now)?;
    // SAFETY: what the call above has described, and not been used.
    let socket = unsafe {
        WSASocketW(
            FROM_PROTOCOL_INFO,
            FROM_PROTOCOL_INFO,
            FROM_PROTOCOL_INFO,
            &info,
            0,
            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT,
        )
    };
    match socket {
        INVALID_SOCKET => Err(NotTaken::Now(last_error())),
        // SAFETY: the call above has just made it for us.
        socket => Ok(unsafe { OwnedSocket::from_raw_socket(socket as RawSocket) }),
    }
}

fn last_error() -> io::Error {
    // SAFETY: no more than a look at this thread's last error.
    io::Error::from_raw_os_error(unsafe { WSAGetLastError() })
}

/// Winsock, which has to be started once in a process; it stays.
fn start() -> io::Result<()> {
    static STARTED: OnceLock<i32> = OnceLock::new();
    let code = *STARTED.get_or_init(|| {
        let mut about = WSADATA::default();
        // SAFETY: room for the result.
        unsafe { WSAStartup(0x0202, &mut about) }
    });
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}
