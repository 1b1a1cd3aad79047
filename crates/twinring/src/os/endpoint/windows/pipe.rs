//! The named pipe: its instances, and the packets that go through it.
//!
//! Everything is overlapped: the kernel goes on with an operation after the call has returned, and
//! writes to our memory when it is done. So an [`Operation`] is never released before the kernel is
//! done with it.

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME, ERROR_IO_INCOMPLETE,
    ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PATH_NOT_FOUND,
    ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, OPEN_EXISTING,
    PIPE_ACCESS_DUPLEX, ReadFile, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT, WRITE_DAC,
    WriteFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, PeekNamedPipe,
};
use windows_sys::core::BOOL;

use crate::os::endpoint::common::{PACKET, Packet};
use crate::os::event::{new_event, reset, set};
use crate::os::process::KeptPipe;
use crate::os::windows::{
    AccessList, GUEST_RIGHTS, is_code, is_end_of_pipe, may_be_denied, may_fail, ok, own, wide,
};

/// A handshake never has more than this in transit, so a host does not wait for a guest to read.
const BUFFER: u32 = 4 * PACKET as u32;

const MODE: u32 = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
/// Nobody connects over the network. There is no way to ask whether a pipe was created like this.
const _: () = assert!(MODE & PIPE_REJECT_REMOTE_CLIENTS != 0);

/// A new instance of the pipe, of which we are the server. `first`: only if there is none yet.
pub(super) fn instance(name: &str, access: &AccessList, first: bool) -> io::Result<OwnedHandle> {
    let first = if first {
        FILE_FLAG_FIRST_PIPE_INSTANCE
    } else {
        0
    };
    create(name, access, first, PIPE_UNLIMITED_INSTANCES)
}

/// A further instance of a pipe that is there, by which its access list can be replaced.
pub(super) fn instance_to_own(name: &str, access: &AccessList) -> io::Result<OwnedHandle> {
    create(name, access, WRITE_DAC, PIPE_UNLIMITED_INSTANCES)
}

fn create(name: &str, access: &AccessList, flags: u32, most: u32) -> io::Result<OwnedHandle> {
    // SAFETY: a zero-terminated string, and attributes that live as long as the call.
    unsafe {
        own("CreateNamedPipeW", || {
            CreateNamedPipeW(
                wide(name).as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | flags,
                MODE,
                most,
                BUFFER,
                BUFFER,
                0,
                &access.attributes(),
            )
        })
    }
}

/// A lock that is a pipe of one instance, to which only its owner may connect, and does not. The system frees it with
/// its last handle.
pub(super) enum Lock {
    Held(OwnedHandle),
    Taken,
    /// This process may have no pipe of this name.
    Denied,
}

impl Lock {
    pub(super) fn take(name: &str, access: &AccessList) -> io::Result<Lock> {
        const DENIED: [u32; 3] = [
            ERROR_ACCESS_DENIED,
            ERROR_PATH_NOT_FOUND,
            ERROR_INVALID_NAME,
        ];
        let created = may_be_denied("protected").and_then(|()| create(name, access, 0, 1));
        match created {
            Err(e) if is_code(&e, &[ERROR_PIPE_BUSY]) => Ok(Lock::Taken),
            Err(e) if is_code(&e, &DENIED) => Ok(Lock::Denied),
            created => created.map(Lock::Held),
        }
    }
}

/// Connects to the pipe as a client; `None` if there is none, `WouldBlock` if no instance of it waits for a client.
pub(super) fn open(name: &str) -> io::Result<Option<OwnedHandle>> {
    // The server may find out who we are, and nothing more: a process that has taken the name must
    // not be able to act as us.
    let flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    // SAFETY: a zero-terminated string, and NULL; the handle is not inheritable.
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
        // Not even the place for it may be there.
        Err(e) if is_code(&e, &[ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND]) => Ok(None),
        Err(e) if is_code(&e, &[ERROR_PIPE_BUSY]) => Err(io::ErrorKind::WouldBlock.into()),
        Err(e) => Err(e),
    }
}

