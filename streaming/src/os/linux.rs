//! Linux: the kernel counts what is written to a TCP socket.
#![allow(unsafe_code, reason = "two system calls that no library has")]

use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use linux_raw_sys::net::tcp_info;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the peer has acknowledged, and what it has not: sent and lost, under way, or not sent yet. The peer's SYN is not counted in a
/// socket that was accepted (in one that connects it is); a FIN would be.
pub(crate) fn bytes_written(socket: &TcpStream) -> io::Result<u64> {
    let mut acknowledged = bytes_acknowledged(socket)?;
    loop {
        let queued = bytes_queued(socket)?;
        let again = bytes_acknowledged(socket)?;
        // Otherwise bytes may have gone from the one number to the other between the two.
        if again == acknowledged {
            return Ok(acknowledged + queued);
        }
        acknowledged = again;
    }
}

fn bytes_acknowledged(socket: &TcpStream) -> io::Result<u64> {
    let mut info = MaybeUninit::<tcp_info>::zeroed();
    let mut len = size_of::<tcp_info>() as libc::socklen_t;
    // SAFETY: a live descriptor, and room of the length given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if (len as usize) < std::mem::offset_of!(tcp_info, tcpi_bytes_acked) + size_of::<u64>() {
        let text = "this kernel does not count bytes (older than 4.1)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    // SAFETY: it has only numbers, for which zeros stand where an older kernel has none.
    Ok(unsafe { info.assume_init() }.tcpi_bytes_acked)
}

fn bytes_queued(socket: &TcpStream) -> io::Result<u64> {
    let mut queued: libc::c_int = 0;
    // SAFETY: a live descriptor, and TIOCOUTQ (SIOCOUTQ for a socket) writes one number.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) } != 0 {
        return Err(io::Error::last_os_error());
    }
    u64::try_from(queued).map_err(io::Error::other)
}

pub(crate) fn send_file(
    socket: &TcpStream,
    file: &File,
    mut offset: u64,
    most: usize,
) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), most)?)
}

pub(crate) fn wait_writable(socket: &TcpStream, most: Duration) -> io::Result<()> {
    let most = Timespec::try_from(most).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

pub(crate) fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(into, offset)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_counts_what_is_written_to_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(bytes_written(&server).unwrap(), 0);
        client.write_all(b"what comes does not count").unwrap();
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        let piece = vec![1; 100_000];
        while let Ok(n) = server.write(&piece) {
            written += n as u64;
            assert_eq!(bytes_written(&server).unwrap(), written);
        }
        // While the client takes it, bytes go from one number to the other.
        let reader = std::thread::spawn(move || {
            let mut taken = 0;
            let mut piece = vec![0; 10_000];
            while taken < written {
                taken += client.read(&mut piece).unwrap() as u64;
            }
            client
        });
        while !reader.is_finished() {
            assert_eq!(bytes_written(&server).unwrap(), written);
        }
        assert_eq!(bytes_written(&server).unwrap(), written);
        drop(reader.join().unwrap());
    }
}
