//! Guests that do not speak the protocol, or not well.

use std::thread;
use std::time::{Duration, Instant};

use twinring::{ErrorKind, Link};

use crate::common::{Place, Random, Side, Watchdog, connected};
use crate::victim::{Victim, answer};
use crate::wire::{
    ACK, HELLO, KNOCK, LONG, PACKET, PROTOCOL, REFUSE, SHORT, Stranger, VERSION, WAIT, WELCOME,
    knock, packet, put, put_text, put_versions,
};

/// Some that connect and say nothing: others are served meanwhile.
#[test]
fn the_silent_hold_up_nobody() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let silent: Vec<_> = (0..5).map(|_| Stranger::connect(&place)).collect();
    victim.serves(&place, Side::Guest);
    // Nor do those that stop in the middle of a packet.
    let mut half = Stranger::connect(&place);
    half.send(&knock(place.name())[..100]);
    victim.serves(&place, Side::Guest);
    drop(silent);
    victim.says("error NotConnected ");
    drop(half);
    victim.serves(&place, Side::Guest);
}

/// Each is given up after the handshake's deadline.
#[test]
fn the_silent_are_given_up() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, SHORT);
    thread::scope(|scope| {
        let silent: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| Stranger::connect(&place).refusal()))
            .collect();
        victim.serves(&place, Side::Guest);
        for silent in silent {
            let (_, text) = silent.join().unwrap();
            assert!(text.contains("in time"), "{text}");
        }
    });
    victim.serves(&place, Side::Guest);
}

/// One byte at a time does not extend the deadline.
#[test]
fn dribbling_does_not_help() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, SHORT);
    let mut slow = Stranger::connect(&place);
    let knock = knock(place.name());
    let start = Instant::now();
    for byte in &knock[..knock.len() - 1] {
        slow.send(&[*byte]);
        if start.elapsed() > 3 * SHORT {
            break;
        }
        thread::sleep(Duration::from_millis(3));
    }
    victim.says("error TimedOut ");
    drop(slow);
    victim.serves(&place, Side::Guest);
}

/// Packets that are not what they should be, and the reason for which each is refused.
fn bad_packets(name: &str) -> Vec<(&'static str, Vec<u8>, u32)> {
    let mut random = Random::new(5);
    let mut garbage = move |len: usize| (0..len).map(|_| random.next() as u8).collect::<Vec<_>>();
    let changed = |change: &dyn Fn(&mut [u8; PACKET])| {
        let mut packet = knock(name);
        change(&mut packet);
        packet.to_vec()
    };
    let handles = if cfg!(windows) { 400 } else { 383 };
    let begins_well = [b"twinring".to_vec(), garbage(PACKET - 8)].concat();
    vec![
        ("zeros", vec![0; PACKET], PROTOCOL),
        ("garbage", garbage(PACKET), PROTOCOL),
        ("garbage behind the magic number", begins_well, PROTOCOL),
        (
            "HTTP",
            format!("{:512}", "GET / HTTP/1.1\r\n\r\n").into_bytes(),
            PROTOCOL,
        ),
        ("wrong magic", changed(&|p| p[7] = b'G'), PROTOCOL),
        ("HELLO first", packet(HELLO).to_vec(), PROTOCOL),
        ("ACK first", packet(ACK).to_vec(), PROTOCOL),
        ("WELCOME first", packet(WELCOME).to_vec(), PROTOCOL),
        ("kind 0", packet(0).to_vec(), PROTOCOL),
        ("WAIT first", packet(WAIT).to_vec(), PROTOCOL),
        ("kind 7", packet(7).to_vec(), PROTOCOL),
        ("kind u32::MAX", packet(u32::MAX).to_vec(), PROTOCOL),
        (
            "later versions",
            changed(&|p| put_versions(p, 2, 9)),
            VERSION,
        ),
        (
            "earlier versions",
            changed(&|p| put_versions(p, 0, 0)),
            VERSION,
        ),
        (
            "a later version's KNOCK",
            changed(&|p| {
                p[20..384].fill(0xff);
                put_versions(p, 2, 9);
            }),
            VERSION,
        ),
        (
            "versions the wrong way round",
            changed(&|p| put_versions(p, 2, 1)),
            VERSION,
        ),
        ("unknown features", changed(&|p| put(p, 20, &[4])), PROTOCOL),
        ("a reserved byte", changed(&|p| put(p, 383, &[1])), PROTOCOL),
        ("a HELLO's bytes", changed(&|p| put(p, 48, &[1])), PROTOCOL),
        (
            "bytes behind the name",
            changed(&|p| put(p, 72 + 200, b"more")),
            PROTOCOL,
        ),
        ("handles", changed(&|p| put(p, handles, &[1])), PROTOCOL),
        (
            "another name",
            changed(&|p| put_text(p, b"another name")),
            PROTOCOL,
        ),
        (
            "no name",
            changed(&|p| {
                p[68..].fill(0);
            }),
            PROTOCOL,
        ),
        (
            "a name too long",
            changed(&|p| put(p, 68, &256u32.to_le_bytes())),
            PROTOCOL,
        ),
        (
            "a name far too long",
            changed(&|p| put(p, 68, &u32::MAX.to_le_bytes())),
            PROTOCOL,
        ),
        (
            "a name that is no text",
            changed(&|p| put(p, 72, &[0xff])),
            PROTOCOL,
        ),
    ]
}

