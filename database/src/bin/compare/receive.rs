//! The receiving ends. All of them compute the same.

use std::io::{self, Read};
use std::net::TcpListener;
use std::process::ChildStdout;

use arrow_buffer::MutableBuffer;
use arrow_ipc::reader::StreamReader;
use database::arrow::Decoder;
use database::client::{Message, receive};
use database::protocol::MAX_BODY;
use database::summary::Summary;
use twinring::{Connection, Link};

use super::{Transport, os};

/// The end of a way, which waits to be connected.
pub(crate) struct Receiver {
    pub(crate) address: String,
    wait: Box<dyn FnOnce(ChildStdout) -> anyhow::Result<Connected>>,
}

pub(crate) enum Connected {
    Messages(Connection),
    Bytes(Box<dyn Read>),
}

impl Receiver {
    pub(crate) fn new(over: Transport) -> anyhow::Result<Receiver> {
        let name = format!("twinring-database-compare-{}", std::process::id());
        match over {
            Transport::Link | Transport::LinkStream => {
                let host = Link::host(&name)
                    .max_message(MAX_BODY as u64 + 16)
                    .one_connection();
                let host = host.open()?;
                Ok(Receiver {
                    address: name,
                    wait: Box::new(move |_| {
                        let conn = host.next()?;
                        match over {
                            Transport::Link => Ok(Connected::Messages(conn)),
                            _ => {
                                let stream = conn.recv_stream()?;
                                let stream = stream.ok_or_else(|| anyhow::anyhow!("no stream"))?;
                                Ok(Connected::Bytes(Box::new(stream)))
                            }
                        }
                    }),
                })
            }
            Transport::Pipe => Ok(Receiver {
                address: String::new(),
                wait: Box::new(|output| Ok(Connected::Bytes(Box::new(output)))),
            }),
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                Ok(Receiver {
                    address: listener.local_addr()?.to_string(),
                    wait: Box::new(move |_| Ok(Connected::Bytes(Box::new(listener.accept()?.0)))),
                })
            }
            Transport::UnixSocket => {
                let path = std::env::temp_dir().join(name).display().to_string();
                let accept = os::listen(&path)?;
                Ok(Receiver {
                    address: path,
                    wait: Box::new(move |_| Ok(Connected::Bytes(accept()?))),
                })
            }
        }
    }

    /// The sender has connected, or its output is the way.
    pub(crate) fn connected(self, output: ChildStdout) -> anyhow::Result<Connected> {
        (self.wait)(output)
    }
}

impl Connected {
    /// All batches, to the end.
    pub(crate) fn summary(self) -> anyhow::Result<Summary> {
        match self {
            Connected::Messages(conn) => messages(&conn),
            Connected::Bytes(bytes) => stream(bytes),
        }
    }
}

fn messages(conn: &Connection) -> anyhow::Result<Summary> {
    let (mut memory, mut decoder, mut summary) = (MutableBuffer::new(0), None, None);
    while let Some(message) = receive(conn, std::mem::take(&mut memory))? {
        match (message, &decoder, &mut summary) {
            (Message::Schema(message), None, _) => {
                let made = Decoder::new(message)?;
                summary = Some(Summary::new(made.schema()));
                decoder = Some(made);
            }
            (Message::Batch(message), Some(decoder), Some(summary)) => {
                let batch = decoder.batch(message)?;
                summary.add(&batch.batch);
                memory = batch.into_memory();
            }
            _ => anyhow::bail!("not what was sent"),
        }
    }
    conn.finish()?;
    summary.ok_or_else(|| anyhow::anyhow!("no schema"))
}

fn stream(bytes: impl Read) -> anyhow::Result<Summary> {
    let mut reader = StreamReader::try_new(io::BufReader::new(bytes), None)?;
    let mut summary = Summary::new(&reader.schema());
    for batch in &mut reader {
        summary.add(&batch?);
    }
    // The reader stops at Arrow's mark of the end. A stream of a link that is dropped before its own end is one that was not
    // wanted, and its sender is told.
    anyhow::ensure!(reader.get_mut().read(&mut [0])? == 0, "more than was sent");
    Ok(summary)
}
