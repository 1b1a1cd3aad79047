use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;

pub(crate) const NAME: &str = "Unix socket";

pub(crate) type Socket = UnixStream;

/// The address, and who comes.
pub(crate) async fn listen(
    name: &str,
) -> io::Result<(String, impl Stream<Item = io::Result<Socket>>)> {
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path)?;
    Ok((
        path.display().to_string(),
        UnixListenerStream::new(listener),
    ))
}

pub(crate) async fn connect(address: &str) -> io::Result<Socket> {
    UnixStream::connect(address).await
}

pub(crate) fn processor_time() -> Option<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().ok()
}
