//! Light fences and barriers, and turns that a thread keeps: what a busy link does without shows in
//! nothing but its speed. (Under Wine barriers do not work, so there it is about ordinary fences.)

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, Parent, Place, Random, Side, Watchdog, connected, peers, rounds};
use twinring::{ErrorKind, Link};

peers!(echo, counter, echo_in_a_sandbox);

/// So often a message goes there and back before it is taken for granted that the link is busy: by
/// then threads keep their turns.
const WARM_UP: u32 = 3_000;

fn warm_up(link: &Link) {
    // The system needs a while for the first thread that wants to keep a turn.
    for _ in 0..2 {
        for i in 0..WARM_UP {
            link.send(&i.to_le_bytes()).unwrap();
            assert_eq!(link.recv_timeout(LIMIT).unwrap(), i.to_le_bytes());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn busy_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// As long as a spin before a sleep, or a bit less or more.
fn pause(random: &mut Random) {
    busy_for(Duration::from_micros(random.below(150) as u64));
}

fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    parent.say("here");
    let mut random = Random::unrepeatable();
    for n in 0.. {
        match link.recv() {
            Ok(message) => {
                if n > 2 * WARM_UP {
                    pause(&mut random);
                }
                link.send(&message).unwrap();
            }
            Err(e) => return parent.say(format!("{:?}", e.kind())),
        }
    }
}

/// Each side answers after about as long as the other spins before it sleeps: a wake-up that is lost
/// hangs both.
#[test]
fn whoever_falls_asleep_is_woken() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut child = place.start("echo", Side::Guest);
    let link = place.host().open().unwrap();
    connected(&link);
    child.expect("here");
    warm_up(&link);
    let mut random = Random::unrepeatable();
    for i in 0..rounds(15_000, 1_500) as u32 {
        link.send(&i.to_le_bytes()).unwrap();
        pause(&mut random);
        assert_eq!(link.recv_timeout(LIMIT).unwrap(), i.to_le_bytes());
    }
    link.close();
    child.expect("Closed");
}

/// Counts what each thread of the peer sends, in two threads that take turns; until a message of
/// the length 1 says that it was all.
fn counter(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(16 * 1024).open().unwrap();
    connected(&link);
    let ended = AtomicBool::new(false);
    let count = |often: bool| {
        let mut counted = [0u32; SENDERS];
        while !ended.load(Ordering::Relaxed) {
            match link.recv_timeout(Duration::from_millis(20)) {
                Ok(message) if message.len() == 1 => ended.store(true, Ordering::Relaxed),
                Ok(message) => counted[usize::from(message[0])] += 1,
                Err(e) => assert_eq!(e.kind(), ErrorKind::TimedOut),
            }
            if !often {
                thread::sleep(Duration::from_millis(1));
            }
        }
        counted
    };
    let counted = thread::scope(|scope| {
        let seldom = scope.spawn(|| count(false));
        let often = count(true);
        let seldom = seldom.join().unwrap();
        std::array::from_fn::<_, SENDERS, _>(|i| often[i] + seldom[i])
    });
    parent.say(format!("{counted:?}"));
}

const SENDERS: usize = 4;

/// One thread sends all the time, and keeps the turn; others take it away now and then, also such as
/// do not wait for it.
#[test]
fn a_turn_that_is_kept_is_taken_away() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("counter", side);
        let builder = place.builder(side.opposite()).ring_capacity(16 * 1024);
        let link = builder.open().unwrap();
        connected(&link);
        let many = rounds(400_000, 20_000) as u32;
        let ended = AtomicBool::new(false);
        let sent: Vec<u32> = thread::scope(|scope| {
            let others: Vec<_> = (1..SENDERS)
                .map(|sender| {
                    let (link, ended) = (&link, &ended);
                    scope.spawn(move || {
                        let message = [sender as u8; 40];
                        let mut sent = 0;
                        while !ended.load(Ordering::Relaxed) {
                            let done = match sender {
                                1 => link.send(&message),
                                2 => link.send_timeout(&message, Duration::from_millis(1)),
                                _ => link.try_send(&message),
                            };
                            sent += u32::from(done.is_ok());
                            thread::sleep(Duration::from_micros(500));
                        }
                        sent
                    })
                })
                .collect();
            for _ in 0..many {
                link.send(&[0; 40]).unwrap();
            }
            ended.store(true, Ordering::Relaxed);
            let others = others.into_iter().map(|other| other.join().unwrap());
            std::iter::once(many).chain(others).collect()
        });
        link.send(b".").unwrap();
        child.expect(&format!("{sent:?}"));
    }
}

#[cfg(target_os = "linux")]
mod sandbox {
    use super::*;
    use crate::common::refuse;

    /// Echoes by two threads; in the middle of it the system begins to refuse barriers.
    pub(super) fn echo(parent: &'static Parent) {
        let link = parent.builder().open().unwrap();
        connected(&link);
        parent.say("here");
        let mut random = Random::unrepeatable();
        for n in 0.. {
            if n == 2 * WARM_UP {
                refuse(libc::SYS_membarrier, libc::EPERM);
            }
            let message = match link.recv() {
                Ok(message) => message,
                Err(e) => return parent.say(format!("{:?}", e.kind())),
            };
            if n > 2 * WARM_UP {
                pause(&mut random);
            }
            if n % 100 == 99 {
                // Takes away what the other has kept.
                thread::scope(|scope| {
                    scope.spawn(|| link.send(&message).unwrap());
                });
            } else {
                link.send(&message).unwrap();
            }
        }
    }

    #[test]
    fn a_sandbox_that_comes_later() {
        let _watchdog = Watchdog::new(120);
        for side in Side::BOTH {
            let place = Place::new();
            let mut child = place.start("echo_in_a_sandbox", side);
            let link = place.builder(side.opposite()).open().unwrap();
            connected(&link);
            child.expect("here");
            warm_up(&link);
            let mut random = Random::unrepeatable();
            for i in 0..3_000u32 {
                link.send(&i.to_le_bytes()).unwrap();
                pause(&mut random);
                assert_eq!(link.recv_timeout(LIMIT).unwrap(), i.to_le_bytes());
            }
            link.close();
            child.expect("Closed");
        }
    }
}

fn echo_in_a_sandbox(parent: &'static Parent) {
    #[cfg(target_os = "linux")]
    sandbox::echo(parent);
    #[cfg(not(target_os = "linux"))]
    unreachable!("nobody starts this, {parent:?}");
}
