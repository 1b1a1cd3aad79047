//! Each system call that a process makes for its link is made to fail, one in each run, for all
//! the ways in which it can fail: an error at worst, and the link works again. All of that in the long
//! form (`TWINRING_LONG=1`); else a sample of calls and ways, another one in each run, whose seed is
//! printed.
//!
//! The test traces a child, the victim, with ptrace, and lets one of its system calls between
//! two marks fail without being executed. The victim then has to get through all the same: a second
//! attempt of what failed succeeds, a message goes both ways, another link of the process has
//! noticed nothing, and after `close` nothing is left. Only on Linux x86-64: elsewhere there is
//! nothing in this file.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod echo;
mod phase;
#[path = "../tracer/mod.rs"]
mod tracer;
mod victim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use common::{Child, LIMIT, Place, Random, Side, Watchdog, is_long};
use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use phase::Phase;
use tracer::{Event, Process, is_permitted, sitter};

use calls::Call;
use echo::echo;
use victim::victim;

common::peers!(victim, echo, sitter);

/// Which call is to fail, and how.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    /// How many calls of that name come before it: threads run in any order, but only a few of them
    /// make calls of a name.
    skip: usize,
    way: usize,
    /// How many of them in a row.
    times: usize,
}

/// What failed.
struct Failure {
    text: String,
    /// In how many ways that call can fail.
    ways: usize,
}

/// What the processes run on.
#[derive(Clone, Copy)]
enum Kernel {
    Present,
    /// One on which doorbells wake a process.
    Older,
}

impl Kernel {
    fn start(self, place: &Place, role: &str, side: Side) -> Child {
        match self {
            Kernel::Present => place.start(role, side),
            Kernel::Older => place.start_on_older_kernel(role, side),
        }
    }
}

/// How often a call of some name must be missing until there is no such call.
const MISSES: usize = 2;

/// Of so many failures the short form makes one.
const ONE_OF: usize = 6;

/// The calls that a victim has made, by name: how many, and in how many ways such a call can fail.
type Seen = BTreeMap<&'static str, (usize, usize)>;

/// Fails calls of a phase.
fn fail_in(phase: Phase, side: Side, kernel: Kernel) {
    let _watchdog = Watchdog::new(900);
    if !is_permitted() {
        return;
    }
    let place = Place::new();
    let mut echo = kernel.start(&place, "echo", side.opposite());
    echo.expect("ready");
    let mut run = |target| {
        let victim = kernel.start(&place, "victim", side);
        let (failure, seen) = fail(victim, phase, target);
        let text = failure.as_ref().map_or("nothing fails", |f| &f.text);
        let wrong = echo.lines_so_far();
        assert!(wrong.is_empty(), "{text}: the peer: {wrong:?}");
        (failure, seen)
    };
    // Once without a failure, to see which calls there are; later runs may show more.
    let (_, seen) = run(None);
    let failed = if is_long() {
        fail_all(seen, run)
    } else {
        fail_some(seen, run)
    };
    let total: usize = failed.values().sum();
    println!("{phase:?} of the {side}: {total} failures: {failed:?}");
    assert!(total > 0);
}

/// Every call in turn, in every way; how many of each name.
fn fail_all(
    seen: Seen,
    mut run: impl FnMut(Option<Target>) -> (Option<Failure>, Seen),
) -> BTreeMap<&'static str, usize> {
    let mut failed = BTreeMap::new();
    let mut names: BTreeSet<&str> = seen.into_keys().collect();
    while let Some(name) = names.iter().find(|name| !failed.contains_key(**name)) {
        let name = *name;
        let (mut count, mut skip, mut way, mut missed) = (0, 0, 0, 0);
        loop {
            let target = Target {
                name,
                skip,
                way,
                times: 1,
            };
            let (failure, seen) = run(Some(target));
            names.extend(seen.into_keys());
            let Some(failure) = failure else {
                // Who waits for whom, and so who makes which call, is not the same in every run.
                missed += 1;
                if missed > MISSES {
                    break;
                }
                continue;
            };
            count += 1;
            way += 1;
            if way >= failure.ways {
                (skip, way) = (skip + 1, 0);
            }
        }
        failed.insert(name, count);
    }
    failed
}

/// One of each [`ONE_OF`] that stand beside each other, so that they are spread over all.
fn fail_some(
    seen: Seen,
    mut run: impl FnMut(Option<Target>) -> (Option<Failure>, Seen),
) -> BTreeMap<&'static str, usize> {
    let seed = Random::unrepeatable().next();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut failed = BTreeMap::new();
    let targets: Vec<Target> = seen
        .iter()
        .flat_map(|(&name, &(calls, ways))| {
            (0..calls).flat_map(move |skip| {
                (0..ways).map(move |way| Target {
                    name,
                    skip,
                    way,
                    times: 1,
                })
            })
        })
        .collect();
    // Who makes which call is not the same in every run: where there are few, all may be missed.
    while failed.is_empty() {
        for some in targets.chunks(ONE_OF) {
            let target = some[random.below(some.len())];
            if (0..=MISSES).any(|_| run(Some(target)).0.is_some()) {
                *failed.entry(target.name).or_default() += 1;
            }
        }
    }
    failed
}

