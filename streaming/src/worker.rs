//! The server's worker: a process that does one job at a time.

use std::fs::File;
use std::io::IoSlice;
use std::net::TcpStream;

use anyhow::{Context, bail};
use twinring::{End, Handle};
use twinring_workers::Parent;

use crate::protocol::{CHUNK, ORDER_HANDLES, Order, Progress, Report, decode, encode};
use crate::response::Response;
use crate::stream::{LOOK, Outcome, stream};

/// The server that has started this process, if one has.
///
/// # Errors
/// As [`twinring_workers::parent`].
pub fn parent() -> std::io::Result<Option<Parent>> {
    Parent::builder()
        .link(|link| link.max_handles(ORDER_HANDLES))
        .connect()
}

/// Does what it is told, until there is no more, or no server.
///
/// # Errors
/// An order that makes no sense, or a connection that has failed.
pub fn run(parent: &Parent) -> anyhow::Result<()> {
    match work(parent) {
        // Nobody is there to be told, and this process is being ended.
        Err(_) if parent.connection().end() == Some(End::Crashed) => Ok(()),
        ended => ended,
    }
}

fn work(parent: &Parent) -> anyhow::Result<()> {
    let conn = parent.connection().within(LOOK);
    let mut reading = None;
    loop {
        let (message, handles) = match conn.recv_with_handles() {
            Ok(Some(received)) => received,
            Ok(None) => break,
            Err(e) if e.is_timeout() => {
                parent.alive();
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let (order, _) = decode(&message).context("an order that makes no sense")?;
        follow(parent, order, handles, &mut reading)?;
    }
    parent.finish()?;
    Ok(())
}

/// A job whose bytes the server writes.
struct Reading {
    job: u64,
    response: Response,
    file: File,
    position: u64,
}

fn follow(
    parent: &Parent,
    order: Order,
    handles: Vec<Handle>,
    reading: &mut Option<Reading>,
) -> anyhow::Result<()> {
    match order {
        Order::Write {
            job,
            response,
            position,
            stall,
        } => {
            let [file, socket] = <[Handle; 2]>::try_from(handles)
                .map_err(|handles| anyhow::anyhow!("{} handles, not 2", handles.len()))?;
            let (file, socket) = (File::try_from(file)?, TcpStream::try_from(socket)?);
            let outcome = stream(&response, position, &file, &socket, stall, |position| {
                // If it fails the server has gone, and so will this process.
                let _ = parent.set_checkpoint(&encode(&Progress { job, position }));
            });
            // The server goes on with the socket once it is told.
            drop((file, socket));
            parent.send(&encode(&Report::Ended { job, outcome }))?;
            Ok(())
        }
        Order::Read {
            job,
            response,
            position,
            until,
        } => {
            let [file] = <[Handle; 1]>::try_from(handles)
                .map_err(|handles| anyhow::anyhow!("{} handles, not 1", handles.len()))?;
            let file = File::try_from(file)?;
            let new = reading.insert(Reading {
                job,
                response,
                file,
                position,
            });
            new.send_chunks(parent, until)
        }
        Order::More { job, until } => match reading {
            Some(reading) if reading.job == job => reading.send_chunks(parent, until),
            _ => bail!("more of job {job}, which it does not have"),
        },
    }
}

impl Reading {
    fn send_chunks(&mut self, parent: &Parent, until: u64) -> anyhow::Result<()> {
        let until = until.min(self.response.total());
        let (job, mut chunk) = (self.job, vec![0; CHUNK]);
        while self.position < until {
            let position = self.position;
            let read = match self.response.read_from(position, &self.file, &mut chunk) {
                Ok(read) if read > 0 => read,
                _ => {
                    let outcome = Outcome::FileFailed;
                    parent.send(&encode(&Report::Ended { job, outcome }))?;
                    return Ok(());
                }
            };
            let report = encode(&Report::Chunk { job, position });
            parent
                .connection()
                .send_vectored(&[IoSlice::new(&report), IoSlice::new(&chunk[..read])])?;
            self.position += read as u64;
            self.tell(parent)?;
        }
        // If there was no room for any as well.
        self.tell(parent)
    }

    fn tell(&self, parent: &Parent) -> anyhow::Result<()> {
        let (job, position) = (self.job, self.position);
        Ok(parent.set_checkpoint(&encode(&Progress { job, position }))?)
    }
}
