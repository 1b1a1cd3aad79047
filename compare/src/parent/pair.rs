//! The two processes of a cell: started, led through it, and always ended.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::process::{End, Said};
use super::rest::{rest, usage};
use crate::cell::{Figures, Spec, Workload};
use crate::common::{Failure, Result};
use crate::control::{Line, Order};
use crate::machine::{self, Usage};

/// Time for an end to go by itself.
const LEAVING: Duration = Duration::from_secs(2);

const HOST: usize = 0;
const GUEST: usize = 1;

/// How long to wait for what the other end of a failed pair says.
const CAUSE: Duration = Duration::from_millis(500);

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    /// Processor time of both processes, in milliseconds.
    pub(crate) cpu_ms: f64,
}

/// Runs one cell. Whatever happens, both processes are gone afterwards.
pub(crate) fn run(spec: &Spec, limit: Duration) -> Result<Outcome> {
    let (tell, lines) = channel();
    let json = serde_json::to_string(spec)?;
    let mut pair = Pair {
        ends: [
            End::start(HOST, "host", &json, &tell)?,
            End::start(GUEST, "guest", &json, &tell)?,
        ],
        lines,
        deadline: Instant::now() + limit,
        limit,
    };
    let done = pair.lead(spec);
    if done.is_ok() {
        pair.finish();
    }
    done
}

struct Pair {
    ends: [End; 2],
    lines: Receiver<Said>,
    deadline: Instant,
    limit: Duration,
}

impl Pair {
    fn lead(&mut self, spec: &Spec) -> Result<Outcome> {
        for _ in 0..2 {
            match self.hear()? {
                (_, Line::Born) => {}
                (who, line) => return Err(unexpected(who, &line)),
            }
        }
        let rests = spec.workload == Workload::Footprint;
        let before = if rests {
            usage(self.pids())?
        } else {
            [Usage::default(); 2]
        };
        self.say(HOST, &Order::Open)?;
        let token = match self.hear()? {
            (HOST, Line::Token(token)) => token,
            (who, line) => return Err(unexpected(who, &line)),
        };
        self.say(GUEST, &Order::Connect(token))?;
        let mut resting = Figures::default();
        if rests {
            match self.hear()? {
                (GUEST, Line::Idle) => {}
                (who, line) => return Err(unexpected(who, &line)),
            }
            resting = rest(self.pids(), before, Duration::from_millis(spec.idle_ms))?;
            self.say(GUEST, &Order::Wake)?;
        }
        let mut figures = [None, None];
        while figures.iter().any(Option::is_none) {
            match self.hear()? {
                (who, Line::Result(result)) => figures[who] = Some(*result),
                (who, line) => return Err(unexpected(who, &line)),
            }
        }
        let mut cpu_ms = 0.0;
        for pid in self.pids() {
            cpu_ms += machine::cpu_with_ended_threads(pid)? * 1e3;
        }
        let figures = figures.into_iter().flatten().fold(resting, Figures::and);
        Ok(Outcome { figures, cpu_ms })
    }

    fn pids(&self) -> [u32; 2] {
        [HOST, GUEST].map(|who| self.ends[who].pid())
    }

    fn say(&mut self, who: usize, order: &Order) -> Result<()> {
        self.ends[who].say(order)
    }

    fn hear(&mut self) -> Result<(usize, Line)> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok((who, Some(Line::Failed(fault)))) => Err(self.with_cause(who, fault).into()),
            Ok((who, Some(line))) => Ok((who, line)),
            Ok((who, None)) => {
                let status = self.ends[who].wait()?;
                Err(format!("{} ended too early: {status}", name(who)).into())
            }
            Err(RecvTimeoutError::Timeout) => {
                let limit = self.limit.as_secs();
                Err(format!("hung: both processes were ended after {limit} s").into())
            }
            Err(RecvTimeoutError::Disconnected) => Err("both processes are gone".into()),
        }
    }

    /// When one end gives up, the other fails as well, and either may be heard first.
    fn with_cause(&self, first: usize, fault: String) -> String {
        let until = Instant::now() + CAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((_, Some(Line::Failed(other)))) => return format!("{fault}; {other}"),
                Ok((who, None)) if who != first => return fault,
                Ok(_) => {}
                Err(_) => return fault,
            }
        }
    }

    /// Lets both go by themselves, so that each tidies up.
    fn finish(&mut self) {
        for who in [GUEST, HOST] {
            // One that is gone needs no leave.
            let _ = self.say(who, &Order::End);
        }
        let end = Instant::now() + LEAVING;
        for child in &mut self.ends {
            while Instant::now() < end && child.is_running() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn name(who: usize) -> &'static str {
    if who == HOST { "the host" } else { "the guest" }
}

fn unexpected(who: usize, line: &Line) -> Failure {
    format!("{} said {line:?}", name(who)).into()
}
