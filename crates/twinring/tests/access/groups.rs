//! A host that lets in the members of a group.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::process::geteuid;
use twinring::{Access, ErrorKind, Link, User};

use crate::common::{ALICE, BOB, Child, Place, Side, Watchdog, are_there_other_users};
use crate::users::{ROOT, check_connected, check_error, directory, start};

const MEMBERS: u32 = 61_001;
const OTHERS: u32 = 61_002;

fn alice_s() -> String {
    format!("{ALICE}:{MEMBERS}")
}

/// Bob, with this group as the primary one and these others.
fn start_bob(place: &Place, group: u32, groups: &[u32], path: &Path) -> Child {
    let groups = groups.to_vec();
    let mut child = place.start_with("side", Side::Guest, |command| {
        // The library's own way to become another user leaves no groups.
        // SAFETY: three system calls, in the child that has one thread; `groups` has as many entries as said.
        unsafe {
            command.pre_exec(move || {
                let failed = libc::setgroups(groups.len() as _, groups.as_ptr()) != 0
                    || libc::setgid(group) != 0
                    || libc::setuid(BOB) != 0;
                match failed {
                    true => Err(std::io::Error::last_os_error()),
                    false => Ok(()),
                }
            })
        };
    });
    child.say(alice_s());
    child.say(path.display());
    child
}

#[test]
fn members_are_let_in_and_no_others() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ALICE);
    let mut host = start(ALICE, &place, Side::Host, &alice_s(), &path);
    host.expect("opened");
    // More than the first question to the kernel has room for.
    let many: Vec<u32> = (70_000..70_100).chain([MEMBERS]).collect();
    let members: [(u32, &[u32]); 3] = [(MEMBERS, &[]), (BOB, &[OTHERS, MEMBERS]), (BOB, &many)];
    for (group, groups) in members {
        let mut guest = start_bob(&place, group, groups, &path);
        check_connected(&mut host, ALICE, &mut guest, BOB);
    }
    // The host's own user need not be a member.
    let mut guest = start(ALICE, &place, Side::Guest, &alice_s(), &path);
    check_connected(&mut host, ALICE, &mut guest, ALICE);
    drop(guest);

    // Root may open all files, but is no member. (The host tells an error of one kind once in a row.)
    let mut root = start(ROOT, &place, Side::Guest, &alice_s(), &path);
    for child in [&mut root, &mut host] {
        check_error(child, "WrongOwner ", &["of user 0 wants to connect"]);
    }
    drop(root);
    let mut guest = start_bob(&place, OTHERS, &many[..50], &path);
    let bob = format!("process {} of user {BOB}", guest.pid());
    let parts = [
        place.name(),
        &bob,
        "access does not allow",
        "member of the host's group",
    ];
    let told = check_error(&mut guest, "WrongOwner ", &parts);
    assert!(!told.contains(&MEMBERS.to_string()), "{told}");
}

/// The directory may be closed to all others.
#[test]
fn a_directory_may_be_for_the_group_alone() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ALICE);
    chown(&path, None, Some(MEMBERS)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
    let mut host = start(ALICE, &place, Side::Host, &alice_s(), &path);
    let mut guest = start_bob(&place, BOB, &[MEMBERS], &path);
    check_connected(&mut host, ALICE, &mut guest, BOB);
    drop(guest);
    let mut guest = start_bob(&place, BOB, &[OTHERS], &path);
    check_error(&mut guest, "AccessDenied ", &[path.to_str().unwrap()]);
}

#[test]
fn only_the_named_host_is_one() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, BOB);
    let mut host = start(BOB, &place, Side::Host, &alice_s(), &path);
    let who = (format!("user {ALICE}"), format!("user {BOB}"));
    let parts = [place.name(), &who.0, &who.1, "would not find it"];
    check_error(&mut host, "InvalidOption ", &parts);
    // Bob hosts the name all the same; nor does a guest of Bob's own trust him.
    let mut host = start(BOB, &place, Side::Host, "service", &path);
    host.expect("opened");
    for mut guest in [
        start(BOB, &place, Side::Guest, &alice_s(), &path),
        start_bob(&place, BOB, &[MEMBERS], &path),
    ] {
        check_error(&mut guest, "WrongOwner ", &[place.name(), &who.0, &who.1]);
    }
    for line in host.lines_so_far() {
        assert!(!line.starts_with("connected"), "{line}");
    }
}

#[test]
fn what_only_windows_has_is_refused() {
    let place = Place::new();
    let sddl = Access::Sddl {
        host: User::current().unwrap(),
        guests: "D:(A;;GRGW;;;BU)".to_owned(),
    };
    for (access, instead) in [
        (sddl, "Access::Group"),
        (Access::LogonSession, "Access::SameUser"),
    ] {
        for link in [Link::host(place.name()), Link::guest(place.name())] {
            let e = link.access(access.clone()).open().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidOption, "{e}");
            assert!(e.to_string().contains(instead), "{e}");
        }
    }
    // Without a directory of the host's there is none, unless it is root's.
    let own = geteuid().as_raw();
    let access = Access::Group {
        host: if own == 0 { ALICE } else { own }
            .to_string()
            .parse()
            .unwrap(),
        guests: MEMBERS.to_string().parse().unwrap(),
    };
    let e = Link::guest(place.name()).access(access).open().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::RuntimeDirectory, "{e}");
}
