//! Two anonymous pipes. The guest opens its ends by the host's descriptors in /proc.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, pipe};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pipe::fcntl_setpipe_size;

use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Sender, Transport};
use crate::transports::entry::{Entry, Waits};
use crate::transports::framed::{self, FramedReceiver};

/// Writes of up to this many bytes are kept whole by the kernel, whoever else writes.
const WHOLE: usize = 4096;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "pipe",
            "pipe",
            Waits::Sleeps,
            Pipe(None),
            "two anonymous pipes, the kernel's 64 KiB; writev of length and bytes, read through a \
             64 KiB buffer; blocking; threads write without a lock where a message fits into \
             PIPE_BUF; the guest opens its ends through /proc",
        ),
        Entry::new(
            "pipe-1m",
            "pipe, 1 MiB",
            Waits::Sleeps,
            Pipe(Some(MIB)),
            "the same with F_SETPIPE_SZ 1 MiB, the most that is allowed without privileges",
        ),
    ]
}

/// With this capacity.
struct Pipe(Option<usize>);

struct Ours {
    from_guest: PipeReader,
    to_guest: PipeWriter,
    /// The guest's ends stay open: it opens them whenever it comes, and nobody here waits for an
    /// end of file.
    _guests: ManuallyDrop<(PipeReader, PipeWriter)>,
}

impl Transport for Pipe {
    type Tx = PipeSender;
    type Rx = FramedReceiver<File>;
    type Listener = Ours;

    fn listen(&self, _: &Spec) -> Result<(Ours, String)> {
        let (guest_reads, to_guest) = pipe()?;
        let (from_guest, guest_writes) = pipe()?;
        if let Some(size) = self.0 {
            fcntl_setpipe_size(to_guest.as_fd(), size)?;
            fcntl_setpipe_size(guest_writes.as_fd(), size)?;
        }
        let token = format!(
            "/proc/{0}/fd/{1} /proc/{0}/fd/{2}",
            std::process::id(),
            guest_reads.as_raw_fd(),
            guest_writes.as_raw_fd()
        );
        let ours = Ours {
            from_guest,
            to_guest,
            _guests: ManuallyDrop::new((guest_reads, guest_writes)),
        };
        Ok((ours, token))
    }

    fn accept(&self, ours: Ours, spec: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        let to = File::from(OwnedFd::from(ours.to_guest));
        let from = File::from(OwnedFd::from(ours.from_guest));
        Ok(ends(to, from, spec))
    }

    fn connect(&self, token: &str, spec: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        let (reads, writes) = token.split_once(' ').ok_or("a token of two names")?;
        let from_host = File::open(reads)?;
        let to_host = File::options().write(true).open(writes)?;
        Ok(ends(to_host, from_host, spec))
    }
}

fn ends(to: File, from: File, spec: &Spec) -> (PipeSender, FramedReceiver<File>) {
    let sender = PipeSender {
        pipe: to,
        whole: spec.workload.longest() + 8 <= WHOLE,
    };
    (sender, FramedReceiver::new(from))
}

struct PipeSender {
    pipe: File,
    /// Each message is one write that the kernel keeps whole: several threads may write at once.
    whole: bool,
}

impl Sender for PipeSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        framed::write(&mut self.pipe, message)
    }

    fn another(&self) -> Result<Option<Self>> {
        if !self.whole {
            return Ok(None);
        }
        Ok(Some(PipeSender {
            pipe: self.pipe.try_clone()?,
            whole: true,
        }))
    }
}
