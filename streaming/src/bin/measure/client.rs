//! A client that takes the time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// An answer whose head has been received.
pub(crate) struct Answer {
    socket: TcpStream,
    /// From before the connection to the first byte.
    pub(crate) first_byte: Duration,
    /// Bytes of the body.
    pub(crate) received: u64,
    len: u64,
    buffer: Vec<u8>,
}

pub(crate) fn ask(address: &str, method: &str, path: &str) -> anyhow::Result<Answer> {
    let began = Instant::now();
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "{method} /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut first_byte = None;
    // A byte at a time: what follows is not taken, and heads are short.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        first_byte.get_or_insert_with(|| began.elapsed());
        head.extend(byte);
    }
    let head = String::from_utf8(head)?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, len) = head.split_once("Content-Length: ").context("a length")?;
    let len = len.split("\r\n").next().unwrap_or_default().parse()?;
    Ok(Answer {
        socket,
        first_byte: first_byte.context("a head")?,
        received: 0,
        len,
        buffer: vec![0; 256 << 10],
    })
}

impl Answer {
    /// Receives some; `false` at the end.
    pub(crate) fn receive(&mut self) -> anyhow::Result<bool> {
        let read = self.socket.read(&mut self.buffer)?;
        self.received += read as u64;
        ensure!(read > 0 || self.received == self.len, "it is not whole");
        Ok(read > 0)
    }
}
