//! Where one message ends and the next begins, on streams that consist only of bytes.
//!
//! | framing | on input | on output |
//! |---|---|---|
//! | line | each line is a message, without its newline | the message and a newline |
//! | raw | each piece is a message, as the system gives it | the bytes alone |
//! | length | 8 bytes, the length as a little-endian integer, then the message | the same |

use std::io::{self, BufRead, BufReader, Read, Write};

use clap::ValueEnum;

/// How messages are told apart on standard input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// One line is one message; a newline is added on output
    #[default]
    Line,
    /// Bytes as they come, in pieces of up to 64 KiB; message boundaries mean nothing
    Raw,
    /// Each message after its length in 8 bytes, little-endian; keeps boundaries of any bytes
    Length,
}

/// The longest message of raw framing: the most that one read returns.
const PIECE: usize = 64 * 1024;

/// Reads messages from a stream of bytes.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    framing: Framing,
    input: BufReader<R>,
}

impl<R: Read> Messages<R> {
    pub(crate) fn new(framing: Framing, input: R) -> Messages<R> {
        Messages {
            framing,
            input: BufReader::with_capacity(PIECE, input),
        }
    }

    /// Reads the next message into `message`, which is cleared first; `false` at the end.
    ///
    /// Memory grows as bytes arrive, never by an announced length.
    pub(crate) fn next(&mut self, message: &mut Vec<u8>) -> io::Result<bool> {
        message.clear();
        match self.framing {
            Framing::Line => {
                let n = self.input.read_until(b'\n', message)?;
                if message.last() == Some(&b'\n') {
                    message.pop();
                }
                Ok(n > 0)
            }
            Framing::Raw => {
                let piece = loop {
                    match self.input.fill_buf() {
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        other => break other?,
                    }
                };
                message.extend_from_slice(piece);
                self.input.consume(message.len());
                Ok(!message.is_empty())
            }
            Framing::Length => {
                if !self.read_exactly(8, message)? {
                    return Ok(false);
                }
                let length = message.as_slice().try_into().map(u64::from_le_bytes);
                let length = length.map_err(|_| torn())?;
                message.clear();
                if length > 0 && !self.read_exactly(length, message)? {
                    return Err(torn());
                }
                Ok(true)
            }
        }
    }

    /// Reads `length` bytes, or none (`false`) if the input is at its end.
    fn read_exactly(&mut self, length: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        let n = (&mut self.input).take(length).read_to_end(into)?;
        match n as u64 {
            n if n == length => Ok(true),
            0 => Ok(false),
            _ => Err(torn()),
        }
    }
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the input ended inside a message",
    )
}

/// Writes one message to a stream of bytes.
pub(crate) fn write(framing: Framing, output: &mut impl Write, message: &[u8]) -> io::Result<()> {
    if framing == Framing::Length {
        output.write_all(&(message.len() as u64).to_le_bytes())?;
    }
    output.write_all(message)?;
    if framing == Framing::Line {
        output.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(framing: Framing, input: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut messages = Messages::new(framing, input);
        let (mut all, mut message) = (Vec::new(), Vec::new());
        while messages.next(&mut message)? {
            all.push(message.clone());
        }
        Ok(all)
    }

    #[test]
    fn lines() {
        let all = read(Framing::Line, b"one\n\nthree\r\n\xff\0").unwrap();
        assert_eq!(all, [&b"one"[..], b"", b"three\r", b"\xff\0"]);
        assert!(read(Framing::Line, b"").unwrap().is_empty());
        assert_eq!(read(Framing::Line, b"\n").unwrap(), [b""]);
    }

    #[test]
    fn raw_pieces() {
        assert_eq!(read(Framing::Raw, b"a\nb").unwrap(), [b"a\nb"]);
        let long = vec![7; 3 * PIECE + 1];
        let all = read(Framing::Raw, &long).unwrap();
        assert_eq!(all.concat(), long);
        assert!(all.iter().all(|piece| piece.len() <= PIECE));
    }

    #[test]
    fn torn_lengths() {
        assert!(read(Framing::Length, b"").unwrap().is_empty());
        for input in [
            &b"\x01"[..],
            b"\x01\0\0\0\0\0\0\0",
            b"\x05\0\0\0\0\0\0\0four",
            b"\xff\xff\xff\xff\xff\xff\xff\xffnot that much",
        ] {
            let e = read(Framing::Length, input).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    proptest! {
        #[test]
        fn length_framing_keeps_every_message(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
        ) {
            let mut stream = Vec::new();
            for message in &sent {
                write(Framing::Length, &mut stream, message).unwrap();
            }
            prop_assert_eq!(read(Framing::Length, &stream).unwrap(), sent);
        }

        #[test]
        fn line_framing_keeps_every_line(
            mut sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
        ) {
            let mut stream = Vec::new();
            for message in &mut sent {
                message.retain(|byte| *byte != b'\n');
                write(Framing::Line, &mut stream, message).unwrap();
            }
            prop_assert_eq!(read(Framing::Line, &stream).unwrap(), sent);
        }

        #[test]
        fn any_bytes_are_messages_or_an_error(stream in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read(Framing::Raw, &stream).unwrap().concat(), stream.clone());
            let _ = read(Framing::Length, &stream);
        }
    }
}
