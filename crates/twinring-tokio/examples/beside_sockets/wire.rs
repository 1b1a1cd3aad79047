//! Messages over a connection, or over bytes with a length before each.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixStream, unix};
use twinring_tokio::{ByteStream, Connection, OwnedReadHalf, OwnedWriteHalf};

pub(crate) trait Wire: Send + Sync + 'static {
    fn send(&mut self, message: &[u8]) -> impl Future<Output = ()> + Send;

    fn send_all(&mut self, messages: &[[u8; 64]]) -> impl Future<Output = ()> + Send;

    /// `false`: the peer has gone.
    fn recv(&mut self, message: &mut Vec<u8>) -> impl Future<Output = bool> + Send;

    /// Some messages, one at least. Returns how many.
    fn recv_some(&mut self, message: &mut Vec<u8>) -> impl Future<Output = usize> + Send;
}

impl Wire for Connection {
    async fn send(&mut self, message: &[u8]) {
        Connection::send(self, message).await.expect("a peer");
    }

    async fn send_all(&mut self, mut messages: &[[u8; 64]]) {
        while !messages.is_empty() {
            let sent = self.send_batch(messages).await.expect("a peer");
            messages = &messages[sent..];
        }
    }

    async fn recv(&mut self, message: &mut Vec<u8>) -> bool {
        matches!(self.recv_into(message).await, Ok(Some(_)))
    }

    async fn recv_some(&mut self, message: &mut Vec<u8>) -> usize {
        let Ok(Some(mut batch)) = self.recv_batch().await else {
            return 0;
        };
        let mut count = 0;
        while let Some(next) = batch.next_message() {
            message.clear();
            message.extend_from_slice(next);
            count += 1;
        }
        batch.take();
        count
    }
}

pub(crate) struct Framed<R, W> {
    read: BufReader<R>,
    write: W,
    out: Vec<u8>,
}

pub(crate) type Socket = Framed<unix::OwnedReadHalf, unix::OwnedWriteHalf>;
pub(crate) type Bytes = Framed<OwnedReadHalf, OwnedWriteHalf>;

const BUFFER: usize = 64 * 1024;

impl<R: AsyncRead, W> Framed<R, W> {
    fn new(read: R, write: W) -> Framed<R, W> {
        Framed {
            read: BufReader::with_capacity(BUFFER, read),
            write,
            out: Vec::new(),
        }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        let (read, write) = stream.into_split();
        Framed::new(read, write)
    }
}

impl From<Connection> for Bytes {
    fn from(conn: Connection) -> Bytes {
        let (read, write) = ByteStream::from(conn).into_split();
        Framed::new(read, write)
    }
}

impl<R, W> Framed<R, W> {
    fn append(&mut self, message: &[u8]) {
        let len = message.len() as u32;
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(message);
    }
}

impl<R, W> Wire for Framed<R, W>
where
    R: AsyncRead + Unpin + Send + Sync + 'static,
    W: AsyncWrite + Unpin + Send + Sync + 'static,
{
    async fn send(&mut self, message: &[u8]) {
        self.out.clear();
        if message.len() < BUFFER {
            self.append(message);
            return self.write.write_all(&self.out).await.expect("a peer");
        }
        let len = (message.len() as u32).to_le_bytes();
        self.write.write_all(&len).await.expect("a peer");
        self.write.write_all(message).await.expect("a peer");
    }

    async fn send_all(&mut self, messages: &[[u8; 64]]) {
        self.out.clear();
        for message in messages {
            self.append(message);
        }
        self.write.write_all(&self.out).await.expect("a peer");
    }

    async fn recv(&mut self, message: &mut Vec<u8>) -> bool {
        let Ok(len) = self.read.read_u32_le().await else {
            return false;
        };
        message.resize(len as usize, 0);
        self.read.read_exact(message).await.is_ok()
    }

    async fn recv_some(&mut self, message: &mut Vec<u8>) -> usize {
        self.recv(message).await.into()
    }
}
