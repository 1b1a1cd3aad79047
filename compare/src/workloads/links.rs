//! Many links at once, with a thread for each at the guest: messages there and back, one at a time on each.

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::exchange::check;
use super::round_trip::trips;
use super::serve::{Server, Step, serve};
use crate::cell::{Figures, SMALL, Spec};
use crate::common::{Result, stats};
use crate::control::{Control, Line, Role};
use crate::link::{Sender, Transport};
use crate::machine;
use crate::payload::{Message, What};

/// By what a guest finds the links, and the processor time of who serves them.
#[derive(Serialize, Deserialize)]
struct Token {
    host: u32,
    links: Vec<String>,
}

pub(super) fn play<T: Transport>(
    transport: &T,
    role: Role,
    spec: &Spec,
    control: &Control,
    count: usize,
) -> Result<()> {
    match role {
        Role::Host => {
            control.wait_open()?;
            let listening: Result<Vec<_>> = (0..count).map(|_| transport.listen(spec)).collect();
            let (listeners, links): (Vec<_>, Vec<_>) = listening?.into_iter().unzip();
            announce(control, links)?;
            let (done, results) = channel();
            for listener in listeners {
                let (mut tx, mut rx) = transport.accept(listener, spec)?;
                let done = done.clone();
                std::thread::spawn(move || {
                    let served = serve(&mut tx, &mut rx);
                    // The link lives until all are done.
                    done.send(served.map(|_| (tx, rx)))
                });
            }
            let served = results.into_iter().take(count);
            let links = served.collect::<Result<Vec<_>>>()?;
            let done = control.finish(Figures::default());
            drop(links);
            done
        }
        Role::Guest => guest(transport, spec, control),
    }
}

/// Tells the guest by what it finds the host's links.
pub(crate) fn announce(control: &Control, links: Vec<String>) -> Result<()> {
    let host = std::process::id();
    let token = serde_json::to_string(&Token { host, links })?;
    control.say(&Line::Token(token));
    Ok(())
}

/// Connects and drives all links that the host has announced.
pub(crate) fn guest<T: Transport>(transport: &T, spec: &Spec, control: &Control) -> Result<()> {
    let token: Token = serde_json::from_str(&control.wait_connect()?)?;
    let links = token.links.iter();
    let links: Result<Vec<_>> = links.map(|link| transport.connect(link, spec)).collect();
    let mut links = links?;
    for (tx, _) in &mut links {
        check(tx, &mut Message::new(SMALL), 2)?;
    }
    timed::<T>(&mut links, spec.warm_ms, None, token.host)?;
    let figures = timed::<T>(&mut links, spec.ms, spec.spoil, token.host)?;
    for (tx, _) in &mut links {
        tx.send(Message::new(SMALL).plain(What::Stop))?;
        tx.flush()?;
    }
    control.finish(figures)
}

fn timed<T: Transport>(
    links: &mut [(T::Tx, T::Rx)],
    ms: u64,
    spoil: Option<u64>,
    host: u32,
) -> Result<Figures> {
    let begin = Barrier::new(links.len() + 1);
    let hosts_before = machine::cpu_of(host)?;
    let (mut times, before, start) = std::thread::scope(|scope| {
        let threads: Vec<_> = links
            .iter_mut()
            .enumerate()
            .map(|(link, (tx, rx))| {
                let begin = &begin;
                scope.spawn(move || {
                    let mut message = Message::new(SMALL);
                    let mut times = Vec::new();
                    begin.wait();
                    // One link's message is enough to be spoilt.
                    let spoil = spoil.filter(|_| link == 0);
                    trips(tx, rx, &mut message, ms, spoil, &mut times)?;
                    Ok(times)
                })
            })
            .collect();
        let before = machine::cpu_of_this_process();
        begin.wait();
        let start = Instant::now();
        let mut all = Vec::new();
        for thread in threads {
            let times: Result<Vec<u64>> = thread.join().map_err(|_| "a link's thread panicked")?;
            all.append(&mut times?);
        }
        Result::Ok((all, before, start))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = machine::cpu_of_this_process() - before + machine::cpu_of(host)? - hosts_before;
    let count = times.len() as u64;
    let [p50, p99, p999] = stats::three(&mut times).ok_or("no round trip was made")?;
    Ok(Figures {
        p50_us: Some(p50),
        p99_us: Some(p99),
        p999_us: Some(p999),
        samples: Some(count),
        trips_per_s: Some(count as f64 / seconds),
        cpu_us_per_trip: Some(cpu * 1e6 / count as f64),
        checked: Some(count),
        ..Figures::default()
    })
}

/// The serving end of one link, for a transport that calls the program for each message.
pub(crate) struct Answers(Server);

impl Answers {
    pub(crate) fn new() -> Answers {
        Answers(Server::new())
    }

    /// Does what the message says; gives whether the link is done with, or what was wrong.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        echo: impl FnOnce(&[u8]) -> Result<()>,
    ) -> Option<Result<()>> {
        match self.0.take(bytes, echo) {
            Step::On | Step::Begun | Step::Ended => None,
            Step::Stopped => Some(Ok(())),
            Step::Failed(fault) => Some(Err(fault.into())),
        }
    }
}
