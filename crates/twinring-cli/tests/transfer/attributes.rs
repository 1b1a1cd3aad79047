//! What of a file is kept besides its contents: its name, its permissions, its holes.

use std::fs;

use crate::Hostile;
use crate::common::{Place, Running};

/// The test is the sender: it says that there are holes, and sends pieces of odd sizes.
#[test]
fn holes_read_as_zeros() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in"]);
    let mut contents = vec![0; 100_000];
    contents[9_000] = 1;
    contents[50_000..60_000].fill(2);
    let sender = Hostile::connect(&place);
    sender.greet(1);
    sender.file(100_000, 4, 0, b"x");
    assert_eq!(sender.receive(), b"\x82");
    for piece in contents.chunks(777) {
        sender.send(&[&[3], piece].concat());
    }
    sender.end(&contents);
    assert_eq!(sender.receive(), b"\x83");
    sender.send(b"\x06");
    recv.finish().code(0);
    assert!(fs::read(inbox.join("x")).unwrap() == contents);
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::fs::Permissions;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::MIB;
    use crate::common::{noise, until};

    /// A receiver into `in`, with this umask.
    fn recv_with_umask(place: &Place, umask: &str, force: bool) -> Running {
        let script = "umask $0; exec \"$@\" -o in";
        let program = env!("CARGO_BIN_EXE_twinring");
        let mut args = vec!["-c", script, umask, program, "recv", &place.name];
        args.extend(force.then_some("--force"));
        Running::start(place.prepared(Command::new("sh"), args))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn permissions_are_kept_and_never_widened() {
        let place = Place::new();
        let inbox = place.directory("in");
        let modes = [0o600, 0o755, 0o640, 0o444, 0o777, 0o4755, 0o2711, 0o1666];
        let names: Vec<_> = modes.iter().map(|mode| format!("{mode:o}")).collect();
        for (name, mode) in names.iter().zip(modes) {
            let path = place.file(name, b"x");
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let args: Vec<_> = names.iter().map(String::as_str).collect();
        // The second time, they replace those of the first.
        for (umask, bits, force) in [("0", 0, false), ("027", 0o027, true), ("0", 0, true)] {
            let recv = recv_with_umask(&place, umask, force);
            place.start("send", &args).finish().code(0);
            recv.finish().code(0);
            for (name, sent) in names.iter().zip(modes) {
                let is = mode(&inbox.join(name));
                assert_eq!(is, sent & 0o777 & !bits, "{name}, umask {umask}: {is:o}");
            }
        }
        // Of standard input there is none to keep.
        let recv = recv_with_umask(&place, "027", true);
        let send = place.start("send", &["-", "--name", "600"]);
        send.finish().code(0);
        recv.finish().code(0);
        assert_eq!(mode(&inbox.join("600")), 0o640);
    }

    /// The test is the sender: it looks while the file is under way.
    #[test]
    fn nobody_may_read_more_while_it_arrives() {
        let place = Place::new();
        let inbox = place.directory("in");
        for sent in [0o600, 0o711, 0] {
            let recv = recv_with_umask(&place, "0", false);
            let sender = Hostile::connect(&place);
            sender.greet(1);
            sender.file(u64::MAX, 2, sent, b"x");
            assert_eq!(sender.receive(), b"\x82");
            let names = Place::names(&inbox);
            assert_eq!(names.len(), 1, "{names:?}");
            assert_eq!(mode(&inbox.join(&names[0])), sent);
            sender.send(b"\x05");
            sender.receive();
            sender.send(b"\x06");
            recv.finish().code(6);
        }
        // More than permissions nobody gives away.
        let recv = recv_with_umask(&place, "0", false);
        let sender = Hostile::connect(&place);
        sender.greet(1);
        sender.file(u64::MAX, 2, 0o4755, b"x");
        recv.finish()
            .code(1)
            .says("a mode with more than nine bits");
        assert!(Place::names(&inbox).is_empty());
    }

    #[test]
    fn sparse_files_stay_sparse() {
        let place = Place::new();
        let inbox = place.directory("in");
        let length = 64 * MIB;
        for (name, at) in [("in the middle", 20 * MIB + 5), ("at the end", length - 3)] {
            let path = place.path(name);
            let file = fs::File::create(&path).unwrap();
            file.set_len(length as u64).unwrap();
            let data = &noise(300_000, 1)[..300_000.min(length - at)];
            std::os::unix::fs::FileExt::write_all_at(&file, data, at as u64).unwrap();
            let room = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
            if room(&path) > MIB as u64 {
                return println!("skipped: this file system has no holes");
            }
            let recv = place.start("recv", &["-o", "in"]);
            place.start("send", &[name]).finish().code(0);
            recv.finish().code(0);
            crate::same(&path, &inbox.join(name));
            let room = room(&inbox.join(name));
            assert!(room < MIB as u64, "{name}: {room} bytes");
        }
        // What is no hole at the source is none here.
        place.file("zeros", &vec![0; 8 * MIB]);
        until("the zeros are on the disk", || {
            let _ = fs::File::open(place.path("zeros")).unwrap().sync_all();
            fs::metadata(place.path("zeros")).unwrap().blocks() * 512 >= 8 * MIB as u64
        });
        let recv = place.start("recv", &["-o", "in", "--sync"]);
        place.start("send", &["zeros"]).finish().code(0);
        recv.finish().code(0);
        let there = fs::metadata(inbox.join("zeros")).unwrap();
        assert!(there.blocks() * 512 >= 8 * MIB as u64);
    }

    #[test]
    fn names_are_bytes() {
        if !cfg!(target_os = "linux") {
            return; // macOS has only names that are UTF-8.
        }
        let place = Place::new();
        let name = OsStr::from_bytes(b"caf\xe9 \xe2\x80\x8f");
        fs::write(place.path("x").with_file_name(name), "coffee").unwrap();
        // It would clear the screen of a terminal.
        let inbox = place.directory("in\x1b[2J");
        let recv_args = ["recv", &place.name, "-o", "in\x1b[2J"];
        let recv = Running::start(place.command(recv_args));
        let send = || {
            let args = [OsStr::new("send"), OsStr::new(&place.name), name];
            Running::start(place.command(args))
        };
        send().finish().code(0);
        // For programs the path is as it is.
        let received = recv.finish().code(0);
        assert_eq!(received.stdout, b"in\x1b[2J/caf\xe9 \xe2\x80\x8f\n");
        assert_eq!(fs::read(inbox.join(name)).unwrap(), b"coffee");

        // In what is said it is escaped.
        let recv = Running::start(place.command(recv_args));
        send()
            .finish()
            .code(6)
            .says(r"caf\xe9 \u{200f} was not sent: ");
        recv.finish()
            .code(6)
            .says("\"caf\\xe9 \\u{200f}\" was not received: ");

        // And on a terminal.
        let program = env!("CARGO_BIN_EXE_twinring");
        let inner = format!(
            "{program} recv '{}' -q --force -o \"$(printf 'in\\033[2J')\"",
            place.name
        );
        let args = ["-qec", &inner, "/dev/null"];
        let mut terminal = place.prepared(Command::new("script"), args);
        terminal.env("SHELL", "/bin/sh");
        let recv = Running::start(terminal);
        send().finish().code(0);
        let shown = recv.wait().code(0).text();
        assert!(shown.contains(r"in\x1b[2J/caf\xe9 \u{200f}"), "{shown:?}");
    }
}

#[cfg(windows)]
#[test]
fn names_that_are_not_unicode_are_refused() {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;

    let place = Place::new();
    place.file("a", b"");
    let name = OsString::from_wide(&[0x61, 0xd800]);
    let args = ["send", &place.name, "a", "--name"].map(OsString::from);
    Running::start(place.command(args.into_iter().chain([name])))
        .finish()
        .code(2)
        .says("Windows has no names that are not Unicode");
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in"]);
    let sender = Hostile::connect(&place);
    sender.greet(1);
    sender.name(b"caf\xe9");
    assert_eq!(sender.receive()[..2], *b"\x84\x02");
    sender.send(b"\x06");
    recv.finish()
        .code(6)
        .says("\"caf\\xe9\" was not received: the name is not allowed: Windows has no names");
    assert!(Place::names(&inbox).is_empty());
}