#[test]
fn bad_packets_are_refused() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for (what, bytes, reason) in bad_packets(place.name()) {
        println!("{what}");
        let mut stranger = Stranger::connect(&place);
        stranger.send(&bytes);
        let (why, text) = stranger.refusal();
        assert_eq!(why, reason, "{what}: {text}");
        let kind = if reason == VERSION {
            "Version"
        } else {
            "Protocol"
        };
        let told = victim.says("error ");
        assert!(
            told.starts_with(&format!("error {kind} ")),
            "{what}: {told}"
        );
        assert!(told.contains(place.name()), "{what}: {told}");
        victim.serves(&place, Side::Guest);
    }
}

/// Those that go away in the middle: nobody is left to be refused.
#[test]
fn short_packets() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for len in [0, 1, 8, 100, PACKET - 1, PACKET] {
        let mut stranger = Stranger::connect(&place);
        stranger.send(&knock(place.name())[..len]);
        drop(stranger);
        victim.says("error NotConnected ");
        victim.serves(&place, Side::Guest);
    }
}

/// A REFUSE from a guest, with a text meant for terminals.
#[test]
fn a_refusal_is_shown_without_control_characters() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let mut refuse = packet(REFUSE);
    put(&mut refuse, 64, &99u32.to_le_bytes());
    put_text(&mut refuse, "\x1b[2Jgone\nforged line".as_bytes());
    let mut stranger = Stranger::connect(&place);
    stranger.send(&refuse);
    let told = victim.says("error Protocol ");
    assert!(
        told.contains("gone") && told.contains("forged line"),
        "{told}"
    );
    assert!(!told.contains(char::is_control), "{told:?}");
    victim.serves(&place, Side::Guest);
}

/// Strangers do not disturb a connection.
#[test]
fn strangers_beside_an_honest_guest() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _victim = Victim::start(&place, Side::Host, LONG);
    let guest = place.guest().open().unwrap();
    let conn = connected(&guest);
    let mut random = Random::new(9);
    for _ in 0..30 {
        let mut stranger = Stranger::connect(&place);
        match random.below(3) {
            0 => {
                stranger.send(&knock(place.name()));
                // One before it may still seem to be there: a process that another test is just starting has its
                // socket for a moment.
                assert!((1..=3).contains(&stranger.place()));
            }
            1 => {
                stranger.send(&packet(KNOCK));
                assert_eq!(stranger.refusal().0, VERSION);
            }
            _ => drop(stranger),
        }
        conn.send(b"ping").unwrap();
        answer(&conn);
    }
}

/// A name of which only the hash is the same is another link.
#[test]
fn a_guest_of_another_name_is_told_so() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let mut stranger = Stranger::connect(&place);
    stranger.send(&knock("somebody else's"));
    let (reason, text) = stranger.refusal();
    assert_eq!(reason, PROTOCOL);
    assert!(text.contains("somebody else's"), "{text}");
    victim.says("error Protocol ");
    let e = Link::guest("somebody else's")
        .directory(place.directory())
        .open()
        .unwrap()
        .within(Duration::from_millis(50))
        .next()
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
    victim.serves(&place, Side::Guest);
}
