//! Directories and files of links between users: whose they may be, and who may write to them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::common::{
    ALICE, BOB, Parent, Place, Side, Watchdog, are_there_other_users, of_user, start_as,
};
use crate::users::{ROOT, check_error, directory, start};
use crate::wire::{key, socket_path};

#[test]
fn unsafe_directories_are_refused() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let good = directory(&place, ROOT);
    let base = good.parent().unwrap();
    let cases = [
        // Of whom, its mode, whose host and guest, and what they say: nothing if it is good.
        (ROOT, 0o755, "", ""),
        (ROOT, 0o711, "", ""),
        (ROOT, 0o775, "RuntimeDirectory ", "RuntimeDirectory "),
        (ROOT, 0o757, "RuntimeDirectory ", "RuntimeDirectory "),
        (ROOT, 0o1777, "RuntimeDirectory ", "RuntimeDirectory "),
        (ROOT, 0o700, "RuntimeDirectory ", "AccessDenied "),
        (ALICE, 0o755, "WrongOwner ", "WrongOwner "),
        (BOB, 0o755, "WrongOwner ", "WrongOwner "),
        (BOB, 0o777, "WrongOwner ", "WrongOwner "),
    ];
    for (i, (owner, mode, host, guest)) in cases.into_iter().enumerate() {
        let path = base.join(format!("case-{i}"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        of_user(owner, &path);
        for (user, side, error) in [(ROOT, Side::Host, host), (ALICE, Side::Guest, guest)] {
            // A host may also tell nobody in particular; a directory is not judged by that.
            let mut child = start(user, &place, side, "service", &path);
            if error.is_empty() {
                // A guest that may not list the directory does not open it either.
                if mode == 0o711 && side == Side::Guest {
                    check_error(&mut child, "AccessDenied ", &[path.to_str().unwrap()]);
                } else {
                    child.expect("opened");
                }
            } else {
                check_error(&mut child, error, &[place.name(), path.to_str().unwrap()]);
            }
        }
    }

    // What is named is not followed elsewhere.
    let link = base.join("link");
    symlink(&good, &link).unwrap();
    let missing = base.join("missing/directory");
    for (path, side, expected) in [
        (&link, Side::Host, "RuntimeDirectory "),
        (&link, Side::Guest, "RuntimeDirectory "),
        (&missing, Side::Host, "RuntimeDirectory "),
    ] {
        let mut child = start(ROOT, &place, side, "service", path);
        check_error(&mut child, expected, &["cannot be used"]);
    }
    // The users of a link that are both not root have to name one.
    for side in Side::BOTH {
        let mut child = start(ALICE, &place, side, &BOB.to_string(), "-".as_ref());
        check_error(&mut child, "RuntimeDirectory ", &["Builder::directory"]);
    }
}

/// Locks the link's lock file, of any user, and holds it.
pub(crate) fn locker(parent: &'static Parent) {
    let file = File::options()
        .write(true)
        .open(parent.next_line())
        .unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    parent.say("locked");
    parent.wait_for_the_end();
}

/// It would keep the name for as long as it likes.
#[test]
fn a_lock_of_another_user_is_none() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ALICE);
    let lock = path.join(format!("{}.lock", key(&place)));
    for mode in [0o666, 0o600] {
        fs::write(&lock, "").unwrap();
        fs::set_permissions(&lock, Permissions::from_mode(mode)).unwrap();
        of_user(BOB, &lock);
        let mut bob = start_as(BOB, &place, "locker", Side::Host);
        bob.say(lock.display());
        bob.expect("locked");
        let mut host = start(ALICE, &place, Side::Host, "service", &path);
        let whose = format!("belongs to user {BOB}, not to user {ALICE}");
        let parts = [lock.to_str().unwrap(), &whose, "remove the file"];
        check_error(&mut host, "WrongOwner ", &parts);
        fs::remove_file(&lock).unwrap();
    }
    // Nor is what only looks like one.
    for make in [
        |path: &std::path::Path| symlink("/dev/null", path),
        |path: &std::path::Path| {
            let made = Command::new("mkfifo").arg(path).status()?;
            assert!(made.success());
            of_user(ALICE, path);
            Ok(())
        },
    ] {
        make(&lock).unwrap();
        let mut host = start(ALICE, &place, Side::Host, "service", &path);
        let told = host.next_line();
        assert!(told.starts_with("not opened: "), "{told}");
        fs::remove_file(&lock).unwrap();
    }
    let mut host = start(ALICE, &place, Side::Host, "service", &path);
    host.expect("opened");
}

/// A guest does not even connect to what is in the place of the socket unless it is the host's.
#[test]
fn what_is_no_socket_is_not_connected_to() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ROOT);
    let socket = path.join(socket_path(&place).file_name().unwrap());
    let mut host = start(ROOT, &place, Side::Host, "service", &path);
    host.expect("opened");
    // Or it would put its socket back.
    host.kill();
    let elsewhere = path.join("elsewhere");
    fs::rename(&socket, &elsewhere).unwrap();
    for link in [true, false] {
        if link {
            symlink(&elsewhere, &socket).unwrap();
        } else {
            fs::write(&socket, "").unwrap();
        }
        let mut guest = start(ALICE, &place, Side::Guest, "service", &path);
        let parts = [socket.to_str().unwrap(), "is no socket"];
        check_error(&mut guest, "RuntimeDirectory ", &parts);
        fs::remove_file(&socket).unwrap();
    }
}

/// The directory that a root service has when it names none, in a /run of its own.
#[test]
#[cfg(target_os = "linux")]
fn the_directory_of_services() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    // A thread of its own: only that, and what it starts, is in the new namespace.
    let outcome = std::thread::scope(|scope| {
        let test = scope.spawn(|| {
            // SAFETY: only what this thread sees of the file system changes.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), c"mode=755")?;
            let mut guest = start(ALICE, &place, Side::Guest, "service", "-".as_ref());
            guest.expect("opened");
            let mut host = start(ROOT, &place, Side::Host, "service", "-".as_ref());
            host.expect("opened");
            guest.wait_for_line(|line| line.starts_with("connected to "));
            let mode = fs::metadata("/run/twinring").unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755);
            // Root and one who is named meet there, too; root alone elsewhere.
            drop((host, guest));
            let mut guest = start(ALICE, &place, Side::Guest, "0", "-".as_ref());
            let mut host = start(ROOT, &place, Side::Host, &ALICE.to_string(), "-".as_ref());
            guest.wait_for_line(|line| line.starts_with("connected to "));
            host.wait_for_line(|line| line.starts_with("connected to "));
            let count = || fs::read_dir("/run/twinring").unwrap().count();
            assert_eq!(count(), 2, "a lock and a socket");
            // A user cannot be the host there.
            let mut host = start(BOB, &place, Side::Host, "service", "-".as_ref());
            check_error(&mut host, "WrongOwner ", &["/run/twinring", "user 0"]);
            Ok::<_, rustix::io::Errno>(())
        });
        test.join().unwrap()
    });
    if let Err(e) = outcome {
        println!("skipped: no mount namespace: {e}");
        assert!(std::env::var_os("CI").is_none(), "skipped in CI");
    }
}
