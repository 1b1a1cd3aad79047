//! Where the files of links may be on Unix, and whom they belong to.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use twinring::{Access, ErrorKind, Link, Timeout, User};

use crate::common::{Child, Parent, Place, Side, Watchdog, connected};

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
    let link = match builder.on_error(move |e| parent.say(told(e))).open() {
        Ok(link) => link,
        Err(e) => return parent.say(told(&e)),
    };
    parent.say("opened");
    let conn = connected(&link);
    parent.say(format!("connected to user {}", conn.peer().user));
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
    // A relative path is none, says the specification of this one.
    let change = with_only("XDG_RUNTIME_DIR", Path::new("relative"));
    let Some(mut child) = start_as_nobody(&place, Side::Host, "environment", change) else {
        return;
    };
    let told = child.next_line();
    assert!(told.starts_with("RuntimeDirectory "), "{told}");
    assert!(told.contains("TWINRING_RUNTIME_DIR"), "{told}");
}

/// As `directory("relative")` is refused.
#[test]
fn a_relative_runtime_directory_is_refused() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    for path in ["", "relative", "./relative"] {
        for side in Side::BOTH {
            let change = with_only("TWINRING_RUNTIME_DIR", Path::new(path));
            let told = start(&place, side, "environment", change).next_line();
            assert!(told.starts_with("InvalidOption "), "{path:?}: {told}");
            let said = format!("TWINRING_RUNTIME_DIR is {path:?}");
            assert!(told.contains(&said), "{path:?}: {told}");
            assert!(!Path::new("relative").exists());
        }
    }
}

/// Root with the environment of another user's login (sudo -E, su): nothing of root's is left in that
/// user's directory, which would shut the user out.
#[test]
fn nothing_is_made_in_a_directory_of_another_user() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    make(place.directory(), 0o755);
    let nobodys = place.directory().join("login");
    make(&nobodys, 0o700);
    if chown(&nobodys, Some(NOBODY), Some(NOBODY)).is_err() {
        println!("skipped: only root can make a directory another user's");
        assert!(std::env::var_os("CI").is_none(), "skipped in CI");
        return;
    }
    for (variable, path) in [
        ("XDG_RUNTIME_DIR", nobodys.clone()),
        ("TWINRING_RUNTIME_DIR", nobodys.join("links")),
    ] {
        for side in Side::BOTH {
            let change = with_only(variable, &path);
            let told = start(&place, side, "environment", change).next_line();
            assert!(told.starts_with("WrongOwner "), "{told}");
            let whose = format!("{} belongs to user {NOBODY}", nobodys.display());
            for part in [
                &*whose,
                "set TWINRING_RUNTIME_DIR or XDG_RUNTIME_DIR",
                "sudo",
            ] {
                assert!(told.contains(part), "{told} does not say {part:?}");
            }
            assert_eq!(fs::read_dir(&nobodys).unwrap().count(), 0);
        }
    }
    let named = Link::host(place.name()).directory(nobodys.join("links"));
    let e = named.open().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongOwner, "{e}");
    assert_eq!(fs::read_dir(&nobodys).unwrap().count(), 0);
    // The user is not shut out, and root uses what that user has not.
    let change = with_only("XDG_RUNTIME_DIR", &nobodys);
    let Some(mut host) = start_as_nobody(&place, Side::Host, "environment", change) else {
        return;
    };
    host.expect("opened");
    let change = with_only("XDG_RUNTIME_DIR", &nobodys);
    let told = start(&place, Side::Guest, "environment", change).next_line();
    assert!(told.starts_with("WrongOwner "), "{told}");
    assert!(told.contains("sudo"), "{told}");
}

