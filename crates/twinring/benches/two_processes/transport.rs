//! What is compared, behind one face. The parent makes a transport and what its child needs to
//! join it: a descriptor as standard input, or a name.

use std::io::{BufReader, IoSlice, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use twinring::{Link, Wait};

use super::bare::{self, Bare};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BareSpin,
    BareSleep,
    Spin,
    Adaptive,
    Sleep,
    Pipe,
    Socket,
}

impl Kind {
    pub(crate) const ALL: [Kind; 7] = [
        Kind::BareSpin,
        Kind::BareSleep,
        Kind::Spin,
        Kind::Adaptive,
        Kind::Sleep,
        Kind::Pipe,
        Kind::Socket,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::BareSpin => "bare ring, spinning",
            Kind::BareSleep => "bare ring, spin then futex",
            Kind::Spin => "twinring, Wait::Spin",
            Kind::Adaptive => "twinring, default",
            Kind::Sleep => "twinring, Wait::Sleep",
            Kind::Pipe => "pipe",
            Kind::Socket => "Unix socket",
        }
    }

    fn wait(self) -> Wait {
        match self {
            Kind::Spin => Wait::Spin,
            Kind::Sleep => Wait::Sleep,
            _ => Wait::Adaptive,
        }
    }
}

pub(crate) enum Transport {
    Bare(Bare),
    Link(Link),
    Pipe(BufReader<PipeReader>, PipeWriter),
    Socket(BufReader<UnixStream>, UnixStream),
}

/// Buffer of those who read a stream.
const BUFFER: usize = 64 * 1024;

impl Transport {
    /// The parent's end; `child` is told how to get the other.
    pub(crate) fn parent(kind: Kind, child: &mut Command) -> Transport {
        match kind {
            Kind::BareSpin | Kind::BareSleep => {
                let fd = bare::memory();
                let bare = Bare::new(&fd, 0, kind == Kind::BareSleep);
                child.stdin(Stdio::from(fd));
                Transport::Bare(bare)
            }
            Kind::Spin | Kind::Adaptive | Kind::Sleep => {
                let name = format!("bench-{}", std::process::id());
                child.arg(&name);
                Transport::Link(Link::host(&name).wait(kind.wait()).open().unwrap())
            }
            Kind::Pipe => {
                let (from_child, childs_out) = std::io::pipe().unwrap();
                let (childs_in, to_child) = std::io::pipe().unwrap();
                child.stdin(childs_in).stdout(childs_out);
                Transport::Pipe(BufReader::with_capacity(BUFFER, from_child), to_child)
            }
            Kind::Socket => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                child.stdin(Stdio::from(OwnedFd::from(theirs)));
                let reader = BufReader::with_capacity(BUFFER, ours.try_clone().unwrap());
                Transport::Socket(reader, ours)
            }
        }
    }

    /// The child's end.
    pub(crate) fn child(kind: Kind, name: Option<&str>) -> Transport {
        let stdin = || std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let stdout = || std::io::stdout().as_fd().try_clone_to_owned().unwrap();
        match kind {
            Kind::BareSpin | Kind::BareSleep => {
                Transport::Bare(Bare::new(&stdin(), 1, kind == Kind::BareSleep))
            }
            Kind::Spin | Kind::Adaptive | Kind::Sleep => {
                let link = Link::guest(name.unwrap()).wait(kind.wait()).open().unwrap();
                link.wait_connected(Duration::from_secs(10)).unwrap();
                Transport::Link(link)
            }
            Kind::Pipe => {
                let reader = BufReader::with_capacity(BUFFER, PipeReader::from(stdin()));
                Transport::Pipe(reader, PipeWriter::from(stdout()))
            }
            Kind::Socket => {
                let socket = UnixStream::from(stdin());
                let reader = BufReader::with_capacity(BUFFER, socket.try_clone().unwrap());
                Transport::Socket(reader, socket)
            }
        }
    }

    /// Waits until the child is there, where it takes time.
    pub(crate) fn ready(&self) {
        if let Transport::Link(link) = self {
            link.wait_connected(Duration::from_secs(10)).unwrap();
        }
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        match self {
            Transport::Bare(bare) => bare.send(message),
            Transport::Link(link) => link.send(message).unwrap(),
            Transport::Pipe(_, to) => write_message(to, message),
            Transport::Socket(_, to) => write_message(to, message),
        }
    }

    pub(crate) fn recv(&mut self, message: &mut Vec<u8>) {
        match self {
            Transport::Bare(bare) => bare.recv(message),
            Transport::Link(link) => {
                link.recv_into(message).unwrap();
            }
            Transport::Pipe(from, _) => read_message(from, message),
            Transport::Socket(from, _) => read_message(from, message),
        }
    }
}

/// Length and bytes in one system call.
fn write_message(to: &mut impl Write, message: &[u8]) {
    let len = (message.len() as u64).to_ne_bytes();
    let n = to
        .write_vectored(&[IoSlice::new(&len), IoSlice::new(message)])
        .unwrap();
    if n < 8 {
        to.write_all(&len[n..]).unwrap();
    }
    to.write_all(&message[n.saturating_sub(8)..]).unwrap();
}

fn read_message(from: &mut impl Read, message: &mut Vec<u8>) {
    let mut len = [0; 8];
    from.read_exact(&mut len).unwrap();
    message.resize(u64::from_ne_bytes(len) as usize, 0);
    from.read_exact(message).unwrap();
}
