//! Processes are killed at random and at chosen moments, and started again; what they had been told
//! was sent arrives, and nothing else changes for the survivor.
//!
//! ```text
//! main.rs     lanes: who is killed, when, and what must then be so of those who live
//! watched.rs  a talker as the test sees it        talker.rs   the process itself
//! ledger.rs   what a talker has done, in a file   moment.rs   where in its life it is killed
//! ```
//!
//! The oracle: a sender notes the number of a message in its ledger only after `send` returned. The
//! other side must receive every message up to the last number noted before the kill, and at most
//! one more; in order, none twice, none torn, and also none that was given up for an earlier peer.
//!
//! A receiver notes what it has got after `recv` returned, or before and after it takes a batch. What was
//! sent to one that is killed is either taken by it, as its ledger says, or comes back to the sender by
//! `take_unread`: never both, and never neither.
//!
//! `TWINRING_KILLS` sets how many are killed, `TWINRING_LONG=1` makes them ten thousand.

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod moment;
mod talker;
mod watched;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    AUDITED, Place, Random, Side, Times, Watchdog, amount_or, between, longest_pause, peers,
    rounds, slope,
};
use ledger::Deeds;
use moment::{How, Moment};
use talker::talker;
use watched::{Dead, Watched};

peers!(talker);

/// Never reached; the moment of those who are not killed.
const NEVER: Moment = Moment::Any;

/// What all lanes share.
struct Kills {
    left: AtomicU64,
    figures: Mutex<Figures>,
}

#[derive(Default)]
struct Figures {
    kills: u64,
    at: Vec<(Moment, u64)>,
    messages: u64,
    /// Messages that came back, and large ones that had been taken in part.
    unread: u64,
    partial: u64,
    notices: Times,
    reconnects: Times,
}

impl Kills {
    /// Takes some of the kills that are left to do, if there are so many.
    fn take(&self, count: u64) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(count)
            })
            .is_ok()
    }

    /// What came back to a survivor.
    fn note_unread(&self, end: &watched::End) {
        let mut figures = self.figures.lock().unwrap();
        figures.unread += end.sent - end.unread;
        figures.partial += u64::from(end.partial);
    }

    /// One that was killed and, if a survivor knew it, when that was told of its end and when it
    /// got its first message.
    fn note(&self, dead: &Dead, told: Option<u64>, first_message: Option<u64>) {
        let mut figures = self.figures.lock().unwrap();
        figures.kills += 1;
        figures.messages += dead.deeds.sent;
        match figures
            .at
            .iter_mut()
            .find(|(moment, _)| *moment == dead.moment)
        {
            Some((_, count)) => *count += 1,
            None => figures.at.push((dead.moment, 1)),
        }
        // One that had closed was told before the kill.
        if let Some(told) = told
            && !dead.moment.may_say_goodbye()
        {
            figures.notices.push(between(dead.killed, told));
        }
        if let Some(first) = first_message {
            figures.reconnects.push(between(dead.deeds.opened, first));
        }
    }
}

/// A pause after which it is the moment: for most of them as soon as can be.
fn pause(moment: Moment, random: &mut Random) {
    let most = match moment {
        // From the start to the middle of a conversation.
        Moment::Any => longest_pause(8000, 300_000),
        // Over all of the handshake.
        Moment::Opening => longest_pause(1500, 20_000),
        Moment::Talking => 3000,
        _ if random.one_in(2) => 0,
        _ => 200,
    };
    if most > 0 {
        thread::sleep(Duration::from_micros(random.below(most) as u64));
    }
}

