//! Where the files of links may be on Unix, and whom they belong to.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use twinring::{Access, ErrorKind, Link, User};

use crate::common::{Child, LIMIT, Parent, Place, Side, Watchdog, connected};

const VARIABLES: [&str; 3] = ["TWINRING_RUNTIME_DIR", "XDG_RUNTIME_DIR", "TMPDIR"];

/// Opens the link as its parent says: in the directory that the environment names or in the
/// parent's own, for its own user or for another as well.
pub(crate) fn opener(parent: &'static Parent) {
    let builder = match (parent.next_line().as_str(), parent.side) {
        ("environment", Side::Host) => Link::host(parent.place.name()),
        ("environment", Side::Guest) => Link::guest(parent.place.name()),
        ("directory", _) => parent.builder(),
        (user, _) => {
            let users = vec![user.parse::<User>().unwrap()];
            parent.builder().access(Access::Users(users))
        }
    };
    let told = |e: &twinring::Error| format!("{:?} {e}", e.kind());
    let link = match builder.on_error(move |_, e| parent.say(told(e))).open() {
        Ok(link) => link,
        Err(e) => return parent.say(told(&e)),
    };
    parent.say("opened");
    let peer = link.wait_connected(LIMIT).unwrap();
    parent.say(format!("connected to user {}", peer.user));
    parent.wait_for_the_end();
}

fn make(path: &Path, mode: u32) {
    DirBuilder::new().create(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Leaves only one of the variables that can name the directory.
fn with_only(variable: &'static str, value: &Path) -> impl Fn(&mut Command) {
    move |command| {
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env(variable, value);
    }
}

fn start(place: &Place, side: Side, how: &str, change: impl FnOnce(&mut Command)) -> Child {
    let mut child = place.start_with("opener", side, change);
    child.say(how);
    child
}

#[test]
fn the_environment_names_the_directory() {
    let _watchdog = Watchdog::new(60);
    for (variable, below) in [
        ("TWINRING_RUNTIME_DIR", ""),
        ("XDG_RUNTIME_DIR", "twinring"),
    ] {
        let place = Place::new();
        let files = place.directory().join(below);
        if !below.is_empty() {
            make(place.directory(), 0o700);
        }
        let user = User::current().unwrap();
        let mut children = Side::BOTH.map(|side| {
            start(
                &place,
                side,
                "environment",
                with_only(variable, place.directory()),
            )
        });
        for child in &mut children {
            child.expect("opened");
            child.expect(&format!("connected to user {user}"));
        }
        // Nobody else can reach any of it.
        assert_eq!(mode(&files), 0o700);
        let mut count = 0;
        for file in fs::read_dir(&files).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
            count += 1;
        }
        assert_eq!(count, 2, "a lock and a socket");
    }
}

#[test]
fn unusable_directories() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let base = place.directory();
    make(base, 0o700);
    fs::write(base.join("file"), "").unwrap();
    make(&base.join("open"), 0o777);
    make(&base.join("readable"), 0o755);
    make(&base.join("group"), 0o770);
    make(&base.join("good"), 0o700);
    symlink(base.join("good"), base.join("link")).unwrap();
    let long = base.join("x".repeat(100));
    for (path, cause) in [
        (base.join("file"), "cannot be used"),
        (base.join("open"), "open to other users"),
        (base.join("readable"), "open to other users"),
        (base.join("group"), "open to other users"),
        (base.join("link"), "cannot be used"),
        (base.join("missing/directory"), "cannot be used"),
        ("/proc/self/twinring".into(), "cannot be used"),
        (long, "too long"),
    ] {
        for side in Side::BOTH {
            let change = with_only("TWINRING_RUNTIME_DIR", &path);
            let told = start(&place, side, "environment", change).next_line();
            assert!(told.starts_with("RuntimeDirectory "), "{path:?}: {told}");
            assert!(told.contains(cause), "{path:?}: {told}");
            assert!(told.contains(path.to_str().unwrap()), "{path:?}: {told}");
            assert!(told.contains(place.name()), "{path:?}: {told}");
        }
    }
    // One that is named by `directory` only needs to be safe against being written to.
    for (path, good) in [("open", false), ("group", false), ("readable", true)] {
        let opened = Link::host(place.name()).directory(base.join(path)).open();
        match opened {
            Ok(_) => assert!(good, "{path}"),
            Err(e) => assert!(!good && e.kind() == ErrorKind::RuntimeDirectory, "{e}"),
        }
    }
}

