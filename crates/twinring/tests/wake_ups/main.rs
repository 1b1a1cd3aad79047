//! No wake-up is lost between two processes, and if one is, the net catches it.
//!
//! What a lost wake-up would do to a program, a sleep beside a full ring, the next message repairs. So
//! here the next one waits until the last has come, which the two processes tell each other outside of
//! the link ([`page`]).

#[path = "../common/mod.rs"]
mod common;
mod page;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Child, Parent, Place, Random, Side, Watchdog, connected, peers};
use page::{Page, Word};
use twinring::{Builder, Connection, Link, Wait, testing};

peers!(receiver, sender, busy);

/// Nobody sleeps for so long beside a full ring, or an empty one.
const STALL: Duration = Duration::from_secs(1);

/// What the net has caught although the other side's call had returned so long before is a wake-up that was
/// lost. Else that side was stopped between its two steps, to publish and to look whether to wake.
const IN_THE_CALL: Duration = Duration::from_micros(300);

/// As long as a wait may spin before it sleeps, and longer.
const LONGEST_PAUSE_US: usize = 200;

/// One test after the other: what [`testing`] switches is switched for the whole process, and each test
/// wants the processors for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long all cases of the proof take together, in seconds; `TWINRING_WAKE_SECONDS` sets it.
fn seconds() -> f64 {
    std::env::var("TWINRING_WAKE_SECONDS").map_or(3.0, |n| {
        n.parse()
            .expect("TWINRING_WAKE_SECONDS: a number of seconds")
    })
}

/// Rings of the smallest kind.
const RING: u64 = 4096;
/// Messages whose frames are a quarter of it: with the header that is kept free it holds three of them, and
/// each that is read makes room for one.
const FILLING: usize = 1016;
const FULL: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    Data,
    Room,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    /// What the child waits for.
    waits_for: WaitsFor,
    wait: Wait,
    net: bool,
    /// Beside two busy loops.
    busy: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for waits_for in [WaitsFor::Data, WaitsFor::Room] {
        for wait in [Wait::default(), Wait::Sleep] {
            for net in [false, true] {
                for busy in [false, true] {
                    cases.push(Case {
                        waits_for,
                        wait,
                        net,
                        busy,
                    });
                }
            }
        }
    }
    cases
}

fn builder(place: &Place, side: Side, wait: Wait) -> Builder {
    place.builder(side).ring_capacity(RING).wait(wait)
}

/// What a child of a case is told first.
fn told(parent: &Parent) -> (Link, Connection) {
    let wait = match parent.next_line().as_str() {
        "sleep" => Wait::Sleep,
        _ => Wait::default(),
    };
    testing::set_net(parent.next_as());
    let link = builder(&parent.place, parent.side, wait).open().unwrap();
    let conn = connected(&link);
    (link, conn)
}

fn tell(child: &mut Child, wait: Wait, net: bool) {
    child.say(match wait {
        Wait::Sleep => "sleep",
        _ => "default",
    });
    child.say(net);
}

/// Receives, and says so for each message.
fn receiver(parent: &'static Parent) {
    let (page, (_link, conn)) = (Page::of(&parent.place), told(parent));
    parent.say("here");
    let mut message = Vec::new();
    let mut done = 0;
    loop {
        match conn.recv_into(&mut message) {
            Ok(_) => done += 1,
            Err(e) => return parent.say(e.end().unwrap()),
        }
        page.set(Word::Caught, testing::caught(&conn));
        page.set(Word::Done, done);
    }
}

/// Sends whenever there is room, and says so for each message.
fn sender(parent: &'static Parent) {
    let (page, (_link, conn)) = (Page::of(&parent.place), told(parent));
    parent.say("here");
    for done in 1.. {
        if let Err(e) = conn.send(&[0; FILLING]) {
            return parent.say(e.end().unwrap());
        }
        page.set(Word::Caught, testing::caught(&conn));
        page.set(Word::Done, done);
    }
}

