//! The tool's side: asks, receives, and asks for the rest if the provider goes and comes back.

mod error;
mod receive;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_buffer::MutableBuffer;
use arrow_schema::SchemaRef;
use twinring::{Connection, End, Link};

pub use error::Error;
pub use receive::{Message, receive};

use crate::arrow::{Batch, Decoder};
use crate::protocol::{
    self, DEFAULT_BATCH, Digest, Finished, MAX_BODY, Nonsense, Progress, Request, Resume, close,
};

/// Options of a query.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a provider, each time.
    pub wait: Duration,
    /// How long a provider may say nothing, though its query runs.
    pub silence: Duration,
    /// How often in a row a provider may be lost without a new batch.
    pub attempts: u32,
    /// How long a batch is to be, in bytes: `MIN_BATCH` to `MAX_BATCH`.
    pub batch_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            wait: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            attempts: 10,
            batch_bytes: DEFAULT_BATCH,
        }
    }
}

/// What happens while a query runs.
pub enum Event<'a> {
    /// A provider has been found: its process.
    Connected(u32),
    /// It says how many rows it has read, those included that were received before.
    Progress(u64),
    /// The next batch, once each.
    Batch(&'a Batch, &'a SchemaRef),
    /// It has gone, or said that it is being stopped; it is waited for.
    Lost(&'a twinring::Error),
}

/// A query. Made before it runs, so that another thread can [cancel](Canceller::cancel) it.
pub struct Query {
    options: Options,
    canceller: Canceller,
}

/// Cancels a query.
#[derive(Clone)]
pub struct Canceller(Arc<Mutex<Cancel>>);

struct Cancel {
    cancelled: bool,
    /// While the query runs.
    link: Option<Link>,
}

impl Canceller {
    /// The provider's query stops at once, and [`Query::run`] returns [`Error::Cancelled`]. Does not wait for the provider.
    /// `false`: the query is over, or has been cancelled before.
    pub fn cancel(&self) -> bool {
        let mut cancel = self.lock();
        let Some(link) = cancel.link.take() else {
            return false;
        };
        cancel.cancelled = true;
        // Within the lock, which `run` takes before it returns: it is woken before the provider has been told, and the
        // program may end then.
        link.close(close::CANCELLED, "cancelled");
        true
    }

