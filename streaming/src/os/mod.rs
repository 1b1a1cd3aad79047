//! What differs between systems.
//!
//! Where a socket cannot tell what was written to it, the calls marked * fail.
//!
//! * `bytes_written(&TcpStream) -> io::Result<u64>` *: how many bytes were written to it since it was accepted, by whomever; of a
//!   socket that nobody writes to meanwhile, and that nobody has shut down.
//! * `send_file(&TcpStream, &File, offset, most) -> io::Result<usize>` *: writes from the file to the socket, as much as there is room for
//!   now; 0 at the end of the file.
//! * `wait_writable(&TcpStream, Duration) -> io::Result<()>` *: until there may be room, at most that long.
//! * `read_at(&File, &mut [u8], offset) -> io::Result<usize>`: whatever position others who have the same open file are at.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod sys;

pub(crate) use sys::{bytes_written, read_at, send_file, wait_writable};