/// Whether at least `len` bytes are there to be read.
pub(super) fn holds(pipe: &OwnedHandle, len: usize) -> bool {
    let mut available = 0;
    // SAFETY: a live handle, and room for the only result that is requested.
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

/// One packet on its way through the pipe, in or out.
#[derive(Debug)]
pub(super) struct Transfer {
    /// What the kernel is working on. Dropped before what that uses.
    operation: Option<Operation>,
    packet: Box<Packet>,
    done: usize,
    pipe: Arc<OwnedHandle>,
    /// Set when the operation has ended.
    ended: Arc<OwnedHandle>,
}

impl Transfer {
    pub(super) fn new(pipe: &Arc<OwnedHandle>, ended: &Arc<OwnedHandle>) -> Transfer {
        Transfer {
            operation: None,
            packet: Box::new([0; PACKET]),
            done: 0,
            pipe: pipe.clone(),
            ended: ended.clone(),
        }
    }

    /// Whether an operation has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.operation.is_some() || self.done > 0
    }

    /// Writes a packet. `WouldBlock` until all of it has gone: call it again when `ended` is set, with
    /// the same packet.
    pub(super) fn write(&mut self, packet: &Packet) -> io::Result<()> {
        if !self.has_begun() {
            *self.packet = *packet;
        }
        self.go_on("WriteFile", |pipe, bytes, len, overlapped| {
            // SAFETY: the packet does not change before the operation has ended.
            unsafe { WriteFile(pipe, bytes, len, ptr::null_mut(), overlapped) }
        })
    }

    /// Reads a packet, in the same way.
    pub(super) fn read(&mut self) -> io::Result<Packet> {
        self.go_on("ReadFile", |pipe, bytes, len, overlapped| {
            // SAFETY: nobody touches the packet before the operation has ended.
            unsafe { ReadFile(pipe, bytes, len, ptr::null_mut(), overlapped) }
        })?;
        Ok(*self.packet)
    }

    fn go_on(
        &mut self,
        name: &'static str,
        call: impl Fn(HANDLE, *mut u8, u32, *mut OVERLAPPED) -> BOOL,
    ) -> io::Result<()> {
        // The peer can write nothing, which a byte pipe passes on; others must not wait for one that
        // does so again and again.
        for _ in 0..PACKET {
            let operation = match self.operation.take() {
                Some(operation) => operation,
                None => {
                    let rest = &mut self.packet[self.done..];
                    let (bytes, len) = (rest.as_mut_ptr(), rest.len() as u32);
                    // SAFETY: `self` owns everything the operation uses, and drops the operation first.
                    unsafe {
                        Operation::start(&self.pipe, &self.ended, name, |pipe, overlapped| {
                            call(pipe, bytes, len, overlapped)
                        })
                    }
                    .map_err(end_of_pipe)?
                }
            };
            match operation.result() {
                Err(e) if is_code(&e, &[ERROR_IO_INCOMPLETE]) => {
                    self.operation = Some(operation);
                    break;
                }
                ended => self.done += ended.map_err(end_of_pipe)?,
            }
            if self.done == PACKET {
                self.done = 0;
                return Ok(());
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Stops a read that has begun. Returns the packet if all of it had come by then.
    pub(super) fn stop_reading(&mut self) -> Option<Packet> {
        let operation = self.operation.take()?;
        self.done += operation.stop().ok()?;
        (self.done == PACKET).then_some(*self.packet)
    }
}

/// A pipe whose handshake is over, which tells when the other side has closed it, or ended. Anything that the
/// other side writes says the same: it has nothing to write.
#[derive(Debug)]
pub(super) struct OpenPipe {
    /// A read that goes on until then. Nobody asks about it: the lock only says that it may be shared.
    _transfer: Mutex<Transfer>,
    closed: Arc<OwnedHandle>,
}

impl OpenPipe {
    /// For a thread that does not end before the connection: with it, the read would end.
    pub(super) fn begin(pipe: &Arc<OwnedHandle>) -> io::Result<OpenPipe> {
        let closed = Arc::new(new_event(true)?);
        let mut transfer = Transfer::new(pipe, &closed);
        match transfer.read() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => set(&closed),
            Err(e) => return Err(e),
            Ok(_) => set(&closed),
        }
        Ok(OpenPipe {
            _transfer: Mutex::new(transfer),
            closed,
        })
    }
}

impl KeptPipe for OpenPipe {
    fn closed(&self) -> BorrowedHandle<'_> {
        self.closed.as_handle()
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

// SAFETY: the kernel does not care which thread asks about an operation. (If the thread that
// started it ends, the operation ends too, as a failed one.)
unsafe impl Send for Operation {}

impl Operation {
    /// Starts what `call` does with the function of this name, on `pipe`; `done` is set when it is over.
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
                // waiting for its end would last for ever.)
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
        // It has ended: a test may only make it look failed.
        may_fail("GetOverlappedResult")?;
        Ok(bytes)
    }

    fn is_running(&self) -> bool {
        matches!(self.result(), Err(e) if is_code(&e, &[ERROR_IO_INCOMPLETE]))
    }

    /// Ends it as soon as possible; returns its result.
    fn stop(&self) -> io::Result<usize> {
        // SAFETY: as in `outcome`. It fails if the operation has ended by now.
        unsafe { CancelIoEx(self.pipe, self.overlapped) };
        // The kernel writes to our memory until the operation has ended, cancelled or not.
        loop {
            match self.outcome(true) {
                Err(e) if is_code(&e, &[ERROR_IO_INCOMPLETE]) => {}
                ended => return ended,
            }
        }
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
            let _ = self.stop();
        }
        // SAFETY: it came from a Box, and the kernel is done with it.
        drop(unsafe { Box::from_raw(self.overlapped) });
    }
}

/// An instance of the pipe that waits for a guest, or has one.
#[derive(Debug)]
pub(super) struct Call {
    /// `None` if the guest was there at once. Dropped before what it uses.
    operation: Option<Operation>,
    pipe: OwnedHandle,
    called: Arc<OwnedHandle>,
}

pub(super) enum CallState {
    Waiting,
    /// A guest is there, or was.
    Called,
    /// It no longer waits, and has to be started again.
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
            // A guest was faster than we were; it may have left again.
            Err(e) if is_code(&e, &[ERROR_PIPE_CONNECTED, ERROR_NO_DATA]) => set(&self.called),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    pub(super) fn state(&self) -> CallState {
        match self.operation.as_ref().map(Operation::result) {
            Some(Err(e)) if is_code(&e, &[ERROR_IO_INCOMPLETE]) => CallState::Waiting,
            // This happens when the thread that started it ends.
            Some(Err(e)) if is_code(&e, &[ERROR_OPERATION_ABORTED]) => CallState::Failed,
            // Any other error shows when the pipe is used.
            None | Some(_) => CallState::Called,
        }
    }

    pub(super) fn into_pipe(self) -> OwnedHandle {
        drop(self.operation);
        self.pipe
    }
}
