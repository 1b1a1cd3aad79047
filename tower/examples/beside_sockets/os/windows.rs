use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};

pub(crate) const NAME: &str = "TCP";

pub(crate) type Socket = TcpStream;

/// The address, and who comes.
pub(crate) async fn listen(
    _: &str,
) -> io::Result<(String, impl Stream<Item = io::Result<Socket>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let incoming = TcpListenerStream::new(listener).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true)?;
        Ok(socket)
    });
    Ok((address, incoming))
}

pub(crate) async fn connect(address: &str) -> io::Result<Socket> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

pub(crate) fn processor_time() -> Option<Duration> {
    None
}
