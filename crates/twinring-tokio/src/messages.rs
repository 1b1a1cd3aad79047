//! The messages of a connection, as a stream and a sink.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use twinring::{Error, ErrorKind, Result};

use super::connection::Connection;
use super::wait::Waiting;

/// A connection's messages as a `Stream` and a `Sink`; made by [`Connection::into_messages`].
///
/// The stream ends once the peer has finished; any other end is given once as an error before. The sink holds at most
/// one message that there is no room for yet: `flush` hands it to the ring, and does not wait until the peer has taken it.
/// `close` finishes this direction, and the stream goes on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> twinring::Result<()> {
/// use futures_util::{SinkExt, StreamExt};
/// use twinring_tokio::Connection;
///
/// # let (one, other) = twinring::Link::pair()?;
/// let mut one = Connection::from(one).into_messages();
/// let mut other = Connection::from(other).into_messages();
/// one.send(b"hello".to_vec()).await?;
/// one.close().await?;
/// assert_eq!(other.next().await.unwrap()?, b"hello");
/// assert!(other.next().await.is_none());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Messages {
    conn: Connection,
    receiving: Waiting,
    has_ended: bool,
    sending: Waiting,
    /// What there was no room for.
    unsent: Option<Vec<u8>>,
}

impl From<Connection> for Messages {
    fn from(conn: Connection) -> Messages {
        Messages {
            conn,
            receiving: Waiting::default(),
            has_ended: false,
            sending: Waiting::default(),
            unsent: None,
        }
    }
}

impl AsRef<Connection> for Messages {
    fn as_ref(&self) -> &Connection {
        &self.conn
    }
}

impl Messages {
    fn poll_unsent(&mut self, task: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(message) = &self.unsent else {
            return Poll::Ready(Ok(()));
        };
        let (conn, now) = (&self.conn, self.conn.as_ref());
        let sent = conn.poll_send(message.len(), task, &mut self.sending, || now.send(message));
        let sent = ready!(sent);
        self.unsent = None;
        Poll::Ready(sent)
    }
}

impl Stream for Messages {
    type Item = Result<Vec<u8>>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let now = this.conn.as_ref();
        let received = ready!(
            this.conn
                .poll_recv(task, &mut this.receiving, || now.recv())
        );
        this.has_ended = match &received {
            Ok(message) => message.is_none(),
            // One message that was given up.
            Err(e) => e.kind() != ErrorKind::StreamEnded,
        };
        Poll::Ready(received.transpose())
    }
}

impl Sink<Vec<u8>> for Messages {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().poll_unsent(task)
    }

    fn start_send(self: Pin<&mut Self>, message: Vec<u8>) -> Result<()> {
        let this = self.get_mut();
        assert!(this.unsent.is_none(), "start_send comes after poll_ready");
        let now: &twinring::Connection = this.conn.as_ref();
        match now.send(&message) {
            Err(e) if e.is_timeout() => {
                this.unsent = Some(message);
                Ok(())
            }
            sent => sent,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().poll_unsent(task)
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(task))?;
        Poll::Ready(this.conn.finish())
    }
}
