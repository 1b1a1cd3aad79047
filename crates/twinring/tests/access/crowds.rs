//! One user of several that are let in calls without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use twinring::{Link, User};

use crate::access;
use crate::common::{
    ALICE, BOB, LIMIT, Parent, Place, Side, Watchdog, are_there_other_users, connected, start_as,
    until,
};
use crate::users::{ROOT, check_error, directory, start};
use crate::wire::{Stranger, knock, socket_path};

/// Calls at the socket it is told, and goes on calling: half of it is silent, half of it waits and never
/// answers. Says when it has called often enough to have taken all places.
pub(crate) fn crowd(parent: &'static Parent) {
    let socket = parent.next_line();
    let calls = Arc::new(AtomicU32::new(0));
    for silent in [false, true] {
        let (socket, calls) = (socket.clone(), calls.clone());
        thread::spawn(move || {
            let mut held = Vec::new();
            loop {
                if let Ok(stream) = std::os::unix::net::UnixStream::connect(&socket) {
                    let mut stranger = Stranger(stream);
                    if !silent {
                        stranger.send(&knock(parent.place.name()));
                    }
                    held.push(stranger);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                // Each is held for longer than the host waits before it calls one stalled.
                thread::sleep(Duration::from_millis(2));
                if held.len() > 200 {
                    held.drain(..100);
                }
            }
        });
    }
    while calls.load(Ordering::Relaxed) < 500 {
        thread::sleep(Duration::from_millis(1));
    }
    parent.say("everything is taken");
    parent.wait_for_the_end();
}

#[test]
fn one_user_does_not_keep_out_the_others() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT);
    let mut host = start(ROOT, &place, Side::Host, &format!("{ALICE},{BOB}"), &path);
    host.expect("opened");
    let mut crowd = start_as(BOB, &place, "crowd", Side::Guest);
    let socket = path.join(socket_path(&place).file_name().unwrap());
    crowd.say(socket.display());
    crowd.expect("everything is taken");
    let named = format!("process {} of user {BOB}", crowd.pid());
    check_error(&mut host, "TimedOut ", &[&named, "needed for others"]);
    for _ in 0..3 {
        let mut guest = start(ALICE, &place, Side::Guest, "0", &path);
        guest.wait_for_line(|line| line == format!("greetings from {ROOT}"));
        host.wait_for_line(|line| line == format!("greetings from {ALICE}"));
    }
}

/// A program that takes long to decide about guests of one user is asked about those of another all the same.
#[test]
fn a_user_who_is_decided_about_for_long_keeps_out_no_other() {
    const MOST_OF_USER: u32 = 8;
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT);
    let asked = Arc::new(AtomicU32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let host = Link::host(place.name())
        .directory(&path)
        .access(access(&format!("{ALICE},{BOB}")))
        .handshake_timeout(LIMIT)
        .admit({
            let (asked, over) = (asked.clone(), over.clone());
            let bob: User = BOB.to_string().parse().unwrap();
            move |peer| {
                if peer.user != bob {
                    return true;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                while !over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                false
            }
        })
        .open()
        .unwrap();
    let mut crowd = start_as(BOB, &place, "crowd", Side::Guest);
    let socket = path.join(socket_path(&place).file_name().unwrap());
    crowd.say(socket.display());
    crowd.expect("everything is taken");
    until("the program is asked", || {
        asked.load(Ordering::Relaxed) >= MOST_OF_USER
    });
    let mut guest = start(ALICE, &place, Side::Guest, "0", &path);
    let conn = connected(&host);
    assert_eq!(conn.peer().user.to_string(), ALICE.to_string());
    conn.send(b"hello").unwrap();
    guest.wait_for_line(|line| line == "hello");
    assert_eq!(asked.load(Ordering::Relaxed), MOST_OF_USER);
    over.store(true, Ordering::Relaxed);
}
