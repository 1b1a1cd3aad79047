//! Where records go: a file, or standard output.

use std::io::{self, StdoutLock, Write};

use anstream::AutoStream;

use super::client::{Client, Numbers};
use super::files::Files;
use super::filter::Filter;
use super::record::Record;
use super::{Format, text};
use crate::exit::{Exit, Failure};

pub(super) struct Sink {
    filter: Filter,
    format: Format,
    place: Place,
    /// Lines that are not written yet.
    lines: Vec<u8>,
}

enum Place {
    Files(Box<Files>),
    Stdout {
        stream: AutoStream<StdoutLock<'static>>,
        numbers: Numbers,
    },
}

impl Sink {
    pub(super) fn files(files: Files, filter: Filter) -> Sink {
        Sink::new(Place::Files(Box::new(files)), Format::Json, filter)
    }

    pub(super) fn stdout(color: clap::ColorChoice, format: Format, filter: Filter) -> Sink {
        let choice = match color {
            clap::ColorChoice::Auto => AutoStream::choice(&io::stdout()),
            clap::ColorChoice::Always => anstream::ColorChoice::Always,
            clap::ColorChoice::Never => anstream::ColorChoice::Never,
        };
        let place = Place::Stdout {
            stream: AutoStream::new(io::stdout().lock(), choice),
            numbers: Numbers::default(),
        };
        Sink::new(place, format, filter)
    }

    fn new(place: Place, format: Format, filter: Filter) -> Sink {
        Sink {
            filter,
            format,
            place,
            lines: Vec::new(),
        }
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout { .. })
    }

    /// To be called before each round of `add`.
    pub(super) fn begin_round(&mut self) -> Result<(), Failure> {
        match &mut self.place {
            Place::Files(files) => files.look(),
            Place::Stdout { .. } => Ok(()),
        }
    }

    /// Adds what a client has sent, unless it is there already.
    pub(super) fn add(
        &mut self,
        message: &[u8],
        client: Option<Client>,
        pid: u32,
    ) -> Result<(), Failure> {
        let record = Record::received(message, client, pid);
        let numbers = match &mut self.place {
            Place::Files(files) => &mut files.numbers,
            Place::Stdout { numbers, .. } => numbers,
        };
        if let (Some(client), Some(number)) = (record.client, record.number) {
            if !numbers.is_new(client, number) {
                return Ok(());
            }
        }
        self.show(&record);
        match &self.place {
            // So that a file becomes no longer than it is to be.
            Place::Files(files) if files.is_full_with(self.lines.len()) => self.write().map(drop),
            _ => Ok(()),
        }
    }

    /// Adds a record that is none of a client's.
    pub(super) fn show(&mut self, record: &Record) {
        if self.filter.wants(record) {
            match self.format {
                Format::Text => text::write(record, &mut self.lines),
                Format::Json => record.line(&mut self.lines),
            }
        }
    }

    /// Hands everything to the system. Returns how many bytes that was.
    pub(super) fn write(&mut self) -> Result<usize, Failure> {
        let written = match &mut self.place {
            Place::Files(files) if !self.lines.is_empty() => files.append(&self.lines),
            Place::Files(_) => Ok(()),
            Place::Stdout { stream, .. } => stream
                .write_all(&self.lines)
                .and_then(|()| stream.flush())
                .map_err(|e| match e.kind() {
                    io::ErrorKind::BrokenPipe => Failure::silent(Exit::OutputGone),
                    _ => {
                        let what = format!("cannot write to standard output: {e}");
                        Failure::new(Exit::Other, what)
                    }
                }),
        };
        let len = self.lines.len();
        self.lines.clear();
        written.map(|()| len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one that is killed between the two has written, and not said to be taken, comes again.
    #[test]
    fn killed_between_write_and_take() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (application, conn) = twinring::Link::pair().unwrap();
        let send = |number| {
            let time = super::super::record::now();
            let record = format!(
                r#"{{"number":{number},"time":"{time}","level":"INFO","pid":1,"message":"m"}}"#
            );
            application.send(record.as_bytes()).unwrap();
        };
        for round in 1..=3 {
            (1..=10).for_each(|i| send(10 * (round - 1) + i));
            let files = Files::open(&path, None, 1).unwrap();
            let mut sink = Sink::files(files, Filter::default());
            // Those that come again come one by one.
            let (mut batches, mut received) = (Vec::new(), 0);
            while received < 10 * round {
                let mut batch = conn.recv_batch().unwrap().unwrap();
                while let Some(message) = batch.next_message() {
                    sink.add(message, Some(Client(1)), 1).unwrap();
                    received += 1;
                }
                batches.push(batch);
            }
            assert!(sink.write().unwrap() > 0);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("{\"client\":").count(), 30);
        assert_eq!(text.matches("\"number\":10,").count(), 1);
    }
}
