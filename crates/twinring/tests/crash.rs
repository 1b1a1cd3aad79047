//! Processes are killed at random moments; what they had been told was sent arrives, and nothing
//! else changes for the survivor.
//!
//! The oracle: a sender says the number of a message on its stdout only after `send` returned. The
//! survivor must receive every message up to the last number said before the kill, in order, none
//! twice, none torn. `TWINRING_KILLS` sets how many are killed.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{
    Child, LIMIT, Log, Parent, Place, Random, Side, Watchdog, connected, labelled, peers,
    read_label, rounds, until,
};
use twinring::{ErrorKind, Link, Status};

peers!(talker, flutter, sleeper, stuffed, reader, starter, idler);

fn kills() -> u64 {
    match std::env::var("TWINRING_KILLS") {
        Ok(count) => count.parse().expect("TWINRING_KILLS is a number"),
        Err(_) => rounds(200, 50) as u64,
    }
}

/// Sends and receives without end, to and from one peer after the other.
///
/// It is told its incarnation, a number that no other process has, and whether it is to say
/// `sent N` after each send. It says `end I F N MICROSECONDS` when a peer has gone of which it got
/// the messages F to N - 1 of incarnation I, and `wrong ...` if something is.
fn talker(parent: &'static Parent) {
    let incarnation: u64 = parent.hear_as();
    let reports = parent.hear() == "report";
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    let sending = link.clone();
    thread::spawn(move || send_for_ever(parent, &sending, incarnation, reports));
    let receiving = link.clone();
    thread::spawn(move || receive_for_ever(parent, &receiving));
    loop {
        parent.expect("audit");
        parent.say(format!(
            "audit {}",
            audit::count().map(|n| n.to_string()).join(" ")
        ));
    }
}

fn send_for_ever(parent: &Parent, link: &Link, incarnation: u64, reports: bool) {
    let mut random = Random::new(incarnation);
    for sequence in 0.. {
        let message = labelled(incarnation, sequence, random.len(300, 10, 12_000));
        while let Err(e) = link.send(&message) {
            if !e.is_disconnect() || e.kind() == ErrorKind::Protocol {
                return parent.say(format!("wrong: send: {e:?}"));
            }
            if let Err(e) = link.wait_connected(Duration::from_secs(3600)) {
                return parent.say(format!("wrong: wait_connected: {e:?}"));
            }
        }
        if reports {
            parent.say(format!("sent {sequence}"));
        }
    }
}