/// Uses a processor until it is killed.
fn busy(_: &'static Parent) {
    loop {
        std::hint::spin_loop();
    }
}

fn pause(random: &mut Random) {
    let pause = Duration::from_micros(random.below(LONGEST_PAUSE_US + 1) as u64);
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
}

/// Waits until the child has done so much. How long that took, or `None` if it never does.
fn wait_for(page: &Page, done: u64) -> Option<Duration> {
    let start = Instant::now();
    loop {
        for _ in 0..100 {
            if page.get(Word::Done) >= done {
                return Some(start.elapsed());
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > STALL {
            return None;
        }
        std::thread::yield_now();
    }
}

/// What came of a case.
#[derive(Debug, Default)]
struct Found {
    messages: u64,
    longest: Duration,
    /// What the net has caught: before the call that should wake had got so far, and lost wake-ups.
    late: u64,
    lost: u64,
    stalled: bool,
}

impl Found {
    /// The other side has done its part, and the child should do `done`. `false` if it never does.
    fn next(&mut self, page: &Page, done: u64) -> bool {
        let caught = self.late + self.lost;
        self.messages += 1;
        let Some(took) = wait_for(page, done) else {
            self.stalled = true;
            return false;
        };
        self.longest = self.longest.max(took);
        if page.get(Word::Caught) > caught {
            match took > IN_THE_CALL {
                true => self.lost += 1,
                false => self.late += 1,
            }
        }
        true
    }
}

fn play(case: Case, time: Duration) -> Found {
    let place = Place::new();
    let page = Page::of(&place);
    let role = match case.waits_for {
        WaitsFor::Data => "receiver",
        WaitsFor::Room => "sender",
    };
    let mut child = place.start(role, Side::Guest);
    tell(&mut child, case.wait, case.net);
    let link = builder(&place, Side::Host, case.wait).open().unwrap();
    let conn = connected(&link);
    child.expect("here");
    let loops = if case.busy { 2 } else { 0 };
    let loops: Vec<Child> = (0..loops)
        .map(|_| place.start("busy", Side::Guest))
        .collect();

    let mut random = Random::unrepeatable();
    let mut found = Found::default();
    let start = Instant::now();
    match case.waits_for {
        WaitsFor::Data => {
            for sent in 1.. {
                if start.elapsed() > time {
                    break;
                }
                pause(&mut random);
                conn.send(&[0; 64]).unwrap();
                if !found.next(&page, sent) {
                    break;
                }
            }
        }
        WaitsFor::Room => {
            for received in 1.. {
                if start.elapsed() > time {
                    break;
                }
                pause(&mut random);
                conn.within(STALL).recv().expect("a message is there");
                if !found.next(&page, received + FULL) {
                    break;
                }
            }
        }
    }
    drop(loops);
    link.close(0, "");
    if !found.stalled {
        child.expect("the peer closed the connection");
    }
    drop(child);
    page.remove(&place);
    found
}

/// The protocol loses none, with the net off; and with it on the net catches none, so that it hides nothing.
#[test]
fn no_wake_up_is_lost() {
    let _alone = alone();
    let time = seconds();
    let _watchdog = Watchdog::new(time as u64 + 240);
    let cases = cases();
    let each = Duration::from_secs_f64(time / cases.len() as f64);
    let mut failed = Vec::new();
    for case in cases {
        let found = play(case, each);
        println!("{case:?}: {found:?}");
        if found.stalled || found.lost > 0 {
            failed.push((case, found));
        }
    }
    assert!(failed.is_empty(), "wake-ups were lost: {failed:#?}");
}

/// How a child sleeps.
#[derive(Clone, Copy, Debug)]
enum Sleeps {
    AsTheSystemLikes,
    /// On Linux, as where there is no futex_waitv(2): with poll(2).
    OnOlderKernels,
}

fn start(place: &Place, role: &str, sleeps: Sleeps) -> Child {
    match sleeps {
        #[cfg(target_os = "linux")]
        Sleeps::OnOlderKernels => place.start_on_older_kernel(role, Side::Guest),
        _ => place.start(role, Side::Guest),
    }
}

/// What became of wake-ups that were lost.
#[derive(Debug, Default)]
struct Lost {
    caught: u64,
    /// The last one was not: the child sleeps for good.
    stuck: bool,
}

/// Loses wake-ups that a child is owed which has just fallen asleep, until it is stuck.
fn lose_wakes(waits_for: WaitsFor, sleeps: Sleeps, net: bool) -> Lost {
    let place = Place::new();
    let page = Page::of(&place);
    let role = match waits_for {
        WaitsFor::Data => "receiver",
        WaitsFor::Room => "sender",
    };
    let mut child = start(&place, role, sleeps);
    tell(&mut child, Wait::Sleep, net);
    let link = builder(&place, Side::Host, Wait::Sleep).open().unwrap();
    let conn = connected(&link);
    child.expect("here");
    let mut random = Random::unrepeatable();
    let mut lost = Lost::default();
    for done in 1..20 {
        // It has just done something and falls asleep: mostly the net's look is still to come.
        pause(&mut random);
        testing::lose_wakes(1);
        let expected = match waits_for {
            WaitsFor::Data => {
                conn.send(&[0; 64]).unwrap();
                done
            }
            WaitsFor::Room => {
                conn.within(STALL).recv().expect("a message is there");
                done + FULL
            }
        };
        let any = testing::wakes_to_lose() == 0;
        testing::lose_wakes(0);
        if wait_for(&page, expected).is_none() {
            assert!(any, "stuck, and no wake-up was lost");
            lost.stuck = true;
            break;
        }
    }
    lost.caught = page.get(Word::Caught);
    drop(child);
    page.remove(&place);
    lost
}

/// A wake-up that is lost, which takes a fault of the system or of the peer, costs 10 ms. Without the
/// net the sleeper sleeps for good: so it is the net.
#[test]
fn the_net_catches_a_wake_up_that_is_lost() {
    let _alone = alone();
    let _watchdog = Watchdog::new(300);
    for waits_for in [WaitsFor::Data, WaitsFor::Room] {
        for sleeps in [Sleeps::AsTheSystemLikes, Sleeps::OnOlderKernels] {
            let mut caught = 0;
            // On a machine that is busy it often looks before the wake-up is lost.
            for _ in 0..40 {
                let lost = lose_wakes(waits_for, sleeps, true);
                caught += lost.caught;
                if caught >= 5 {
                    break;
                }
            }
            assert!(caught >= 5, "{waits_for:?}, {sleeps:?}: caught {caught}");
            let lost = lose_wakes(waits_for, sleeps, false);
            assert!(lost.stuck && lost.caught == 0, "without: {lost:?}");
        }
    }
}

/// After the net's one look a waiting thread sleeps, and is not run any more.
#[cfg(target_os = "linux")]
#[test]
fn who_waits_for_long_takes_no_processor_time() {
    use std::fs;

    /// How often the threads of the child have gone to sleep so far.
    fn sleeps(child: &Child) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.pid())).unwrap();
        let of = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt"));
            let count = line.unwrap().split_whitespace().last().unwrap();
            count.parse::<u64>().unwrap()
        };
        tasks.map(|task| of(task.unwrap())).sum()
    }

    let _alone = alone();
    let _watchdog = Watchdog::new(120);
    for (role, wait) in [("receiver", Wait::default()), ("sender", Wait::Sleep)] {
        let place = Place::new();
        let page = Page::of(&place);
        let mut child = place.start(role, Side::Guest);
        tell(&mut child, wait, true);
        let link = builder(&place, Side::Host, wait).open().unwrap();
        let conn = connected(&link);
        child.expect("here");
        // What it still has to do, it does within a while, however busy the machine is.
        let mut before = sleeps(&child);
        common::until("the child is at rest", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = sleeps(&child);
            std::mem::replace(&mut before, now) == now
        });
        drop((conn, link, child));
        page.remove(&place);
    }
}
