//! What a client is sent.

use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamEncoder;
use serde::Serialize;
use twinring::Connection;

use super::database::Halt;
use crate::protocol::{
    self, Code, Digest, Failure, Finished, HEARTBEAT, Header, Kind, MAX_BODY, Progress, Resume,
    close,
};

/// The way to one client. A message that is not taken within the stated time ends the connection.
#[derive(Clone)]
pub(crate) struct Output {
    conn: Connection,
    /// When something was sent last.
    said: Arc<Mutex<Instant>>,
}

impl Output {
    pub(crate) fn new(conn: &Connection, stall: Duration) -> Output {
        Output {
            conn: conn.within(stall),
            said: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Sends a message of JSON.
    pub(crate) fn say(&self, kind: Kind, message: &impl Serialize) -> Result<(), Halt> {
        self.send(kind, &[&protocol::encode(message)])
    }

    /// Says how far the query is, if nothing has been said for long.
    pub(crate) fn beat(&self, rows: u64) -> Result<(), Halt> {
        let silent = self.said().elapsed();
        match silent >= HEARTBEAT {
            true => self.say(Kind::Progress, &Progress { rows }),
            false => Ok(()),
        }
    }

    /// Sends one message, from where its parts are.
    fn send(&self, kind: Kind, parts: &[&[u8]]) -> Result<(), Halt> {
        let len = parts.iter().map(|part| part.len()).sum();
        let header = Header { kind, len }.to_bytes();
        let slices: Vec<_> = [&header[..]]
            .into_iter()
            .chain(parts.iter().copied())
            .map(IoSlice::new)
            .collect();
        if let Err(e) = self.conn.send_vectored(&slices) {
            if e.is_timeout() {
                self.conn
                    .close(close::STALLED, "what was sent was not taken for too long");
            }
            return Err(Halt::Stopped);
        }
        *self.said() = Instant::now();
        Ok(())
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batches of a result, of which the first ones are not sent if the client has them.
pub(crate) struct Batches<'a> {
    output: &'a Output,
    /// Once the schema is known.
    encoder: Option<StreamEncoder>,
    resume: Option<&'a Resume>,
    digest: Digest,
    batches: u64,
    rows: u64,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(output: &'a Output, resume: Option<&'a Resume>) -> Batches<'a> {
        Batches {
            output,
            encoder: None,
            resume,
            digest: Digest::default(),
            batches: 0,
            rows: 0,
        }
    }

    /// So far, those included that are not sent.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), Halt> {
        if self.encoder.is_none() {
            let encoder = StreamEncoder::try_new(&batch.schema()).map_err(unencodable)?;
            self.encoder = Some(encoder);
            // The encoder sends the schema with the first batch only.
            let schema = self.encode(&RecordBatch::new_empty(batch.schema()))?;
            self.compare()?;
            self.output.send(Kind::Schema, &slices(&schema))?;
        }
        let parts = self.encode(batch)?;
        self.batches += 1;
        self.rows += batch.num_rows() as u64;
        self.compare()?;
        let had = self.resume.map_or(0, |resume| resume.batches);
        match self.batches > had {
            true => self.output.send(Kind::Batch, &slices(&parts)),
            false => Ok(()),
        }
    }

    /// The parts are those of the batch itself: nothing is copied.
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Buffer>, Halt> {
        let encoder = self.encoder.as_mut().expect("it was made before");
        let parts = encoder.encode(batch).map_err(unencodable)?;
        if parts.iter().map(Buffer::len).sum::<usize>() > MAX_BODY {
            let long = format!("a batch is longer than {MAX_BODY} bytes");
            return Err(Failure::new(Code::TooLarge, long).into());
        }
        for part in &parts {
            self.digest.add(part);
        }
        Ok(parts)
    }

    /// Where the client was interrupted, what it has must be what this query gives.
    fn compare(&self) -> Result<(), Failure> {
        match self.resume {
            Some(resume)
                if resume.batches == self.batches && resume.digest != self.digest.text() =>
            {
                Err(other_result())
            }
            _ => Ok(()),
        }
    }

    /// What there was in all.
    pub(crate) fn finish(self) -> Result<Finished, Halt> {
        if self
            .resume
            .is_some_and(|resume| resume.batches > self.batches)
        {
            return Err(other_result().into());
        }
        Ok(Finished {
            rows: self.rows,
            batches: self.batches,
            digest: self.digest.text(),
        })
    }
}

fn slices(parts: &[Buffer]) -> Vec<&[u8]> {
    parts.iter().map(Buffer::as_slice).collect()
}

fn other_result() -> Failure {
    let text = "the query does not give the rows again of which the tool has the first part";
    Failure::new(Code::Changed, text)
}

fn unencodable(e: arrow_schema::ArrowError) -> Halt {
    Failure::new(Code::TooLarge, e).into()
}