/// Runs a victim of which a call fails, if it makes that call, and checks that it got through.
/// Also returns the calls that it made before.
fn fail(mut child: Child, phase: Phase, target: Option<Target>) -> (Option<Failure>, Seen) {
    child.say(format!("{phase:?}"));
    child.expect("ready");
    let guard = Guard::new(&child);
    let mut process = Process::seize(&child);
    child.say("go");
    let (failure, seen) = inject(&mut process, target);
    process.reap();
    drop(guard);

    let text = failure.as_ref().map_or("nothing fails", |f| &f.text);
    let mut said = Vec::new();
    while let Some(line) = child.next_line_or_end() {
        said.push(line);
    }
    let through = said.last().is_some_and(|line| line == "through");
    // An answer that did not come in time is a wake-up that was lost.
    let wrong = said
        .iter()
        .any(|line| line.starts_with("wrong") || line.contains("TimedOut"));
    assert!(
        through && !wrong,
        "{phase:?}, {text}: the victim says {said:#?}"
    );
    child.finish();
    (failure, seen)
}

/// Lets the calls between the two marks happen, except one.
fn inject(process: &mut Process, target: Option<Target>) -> (Option<Failure>, Seen) {
    let mut seen = Seen::new();
    let mut looks = Looks::default();
    while !matches!(process.next(), Event::Mark) {}
    let mut skipped = 0;
    let mut failures = 0;
    let mut failure = None;
    loop {
        let (tid, mut regs) = match process.next() {
            Event::Call(tid, regs) => (tid, regs),
            Event::Return(tid, regs) => {
                looks.returned(tid, &regs);
                continue;
            }
            Event::Mark | Event::End => return (failure, seen),
        };
        let Some(call) = Call::of(tid, &regs) else {
            continue;
        };
        if looks.is_one_more(tid, &regs) {
            continue;
        }
        seen.entry(call.name).or_insert((0, call.errors.len())).0 += 1;
        let Some(target) = target.filter(|target| target.name == call.name) else {
            continue;
        };
        if skipped < target.skip {
            skipped += 1;
            continue;
        }
        let errno = call.errors[target.way % call.errors.len()];
        if !call.happens {
            regs.orig_rax = u64::MAX;
            process.set(tid, regs);
        }
        // Other threads run on meanwhile.
        loop {
            match process.next() {
                Event::Return(other, mut regs) if other == tid => {
                    regs.rax = -(errno as i64) as u64;
                    process.set(tid, regs);
                    break;
                }
                Event::End => break,
                _ => {}
            }
        }
        failure.get_or_insert_with(|| Failure {
            text: format!("{} number {} fails with {errno}", call.text, skipped + 1),
            ways: call.errors.len(),
        });
        failures += 1;
        if failures == target.times {
            return (failure, seen);
        }
    }
}

/// A thread that waits for a packet looks for it again and again for a while. How often is a matter
/// of chance, so all of it counts as the first look, which may fail like any call.
#[derive(Default)]
struct Looks {
    /// The calls that have just found nothing: of which thread, and with what.
    vain: BTreeMap<Pid, [u64; 4]>,
}

impl Looks {
    fn returned(&mut self, tid: Pid, regs: &user_regs_struct) {
        let nothing = regs.rax as i64 == -(Errno::EAGAIN as i64);
        if nothing && regs.orig_rax as i64 == libc::SYS_recvmsg {
            self.vain.insert(tid, Looks::what(regs));
        }
    }

    /// Whether the call, any but one that is left out, repeats the thread's last one.
    fn is_one_more(&mut self, tid: Pid, regs: &user_regs_struct) -> bool {
        let again = self.vain.get(&tid) == Some(&Looks::what(regs));
        if !again {
            self.vain.remove(&tid);
        }
        again
    }

    fn what(regs: &user_regs_struct) -> [u64; 4] {
        [regs.orig_rax, regs.rdi, regs.rsi, regs.rdx]
    }
}

/// Kills a victim that hangs, so that the test can say in what.
struct Guard(#[allow(dead_code, reason = "its drop is the signal")] mpsc::Sender<()>);

impl Guard {
    fn new(child: &Child) -> Guard {
        let (alive, ended) = mpsc::channel();
        let pid = tracer::pid(child);
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                // It may just have ended.
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Guard(alive)
    }
}

macro_rules! phases {
    ($($test:ident: $phase:ident, $side:ident, $kernel:ident;)+) => {$(
        #[test]
        fn $test() {
            fail_in(Phase::$phase, Side::$side, Kernel::$kernel);
        }
    )+};
}

phases! {
    open_of_a_host: Open, Host, Present;
    open_of_a_guest: Open, Guest, Present;
    talk_of_a_host: Talk, Host, Present;
    talk_of_a_guest: Talk, Guest, Present;
    talk_of_a_host_by_bells: Talk, Host, Older;
    talk_of_a_guest_by_bells: Talk, Guest, Older;
    close_of_a_host: Close, Host, Present;
    close_of_a_guest: Close, Guest, Present;
}

/// Until a victim makes a call that is a matter of chance.
const RUNS: usize = 100;

/// For so long that it is given up: the connection ends instead of sleeping for ever, and the next
/// one works.
#[test]
fn a_doorbell_cannot_be_rung_for_long() {
    let _watchdog = Watchdog::new(300);
    if !is_permitted() {
        return;
    }
    for side in Side::BOTH {
        let place = Place::new();
        let mut echo = Kernel::Older.start(&place, "echo", side.opposite());
        echo.expect("ready");
        let target = Target {
            name: "sendto",
            skip: 0,
            way: 0,
            // The driver gives up after 100 ms, in which it tries at most so often; what is left of the failures
            // must not last as long for the next connection.
            times: 112,
        };
        // It rings only for a peer that sleeps already, which one that gets no processor does not.
        let rings = (0..RUNS).any(|_| {
            let victim = place.start("victim", side);
            fail(victim, Phase::Talk, Some(target)).0.is_some()
        });
        assert!(rings, "the {side} rings no doorbell");
        assert_eq!(echo.lines_so_far(), [""; 0]);
    }
}
