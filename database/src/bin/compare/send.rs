//! The second process: says that it is ready, waits for a line, sends, and says how much processor time that took.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{StreamEncoder, StreamWriter};
use arrow_schema::Schema;
use database::protocol::{Header, Kind};
use database::provider::{Database, Halt};
use twinring::{Connection, Link};

use super::{Send, Source, Transport, os};

pub(crate) fn run(args: &Send) -> anyhow::Result<()> {
    let database = Database::open(&args.database)?;
    let prepared = match args.source {
        Source::Prepared => batches(&database, args.batch)?,
        Source::Sqlite => Vec::new(),
    };
    let mut sink = sink(args)?;
    // The standard output may be the pipe.
    eprintln!("ready");
    io::stdin().read_line(&mut String::new())?;
    let before = os::processor_time();
    match args.source {
        Source::Prepared => {
            for _ in 0..args.times {
                for batch in &prepared {
                    sink.send(batch)?;
                }
            }
        }
        Source::Sqlite => {
            let times = args.times;
            let sql = format!(
                "SELECT m.* FROM measurements m, (SELECT id FROM measurements LIMIT {times})"
            );
            query(&database, &sql, args.batch, |batch| sink.send(batch))?;
        }
    }
    sink.finish()?;
    let used = os::processor_time()
        .zip(before)
        .map(|(now, before)| now - before);
    eprintln!("{}", used.unwrap_or_default().as_nanos());
    Ok(())
}

/// All rows of the sample.
pub(crate) fn batches(database: &Database, batch: usize) -> anyhow::Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    query(database, "SELECT * FROM measurements", batch, |batch| {
        batches.push(batch.clone());
        Ok(())
    })?;
    Ok(batches)
}

fn query(
    database: &Database,
    sql: &str,
    batch: usize,
    mut f: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut failed = None;
    let result = database.query(sql, batch, |batch| {
        f(batch).map_err(|e| {
            failed = Some(e);
            Halt::Stopped
        })
    });
    match (result, failed) {
        (Ok(()), _) => Ok(()),
        (Err(Halt::Failed(failure)), _) => Err(failure.into()),
        (Err(Halt::Stopped), Some(e)) => Err(e),
        (Err(Halt::Stopped), None) => anyhow::bail!("interrupted"),
    }
}

/// Where the batches go.
trait Sink {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()>;
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

fn sink(args: &Send) -> anyhow::Result<Box<dyn Sink>> {
    let connect = || -> anyhow::Result<Connection> {
        Ok(Link::guest(&args.address).one_connection().open()?.next()?)
    };
    let bytes: Box<dyn Write> = match args.over {
        Transport::Link => {
            let (conn, encoder) = (connect()?, None);
            return Ok(Box::new(Messages { conn, encoder }));
        }
        Transport::LinkStream => {
            let stream = connect()?.send_stream()?;
            return Ok(Box::new(LinkStream(Writer::Waiting(Some(stream)))));
        }
        Transport::Pipe => Box::new(io::stdout()),
        Transport::Tcp => {
            let socket = TcpStream::connect(&args.address)?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
        Transport::UnixSocket => os::connect(&args.address)?,
    };
    Ok(Box::new(Bytes(Writer::Waiting(Some(io::BufWriter::new(
        bytes,
    ))))))
}

/// A message for each batch.
struct Messages {
    conn: Connection,
    encoder: Option<StreamEncoder>,
}

impl Messages {
    fn message(&mut self, kind: Kind, batch: &RecordBatch) -> anyhow::Result<()> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(StreamEncoder::try_new(&batch.schema())?),
        };
        let parts = encoder.encode(batch)?;
        let len = parts.iter().map(|part| part.len()).sum();
        let header = Header { kind, len }.to_bytes();
        let mut slices = vec![IoSlice::new(&header)];
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        Ok(self.conn.send_vectored(&slices)?)
    }
}

impl Sink for Messages {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        if self.encoder.is_none() {
            self.message(Kind::Schema, &RecordBatch::new_empty(batch.schema()))?;
        }
        self.message(Kind::Batch, batch)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.conn.finish()?)
    }
}

/// Arrow's own writer, which is made when the schema is known.
enum Writer<W: Write> {
    Waiting(Option<W>),
    Writing(StreamWriter<W>),
}

impl<W: Write> Writer<W> {
    fn writer(&mut self, schema: &Schema) -> anyhow::Result<&mut StreamWriter<W>> {
        if let Writer::Waiting(to) = self {
            let to = to.take().expect("it is taken once");
            *self = Writer::Writing(StreamWriter::try_new(to, schema)?);
        }
        match self {
            Writer::Writing(writer) => Ok(writer),
            Writer::Waiting(_) => unreachable!("it was made"),
        }
    }

    fn end(self) -> anyhow::Result<W> {
        match self {
            Writer::Writing(writer) => Ok(writer.into_inner()?),
            Writer::Waiting(_) => anyhow::bail!("there was no batch"),
        }
    }
}

struct LinkStream(Writer<twinring::SendStream>);

impl Sink for LinkStream {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        Ok(self.0.writer(&batch.schema())?.write(batch)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.end()?.finish()?)
    }
}

struct Bytes(Writer<io::BufWriter<Box<dyn Write>>>);

impl Sink for Bytes {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        Ok(self.0.writer(&batch.schema())?.write(batch)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.end()?.flush()?)
    }
}
