//! The second process: does what the first one asks, until it is told to end or killed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twinring::{Connection, ErrorKind, Link, Wait};
use xxhash_rust::xxh3::Xxh3;

use super::orders::{
    ECHO, FLOOD, SMALL, SMALL_DONE, STREAM, STREAM_DONE, Sum, Tally, sealed, small_number,
};
use crate::exit::{Exit, Failure};

/// How long to wait for the first process, which is there already.
const CONNECT: Duration = Duration::from_secs(20);

/// `twinring demo-peer`
#[derive(Args, Debug)]
pub(crate) struct PeerArgs {
    name: String,
    directory: PathBuf,
}

pub(crate) fn run(args: &PeerArgs) -> Result<(), Failure> {
    let link = Link::guest(&args.name)
        .directory(&args.directory)
        .wait(Wait::Adaptive)
        .open()?;
    let conn = link.within(CONNECT).next()?;
    match obey(&conn) {
        // The first process ended before the demo did: this one is no longer needed.
        Err(e) if e.kind() == ErrorKind::Ended => Err(Failure::silent(Exit::PeerGone)),
        other => Ok(other?),
    }
}

fn obey(conn: &Connection) -> twinring::Result<()> {
    let mut message = Vec::new();
    let mut tally = Tally::default();
    let (mut bytes, mut hash) = (0, Xxh3::new());
    while conn.recv_into(&mut message)?.is_some() {
        match message.first() {
            Some(&ECHO) => conn.send(&message)?,
            Some(&SMALL) => {
                if small_number(&message) != Some(tally.count) {
                    tally.wrong += 1;
                }
                tally.count += 1;
            }
            Some(&SMALL_DONE) => conn.send(&std::mem::take(&mut tally).encode())?,
            Some(&STREAM) => {
                bytes += message.len() as u64;
                hash.update(&message);
            }
            Some(&STREAM_DONE) => {
                let sum = Sum {
                    bytes,
                    hash: hash.digest(),
                };
                conn.send(&sum.encode())?;
                bytes = 0;
                hash.reset();
                // A killed process ends once the kernel has freed its memory, which takes longer the
                // more it has; the large message's memory is no longer needed.
                message = Vec::new();
            }
            Some(&FLOOD) => flood(conn)?,
            _ => {}
        }
    }
    conn.finish()
}

fn flood(conn: &Connection) -> twinring::Result<()> {
    let mut message = Vec::new();
    for number in 0.. {
        sealed(number, &mut message);
        conn.send(&message)?;
    }
    Ok(())
}
