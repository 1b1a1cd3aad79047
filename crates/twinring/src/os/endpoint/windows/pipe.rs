//! The named pipe: its instances, and reading and writing with a deadline.
//!
//! All of it is overlapped: the kernel goes on with an operation after the call has returned, and
//! writes to memory of ours when it is done. So an [`Operation`] is never let go of before the
//! kernel has.

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, ERROR_NO_DATA,
    ERROR_OPERATION_ABORTED, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES,
    FILE_READ_DATA, FILE_WRITE_DATA, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, ReadFile,
    SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT, SYNCHRONIZE, WriteFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, PeekNamedPipe,
};
use windows_sys::core::BOOL;

use super::{PACKET, READ_CONTROL};
use crate::os::event::{Deadline, Sleeper, Source, new_event, reset, set};
use crate::os::windows::{Access, is_code, is_end_of_pipe, may_fail, ok, own, wide};

/// What a guest does with the pipe. Named one by one, because the right to write in general
/// includes the one to add instances.
pub(super) const GUEST_RIGHTS: u32 =
    FILE_READ_DATA | FILE_WRITE_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE;

/// A handshake never has more than this on its way, so a host does not wait for a guest to read.
const BUFFER: u32 = 4 * PACKET as u32;

const MODE: u32 = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
/// Nobody comes over the network. Nothing tells of a pipe whether it was made so.
const _: () = assert!(MODE & PIPE_REJECT_REMOTE_CLIENTS != 0);

/// A new instance of the pipe, of which we are the server. `first`: only if there is none yet.
pub(super) fn instance(name: &str, access: &Access, first: bool) -> io::Result<OwnedHandle> {
    let first = if first {
        FILE_FLAG_FIRST_PIPE_INSTANCE
    } else {
        0
    };
    // SAFETY: a string that ends with a zero, and attributes that live as long as the call.
    unsafe {
        own("CreateNamedPipeW", || {
            CreateNamedPipeW(
                wide(name).as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                MODE,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER,
                BUFFER,
                0,
                &access.attributes(),
            )
        })
    }
}