fn receive_for_ever(parent: &Parent, link: &Link) {
    // Whose messages come on this connection, the first and the next one.
    let mut seen: Option<(u64, u64, u64)> = None;
    loop {
        match link.recv() {
            Ok(bytes) => {
                let (from, sequence) = match read_label(&bytes) {
                    Ok(label) => label,
                    Err(e) => return parent.say(format!("wrong: torn: {e}")),
                };
                match &mut seen {
                    None => seen = Some((from, sequence, sequence + 1)),
                    Some((known, _, next)) if (*known, *next) == (from, sequence) => *next += 1,
                    Some(other) => {
                        return parent.say(format!("wrong: {from}:{sequence} after {other:?}"));
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::PeerGone => {
                if let Some((from, first, next)) = seen.take() {
                    parent.say(format!("end {from} {first} {next} {}", microseconds()));
                }
            }
            Err(e) => return parent.say(format!("wrong: recv: {e:?}")),
        }
    }
}

/// The time now, for processes to compare.
fn microseconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap().as_micros() as u64
}

/// A child in the role of [`talker`], and what it has said.
struct Talker {
    child: Child,
    incarnation: u64,
    /// How many messages it has sent.
    sent: u64,
    /// The peers it has outlived.
    ends: Vec<End>,
    killed: u64,
}

/// What `end I F N MICROSECONDS` says.
#[derive(Debug)]
struct End {
    incarnation: u64,
    first: u64,
    next: u64,
    time: u64,
}

impl Talker {
    fn start(place: &Place, side: Side, incarnation: u64, reports: bool) -> Talker {
        let mut child = place.start("talker", side);
        child.say(incarnation);
        child.say(if reports { "report" } else { "quiet" });
        Talker {
            child,
            incarnation,
            sent: 0,
            ends: Vec::new(),
            killed: 0,
        }
    }

    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let kind = words.next().unwrap();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        match kind {
            "sent" => {
                assert_eq!(number(), self.sent, "{line}: its own numbers have no gap");
                self.sent += 1;
            }
            "end" => self.ends.push(End {
                incarnation: number(),
                first: number(),
                next: number(),
                time: number(),
            }),
            _ => panic!("talker {} says: {line}", self.incarnation),
        }
    }

    fn hear_one(&mut self) {
        let line = self.child.hear();
        self.note(&line);
    }

    fn kill(&mut self) {
        self.killed = microseconds();
        for line in self.child.kill() {
            self.note(&line);
        }
    }

    /// Every other talker is killed while it starts, looks for its peer, shakes hands; the others
    /// while messages flow.
    fn kill_at_random_moment(&mut self, random: &mut Random) {
        let most = if self.incarnation.is_multiple_of(2) {
            rounds(6000, 250_000)
        } else {
            self.hear_one();
            4000
        };
        thread::sleep(Duration::from_micros(random.below(most) as u64));
        self.kill();
    }

    /// Waits for this talker to have outlived another.
    fn end_of(&mut self, incarnation: u64) -> &End {
        while self
            .ends
            .last()
            .is_none_or(|end| end.incarnation != incarnation)
        {
            self.hear_one();
        }
        self.ends.last().unwrap()
    }

    /// What it has of the system's things now.
    fn audit(&mut self) -> Vec<u64> {
        self.child.say("audit");
        loop {
            let line = self.child.hear();
            match line.strip_prefix("audit ") {
                Some(counts) => return counts.split(' ').map(|n| n.parse().unwrap()).collect(),
                None => self.note(&line),
            }
        }
    }
}

#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    /// `percent` of them are not longer than this.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: p50 {:?}, p99 {:?}, longest {:?}, of {}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.0.len()
        );
    }
}

/// Kills one side again and again; the other lives on, loses nothing and leaks nothing.
fn kill_one_side(victims: Side, kills: u64) {
    let place = Place::new();
    let mut random = Random::unrepeatable();
    let mut survivor = Talker::start(&place, victims.opposite(), 0, false);
    let mut times = Times::default();
    let mut before = Vec::new();
    for incarnation in 1..=kills {
        let mut victim = Talker::start(&place, victims, incarnation, true);
        victim.kill_at_random_moment(&mut random);
        // One that sent nothing may have been killed before it was connected.
        if victim.sent > 0 {
            let end = survivor.end_of(incarnation);
            assert!(
                end.next >= victim.sent,
                "{end:?}, but it had sent {}",
                victim.sent
            );
            times.0.push(Duration::from_micros(
                end.time.saturating_sub(victim.killed),
            ));
        }
        if incarnation == kills / 10 {
            before = survivor.audit();
        }
    }
    times.print("from the kill to the end of the last message");
    assert!(
        times.0.len() as u64 > kills / 4,
        "too few victims ever sent anything"
    );
    for end in &survivor.ends {
        assert_eq!(end.first, 0, "{end:?}: the first messages are missing");
    }
    let in_order = survivor
        .ends
        .is_sorted_by(|a, b| a.incarnation < b.incarnation);
    assert!(in_order, "{:?}", survivor.ends);

    until("what the connections took is given back", || {
        let now = survivor.audit();
        let leaked = now.iter().zip(&before).any(|(now, before)| now > before);
        if leaked {
            println!("{}: {before:?} before, {now:?} now", audit::WHAT);
        }
        !leaked
    });
    check_files(&place);
}

/// All that is left of a name, however many of its processes were killed.
fn check_files(place: &Place) {
    if cfg!(windows) {
        return;
    }
    assert_eq!(place.files(), ["lock", "sock"]);
    for file in std::fs::read_dir("/dev/shm").into_iter().flatten() {
        let name = file.unwrap().file_name();
        assert!(
            !name.to_string_lossy().contains("twinring"),
            "{name:?} is left"
        );
    }
}

mod audit {
    #[cfg(unix)]
    pub(crate) const WHAT: &str = "descriptors, threads, mapped rings";

