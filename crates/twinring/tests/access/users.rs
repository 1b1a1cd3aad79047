//! Links between users, and the lack of them.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::common::{
    ALICE, BOB, Child, Place, Side, Watchdog, are_there_other_users, of_user, start_as,
};

pub(crate) const ROOT: u32 = 0;

/// Starts one side as this user.
pub(crate) fn start(user: u32, place: &Place, side: Side, access: &str, directory: &Path) -> Child {
    let mut child = start_as(user, place, "side", side);
    child.say(access);
    child.say(directory.display());
    child
}

/// A directory for a host of this user, as it should be.
pub(crate) fn directory(place: &Place, user: u32) -> std::path::PathBuf {
    let base = place.directory();
    if !base.exists() {
        DirBuilder::new().mode(0o755).create(base).unwrap();
        fs::set_permissions(base, Permissions::from_mode(0o755)).unwrap();
    }
    let path = base.join(user.to_string());
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    of_user(user, &path);
    path
}

/// Both are connected to the right one, and messages cross.
#[track_caller]
pub(crate) fn check_connected(host: &mut Child, of_host: u32, guest: &mut Child, of_guest: u32) {
    let who = |child: &Child, user| format!("process {} of user {user}", child.pid());
    let (host_is, guest_is) = (who(host, of_host), who(guest, of_guest));
    host.wait_for_line(|line| line == format!("connected to {guest_is}"));
    guest.wait_for_line(|line| line == format!("connected to {host_is}"));
    host.wait_for_line(|line| line == format!("greetings from {of_guest}"));
    guest.wait_for_line(|line| line == format!("greetings from {of_host}"));
}

/// Waits for an error of this kind; its text must contain all these parts.
#[track_caller]
pub(crate) fn check_error(child: &mut Child, kind: &str, parts: &[&str]) -> String {
    let told = child.wait_for_line(|line| {
        assert!(!line.starts_with("connected"), "{line}");
        line.trim_start_matches("not opened: ").starts_with(kind)
    });
    for part in parts {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
    told
}

#[test]
fn those_who_are_named_are_let_in() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    for (of_host, of_guest) in [(ROOT, ALICE), (ALICE, ROOT), (ALICE, BOB)] {
        let place = Place::new();
        let path = directory(&place, of_host);
        let mut host = start(of_host, &place, Side::Host, &of_guest.to_string(), &path);
        host.expect("opened");
        let mut guest = start(of_guest, &place, Side::Guest, &of_host.to_string(), &path);
        check_connected(&mut host, of_host, &mut guest, of_guest);
        // And each side's own user, beside those it names.
        drop(guest);
        let mut guest = start(of_host, &place, Side::Guest, "12345", &path);
        check_connected(&mut host, of_host, &mut guest, of_host);
    }
}

#[test]
fn others_are_refused_and_told_why() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT);
    let mut host = start(ROOT, &place, Side::Host, &ALICE.to_string(), &path);
    host.expect("opened");
    let mut guest = start(BOB, &place, Side::Guest, "0", &path);
    let bob = format!("process {} of user {BOB}", guest.pid());
    let parts = [place.name(), &bob, "access does not allow", "Access::Users"];
    check_error(&mut host, "WrongOwner ", &parts);
    let told = check_error(
        &mut guest,
        "WrongOwner ",
        &[&parts[..], &["refuses"]].concat(),
    );
    // It learns nothing of those who may.
    assert!(!told.contains(&ALICE.to_string()), "{told}");
    drop(guest);
    // Who may is not kept waiting by it.
    let _again = start(BOB, &place, Side::Guest, "0", &path);
    let mut guest = start(ALICE, &place, Side::Guest, "0", &path);
    check_connected(&mut host, ROOT, &mut guest, ALICE);
}

/// A host of one user is closed to all others, by its files already.
#[test]
fn a_link_of_one_user_is_closed_to_others() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ALICE);
    let mut host = start(ALICE, &place, Side::Host, "same", &path);
    host.expect("opened");
    let mut guest = start(BOB, &place, Side::Guest, &ALICE.to_string(), &path);
    check_error(
        &mut guest,
        "AccessDenied ",
        &[place.name(), "access and the directory of both"],
    );
    // Root can open all files; the host's question to the kernel keeps it out.
    let mut root = start(ROOT, &place, Side::Guest, &ALICE.to_string(), &path);
    check_error(&mut root, "WrongOwner ", &["of user 0 wants to connect"]);
    check_error(&mut host, "WrongOwner ", &["of user 0 wants to connect"]);
}

#[test]
fn a_service_lets_everyone_in() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT);
    let mut host = start(ROOT, &place, Side::Host, "service", &path);
    host.expect("opened");
    for user in [ALICE, BOB, ROOT, 65_534] {
        let mut guest = start(user, &place, Side::Guest, "service", &path);
        check_connected(&mut host, ROOT, &mut guest, user);
    }

    // A service with a user of its own, named by its guests: "a service of the system" it is not.
    let place = Place::new();
    let path = directory(&place, ALICE);
    let mut host = start(ALICE, &place, Side::Host, "service", &path);
    host.expect("opened");
    let mut guest = start(BOB, &place, Side::Guest, "service", &path);
    let parts = [&format!("belongs to user {ALICE}"), "not to user 0"];
    check_error(&mut guest, "WrongOwner ", &parts);
    let mut guest = start(BOB, &place, Side::Guest, &ALICE.to_string(), &path);
    check_connected(&mut host, ALICE, &mut guest, BOB);
}

/// Either side may be first, and the host has the umask of a careful root.
#[test]
fn a_guest_may_come_before_the_directory() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT).join("below/it");
    let mut guest = start(ALICE, &place, Side::Guest, "service", &path);
    guest.expect("opened");
    assert!(!path.exists(), "it is for the host to make");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut host = place.start_with("side", Side::Host, |command| {
        // SAFETY: one system call, which only sets a number.
        unsafe {
            command.pre_exec(|| {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
                Ok(())
            })
        };
    });
    host.say("service");
    host.say(path.display());
    check_connected(&mut host, ROOT, &mut guest, ALICE);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o755);
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap().path();
        let expected = match file.extension().unwrap().to_str().unwrap() {
            "lock" => 0o600,
            "sock" => 0o666,
            other => panic!("a file of kind {other}"),
        };
        assert_eq!(mode(&file), expected, "{file:?}");
    }

    // The service stops, its directory goes with it (as systemd has it), and it comes again.
    drop(host);
    fs::remove_dir_all(&path).unwrap();
    let mut host = start(ROOT, &place, Side::Host, "service", &path);
    host.expect("opened");
    check_connected(&mut host, ROOT, &mut guest, ALICE);
}