/// Connects to the pipe as a client, or returns `None` if no instance of it waits for one.
pub(super) fn open(name: &str) -> io::Result<Option<OwnedHandle>> {
    // The server may find out who we are, and nothing more: whoever has taken the name must not be
    // able to act as us.
    let flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    // SAFETY: a string that ends with a zero, and NULL; the handle is not inheritable.
    let pipe = unsafe {
        own("CreateFileW", || {
            CreateFileW(
                wide(name).as_ptr(),
                GUEST_RIGHTS,
                0,
                ptr::null(),
                OPEN_EXISTING,
                flags,
                ptr::null_mut(),
            )
        })
    };
    match pipe {
        Ok(pipe) => Ok(Some(pipe)),
        Err(e) if is_code(&e, &[ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY]) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether at least `len` bytes are there to be read.
pub(super) fn holds(pipe: &OwnedHandle, len: usize) -> bool {
    let mut available = 0;
    // SAFETY: a live handle, and room for the only result that is asked for.
    let looked = ok("PeekNamedPipe", || unsafe {
        PeekNamedPipe(
            pipe.as_raw_handle(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            &mut available,
            ptr::null_mut(),
        )
    });
    looked.is_ok() && available as usize >= len
}

/// Reads at least one byte, and returns how many.
pub(super) fn read(
    pipe: &OwnedHandle,
    bytes: &mut [u8],
    deadline: Deadline,
    sleeper: &dyn Sleeper,
) -> io::Result<usize> {
    let (start, len) = (bytes.as_mut_ptr(), bytes.len() as u32);
    loop {
        // SAFETY: `bytes` is ours alone until this returns.
        let n = unsafe {
            transfer(pipe, deadline, sleeper, "ReadFile", |pipe, overlapped| {
                ReadFile(pipe, start, len, ptr::null_mut(), overlapped)
            })
        }?;
        match n {
            // The peer wrote nothing, which a byte pipe passes on. One that does nothing else must
            // not keep us beyond the deadline.
            0 if deadline.passed() => return Err(io::ErrorKind::TimedOut.into()),
            0 => {}
            n => return Ok(n),
        }
    }
}

/// Writes some of `bytes`, usually all, and returns how many.
pub(super) fn write(
    pipe: &OwnedHandle,
    bytes: &[u8],
    deadline: Deadline,
    sleeper: &dyn Sleeper,
) -> io::Result<usize> {
    let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
    // SAFETY: `bytes` does not change until this returns.
    unsafe {
        transfer(pipe, deadline, sleeper, "WriteFile", |pipe, overlapped| {
            WriteFile(pipe, start, len, ptr::null_mut(), overlapped)
        })
    }
}

/// One operation on the pipe from beginning to end; the number of bytes.
///
/// # Safety
/// As for [`Operation::start`], until this returns.
unsafe fn transfer(
    pipe: &OwnedHandle,
    deadline: Deadline,
    sleeper: &dyn Sleeper,
    name: &'static str,
    call: impl FnOnce(HANDLE, *mut OVERLAPPED) -> BOOL,
) -> io::Result<usize> {
    let done = new_event(true)?;
    // SAFETY: `pipe` and `done` outlive the operation, which does not leave this function; the rest
    // is the caller's promise.
    let operation = unsafe { Operation::start(pipe, &done, name, call) }.map_err(end_of_pipe)?;
    match sleeper.sleep(Source::Handle(done.as_handle()), deadline) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted || operation.is_running() => Err(e),
        Ok(()) | Err(_) => operation.result().map_err(end_of_pipe),
    }
}

fn end_of_pipe(e: io::Error) -> io::Error {
    if is_end_of_pipe(&e) {
        io::Error::new(io::ErrorKind::UnexpectedEof, e)
    } else {
        e
    }
}

/// An overlapped operation that the kernel may still be busy with; cancelled on drop.
#[derive(Debug)]
struct Operation {
    pipe: HANDLE,
    /// From a `Box`. The kernel writes to it, so there is never a reference to it.
    overlapped: *mut OVERLAPPED,
}

// SAFETY: the kernel does not care from which thread it is asked about an operation. (If the thread
// that started it ends, the operation does too, as one that failed.)
unsafe impl Send for Operation {}

impl Operation {
    /// Starts what `call` does by the function of this name, on `pipe`; `done` is set when it is over.
    ///
    /// # Safety
    /// * `pipe`, `done` and all memory that `call` passes to the kernel must stay valid until the
    ///   operation is dropped, and it must be dropped.
    /// * `call` must pass its two arguments to one overlapped function and return what that does.
    unsafe fn start(
        pipe: &OwnedHandle,
        done: &OwnedHandle,
        name: &'static str,
        call: impl FnOnce(HANDLE, *mut OVERLAPPED) -> BOOL,
    ) -> io::Result<Operation> {
        may_fail(name)?;
        let pipe = pipe.as_raw_handle();
        let overlapped = Box::into_raw(Box::new(OVERLAPPED {
            hEvent: done.as_raw_handle(),
            ..OVERLAPPED::default()
        }));
        if call(pipe, overlapped) == 0 {
            let e = io::Error::last_os_error();
            if !is_code(&e, &[ERROR_IO_PENDING]) {
                // Refused before it began. (The structure may say "pending" all the same, and
                // whoever waited for its end would wait for ever.)
                // SAFETY: it came from a Box, and the kernel has no use for it.
                drop(unsafe { Box::from_raw(overlapped) });
                return Err(e);
            }
        }
        Ok(Operation { pipe, overlapped })
    }

    /// The number of bytes, or why there are none; `ERROR_IO_INCOMPLETE` while it is running.
    fn result(&self) -> io::Result<usize> {
        let bytes = self.outcome(false)?;
        // It has ended: a test may only say that it has failed.
        may_fail("GetOverlappedResult")?;
        Ok(bytes)
    }

    fn is_running(&self) -> bool {
        matches!(self.result(), Err(e) if is_code(&e, &[ERROR_IO_INCOMPLETE]))
    }

    fn outcome(&self, wait: bool) -> io::Result<usize> {
        let mut bytes = 0;
        // SAFETY: the pipe is open and the structure allocated until `self` is dropped.
        let got =
            unsafe { GetOverlappedResult(self.pipe, self.overlapped, &mut bytes, wait.into()) };
        if got == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(bytes as usize)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.is_running() {
            // SAFETY: as in `outcome`. It fails if the operation has ended by now.
            unsafe { CancelIoEx(self.pipe, self.overlapped) };
            // The kernel writes to our memory until the operation has ended, cancelled or not.
            while self.is_running() {
                let _ = self.outcome(true);
            }
        }
        // SAFETY: it came from a Box, and the kernel is done with it.
        drop(unsafe { Box::from_raw(self.overlapped) });
    }
}

/// An instance of the pipe that waits for a guest, or has got one.
#[derive(Debug)]
pub(super) struct Call {
    /// `None` if the guest was there at once. Dropped before what it uses.
    operation: Option<Operation>,
    pipe: OwnedHandle,
    called: Arc<OwnedHandle>,
}

pub(super) enum State {
    Waiting,
    /// A guest is there, or was.
    Called,
    /// It waits no more, and has to be started again.
    Failed,
}

impl Call {
    /// `called` is set when a guest is there.
    pub(super) fn begin(pipe: OwnedHandle, called: &Arc<OwnedHandle>) -> io::Result<Call> {
        let mut call = Call {
            operation: None,
            pipe,
            called: Arc::clone(called),
        };
        call.restart()?;
        Ok(call)
    }

    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.operation = None;
        reset(&self.called);
        // SAFETY: `self` owns what the operation uses, and drops the operation first.
        let started = unsafe {
            Operation::start(
                &self.pipe,
                &self.called,
                "ConnectNamedPipe",
                |pipe, overlapped| ConnectNamedPipe(pipe, overlapped),
            )
        };
        match started {
            Ok(operation) => self.operation = Some(operation),
            // A guest was faster than we were; maybe it has left again.
            Err(e) if is_code(&e, &[ERROR_PIPE_CONNECTED, ERROR_NO_DATA]) => set(&self.called),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    pub(super) fn state(&self) -> State {
        match self.operation.as_ref().map(Operation::result) {
            Some(Err(e)) if is_code(&e, &[ERROR_IO_INCOMPLETE]) => State::Waiting,
            // What happens when the thread ends that started it.
            Some(Err(e)) if is_code(&e, &[ERROR_OPERATION_ABORTED]) => State::Failed,
            // With any other error it is for whoever uses the pipe to see what is wrong.
            None | Some(_) => State::Called,
        }
    }

    pub(super) fn into_pipe(self) -> OwnedHandle {
        drop(self.operation);
        self.pipe
    }
}