/// The user that other users' processes run as here.
const NOBODY: u32 = 65534;

/// A child that runs as another user, which only root can start.
fn start_as_nobody(
    place: &Place,
    side: Side,
    how: &str,
    change: impl FnOnce(&mut Command),
) -> Option<Child> {
    if User::current().unwrap().to_string() != "0" {
        println!("skipped: only root can start processes of another user");
        return None;
    }
    let started = place.try_start_with("opener", side, |command| {
        command.uid(NOBODY).gid(NOBODY);
        change(command);
    });
    match started {
        Ok(mut child) => {
            child.say(how);
            Some(child)
        }
        Err(e) => {
            println!("skipped: another user cannot run this test: {e}");
            None
        }
    }
}

#[test]
fn a_user_without_a_runtime_directory() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    // A relative path is none.
    let change = with_only("TWINRING_RUNTIME_DIR", Path::new("relative"));
    let Some(mut child) = start_as_nobody(&place, Side::Host, "environment", change) else {
        return;
    };
    let told = child.next_line();
    assert!(told.starts_with("RuntimeDirectory "), "{told}");
    assert!(told.contains("TWINRING_RUNTIME_DIR"), "{told}");
}

#[test]
fn directories_of_other_users() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    make(place.directory(), 0o755);
    for (path, mode, kind) in [
        ("closed", 0o700, "AccessDenied "),
        ("readable", 0o755, "WrongOwner "),
        ("below/it", 0, "AccessDenied "),
    ] {
        let path = place.directory().join(path);
        if mode != 0 {
            make(&path, mode);
        } else {
            make(path.parent().unwrap(), 0o755);
        }
        let change = with_only("TWINRING_RUNTIME_DIR", &path);
        let Some(mut child) = start_as_nobody(&place, Side::Guest, "environment", change) else {
            return;
        };
        let told = child.next_line();
        assert!(told.starts_with(kind), "{told}");
        assert!(told.contains(path.to_str().unwrap()), "{told}");
    }
}

/// Another user gets in only if both sides say so.
#[test]
fn other_users_need_to_be_admitted() {
    let _watchdog = Watchdog::new(60);
    let own = User::current().unwrap().to_string();
    let nobody = vec![NOBODY.to_string().parse::<User>().unwrap()];

    // The host admits nobody else: its socket is closed to the guest.
    let place = Place::new();
    make(place.directory(), 0o755);
    let closed = place.host().open().unwrap();
    let Some(mut guest) = start_as_nobody(&place, Side::Guest, &own, |_| {}) else {
        return;
    };
    // Its errors come as they may; each attempt to connect meets the host of that moment.
    let says = |guest: &mut Child, beginning: &str| {
        guest.wait_for_line(|line| line.starts_with(beginning));
    };
    says(&mut guest, "AccessDenied ");
    assert_eq!(closed.status(), twinring::Status::Waiting);
    drop(closed);

    // The host admits a third user, so that the socket is open to everyone, but the host lets nobody else in.
    let third = vec!["12345".parse::<User>().unwrap()];
    let host = place.host().access(Access::Users(third)).open().unwrap();
    says(&mut guest, "WrongOwner ");
    assert_eq!(host.status(), twinring::Status::Waiting);
    drop(host);

    // It admits the guest.
    let host = place.host().access(Access::Users(nobody)).open().unwrap();
    connected(&host);
    assert_eq!(host.peer().unwrap().user.to_string(), NOBODY.to_string());
    assert_eq!(host.peer().unwrap().pid, guest.pid());
    says(&mut guest, &format!("connected to user {own}"));
    drop(guest);

    // A guest that does not trust the host's user does not speak to it.
    let mut guest = start_as_nobody(&place, Side::Guest, "directory", |_| {}).unwrap();
    says(&mut guest, "WrongOwner ");
    assert_eq!(host.generation(), 1);
}
