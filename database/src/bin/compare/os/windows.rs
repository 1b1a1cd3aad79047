use std::io::{self, Write};
use std::time::Duration;

use super::Accept;

pub(crate) const HAS_UNIX_SOCKETS: bool = false;

pub(crate) fn listen(_: &str) -> io::Result<Accept> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn connect(_: &str) -> io::Result<Box<dyn Write>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn processor_time() -> Option<Duration> {
    None
}
