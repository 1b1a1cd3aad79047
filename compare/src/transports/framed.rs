//! Messages on a stream of bytes: a length and the bytes, in one call for each message where the
//! system can; read through a buffer, long ones straight to their place.

use std::io::{BufReader, IoSlice, Read, Write};

use crate::common::Result;
use crate::link::{Receiver, Sender};
use crate::payload::Buffer;

/// Of the reader.
const BUFFER: usize = 64 * 1024;
const PREFIX: usize = 8;

/// Writes a message with its length.
pub(super) fn write(to: &mut impl Write, message: &[u8]) -> Result<()> {
    let len = (message.len() as u64).to_ne_bytes();
    let done = to.write_vectored(&[IoSlice::new(&len), IoSlice::new(message)])?;
    if done < PREFIX {
        to.write_all(&len[done..])?;
    }
    Ok(to.write_all(&message[done.saturating_sub(PREFIX)..])?)
}

pub(super) struct FramedSender<W>(W);

impl<W> FramedSender<W> {
    pub(super) fn new(to: W) -> FramedSender<W> {
        FramedSender(to)
    }
}

impl<W: Write + Send + 'static> Sender for FramedSender<W> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        write(&mut self.0, message)
    }
}

pub(super) struct FramedReceiver<R> {
    from: BufReader<R>,
    message: Buffer,
}

impl<R: Read> FramedReceiver<R> {
    pub(super) fn new(from: R) -> FramedReceiver<R> {
        FramedReceiver {
            from: BufReader::with_capacity(BUFFER, from),
            message: Buffer::received(),
        }
    }
}

impl<R: Read + Send + 'static> Receiver for FramedReceiver<R> {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut len = [0; PREFIX];
        self.from.read_exact(&mut len)?;
        let message = self.message.take(u64::from_ne_bytes(len) as usize);
        self.from.read_exact(message)?;
        read(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut stream = Vec::new();
        for len in [0, 1, 64, 100_000] {
            write(&mut stream, &vec![7; len]).unwrap();
        }
        let mut receiver = FramedReceiver::new(std::io::Cursor::new(stream));
        for len in [0, 1, 64, 100_000] {
            let mut got = None;
            receiver.recv(|bytes| got = Some(bytes.to_vec())).unwrap();
            assert_eq!(got, Some(vec![7; len]));
        }
        assert!(receiver.recv(|_| ()).is_err());
    }
}