/// What the system lacks is named, and it is not a matter of the rings: a full file system, and one that is only
/// to be read.
#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_takes_no_files() {
    use rustix::mount::{MountFlags, mount_remount};

    let _watchdog = Watchdog::new(60);
    in_a_namespace(|| {
        let place = Place::new();
        make(place.directory(), 0o700);
        rustix::mount::mount(
            "tmpfs",
            place.directory(),
            "tmpfs",
            MountFlags::empty(),
            c"mode=700,size=4k,nr_inodes=3",
        )?;
        // The directory itself and this one leave no room for a lock and a socket.
        fs::write(place.directory().join("a"), "").unwrap();
        let says = |name: &str, parts: &[&str]| {
            let place = Place::at(name, place.directory());
            let told = start(&place, Side::Host, "directory", |_| {}).next_line();
            assert!(told.starts_with("RuntimeDirectory "), "{told}");
            assert!(!told.contains("ring_capacity"), "{told}");
            for part in parts.iter().chain(&[place.directory().to_str().unwrap()]) {
                assert!(told.contains(part), "{told} does not say {part:?}");
            }
        };
        let full = ["No space left", "use another directory"];
        says("the socket", &full);
        let mut files: Vec<_> = fs::read_dir(place.directory())
            .unwrap()
            .map(|file| file.unwrap().path().extension().map(ToOwned::to_owned))
            .collect();
        files.sort();
        assert_eq!(files, [None], "nothing is left half done");
        fs::write(place.directory().join("b"), "").unwrap();
        says("the lock", &full);
        mount_remount(place.directory(), MountFlags::RDONLY, c"")?;
        says(
            "the lock",
            &["Read-only file system", "use another directory"],
        );
        rustix::mount::unmount(place.directory(), rustix::mount::UnmountFlags::DETACH)
    });
}

/// A service of root's that was started before root had logged in, and a program of the login: they meet.
#[test]
#[cfg(target_os = "linux")]
fn roots_directory_is_always_the_same() {
    use rustix::mount::{MountFlags, mount};

    let _watchdog = Watchdog::new(60);
    in_a_namespace(|| {
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), c"mode=755")?;
        for service in Side::BOTH {
            let place = Place::new();
            let without = |command: &mut Command| {
                for name in VARIABLES {
                    command.env_remove(name);
                }
            };
            let mut early = start(&place, service, "environment", without);
            early.expect("opened");
            fs::create_dir("/run/user").unwrap();
            make(Path::new("/run/user/0"), 0o700);
            let login = with_only("XDG_RUNTIME_DIR", Path::new("/run/user/0"));
            let mut late = start(&place, service.opposite(), "environment", login);
            late.expect("opened");
            early.expect("connected to user 0");
            late.expect("connected to user 0");
            drop(late);
            let mut late = start(&place, service.opposite(), "environment", without);
            late.expect("opened");
            late.expect("connected to user 0");
            assert_eq!(mode(Path::new("/run/twinring-0")), 0o700);
            fs::remove_dir_all("/run/user").unwrap();
        }
        Ok(())
    });
}

/// Runs it on a thread that has a mount namespace to itself, if root runs this.
#[cfg(target_os = "linux")]
fn in_a_namespace(run: impl FnOnce() -> rustix::io::Result<()> + Send) {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    let run = || {
        // SAFETY: only what this thread sees of the file system changes.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        run()
    };
    let outcome = std::thread::scope(|scope| scope.spawn(run).join().unwrap());
    if let Err(e) = outcome {
        println!("skipped: no mount namespace: {e}");
        assert!(std::env::var_os("CI").is_none(), "skipped in CI");
    }
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
    assert!(!closed.status().is_connected());
    drop(closed);

    // The host admits a third user, so that the socket is open to everyone, but the host lets nobody else in.
    let third = vec!["12345".parse::<User>().unwrap()];
    let host = place.host().access(Access::Users(third)).open().unwrap();
    says(&mut guest, "WrongOwner ");
    assert!(!host.status().is_connected());
    drop(host);

    // It admits the guest.
    let host = place.host().access(Access::Users(nobody)).open().unwrap();
    let conn = connected(&host);
    assert_eq!(conn.peer().user.to_string(), NOBODY.to_string());
    assert_eq!(conn.peer().pid, guest.pid());
    says(&mut guest, &format!("connected to user {own}"));
    drop(guest);

    // A guest that does not trust the host's user does not speak to it.
    let mut guest = start_as_nobody(&place, Side::Guest, "directory", |_| {}).unwrap();
    says(&mut guest, "WrongOwner ");
    assert!(host.within(Timeout::Now).next().is_err());
}