    fn take_link(&self) -> Option<Link> {
        self.lock().link.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cancel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has been received of a result, by however many connections.
struct Part {
    version: Option<String>,
    schema: Option<SchemaRef>,
    digest: Digest,
    batches: u64,
    rows: u64,
    /// For the next message.
    memory: MutableBuffer,
}

/// Why a connection has not given the whole result.
enum Halt {
    /// The provider went; another one may come.
    Lost(twinring::Error),
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(e: Error) -> Halt {
        match e {
            Error::Link(e) => e.into(),
            e => Halt::Failed(e),
        }
    }
}

impl From<Nonsense> for Halt {
    fn from(e: Nonsense) -> Halt {
        Halt::Failed(Error::Nonsense(e))
    }
}

impl From<twinring::Error> for Halt {
    fn from(e: twinring::Error) -> Halt {
        match e.end() {
            Some(End::Crashed | End::Abandoned { .. }) => Halt::Lost(e),
            Some(End::Closed {
                code: close::STOPPED,
                ..
            }) => Halt::Lost(e),
            _ if e.is_timeout() => Halt::Failed(Error::Silent),
            _ => Halt::Failed(Error::Link(e)),
        }
    }
}

impl Query {
    /// Opens the link to a provider of this name, which need not be there yet.
    ///
    /// # Errors
    /// The name is none, or the link cannot be opened.
    pub fn new(name: &str, options: Options) -> Result<Query, Error> {
        let max = (MAX_BODY + protocol::Header::LEN) as u64;
        let guest = Link::guest(name).max_message(max).max_stream(max);
        let link = guest.open().map_err(Error::Link)?;
        let canceller = Canceller(Arc::new(Mutex::new(Cancel {
            cancelled: false,
            link: Some(link),
        })));
        Ok(Query { options, canceller })
    }

    /// For another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Runs the query to its end, and waits for the provider whenever it has gone. Each batch is given to `on` once, in
    /// order; if the provider has gone meanwhile, the rest is of the same result, or an error.
    ///
    /// # Errors
    /// Any [`Error`]; what was given before is then not the whole result.
    pub fn run(self, sql: &str, mut on: impl FnMut(Event<'_>)) -> Result<Finished, Error> {
        let mut part = Part {
            version: None,
            schema: None,
            digest: Digest::default(),
            batches: 0,
            rows: 0,
            memory: MutableBuffer::new(0),
        };
        let mut attempts = self.options.attempts;
        loop {
            let had = part.batches;
            let conn = self.connect();
            let attempt = conn.and_then(|conn| {
                on(Event::Connected(conn.peer().pid));
                let result = self.ask(&conn, sql, &mut part, &mut on);
                if !matches!(result, Err(Halt::Lost(_))) {
                    // A link whose connection ends connects again.
                    drop(self.canceller.take_link());
                    farewell(&conn, &result);
                }
                result
            });
            if self.canceller.lock().cancelled {
                return Err(Error::Cancelled);
            }
            match attempt {
                Ok(finished) => return Ok(finished),
                Err(Halt::Failed(e)) => return Err(e),
                Err(Halt::Lost(e)) => {
                    if part.batches > had {
                        attempts = self.options.attempts;
                    }
                    if attempts == 0 {
                        return Err(Error::Lost(e));
                    }
                    attempts -= 1;
                    if part.schema.is_some() && part.version.is_none() {
                        return Err(Error::NotResumable(e));
                    }
                    on(Event::Lost(&e));
                }
            }
        }
    }

    fn connect(&self) -> Result<Connection, Halt> {
        let link = self.canceller.lock().link.clone();
        let link = link.ok_or(Error::Cancelled)?;
        let next = link.within(self.options.wait).next();
        next.map_err(|e| Halt::Failed(Error::NoProvider(self.options.wait, e)))
    }

    fn ask(
        &self,
        conn: &Connection,
        sql: &str,
        part: &mut Part,
        on: &mut impl FnMut(Event<'_>),
    ) -> Result<Finished, Halt> {
        let request = Request {
            protocol: protocol::VERSION,
            sql: sql.to_owned(),
            batch_bytes: self.options.batch_bytes,
            resume: part.resume(),
        };
        let conn = conn.within(self.options.silence);
        conn.send(&protocol::encode(&request))?;
        let (mut started, mut decoder) = (false, None);
        loop {
            let memory = std::mem::take(&mut part.memory);
            match receive(&conn, memory)? {
                None => return Err(Nonsense("it finished before the end".to_owned()).into()),
                Some(Message::Start(start)) if !started => {
                    started = true;
                    if part.schema.is_none() {
                        part.version = start.version;
                    }
                }
                Some(Message::Schema(message)) if started && decoder.is_none() => {
                    decoder = Some(part.schema(message)?);
                }
                Some(Message::Batch(message)) => {
                    let decoder = decoder.as_ref().ok_or_else(|| unexpected("a batch"))?;
                    let batch = decoder.batch(message)?;
                    part.batches += 1;
                    part.rows += batch.batch.num_rows() as u64;
                    part.digest.add(batch.bytes());
                    on(Event::Batch(&batch, decoder.schema()));
                    part.memory = batch.into_memory();
                }
                Some(Message::Progress(Progress { rows })) => on(Event::Progress(rows)),
                Some(Message::Finished(finished)) if decoder.is_some() => {
                    return part.check(finished);
                }
                Some(Message::Failure(failure)) => return Err(Error::Failure(failure).into()),
                Some(_) => return Err(unexpected("this message").into()),
            }
        }
    }
}

fn unexpected(what: &str) -> Nonsense {
    Nonsense(format!("{what} was not due"))
}

/// The last word to the provider.
fn farewell(conn: &Connection, result: &Result<Finished, Halt>) {
    match result {
        // It has said all that counts, and if it has gone meanwhile, that does not.
        Ok(_) | Err(Halt::Failed(Error::Failure(_))) => {
            let _ = conn.finish();
        }
        Err(Halt::Failed(Error::Nonsense(e))) => conn.close(close::NONSENSE, &e.to_string()),
        Err(Halt::Failed(Error::Silent)) => conn.close(close::STALLED, "nothing came for too long"),
        // It knows.
        Err(_) => {}
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        // A canceller may be kept for ever.
        drop(self.canceller.take_link());
    }
}

impl Part {
    fn resume(&self) -> Option<Resume> {
        self.schema.as_ref()?;
        Some(Resume {
            version: self.version.clone()?,
            batches: self.batches,
            digest: self.digest.text(),
        })
    }

    fn schema(&mut self, message: MutableBuffer) -> Result<Decoder, Nonsense> {
        // What was received is decoded in the place; the digest is of the first one only.
        let first = self.schema.is_none();
        if first {
            self.digest.add(&message);
        }
        let decoder = Decoder::new(message)?;
        match &self.schema {
            Some(schema) if schema != decoder.schema() => Err(unexpected("another schema")),
            _ => {
                self.schema = Some(decoder.schema().clone());
                Ok(decoder)
            }
        }
    }

    fn check(&self, finished: Finished) -> Result<Finished, Halt> {
        let received = Finished {
            rows: self.rows,
            batches: self.batches,
            digest: self.digest.text(),
        };
        match received == finished {
            true => Ok(finished),
            false => {
                let other = "what it says that it sent is not what was received";
                Err(Nonsense(other.to_owned()).into())
            }
        }
    }
}
