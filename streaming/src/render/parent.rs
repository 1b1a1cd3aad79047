//! The renderer's own process: has the picture, and sees to it that it becomes whole.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use twinring::{Connection, View};
use twinring_workers::{Backoff, Event, Restart, Supervisor};

use super::protocol::{Order, Picture, ROW_NUMBER};
use crate::protocol::{decode, encode};

/// How often the bar moves.
const SHOW: Duration = Duration::from_millis(50);
/// A worker that renders no row for this long is replaced.
const SILENCE: Duration = Duration::from_secs(10);
/// After so many workers in a row without a band, the picture is given up.
const MAX_DEATHS: u32 = 10;
/// Has room for several bands.
const RING: u64 = 2 << 20;

/// What is told meanwhile.
#[derive(Debug)]
pub enum Told {
    /// So many rows are rendered, by what the worker says in its checkpoint.
    Rows(u16),
    /// Something that a person may want to read.
    Line(String),
}

/// Renders a picture by workers that `command` starts. Three bytes for each pixel, row by row.
///
/// # Errors
/// Workers that cannot be started, or that all die.
pub fn render(
    picture: Picture,
    mut command: impl FnMut() -> Command + Send + 'static,
    mut tell: impl FnMut(Told),
) -> anyhow::Result<Vec<u8>> {
    let mut workers = Supervisor::of(move |_| command())
        .restart(Restart::Always)
        .backoff(Backoff {
            first: Duration::from_millis(10),
            longest: Duration::from_secs(1),
            healthy_after: Duration::from_secs(1),
            limit: None,
        })
        .hand_over(false)
        .link(|link| link.ring_capacity(RING))
        .start()?;
    let mut canvas = Canvas::new(picture);
    let (mut deaths, mut rows) = (0, 0);
    while let Some(event) = workers.next() {
        match event {
            Event::Started { peer, .. } => {
                let from = canvas.rows;
                tell(Told::Line(format!(
                    "from row {from} on by process {}",
                    peer.pid
                )));
                workers.send(0, &encode(&Order { picture, from }))?;
                // Received here: a supervisor's own messages are copies.
                if let Some(conn) = workers.connection(0) {
                    canvas.receive(&conn, &mut tell);
                }
                if canvas.is_whole() {
                    return Ok(canvas.pixels);
                }
                // It has ended, or renders no more.
                workers.kill(0);
                deaths = match canvas.rows > rows {
                    true => 0,
                    false => deaths + 1,
                };
                rows = canvas.rows;
                if deaths == MAX_DEATHS {
                    bail!("no worker gets beyond row {rows}");
                }
            }
            other => tell(Told::Line(other.to_string())),
        }
    }
    bail!("there is no worker any more")
}

struct Canvas {
    picture: Picture,
    pixels: Vec<u8>,
    /// How many are there.
    rows: u16,
}

impl Canvas {
    fn new(picture: Picture) -> Canvas {
        let pixels = vec![0; picture.len()];
        Canvas {
            picture,
            pixels,
            rows: 0,
        }
    }

    fn is_whole(&self) -> bool {
        self.rows == self.picture.height
    }

    /// Receives bands until all are there, or no more come.
    fn receive(&mut self, conn: &Connection, tell: &mut impl FnMut(Told)) {
        let conn = conn.within(SHOW);
        let (mut number, mut moved) = (0, Instant::now());
        while !self.is_whole() && moved.elapsed() < SILENCE {
            match conn.recv_in_place() {
                Ok(Some(band)) if self.is_next(&band) => {
                    // From the ring to where it belongs.
                    let (start, len) = (self.start(), band.len() - ROW_NUMBER);
                    band.copy_to(ROW_NUMBER, &mut self.pixels[start..start + len]);
                    self.rows += self.picture.band(self.rows);
                }
                Err(e) if e.is_timeout() => {}
                // The end, or nonsense.
                _ => return,
            }
            if let Some(checkpoint) = conn.peer_checkpoint() {
                if checkpoint.number() != number {
                    (number, moved) = (checkpoint.number(), Instant::now());
                }
                let rendered = decode(&checkpoint).map_or(0, |(rows, _)| rows);
                tell(Told::Rows(rendered));
            }
        }
    }

    fn start(&self) -> usize {
        usize::from(self.rows) * self.picture.row_len()
    }

    /// Whether this is the band that is to come.
    fn is_next(&self, band: &View) -> bool {
        let rows = usize::from(self.picture.band(self.rows));
        if band.len() != ROW_NUMBER + rows * self.picture.row_len() {
            return false;
        }
        let mut number = [0; ROW_NUMBER];
        band.copy_to(0, &mut number);
        u32::from_le_bytes(number) == u32::from(self.rows)
    }
}
