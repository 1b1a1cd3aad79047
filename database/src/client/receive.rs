//! One message, received into memory of the right length and alignment: the only copy on this side.

use std::io::{self, Read};

use arrow_buffer::MutableBuffer;
use twinring::Connection;

use super::Error;
use crate::protocol::{self, Failure, Finished, Header, Kind, Nonsense, Progress, Start};

/// What a provider says.
pub enum Message {
    /// The query runs.
    Start(Start),
    /// Not checked yet; 64-byte aligned.
    Schema(MutableBuffer),
    /// Not checked yet; 64-byte aligned.
    Batch(MutableBuffer),
    /// It runs still.
    Progress(Progress),
    /// All has been said.
    Finished(Finished),
    /// It failed.
    Failure(Failure),
}

/// Receives the next message, a batch into `memory`; `None` once the provider has finished. Waits as long as the handle says,
/// for each piece of the message.
///
/// # Errors
/// [`Error::Link`]: nothing came in time, or the connection has ended. [`Error::Nonsense`]: what came is no message of a
/// provider's; if it says that it is too long, nothing is allocated for it.
pub fn receive(conn: &Connection, mut memory: MutableBuffer) -> Result<Option<Message>, Error> {
    let Some(mut stream) = conn.recv_stream()? else {
        return Ok(None);
    };
    let mut header = [0; Header::LEN];
    read(&mut stream, &mut header)?;
    let Header { kind, len } = Header::from_bytes(header)?;
    // What is there already is not cleared again.
    memory.resize(len, 0);
    read(&mut stream, &mut memory)?;
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => return Err(Nonsense("a message is longer than it says".to_owned()).into()),
        Err(e) => return Err(of_link(e)),
    }
    Ok(Some(match kind {
        Kind::Start => Message::Start(protocol::decode(&memory)?),
        Kind::Schema => Message::Schema(memory),
        Kind::Batch => Message::Batch(memory),
        Kind::Progress => Message::Progress(protocol::decode(&memory)?),
        Kind::Finished => Message::Finished(protocol::decode(&memory)?),
        Kind::Failure => Message::Failure(protocol::decode(&memory)?),
    }))
}

fn read(stream: &mut impl Read, to: &mut [u8]) -> Result<(), Error> {
    stream.read_exact(to).map_err(of_link)
}

fn of_link(e: io::Error) -> Error {
    if e.kind() == io::ErrorKind::UnexpectedEof {
        return Nonsense("a message is shorter than it says".to_owned()).into();
    }
    match e.downcast::<twinring::Error>() {
        Ok(e) => e.into(),
        Err(e) => Nonsense(e.to_string()).into(),
    }
}