    #[cfg(unix)]
    pub(crate) fn count() -> [usize; 3] {
        let entries = |path| std::fs::read_dir(path).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        [
            entries("/proc/self/fd"),
            entries("/proc/self/task"),
            maps.lines()
                .filter(|line| line.contains("twinring"))
                .count(),
        ]
    }

    #[cfg(windows)]
    pub(crate) const WHAT: &str = "handles";

    #[cfg(windows)]
    pub(crate) fn count() -> [u32; 1] {
        use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};
        let mut count = 0;
        // SAFETY: a handle that is always valid, and room for the result.
        let ok = unsafe { GetProcessHandleCount(GetCurrentProcess(), &mut count) };
        assert_ne!(ok, 0);
        [count]
    }
}

#[test]
fn guests_are_killed() {
    let _watchdog = Watchdog::new(600);
    kill_one_side(Side::Guest, kills() * 2 / 5);
}

#[test]
fn hosts_are_killed() {
    let _watchdog = Watchdog::new(600);
    kill_one_side(Side::Host, kills() * 2 / 5);
}

/// Both are killed, one right after the other, and the next two start without any repair.
#[test]
fn both_sides_are_killed() {
    let _watchdog = Watchdog::new(600);
    let place = Place::new();
    let mut random = Random::unrepeatable();
    for round in 0..kills() / 10 {
        let mut sides = Side::BOTH;
        if random.one_in(2) {
            sides.reverse();
        }
        let mut talkers =
            sides.map(|side| Talker::start(&place, side, round * 2 + side as u64, true));
        if random.one_in(2) {
            // Which they do only if they have found each other.
            talkers.iter_mut().for_each(Talker::hear_one);
        }
        let [first, second] = &mut talkers;
        first.kill_at_random_moment(&mut random);
        thread::sleep(Duration::from_micros(random.below(1000) as u64));
        second.kill();
        for end in &second.ends {
            assert!(
                end.next >= first.sent,
                "{end:?}, but it had sent {}",
                first.sent
            );
        }
    }
    let mut last = Side::BOTH.map(|side| Talker::start(&place, side, u64::MAX - side as u64, true));
    last.iter_mut().for_each(Talker::hear_one);
    check_files(&place);
}

/// Opens and closes the link without end.
fn flutter(parent: &'static Parent) {
    parent.say("begins");
    loop {
        let link = parent.builder().open().unwrap();
        connected(&link);
        link.close();
    }
}

/// Killed while it does nothing but connect and disconnect, it leaves no trace in the other side.
#[test]
fn killed_in_the_handshake() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let log = Log::new();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .on_error({
                let log = log.clone();
                move |_, e| log.push(format!("error {e:?}"))
            })
            .open()
            .unwrap();
        let mut random = Random::unrepeatable();
        for round in 0..rounds(40, 10) {
            let before = link.generation();
            let mut child = place.start("flutter", side.opposite());
            child.expect("begins");
            if round % 2 == 0 {
                until("it connects", || link.generation() > before);
            }
            thread::sleep(Duration::from_micros(random.below(5000) as u64));
            child.kill();
        }
        until("it waits again", || link.status() == Status::Waiting);
        let generations = link.generation();

        let mut child = place.start("reader", side.opposite());
        connected(&link);
        link.send(&labelled(0, 0, 100_000)).unwrap();
        child.expect("0");
        link.close();

        // Statuses in order, and no error but that a peer was gone in the handshake.
        let mut lines = log.wait_for_last("closed");
        lines.retain(|line| !line.starts_with("error PeerGone "));
        let mut lines = lines.iter().map(String::as_str);
        assert_eq!(lines.next(), Some("waiting"));
        for generation in 1..=generations {
            let line = lines.next().unwrap();
            assert!(
                line.starts_with(&format!("connected {generation} to ")),
                "{line}"
            );
            let line = lines.next().unwrap();
            let reason = line.strip_prefix(&format!("disconnected {generation} "));
            assert!(matches!(reason, Some("Closed" | "Crashed")), "{line}");
            assert_eq!(lines.next(), Some("waiting"));
        }
        assert_eq!(
            lines.next(),
            Some(format!("connected {} to {}", generations + 1, child.pid())).as_deref()
        );
        assert_eq!(lines.next(), Some("closed"));
    }
}

