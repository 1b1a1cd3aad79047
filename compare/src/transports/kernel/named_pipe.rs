//! Two named pipes of Windows, one per direction: on one pipe opened for blocking calls, a read
//! that waits would hold up every write.

use std::fs::File;
use std::io::Error;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_WAIT,
};

use super::joined::Joined;
use crate::cell::Spec;
use crate::common::{KIB, MIB, Result};
use crate::link::Transport;
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};
use crate::transports::framed::{FramedReceiver, FramedSender};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "named-pipe",
            "named pipe",
            Waits::Sleeps,
            NamedPipe(4 * KIB),
            "two named pipes, one per direction, byte mode, buffers of 4 KiB as most programs ask \
             for; a short message is copied behind its length and written at once, read through \
             a 64 KiB buffer; blocking; threads send under a lock",
        ),
        Entry::new(
            "named-pipe-1m",
            "named pipe, 1 MiB",
            Waits::Sleeps,
            NamedPipe(MIB),
            "the same with buffers of 1 MiB",
        ),
    ]
}

/// With buffers of this size.
struct NamedPipe(usize);

/// What the host writes to, and what it reads from.
type Pair = (File, File);

impl Transport for NamedPipe {
    type Tx = FramedSender<Joined<File>>;
    type Rx = FramedReceiver<File>;
    type Listener = Pair;

    fn listen(&self, _: &Spec) -> Result<(Pair, String)> {
        let name = format!(r"\\.\pipe\{}", unique_name("pipe"));
        let out = self.create(&format!("{name}-out"), PIPE_ACCESS_OUTBOUND)?;
        let into = self.create(&format!("{name}-in"), PIPE_ACCESS_INBOUND)?;
        Ok(((out, into), name))
    }

    fn accept(&self, (out, into): Pair, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        for pipe in [&out, &into] {
            // SAFETY: an open pipe, no overlapped call.
            let done = unsafe { ConnectNamedPipe(pipe.as_raw_handle(), null_mut()) };
            let error = Error::last_os_error();
            // The guest may have come before we asked.
            if done == 0 && error.raw_os_error() != Some(ERROR_PIPE_CONNECTED as i32) {
                return Err(error.into());
            }
        }
        Ok(ends(out, into))
    }

    fn connect(&self, name: &str, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        let from_host = File::open(format!("{name}-out"))?;
        let to_host = File::options().write(true).open(format!("{name}-in"))?;
        Ok(ends(to_host, from_host))
    }
}

fn ends(to: File, from: File) -> (FramedSender<Joined<File>>, FramedReceiver<File>) {
    let sender = FramedSender::new(Joined::new(to));
    (sender, FramedReceiver::new(from))
}

impl NamedPipe {
    fn create(&self, name: &str, direction: u32) -> Result<File> {
        let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let size = self.0 as u32;
        let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
        // SAFETY: the name ends with a zero.
        let handle = unsafe {
            CreateNamedPipeW(
                name.as_ptr(),
                direction | FILE_FLAG_FIRST_PIPE_INSTANCE,
                mode,
                1,
                size,
                size,
                0,
                null(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(Error::last_os_error().into());
        }
        // SAFETY: a new handle that nobody else owns.
        Ok(unsafe { File::from_raw_handle(handle) })
    }
}
