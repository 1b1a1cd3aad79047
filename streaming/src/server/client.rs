//! A client until it has said what it wants, and after it has got it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::job::Wish;
use crate::files::Files;
use crate::http::{self, MAX_HEAD, Method, Part, Request, Status};
use crate::response::Response;

/// How long a client may take to receive an answer without a file.
const SHORT_ANSWER: Duration = Duration::from_secs(10);
/// How long it may take to close its side, and what it may say meanwhile.
const LEAVE: Duration = Duration::from_secs(2);
const LEAVE_BYTES: u64 = 1 << 20;

/// What a client comes in by.
pub(super) struct Entrance {
    pub(super) files: Files,
    pub(super) head_within: Duration,
    pub(super) wishes: mpsc::Sender<Wish>,
}

/// What is to be done.
enum Answer {
    /// All of it, here.
    Here(Vec<u8>),
    Stream(std::fs::File, Response),
}

impl Entrance {
    /// Reads a request, and answers it or passes it on.
    pub(super) async fn receive(
        self: Arc<Entrance>,
        mut socket: TcpStream,
        client: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        let request = match timeout(self.head_within, read_request(&mut socket)).await {
            Ok(Ok(request)) => request,
            // It has gone, and cannot be told anything.
            Ok(Err(_)) => return,
            Err(_) => Err(Status::TimedOut),
        };
        let answer = match request {
            Ok(request) => {
                let (entrance, path) = (self.clone(), request.path.clone());
                let without_body = request.method == Method::Head;
                let answer = spawn_blocking(move || entrance.answer(&request)).await;
                match answer {
                    Ok(Answer::Stream(file, response)) => {
                        // It does not fail for a live socket.
                        if let Ok(socket) = socket.into_std() {
                            let wish = Wish {
                                client,
                                path,
                                response,
                                file,
                                socket,
                                permit,
                            };
                            // It waits while the dispatcher is busy.
                            let _ = self.wishes.send(wish).await;
                        }
                        return;
                    }
                    Ok(Answer::Here(answer)) if without_body => http::without_body(answer),
                    Ok(Answer::Here(answer)) => answer,
                    Err(_) => http::plain(Status::Overloaded, None),
                }
            }
            Err(status) => http::plain(status, None),
        };
        if let Ok(Ok(())) = timeout(SHORT_ANSWER, socket.write_all(&answer)).await {
            leave(socket).await;
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let (file, validator) = match self.files.file(&request.path) {
            Ok(found) => found,
            Err(e) => return Answer::Here(http::plain(status_of(&e), None)),
        };
        // A part of another file is worth nothing to the client.
        let same = match &request.if_range {
            Some(tag) => *tag == validator.tag().as_bytes(),
            None => true,
        };
        let part = match request.method {
            Method::Get if same => http::part(request.range.as_deref(), validator.len),
            _ => Part::All,
        };
        match http::file_head(&validator, part) {
            None => Answer::Here(http::plain(
                Status::RangeNotSatisfiable,
                Some(validator.len),
            )),
            Some((head, _)) if request.method == Method::Head => Answer::Here(head),
            Some((head, range)) => {
                let (start, len) = (range.start, range.end - range.start);
                Answer::Stream(file, Response { head, start, len })
            }
        }
    }
}

/// Which files there are that may not be opened is nobody's business.
fn status_of(e: &io::Error) -> Status {
    match e.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => Status::NotFound,
        // No descriptors, say.
        _ => Status::Overloaded,
    }
}

/// An error if the client leaves before it has said anything whole.
async fn read_request(socket: &mut TcpStream) -> io::Result<Result<Request, Status>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let room = (MAX_HEAD - head.len()) as u64;
        if (&mut *socket).take(room).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match http::parse(&head) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(status) => return Ok(Err(status)),
        }
    }
}

/// Says that this was all, and waits until the client closes as well. To close a socket with something unread in it would take
/// from the client what it has not read.
pub(super) async fn leave(mut socket: TcpStream) {
    if socket.shutdown().await.is_ok() {
        let mut rest = socket.take(LEAVE_BYTES);
        let mut nowhere = tokio::io::sink();
        let _ = timeout(LEAVE, tokio::io::copy(&mut rest, &mut nowhere)).await;
    }
}
