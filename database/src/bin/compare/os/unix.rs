use std::fs;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Accept;

pub(crate) const HAS_UNIX_SOCKETS: bool = true;

/// Listens at this path; what it returns waits for who connects, and removes the path.
pub(crate) fn listen(path: &str) -> io::Result<Accept> {
    let listener = UnixListener::bind(path)?;
    let path = path.to_owned();
    Ok(Box::new(move || {
        let (socket, _) = listener.accept()?;
        fs::remove_file(path)?;
        Ok(Box::new(socket))
    }))
}

pub(crate) fn connect(path: &str) -> io::Result<Box<dyn Write>> {
    Ok(Box::new(UnixStream::connect(path)?))
}

pub(crate) fn processor_time() -> Option<Duration> {
    clock_gettime(ClockId::ProcessCPUTime).try_into().ok()
}