/// Kills one side again and again; the other lives on, loses nothing and leaks nothing.
fn one_side(victims: Side, how: How, kills: &Kills, samples_every: u64) {
    let place = Place::new();
    let mut random = Random::unrepeatable();
    let mut survivor = Watched::start_as(&place, victims.opposite(), 0, NEVER, how);
    let mut samples = Vec::new();
    let mut incarnation = 0;
    let mut next_of_theirs = 0;
    let mut next_victim = None;
    while kills.take(1) {
        incarnation += 1;
        // Process numbers are given out again: what the survivor knows by now is of others.
        let start = |incarnation, survivor: &Watched, random: &mut Random| {
            let moment = Moment::random(random);
            let victim = Watched::start(&place, victims, incarnation, moment);
            (victim, survivor.connections())
        };
        let (mut victim, since) = next_victim
            .take()
            .unwrap_or_else(|| start(incarnation, &survivor, &mut random));
        victim.come_to_its_moment();
        let moment = victim.moment();
        pause(moment, &mut random);
        victim.kill_now();
        match random.below(4) {
            // The next one is there before this one is gone.
            0 => next_victim = Some(start(incarnation + 1, &survivor, &mut random)),
            1 => thread::sleep(Duration::from_micros(random.below(2000) as u64)),
            _ => {}
        }
        let (dead, ends) = victim.bury();
        assert_eq!(
            ends.len(),
            0,
            "{dead:?} has outlived the survivor: {ends:?}"
        );

        // What the victim got: nothing twice, also not what an earlier one had.
        let Deeds { first, next, .. } = dead.deeds;
        if next > 0 {
            assert!(
                first >= next_of_theirs,
                "{dead:?} got what an earlier one had got up to {next_of_theirs}"
            );
            next_of_theirs = next;
        }

        // And what the survivor got of it.
        let told = survivor.outlive(&dead, since).map(|connection| {
            let (reason, told) = connection.end.clone().unwrap();
            check_reason(&dead, &reason);
            told
        });
        let end = survivor.end_of(&dead);
        if let Some(end) = &end {
            check_end(&dead, end);
            kills.note_unread(end);
        }
        let first_message = end.and_then(|end| end.incarnation.map(|_| end.began));
        kills.note(&dead, told, first_message);
        if incarnation % samples_every == 0 && next_victim.is_none() {
            samples.push((incarnation, survivor.audit()));
        }
    }
    check_slopes(&format!("{}s killed", victims), &samples);
    // One was started for a kill that is not to be.
    if let Some((victim, _)) = next_victim {
        victim.bury();
    }
    // It still works.
    let mut last = Watched::start(&place, victims, u64::MAX >> 8, Moment::Talking);
    last.come_to_its_moment_beside(&mut survivor);
    check_files(&place);
}

fn check_reason(dead: &Dead, reason: &str) {
    if dead.closed {
        assert_eq!(reason, "Closed", "{dead:?}");
    } else if !dead.moment.may_say_goodbye() {
        assert_eq!(reason, "Crashed", "{dead:?}");
    } else {
        assert!(
            ["Closed", "Crashed"].contains(&reason),
            "{dead:?}: {reason}"
        );
    }
}

/// What a survivor got of one that is dead: all that had been sent, from the first on, and at most
/// the one that was being sent.
fn check_end(dead: &Dead, end: &watched::End) {
    let sent = dead.deeds.sent;
    if end.incarnation.is_some() || sent > 0 {
        assert_eq!(
            end.first, 0,
            "{end:?}: the first messages of {dead:?} are missing"
        );
        assert!(
            end.next == sent || end.next == sent + 1,
            "{end:?}, but {dead:?} had sent {sent}"
        );
    }
    match (&*end.receiving, &*end.whole) {
        // It has finished, whatever became of it then: that is all.
        ("Finished", whole) => {
            assert_eq!(dead.moment, Moment::Finished, "{dead:?}, {end:?}");
            assert_eq!((end.next, whole), (sent, "Crashed"), "{dead:?}, {end:?}");
        }
        (receiving, whole) => {
            assert_eq!(receiving, whole, "{dead:?}, {end:?}");
            assert!(!dead.deeds.finished, "{dead:?}, {end:?}");
            check_reason(dead, whole);
        }
    }
    check_unread(dead, end);
}

/// What was sent to one that is dead: each message was taken by it, or came back.
fn check_unread(dead: &Dead, end: &watched::End) {
    let known = |number: u64| number.max(end.base);
    let Deeds {
        next,
        taking,
        taken,
        ..
    } = dead.deeds;
    // The first message that it had not taken: what it took last it may not have noted.
    let (least, most) = match dead.how {
        How::Recv => (known(next), known(next) + 1),
        // What is taken after its own `close` comes back all the same.
        How::Batch if dead.moment.may_say_goodbye() => (end.base, known(taking)),
        How::Batch => (known(taken), known(taking)),
    };
    // One that was taken in part does not come back, but is told.
    let first = end.unread - u64::from(end.partial);
    assert!(
        (least..=most).contains(&first),
        "{end:?}, but of {dead:?} the first untaken is one of {least}..={most}"
    );
}

