//! Which worker does what, and what becomes of a job whose worker has ended.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use twinring::{Handle, Timeout};
use twinring_workers::{Backoff, Event, Restart, Supervisor};

use super::Options;
use super::client::leave;
use super::display::Display;
use super::job::{Chunk, Job, Way, Wish};
use super::relay::{Written, relay};
use crate::os;
use crate::protocol::{CHUNK, Order, Progress, REPORT_LEN, Report, decode, encode};
use crate::stream::Outcome;

/// How often the bars move.
const SHOW: Duration = Duration::from_millis(100);
/// A worker that dies at once has its successor after these pauses; it is never given up.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// Room for what is under way between the server and a worker.
const RING: u64 = 1 << 20;
/// The longest message of a worker.
const MAX_MESSAGE: u64 = (CHUNK + REPORT_LEN) as u64;

pub(super) struct Dispatcher {
    workers: Supervisor,
    places: Vec<Place>,
    /// Jobs that no worker has: first those that one had.
    queue: VecDeque<Job>,
    jobs: u64,
    wishes: mpsc::Receiver<Wish>,
    /// From the tasks that write.
    written: (
        mpsc::UnboundedSender<Written>,
        mpsc::UnboundedReceiver<Written>,
    ),
    options: Options,
    display: Display,
}

/// A worker's.
#[derive(Default)]
struct Place {
    is_up: bool,
    job: Option<Job>,
}

impl Dispatcher {
    pub(super) fn start(
        options: &Options,
        wishes: mpsc::Receiver<Wish>,
    ) -> std::io::Result<Dispatcher> {
        let program = std::env::current_exe()?;
        let workers = Supervisor::of(move |_| Command::new(&program))
            .workers(options.workers)
            .restart(Restart::Always)
            .backoff(Backoff {
                first: BACKOFF.0,
                longest: BACKOFF.1,
                healthy_after: Duration::from_secs(1),
                limit: None,
            })
            .silence(options.silence)
            // A job's next worker is another one, and told anew where to begin.
            .hand_over(false)
            .link(|link| link.ring_capacity(RING).max_message(MAX_MESSAGE))
            .start()?;
        Ok(Dispatcher {
            places: (0..options.workers).map(|_| Place::default()).collect(),
            workers,
            queue: VecDeque::new(),
            jobs: 0,
            wishes,
            written: mpsc::unbounded_channel(),
            options: options.clone(),
            display: Display::new(),
        })
    }