/// Says the number of each message that it gets.
fn reader(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    for bytes in link.messages() {
        match bytes {
            Ok(bytes) => parent.say(read_label(&bytes).unwrap().1),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Closed),
        }
    }
}

/// Connects and does nothing.
fn sleeper(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A call that is expected to fail.
type Call = fn(&Link) -> twinring::Result<()>;

/// Whoever waits for a peer that is killed is told: a sender beside a full ring, in the middle of
/// a large message as well, and a receiver beside an empty one.
#[test]
fn whoever_waits_for_the_dead_is_woken() {
    let _watchdog = Watchdog::new(300);
    let calls: [(&str, Call); 4] = [
        ("send", |link| {
            loop {
                link.send(&[0; 100])?;
            }
        }),
        ("send of a large message", |link| {
            link.send(&vec![0; 10_000_000])
        }),
        ("send_timeout", |link| {
            loop {
                link.send_timeout(&[0; 1000], LIMIT)?;
            }
        }),
        ("recv", |link| link.recv().map(drop)),
    ];
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        for (what, call) in calls {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            let waiting = link.clone();
            let call = thread::spawn(move || call(&waiting));
            // A sender waits once the ring is full; a receiver may as well come too late.
            until("it waits", || what == "recv" || link.try_send(&[]).is_err());
            assert!(!call.is_finished(), "{what} waits");
            child.kill_unreaped();
            let e = call.join().unwrap().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::PeerGone, "{what}: {e}");
            if what != "recv" {
                assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
            }
        }
    }
}

/// Sends whole messages, and then one that is too large for the ring, in the middle of which it
/// stays: nobody reads.
fn stuffed(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(64 * 1024).open().unwrap();
    connected(&link);
    for i in 0..10 {
        link.send(&labelled(1, i, 1000)).unwrap();
    }
    parent.say("sent");
    link.send(&labelled(1, 10, 10_000_000)).unwrap();
    parent.say("wrong: nobody reads");
}

/// A message that its sender did not live to complete is not delivered; those before it are.
#[test]
fn a_torn_message_is_never_delivered() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(64 * 1024).open().unwrap();
        for read_part in [false, true] {
            let mut child = place.start("stuffed", side.opposite());
            child.expect("sent");
            if read_part {
                // Takes the whole messages and what there is of the large one out of the ring.
                for i in 0..10 {
                    assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
                }
                let e = link.recv_timeout(Duration::from_micros(1)).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
            } else {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(child.kill(), [""; 0]);
            if !read_part {
                for i in 0..10 {
                    assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
                }
            }
            assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        }
        // The next connection begins anew.
        let mut child = place.start("stuffed", side.opposite());
        child.expect("sent");
        for i in 0..=10 {
            assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
        }
        child.expect("wrong: nobody reads");
    }
}

/// Connects, and starts a program that outlives it.
fn starter(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    common::run_beside("idler");
    parent.say("started");
    parent.wait_for_the_end();
}

/// Does nothing until the test lets go of the pipe that it was started with.
fn idler(parent: &'static Parent) {
    parent.wait_for_the_end();
}

/// A program that the peer started holds nothing of the link: the peer's death is noticed, and
/// the name is free, although it lives on.
#[test]
fn programs_that_the_dead_started_hold_nothing() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("starter", side.opposite());
        child.expect("started");
        // Its output does not end: on Windows the other program has got that from it.
        child.kill_unreaped();
        assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        let mut next = place.start("sleeper", side.opposite());
        next.expect("connected");
    }
}

/// How soon an idle link tells that its peer was killed.
#[test]
fn death_is_noticed() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let (noticed, notices) = mpsc::channel();
        let link = place
            .builder(side)
            .on_status(move |_, status| {
                if let Status::Disconnected { .. } = status {
                    noticed.send(Instant::now()).unwrap();
                }
            })
            .open()
            .unwrap();
        let mut times = Times::default();
        for _ in 0..rounds(100, 10) {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            connected(&link);
            let killed = Instant::now();
            child.kill_now();
            let noticed = notices.recv_timeout(LIMIT).expect("it is noticed");
            times.0.push(noticed.duration_since(killed));
            child.kill();
        }
        times.print(&format!("from the kill to the {side}'s on_status"));
    }
}
