//! The two machines of the handshake in a simulated world, in every possible order: processes are
//! killed, started, stopped and closed between any two steps, as often as the rules allow.
//!
//! What must hold in every world: one host has the name; a host has one live connection; both sides
//! of a connection have the same memory, made for it alone; handshakes do not pile up; no guest passes
//! those that wait. And from every world in which a host and a guest can run, every path leads to a connection. Then each rule is broken
//! in turn, and the model has to find it.

#[path = "../../../tests/common/long.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "shared by tests, of which each uses some of it"
)]
mod long;
mod search;
mod world;

use std::time::{Duration, Instant};

use self::long::amount;
use self::search::{Found, Report, search};
use self::world::{Broken, Rules};
use crate::handshake::packet::{Message, VERSIONS};
use crate::os::memory::Pages;
use crate::os::process::{Access, Peer, User};
use crate::segment::Side;
use crate::transfer::{Options, Wait};

/// What both sides want, and who they are.
struct Terms {
    name: String,
    options: Options,
    peer: Peer,
    knock: Message,
}

impl Terms {
    fn new() -> Terms {
        let name = "model".to_owned();
        let options = Options {
            // Nothing here depends on it.
            side: Side::Host,
            ring_capacity: 4096,
            max_message: 1 << 20,
            wait: Wait::Sleep,
            access: Access::SameUser,
            handshake_timeout: Duration::from_secs(5),
            directory: None,
            pages: Pages::Reserved,
            ..Options::new(Side::Host)
        };
        Terms {
            peer: Peer::new(1, User::current().unwrap()),
            knock: Message::Knock {
                versions: VERSIONS,
                pages: options.pages,
                handles: false,
                max_message: options.max_message,
                client: options.client,
                name: name.clone(),
            },
            name,
            options,
        }
    }
}

/// Runs the model and prints how many worlds there are.
fn run(rules: Rules) -> Result<Report, Found> {
    let start = Instant::now();
    let result = search(&rules, &Terms::new());
    if let Ok(report) = &result {
        let (states, moves) = (report.states, report.moves);
        println!(
            "{rules:?}: {states} states, {moves} moves, {:?}",
            start.elapsed()
        );
    }
    result
}

const ANY_NUMBER: u32 = u32::MAX;

const ONE_OF_EACH: Rules = Rules {
    hosts: 1,
    guests: 1,
    handshakes: 1,
    freezes: true,
    changes: 0,
    faults: ANY_NUMBER,
    broken: None,
};

const LIARS: Rules = Rules {
    freezes: false,
    changes: 1,
    ..ONE_OF_EACH
};

const TWO_HOSTS: Rules = Rules {
    hosts: 2,
    ..ONE_OF_EACH
};

const TWO_GUESTS: Rules = Rules {
    guests: 2,
    freezes: false,
    ..ONE_OF_EACH
};

#[test]
fn one_host_and_one_guest() {
    run(ONE_OF_EACH).unwrap();
    run(LIARS).unwrap();
}

#[test]
fn two_hosts_contend() {
    run(TWO_HOSTS).unwrap();
}

#[test]
fn two_guests_contend() {
    run(TWO_GUESTS).unwrap();
    for (handshakes, faults) in [(1, amount(1, 3)), (2, amount(0, 1))] {
        run(Rules {
            handshakes,
            faults,
            freezes: true,
            ..TWO_GUESTS
        })
        .unwrap();
    }
}

#[test]
fn two_hosts_and_two_guests() {
    run(Rules {
        guests: 2,
        freezes: false,
        faults: amount(1, 2),
        ..TWO_HOSTS
    })
    .unwrap();
}

#[test]
#[ignore = "takes minutes and gigabytes: for a night"]
fn all_at_once() {
    run(Rules {
        guests: 2,
        handshakes: 2,
        faults: 4,
        ..TWO_HOSTS
    })
    .unwrap();
}

/// A model that cannot fail proves nothing: each broken rule is found, as what it is.
#[test]
fn every_broken_rule_is_found() {
    const STUCK: &str = "nothing happens any more";
    const NOT_BOTH: &str = "a guest is connected to a host that is not connected to it";
    const NOT_MAPPED: &str = "a host takes a guest that has not mapped its memory";
    for (rules, broken, what) in [
        (ONE_OF_EACH, Broken::LockOutlivesItsHolder, STUCK),
        (
            TWO_HOSTS,
            Broken::ListensWithoutTheLock,
            "two hosts have the name",
        ),
        (
            TWO_GUESTS,
            Broken::WelcomesTwo,
            "a host leaves a live guest for another",
        ),
        (
            ONE_OF_EACH,
            Broken::BusyWithTheDead,
            "a guest is told Busy because of one that is dead",
        ),
        (
            ONE_OF_EACH,
            Broken::OldMemoryAgain,
            "memory of one connection is used for another",
        ),
        (LIARS, Broken::AnyAck, NOT_MAPPED),
        (
            LIARS,
            Broken::AnyMemory,
            "the two sides of a connection have different memory",
        ),
        (
            LIARS,
            Broken::AnyWelcome,
            "a guest takes a welcome to another connection",
        ),
        (ONE_OF_EACH, Broken::NoWelcome, NOT_BOTH),
        (
            Rules {
                freezes: true,
                faults: 1,
                ..TWO_GUESTS
            },
            Broken::HostWithoutDeadline,
            STUCK,
        ),
        (
            TWO_GUESTS,
            Broken::AnyNumberOfHandshakes,
            "handshakes pile up",
        ),
        (ONE_OF_EACH, Broken::HangUpUnnoticed, STUCK),
        (ONE_OF_EACH, Broken::BusyForEver, "they may never connect"),
        (ONE_OF_EACH, Broken::DeafGuest, STUCK),
        (TWO_GUESTS, Broken::DeafWaiter, STUCK),
        (TWO_GUESTS, Broken::ForgetsWaiters, STUCK),
        (
            TWO_GUESTS,
            Broken::NewcomersFirst,
            "a guest that waits is passed over",
        ),
    ] {
        let broken = Some(broken);
        match run(Rules { broken, ..rules }) {
            Ok(report) => panic!("{broken:?} is not found: {report:?}"),
            Err(found) => assert_eq!(found.what, what, "{broken:?}: {found:?}"),
        }
    }
}
