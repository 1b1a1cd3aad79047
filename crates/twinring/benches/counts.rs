//! Operations whose instructions are counted, by `ci/check-counts`: it runs this program under callgrind,
//! which counts what happens inside the functions of [`measured`] and nothing else.
//!
//! Host and guest are in one process, and one thread sends and then receives. So no call waits, none
//! rings a doorbell, and each takes the same path every time; how long it takes plays no part.

use std::hint::black_box;
use std::time::Duration;

use twinring::{Connection, Link, Result};

/// Bytes of a small message.
const SMALL: usize = 64;
/// Small messages in a batch.
const BATCH: usize = 16;
/// Bytes of a message that goes as chunks.
const LARGE: usize = 64 * 1024;

/// What is counted: from the call to the return, each function and all that it calls. callgrind turns
/// counting on and off by these names. No two are alike, or the compiler would make one of them.
mod measured {
    use super::*;

    #[inline(never)]
    pub(super) fn send_64(conn: &Connection, message: &[u8; SMALL]) -> Result<()> {
        black_box(conn.send(message))
    }

    #[inline(never)]
    pub(super) fn recv_into_64(conn: &Connection, message: &mut Vec<u8>) -> Result<bool> {
        Ok(black_box(conn.recv_into(message)?) == Some(SMALL))
    }

    #[inline(never)]
    pub(super) fn reserve_commit_64(conn: &Connection, message: &[u8; SMALL]) -> Result<()> {
        let mut room = conn.reserve(SMALL)?;
        room.put(message)?;
        black_box(room.commit())
    }

    #[inline(never)]
    pub(super) fn recv_in_place_64(conn: &Connection, message: &mut [u8; SMALL]) -> Result<()> {
        let view = conn.recv_in_place()?;
        if let Some(view) = view {
            view.copy_to(0, message);
        }
        black_box(Ok(()))
    }

    #[inline(never)]
    pub(super) fn send_batch_16x64(
        conn: &Connection,
        messages: &[[u8; SMALL]; BATCH],
    ) -> Result<usize> {
        black_box(conn.send_batch(messages))
    }

    #[inline(never)]
    pub(super) fn recv_batch_16x64(conn: &Connection, bytes: &mut usize) -> Result<usize> {
        let mut count = 0;
        if let Some(mut batch) = conn.recv_batch()? {
            while let Some(message) = batch.next_message() {
                *bytes += black_box(message).len();
                count += 1;
            }
            batch.take();
        }
        black_box(Ok(count))
    }

    #[inline(never)]
    pub(super) fn send_64k(conn: &Connection, message: &[u8; LARGE]) -> Result<()> {
        black_box(conn.send(message))
    }

    #[inline(never)]
    pub(super) fn recv_into_64k(conn: &Connection, message: &mut Vec<u8>) -> Result<bool> {
        Ok(black_box(conn.recv_into(message)?) == Some(LARGE))
    }
}

fn main() -> Result<()> {
    let name = format!("counts-{}", std::process::id());
    let host = Link::host(&name).open()?;
    let guest = Link::guest(&name).open()?;
    let limit = Duration::from_secs(60);
    let (host, guest) = (host.within(limit).next()?, guest.within(limit).next()?);

    // What happens once, such as the arrival of the connection, is not counted: it would make the figures
    // depend on how often the rest is done.
    let mut message = Vec::with_capacity(2 * LARGE);
    host.send(&[0; LARGE])?;
    guest.recv_into(&mut message)?;

    // Enough for 5 times round the ring of 1 MiB, so that its end has its share.
    for round in 0..80_000u32 {
        let sent = [round as u8; SMALL];
        measured::send_64(&host, &sent)?;
        assert!(measured::recv_into_64(&guest, &mut message)?);
        assert_eq!(message, sent);
    }
    for round in 0..80_000u32 {
        let sent = [round as u8; SMALL];
        let mut received = [!sent[0]; SMALL];
        measured::reserve_commit_64(&host, &sent)?;
        measured::recv_in_place_64(&guest, &mut received)?;
        assert_eq!(received, sent);
    }
    for round in 0..5_000u32 {
        let sent = [[round as u8; SMALL]; BATCH];
        let mut received = 0;
        assert_eq!(measured::send_batch_16x64(&host, &sent)?, BATCH);
        let taken = measured::recv_batch_16x64(&guest, &mut received)?;
        assert_eq!((taken, received), (BATCH, BATCH * SMALL));
    }
    for round in 0..80u32 {
        let sent = [round as u8; LARGE];
        measured::send_64k(&host, &sent)?;
        assert!(measured::recv_into_64k(&guest, &mut message)?);
        assert_eq!(message, sent);
    }
    Ok(())
}
