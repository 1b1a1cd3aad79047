//! The receiving end: does what each message says.

use std::time::Instant;

use super::tally::Tally;
use crate::cell::{BULK, Figures, SMALL};
use crate::common::{Result, stats};
use crate::link::{Receiver, Sender};
use crate::machine;
use crate::payload::{self, Header, Message, What};

/// What follows from a message.
pub(super) enum Step {
    On,
    /// A timed part has begun.
    Begun,
    /// Everything of a timed part has come and was right.
    Ended,
    Stopped,
    Failed(String),
}

/// The state of a receiving end.
pub(super) struct Server {
    tally: Tally,
    began: Instant,
    cpu: f64,
    /// An `End` that came before all that was sent: with several senders there may be no order.
    end: Option<(u64, u64)>,
    latencies: Vec<u64>,
    figures: Figures,
}

impl Server {
    pub(super) fn new() -> Server {
        Server {
            tally: Tally::new(),
            began: Instant::now(),
            cpu: 0.0,
            end: None,
            latencies: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// `echo` sends a message back.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8], echo: impl FnOnce(&[u8]) -> Result<()>) -> Step {
        let Some(header) = Header::of(bytes) else {
            return Step::Failed(format!("{} bytes that are no message came", bytes.len()));
        };
        match header.what {
            What::Take => {
                self.tally.take(header, bytes);
                if self.end.is_some() {
                    return self.ended();
                }
                Step::On
            }
            What::Echo => match echo(bytes) {
                Ok(()) => Step::On,
                Err(error) => Step::Failed(error.to_string()),
            },
            _ => self.seldom(header, bytes),
        }
    }

    /// What is not in the way of the figures.
    #[cold]
    fn seldom(&mut self, header: Header, bytes: &[u8]) -> Step {
        match header.what {
            What::Check => match payload::first_wrong(bytes) {
                None => Step::On,
                Some(at) => {
                    Step::Failed(format!("bytes from {at} of {} were altered", bytes.len()))
                }
            },
            What::Begin => {
                self.tally = Tally::new();
                self.began = Instant::now();
                self.cpu = machine::cpu_of_this_process();
                Step::Begun
            }
            What::End => {
                self.end = Some((header.number, header.argument));
                self.ended()
            }
            What::Stamp => {
                self.latencies
                    .push(machine::now_ns().saturating_sub(header.argument));
                Step::On
            }
            // Every byte was compared in the message of this length that went before; here a long
            // look would count as lateness of the messages behind.
            What::Bulk if bytes.len() == BULK => Step::On,
            What::Bulk => Step::Failed(format!("{} bytes of the bulk came", bytes.len())),
            What::Stop => Step::Stopped,
            What::Take | What::Echo | What::Done => {
                Step::Failed(format!("unexpected {:?}", header.what))
            }
        }
    }

    fn ended(&mut self) -> Step {
        let Some((sent, sum)) = self.end.filter(|(sent, _)| *sent <= self.tally.count) else {
            return Step::On;
        };
        self.end = None;
        if let Err(fault) = self.tally.verdict(sent, sum) {
            return Step::Failed(fault);
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = machine::cpu_of_this_process() - self.cpu;
        let gigabytes = self.tally.bytes as f64 / 1e9;
        self.figures = Figures {
            messages_per_s: Some(sent as f64 / seconds),
            bytes_per_s: Some(self.tally.bytes as f64 / seconds),
            cpu_s_per_gb: (sent > 0).then_some(cpu / gigabytes),
            checked: Some(sent),
            ..Figures::default()
        };
        Step::Ended
    }

    /// Of the last timed part.
    pub(super) fn figures(self) -> Figures {
        self.figures
    }
}

/// Serves until told to stop.
pub(super) fn serve(tx: &mut impl Sender, rx: &mut impl Receiver) -> Result<Figures> {
    let mut server = Server::new();
    let mut done = Message::new(SMALL);
    loop {
        let mut step = Step::On;
        rx.recv_some(|bytes| {
            let next = server.take(bytes, |bytes| tx.send(bytes));
            // Of several messages at once it is the last one that matters: whoever sent it waits.
            if !matches!(step, Step::Failed(_)) {
                step = next;
            }
        })?;
        match step {
            Step::On | Step::Begun => {}
            Step::Ended => tx.send(done.plain(What::Done))?,
            Step::Stopped => break,
            Step::Failed(fault) => return Err(fault.into()),
        }
        tx.flush()?;
    }
    let mut latencies = std::mem::take(&mut server.latencies);
    let samples = latencies.len() as u64;
    if let Some([p50, p99, p999]) = stats::three(&mut latencies) {
        return Ok(Figures {
            p50_us: Some(p50),
            p99_us: Some(p99),
            p999_us: Some(p999),
            samples: Some(samples),
            ..Figures::default()
        });
    }
    // Rates are the guest's to tell: its clock ran from the first call to the last answer.
    Ok(Figures {
        cpu_s_per_gb: server.figures().cpu_s_per_gb,
        ..Figures::default()
    })
}
