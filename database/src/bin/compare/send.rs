//! The second process: says that it is ready, waits for a line, sends, and says how much processor time that took.

use std::io::{self, BufWriter, IoSlice, Write};
use std::net::TcpStream;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{StreamEncoder, StreamWriter};
use arrow_schema::Schema;
use database::protocol::{Header, Kind};
use database::provider::{Database, Halt};
use twinring::{Connection, Link, SendStream};

use super::{Send, Source, Transport, os};

pub(crate) fn run(args: &Send) -> anyhow::Result<()> {
    let database = Database::open(&args.database)?;
    let prepared = batches(&database, args.batch)?;
    let mut sink = sink(args, &prepared[0].schema())?;
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

fn sink(args: &Send, schema: &Schema) -> anyhow::Result<Box<dyn Sink>> {
    let connect = || -> anyhow::Result<Connection> {
        Ok(Link::guest(&args.address).one_connection().open()?.next()?)
    };
    let bytes: Box<dyn Write> = match args.over {
        Transport::Link => {
            let (conn, encoder) = (connect()?, StreamEncoder::try_new(schema)?);
            let mut messages = Messages { conn, encoder };
            messages.message(
                Kind::Schema,
                &RecordBatch::new_empty(Arc::new(schema.clone())),
            )?;
            return Ok(Box::new(messages));
        }
        Transport::LinkStream => {
            let stream = connect()?.send_stream()?;
            return Ok(Box::new(LinkStream(StreamWriter::try_new(stream, schema)?)));
        }
        Transport::Pipe => Box::new(io::stdout()),
        Transport::Tcp => {
            let socket = TcpStream::connect(&args.address)?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
        Transport::UnixSocket => os::connect(&args.address)?,
    };
    let bytes = BufWriter::new(bytes);
    Ok(Box::new(Bytes(StreamWriter::try_new(bytes, schema)?)))
}

/// A message for each batch.
struct Messages {
    conn: Connection,
    encoder: StreamEncoder,
}

impl Messages {
    fn message(&mut self, kind: Kind, batch: &RecordBatch) -> anyhow::Result<()> {
        let parts = self.encoder.encode(batch)?;
        let len = parts.iter().map(|part| part.len()).sum();
        let header = Header { kind, len }.to_bytes();
        let mut slices = vec![IoSlice::new(&header)];
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        Ok(self.conn.send_vectored(&slices)?)
    }
}

impl Sink for Messages {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.message(Kind::Batch, batch)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.conn.finish()?)
    }
}

struct LinkStream(StreamWriter<SendStream>);

impl Sink for LinkStream {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        Ok(self.0.write(batch)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.into_inner()?.finish()?)
    }
}

struct Bytes(StreamWriter<BufWriter<Box<dyn Write>>>);

impl Sink for Bytes {
    fn send(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        Ok(self.0.write(batch)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.into_inner()?.flush()?)
    }
}