/// Both are killed, one after the other or at once, and the next two start without any repair.
fn both_sides(kills: &Kills) {
    let place = Place::new();
    let mut random = Random::unrepeatable();
    let mut round = 0;
    while kills.take(2) {
        round += 1;
        let mut sides = Side::BOTH;
        if random.one_in(2) {
            sides.reverse();
        }
        // The second one is there for the first to come to its moment.
        let moments = [Moment::random(&mut random), Moment::Any];
        let mut numbers = round * 2..;
        let mut moments = moments.into_iter();
        let [mut first, mut second] = sides.map(|side| {
            let (number, moment) = (numbers.next().unwrap(), moments.next().unwrap());
            Watched::start(&place, side, number, moment)
        });
        first.come_to_its_moment_beside(&mut second);
        pause(first.moment(), &mut random);
        first.kill_now();
        if random.one_in(2) {
            thread::sleep(Duration::from_micros(random.below(1000) as u64));
        }
        second.kill_now();
        let (first, ends_of_second) = first.bury();
        assert_eq!(ends_of_second.len(), 0, "{ends_of_second:?} of {first:?}");
        let (second, ends_of_first) = second.bury();
        for end in &ends_of_first {
            check_end(&first, end);
        }
        // Each got from the other at most what that sent.
        for (one, other) in [(&first, &second), (&second, &first)] {
            if one.deeds.next > 0 {
                assert_eq!(one.deeds.first, 0, "{one:?}");
                assert!(one.deeds.next <= other.deeds.sent + 1, "{one:?}, {other:?}");
            }
        }
        kills.note(&first, None, None);
        kills.note(&second, None, None);
    }
    let mut last =
        Side::BOTH.map(|side| Watched::start(&place, side, side as u64, Moment::Talking));
    let [one, other] = &mut last;
    one.come_to_its_moment_beside(other);
    other.come_to_its_moment();
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

/// Bytes of memory by which a survivor may grow for each peer that it loses, far less than the
/// smallest thing that it has of one; and once, since allocators take a while to settle.
const BYTES: f64 = 20.0;
const BYTES_ONCE: f64 = 512.0 * 1024.0;

/// Samples by which those before them are judged, and which are not judged themselves.
const LAST: usize = 3;

/// What a survivor has does not grow with the peers that it has lost.
fn check_slopes(what: &str, samples: &[(u64, Vec<u64>)]) {
    // What leaks never goes down again; what is above all that comes later was only held for a moment,
    // for want of a processor to give it back. Of the last samples that cannot be told.
    let mut samples = samples.to_vec();
    for i in (1..samples.len()).rev() {
        let (earlier, later) = samples.split_at_mut(i);
        for (count, least) in earlier[i - 1].1.iter_mut().zip(&later[0].1) {
            *count = *least.min(count);
        }
    }
    samples.truncate(samples.len().saturating_sub(LAST));
    // The first ones fill the allocator's stores.
    let steady = &samples[samples.len() / 3..];
    if steady.len() < 5 {
        return println!("{what}: too few kills to tell whether anything grows");
    }
    let kills = (steady[steady.len() - 1].0 - steady[0].0) as f64;
    for (i, kind) in AUDITED.iter().enumerate() {
        let points: Vec<(f64, f64)> = steady
            .iter()
            .map(|(kill, counts)| (*kill as f64, counts[i] as f64))
            .collect();
        let slope = slope(&points);
        println!(
            "{what}: {kind}: {} after {} kills, {} after {}; {slope:+.6} for each",
            points[0].1,
            points[0].0,
            points[points.len() - 1].1,
            points[points.len() - 1].0,
        );
        let most = if *kind == "bytes of memory" {
            BYTES + BYTES_ONCE / kills
        } else {
            // One step up is no leak: the system's thread pool may start a thread, and a step in the
            // middle has a slope of 1.5 / kills. Two steps are.
            2.0 / kills
        };
        assert!(slope < most, "{what}: {kind} grow: {points:?}");
    }
}

#[test]
fn killed_at_any_moment() {
    let count = amount_or(
        "TWINRING_KILLS",
        rounds(600, 60) as u64,
        rounds(10_000, 300) as u64,
    );
    let _watchdog = Watchdog::new(600 + count / 10);
    let kills = Kills {
        left: AtomicU64::new(count),
        figures: Mutex::default(),
    };
    let every = (count / 5 / 60).max(1);
    let start = Instant::now();
    // More lanes than processors: each sleeps half of its time.
    thread::scope(|scope| {
        for victims in Side::BOTH {
            for how in [How::Recv, How::Batch] {
                let kills = &kills;
                scope.spawn(move || one_side(victims, how, kills, every));
            }
        }
        scope.spawn(|| both_sides(&kills));
    });
    let took = start.elapsed();
    let figures = kills.figures.into_inner().unwrap();
    println!(
        "{} kills in {took:?}: {:.0} a second; they had sent {} messages",
        figures.kills,
        figures.kills as f64 / took.as_secs_f64(),
        figures.messages
    );
    println!(
        "{} messages came back, and {} large ones had been taken in part",
        figures.unread, figures.partial
    );
    println!("at {:?}", figures.at);
    figures
        .notices
        .print("from the kill to the survivor's on_status");
    figures
        .reconnects
        .print("from when both were up to the first message");
    assert!(
        figures.notices.len() as u64 > count / 4,
        "too few victims were ever connected"
    );
    assert!(figures.unread > count / 4, "too few messages came back");
}
