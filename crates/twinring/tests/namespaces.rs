//! A peer in another PID namespace, as in a container: it is known by handle, so that it does not
//! matter that its pid means nothing here, or that there is none.
#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Stdio};

use common::{CRASHED, Child, Parent, Place, Side, Watchdog, connected, end_text, ended, peers};

peers!(talker);

/// Says who its peer is, sends back what comes, and says how that ended.
fn talker(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let peer = conn.peer();
    parent.say(format!("{} {:?}", peer.pid, peer.started.is_some()));
    let e = loop {
        match conn.recv() {
            Ok(message) => conn.send(&message.unwrap()).unwrap(),
            Err(e) => break e,
        }
    };
    parent.say(end_text(e.end().unwrap()));
}

/// A child in PID and user namespaces of its own.
fn start_apart(place: &Place, side: Side) -> Child {
    place.start_with("talker", side, |command| {
        let mut apart = Command::new("unshare");
        apart
            .args([
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .arg(std::env::current_exe().unwrap())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in command.get_envs() {
            apart.env(name, value.unwrap_or_default());
        }
        *command = apart;
    })
}

fn can_be_apart() -> bool {
    let can = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        println!("SKIPPED: the system makes no PID namespace for us");
        assert!(std::env::var_os("CI").is_none(), "CI has to run this");
    }
    can
}

#[test]
fn a_peer_whose_pid_cannot_be_seen() {
    let _watchdog = Watchdog::new(120);
    if !can_be_apart() {
        return;
    }
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut apart = start_apart(&place, side.opposite());
        let conn = connected(&link);
        // It cannot see us, but we can see it, under a number of our own.
        assert_eq!(apart.next_line(), "0 false");
        assert_ne!(conn.peer().pid, 0);
        for message in [&b"hello"[..], &[7; 300_000]] {
            conn.send(message).unwrap();
            assert_eq!(conn.recv().unwrap().unwrap(), message);
        }
        apart.kill();
        assert_eq!(ended(conn.recv()), CRASHED);
    }
}

/// The death of a process that cannot be seen is noticed.
#[test]
fn a_death_out_of_sight() {
    let _watchdog = Watchdog::new(120);
    if !can_be_apart() {
        return;
    }
    for side in Side::BOTH {
        let place = Place::new();
        let mut here = place.start("talker", side);
        let mut apart = start_apart(&place, side.opposite());
        assert_eq!(apart.next_line(), "0 false");
        here.next_line();
        here.kill_unreaped();
        assert_eq!(apart.next_line(), CRASHED);
        apart.finish();
    }
}