    pub(super) fn say(&self, line: &str) {
        self.display.say(line);
    }

    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut show = interval(SHOW);
        show.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let has_bars = self.display.has_bars();
        loop {
            tokio::select! {
                event = self.workers.next_async() => match event {
                    Some(event) => self.happened(event),
                    None => bail!("there are no workers any more"),
                },
                Some(wish) = self.wishes.recv() => self.wished(wish),
                Some(written) = self.written.1.recv() => self.wrote(written),
                _ = show.tick(), if has_bars => self.show(),
            }
        }
    }

    fn wished(&mut self, wish: Wish) {
        self.jobs += 1;
        let (number, name) = (
            self.jobs,
            format!("{} to {}", wish.path.escape_debug(), wish.client),
        );
        let way = if self.options.relay {
            let (chunks, coming) = mpsc::unbounded_channel();
            let (total, stall) = (wish.response.total(), self.options.stall);
            let tell = self.written.0.clone();
            tokio::spawn(relay(
                number,
                total,
                wish.socket,
                coming,
                stall,
                tell,
                wish.permit,
            ));
            Way::Server { chunks, written: 0 }
        } else {
            match os::bytes_written(&wish.socket) {
                Ok(before) => Way::Worker {
                    socket: wish.socket,
                    before,
                    permit: wish.permit,
                },
                Err(e) => {
                    self.say(&format!("job {number}: {name}: {e}"));
                    return;
                }
            }
        };
        let job = Job::new(number, name, wish.response, wish.file, way);
        self.queue.push_back(job);
        self.assign();
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Started { worker, .. } => {
                self.places[worker].is_up = true;
                self.assign();
            }
            Event::Message { worker, message } => self.reported(worker, message),
            Event::Exited(exited) => {
                // It has been waited for: nobody but this process has the socket now.
                let place = &mut self.places[exited.worker];
                place.is_up = false;
                let job = place.job.take();
                self.say(&exited.to_string());
                if let Some(mut job) = job {
                    let last = exited.checkpoint.as_deref().and_then(decode::<Progress>);
                    let had_tried = last.is_some_and(|(last, _)| last.job == job.number);
                    match job.survived(had_tried) {
                        Ok(()) => self.queue.push_front(job),
                        Err(e) => self.finish(job, &format!("given up: {e}")),
                    }
                }
                self.assign();
            }
            other => self.say(&other.to_string()),
        }
    }

    /// Gives jobs to workers that have none.
    fn assign(&mut self) {
        while let Some(worker) = self
            .places
            .iter()
            .position(|place| place.is_up && place.job.is_none())
        {
            let Some(job) = self.queue.pop_front() else {
                return;
            };
            // Copies: its next worker needs them as well.
            let handles = match job.handles() {
                Ok(handles) => handles,
                Err(e) => {
                    self.finish(job, &format!("given up: {e}"));
                    continue;
                }
            };
            if self.hand(worker, &job, handles).is_ok() {
                let from = job.response.of_file(job.position);
                let pid = self.workers.pid(worker).unwrap_or_default();
                self.say(&format!(
                    "job {}: {}: from byte {from} on by worker {worker}, process {pid}",
                    job.number, job.name
                ));
                self.places[worker].job = Some(job);
            } else {
                // It has ended, mostly. Its end will be told.
                self.workers.kill(worker);
                self.places[worker].is_up = false;
                self.queue.push_front(job);
            }
        }
    }

    fn hand(&self, worker: usize, job: &Job, mut handles: Vec<Handle>) -> std::io::Result<()> {
        let (number, position) = (job.number, job.position);
        let response = job.response.clone();
        let order = match &job.way {
            Way::Worker { .. } => Order::Write {
                job: number,
                response,
                position,
                stall: self.options.stall,
            },
            Way::Server { .. } => Order::Read {
                job: number,
                response,
                position,
                until: job.until(),
            },
        };
        let conn = self
            .workers
            .connection(worker)
            .ok_or(std::io::ErrorKind::NotConnected)?;
        conn.within(Timeout::Now)
            .send_with_handles(&encode(&order), &mut handles)?;
        Ok(())
    }

    fn reported(&mut self, worker: usize, message: Vec<u8>) {
        let Some((report, rest)) = decode(&message) else {
            // Its job goes to another one.
            self.workers.kill(worker);
            return;
        };
        let place = &mut self.places[worker];
        match report {
            Report::Ended { job, outcome } => {
                if let Some(job) = place.job.take_if(|current| current.number == job) {
                    self.ended(job, outcome);
                    self.assign();
                }
            }
            Report::Chunk { job, position } => {
                // Of a job that has ended, some may still come.
                let current = place.job.as_mut().filter(|current| current.number == job);
                let Some(current) = current.filter(|current| current.position == position) else {
                    return;
                };
                let (len, from) = (rest.len() as u64, message.len() - rest.len());
                if let Way::Server { chunks, .. } = &current.way {
                    current.position += len;
                    // The task tells itself why it has ended.
                    let _ = chunks.send(Chunk(message, from));
                }
            }
        }
    }

    /// A task has written something, or will write no more.
    fn wrote(&mut self, news: Written) {
        let place = self
            .places
            .iter()
            .position(|place| place.job.as_ref().is_some_and(|job| job.number == news.job));
        let waiting = self.queue.iter().position(|job| job.number == news.job);
        let job = match (place, waiting) {
            (Some(place), _) => self.places[place].job.as_mut(),
            (None, Some(at)) => self.queue.get_mut(at),
            (None, None) => None,
        };
        let Some(job) = job else {
            return;
        };
        let outcome = match news.result {
            Ok(bytes) if bytes < job.response.total() => {
                if let Way::Server { written, .. } = &mut job.way {
                    *written = bytes;
                }
                let (job, until) = (job.number, job.until());
                if let Some(worker) = place {
                    // Otherwise it has ended, and its successor is told.
                    let _ = self
                        .workers
                        .send(worker, &encode(&Order::More { job, until }));
                }
                return;
            }
            Ok(_) => Outcome::Sent,
            Err(outcome) => outcome,
        };
        let job = match (place, waiting) {
            (Some(place), _) => self.places[place].job.take(),
            (None, Some(at)) => self.queue.remove(at),
            (None, None) => None,
        };
        if let Some(job) = job {
            self.ended(job, outcome);
            self.assign();
        }
    }

    fn ended(&mut self, mut job: Job, outcome: Outcome) {
        let how = match outcome {
            Outcome::Sent => {
                // The worker says that all is written; the socket knows.
                if matches!(job.way, Way::Worker { .. }) {
                    let total = job.response.total();
                    if job.look().is_err() || job.position != total {
                        let at = job.position;
                        self.finish(
                            job,
                            &format!("given up: {at} of {total} bytes were written"),
                        );
                        return;
                    }
                }
                let took = job.took().as_secs_f64();
                format!("sent, {} bytes in {took:.2} s", job.response.len)
            }
            Outcome::ClientGone => "the client has gone".to_owned(),
            Outcome::Stalled => "the client takes nothing: closed".to_owned(),
            Outcome::FileFailed => "the file cannot be read to the end: closed".to_owned(),
        };
        self.finish(job, &how);
    }

    /// Lets go of the client.
    fn finish(&mut self, job: Job, how: &str) {
        self.say(&format!("job {}: {}: {how}", job.number, job.name));
        self.display.end(job.number);
        if let Way::Worker { socket, permit, .. } = job.way
            && let Ok(socket) = TcpStream::from_std(socket)
        {
            tokio::spawn(async move {
                leave(socket).await;
                drop(permit);
            });
        }
    }

    /// By what the workers say in their checkpoints, without a message.
    fn show(&mut self) {
        for (worker, place) in self.places.iter().enumerate() {
            let Some(job) = &place.job else { continue };
            let checkpoint = self
                .workers
                .connection(worker)
                .and_then(|conn| conn.peer_checkpoint());
            let progress = checkpoint.and_then(|bytes| Some(decode(&bytes)?.0));
            let position = match progress {
                Some(Progress { job: of, position }) if of == job.number => position,
                _ => job.position,
            };
            let done = job.response.of_file(position);
            self.display
                .show(job.number, &job.name, done, job.response.len);
        }
    }
}
