//! The two processes of a cell: started, led through it, and always ended.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::cell::{Figures, Result, Spec, Workload};
use crate::control::{Line, Order};
use crate::machine::{self, Look};

/// Time for a link to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_millis(100);
/// Time for an end to go by itself.
const FAREWELL: Duration = Duration::from_secs(2);

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
        pair.farewell();
    }
    done
}

struct End {
    process: Child,
    stdin: ChildStdin,
}

/// A line of an end; `None` once it is gone.
type Said = (usize, Option<Line>);

impl End {
    fn start(index: usize, role: &str, json: &str, tell: &Sender<Said>) -> Result<End> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["end", role, json])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a child without stdin and stdout".into());
        };
        let tell = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                let said = serde_json::from_str(&line)
                    .unwrap_or_else(|_| Line::Failed(format!("it said {line:?}")));
                if tell.send((index, Some(said))).is_err() {
                    return;
                }
            }
            let _ = tell.send((index, None));
        });
        Ok(End { process, stdin })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
        let looks = spec.workload == Workload::Footprint;
        let before = if looks {
            self.look()?
        } else {
            [Look::default(); 2]
        };
        self.say(HOST, &Order::Open)?;
        let token = match self.hear()? {
            (HOST, Line::Token(token)) => token,
            (who, line) => return Err(unexpected(who, &line)),
        };
        self.say(GUEST, &Order::Connect(token))?;
        let mut rest = Figures::default();
        if looks {
            match self.hear()? {
                (GUEST, Line::Idle) => {}
                (who, line) => return Err(unexpected(who, &line)),
            }
            rest = self.rest(before, Duration::from_millis(spec.idle_ms))?;
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
        for end in &self.ends {
            cpu_ms += machine::cpu_with_ended_threads(end.process.id())? * 1e3;
        }
        let figures = figures.into_iter().flatten().fold(rest, Figures::and);
        Ok(Outcome { figures, cpu_ms })
    }

    /// Both processes rest with a link; `before` they had none.
    fn rest(&self, before: [Look; 2], time: Duration) -> Result<Figures> {
        std::thread::sleep(SETTLE);
        let after = self.look()?;
        let cpu = || -> Result<f64> {
            let [host, guest] = self.pids();
            Ok(machine::cpu_of(host)? + machine::cpu_of(guest)?)
        };
        let (start, used) = (Instant::now(), cpu()?);
        std::thread::sleep(time);
        let spent = cpu()? - used;
        let added = |field: fn(&Look) -> i64| -> i64 {
            let of = |looks: &[Look; 2]| looks.iter().map(field).sum::<i64>();
            of(&after) - of(&before)
        };
        let most = |field: fn(&Look) -> Option<i64>| -> Option<i64> {
            let pairs = after.iter().zip(&before);
            pairs
                .filter_map(|(after, before)| Some(field(after)? - field(before)?))
                .max()
        };
        Ok(Figures {
            idle_ms_per_s: Some(spent * 1e3 / start.elapsed().as_secs_f64()),
            threads: Some(added(|look| look.threads)),
            handles: Some(added(|look| look.handles)),
            rss_kib: Some(added(|look| look.rss_kib)),
            rss_in_all_kib: Some(after.iter().map(|look| look.rss_kib).sum()),
            shared_kib: most(|look| look.shared_kib),
            shared_resident_kib: most(|look| look.shared_resident_kib),
            ..Figures::default()
        })
    }

    fn pids(&self) -> [u32; 2] {
        [HOST, GUEST].map(|who| self.ends[who].process.id())
    }

    fn look(&self) -> Result<[Look; 2]> {
        let [host, guest] = self.pids();
        Ok([machine::look(host)?, machine::look(guest)?])
    }

    fn say(&mut self, who: usize, order: &Order) -> Result<()> {
        let text = serde_json::to_string(order)?;
        let stdin = &mut self.ends[who].stdin;
        Ok(writeln!(stdin, "{text}").and_then(|()| stdin.flush())?)
    }

    fn hear(&mut self) -> Result<(usize, Line)> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok((who, Some(Line::Failed(fault)))) => Err(self.with_cause(who, fault).into()),
            Ok((who, Some(line))) => Ok((who, line)),
            Ok((who, None)) => {
                let end = &mut self.ends[who].process;
                Err(format!("{} ended too early: {}", name(who), end.wait()?).into())
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
    fn farewell(&mut self) {
        for who in [GUEST, HOST] {
            // One that is gone needs no leave.
            let _ = self.say(who, &Order::End);
        }
        let end = Instant::now() + FAREWELL;
        for child in &mut self.ends {
            while Instant::now() < end && matches!(child.process.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn name(who: usize) -> &'static str {
    if who == HOST { "the host" } else { "the guest" }
}

fn unexpected(who: usize, line: &Line) -> crate::cell::Failure {
    format!("{} said {line:?}", name(who)).into()
}
