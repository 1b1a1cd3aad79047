//! What goes wrong is said on both sides, at once where it can be known, and ends in the right code.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::common::{Place, Running, noise, until};
use crate::{Hostile, MIB, half_way};

#[test]
fn nothing_to_send_ends_at_once() {
    let place = Place::new();
    place.directory("folder");
    // No receiver is waited for.
    place
        .start("send", &["none", "folder", "."])
        .finish()
        .code(6)
        .says("none was not sent: ")
        .says("folder was not sent: it is a directory")
        .says("3 of 3 files failed");
}

#[test]
fn what_cannot_be_sent_is_said_before_a_receiver_is_there() {
    let place = Place::new();
    let inbox = place.directory("in");
    let other = place.directory("other");
    for name in ["good", "gone"] {
        place.file(name, name.as_bytes());
    }
    fs::write(other.join("good"), "another").unwrap();
    let twin = Path::new("other").join("good");
    let twin = twin.to_str().unwrap();
    let send = place.start("send", &["none", "good", twin, "gone"]);
    send.says("none was not sent: ");
    send.says("another of these files has the same name");
    send.says("waiting for the host");
    // What goes later is told to the receiver, too.
    fs::remove_file(place.path("gone")).unwrap();
    let recv = place.start("recv", &["-o", "in"]);
    send.finish()
        .code(6)
        .says("gone was not sent: ")
        .says("3 of 4 files failed");
    recv.finish()
        .code(6)
        .says("\"none\" was not received: the sender says: ")
        .says("\"good\" was not received: the sender says: another")
        .says("\"gone\" was not received: the sender says: ")
        .says("3 of 4 files failed");
    assert_eq!(Place::names(&inbox), ["good"]);
    assert_eq!(fs::read(inbox.join("good")).unwrap(), b"good");
}

#[test]
fn no_place_for_the_files() {
    let place = Place::new();
    place.file("file", b"");
    for directory in ["none", "file"] {
        let recv = place.start("recv", &["-o", directory]);
        recv.finish().code(6).says("cannot put files into");
    }
    if cfg!(target_os = "linux") {
        // Not even root makes files there.
        let recv = place.start("recv", &["-o", "/proc"]);
        recv.finish()
            .code(6)
            .says("cannot put files into /proc: no file can be made there: ");
    }
}

/// Exit code 0 is for everything that the sender was asked to send.
#[test]
fn as_many_files_as_announced() {
    let place = Place::new();
    let inbox = place.directory("in");
    for (announced, sent) in [(2, 1), (1, 2), (0, 1)] {
        let recv = place.start("recv", &["-o", "in", "--force"]);
        let sender = Hostile::connect(&place);
        sender.greet(announced);
        for _ in 0..sent.min(announced) {
            sender.name(b"x");
            assert_eq!(sender.receive(), b"\x82");
            sender.end(b"");
            assert_eq!(sender.receive(), b"\x83");
        }
        if sent > announced {
            sender.name(b"y");
        } else {
            sender.send(b"\x06");
        }
        recv.finish().code(1).says("does not belong here");
    }
    assert_eq!(Place::names(&inbox), ["x"]);
}

#[test]
fn an_output_that_takes_no_paths() {
    let place = Place::new();
    let inbox = place.directory("in");
    place.file("a", b"a");
    place.file("b", b"b");
    let recv = |keep: bool| {
        let args = ["recv", &place.name, "-o", "in", "--force"];
        let mut command = place.command(args);
        command.args(keep.then_some("--keep"));
        command
    };
    // A reader that has gone.
    for keep in [false, true] {
        let mut child = recv(keep).spawn().unwrap();
        drop(child.stdout.take());
        let recv = Running::of(child, "recv".into());
        place
            .start("send", &["a", "b"])
            .finish()
            .code(0)
            .says("verified by the receiver");
        recv.finish()
            .code(1)
            .says("cannot write to standard output: ")
            .says("not listed there: in");
        assert_eq!(Place::names(&inbox), ["a", "b"]);
    }
    if cfg!(target_os = "linux") {
        let mut command = recv(false);
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        command.stdout(full.unwrap());
        let recv = Running::start(command);
        place.start("send", &["a"]).finish().code(0);
        recv.finish()
            .code(1)
            .says("cannot write to standard output: ");
    }
}

#[test]
fn partial_files_of_a_killed_receiver_are_said() {
    let place = Place::new();
    let inbox = place.directory("in");
    let (recv, send) = half_way(&place, &inbox);
    recv.killed();
    send.wait().code(5);
    let left = Place::names(&inbox);
    assert_eq!(left.len(), 1, "{left:?}");
    // Another receiver is at work there.
    let other = format!("{} other", place.name);
    let recv = place.start_named("recv", &other, &["-o", "in"]);
    let mut send = place.start_named("send", &other, &["-", "--name", "x"]);
    send.write(&noise(2 * MIB, 1));
    recv.says("connected to");
    until("the other receives", || Place::names(&inbox).len() == 2);
    place.file("a", b"a");
    for (args, times) in [(&["-o", "in"][..], 1), (&["-o", "in", "-fq"], 0)] {
        let recv = place.start("recv", args);
        place.start("send", &["a"]).finish().code(0);
        let ended = recv.finish().code(0);
        let said = "in holds 1 partial file of a killed `recv`; remove .twinring-*.part there";
        assert_eq!(ended.stderr.matches(said).count(), times, "{ended:?}");
    }
    send.finish().code(0);
    recv.finish().code(0);
    let mut names = left;
    names.extend(["a".into(), "x".into()]);
    assert_eq!(Place::names(&inbox), names);
}

/// The test is the sender, which gives a block up after its first half.
#[test]
fn a_block_that_breaks_off() {
    let place = Place::new();
    let inbox = place.directory("in");
    let recv = place.start("recv", &["-o", "in"]);
    let sender = Hostile::connect(&place);
    sender.begin(b"x");
    let mut block = sender.0.send_stream().unwrap();
    block.write_all(&vec![3; MIB / 2]).unwrap();
    block.abort(1, "no more");
    recv.finish()
        .code(5)
        .says("no more; the sender left before everything had arrived");
    assert!(Place::names(&inbox).is_empty());
}

#[cfg(unix)]
mod unix {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn interrupt(running: &Running) {
        let pid = running.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status();
        assert!(kill.unwrap().success());
    }

    /// Whichever is interrupted, the other has lost its peer, and nothing else has happened.
    #[test]
    fn an_interrupt_in_the_middle_of_a_block() {
        let place = Place::new();
        let big = fs::File::create(place.path("big")).unwrap();
        big.set_len(1 << 40).unwrap();
        for round in 0..30 {
            let ring = ["4K", "64K", "1M"][round % 3];
            for interrupt_sender in [true, false] {
                let inbox = place.directory(&format!("in {round} {interrupt_sender}"));
                let directory = inbox.to_str().unwrap();
                let args = ["-o", directory, "--ring-capacity", ring];
                let recv = place.start("recv", &args);
                let send = place.start("send", &["big"]);
                recv.says("connected to");
                until("the file is begun", || !Place::names(&inbox).is_empty());
                std::thread::sleep(Duration::from_millis(round as u64));
                let (dies, stays) = match interrupt_sender {
                    true => (send, recv),
                    false => (recv, send),
                };
                interrupt(&dies);
                assert_eq!(dies.finish().code, None, "it dies by the signal");
                stays.finish().code(5);
                assert!(Place::names(&inbox).is_empty());
            }
        }
    }

    fn fifo(place: &Place, name: &str) {
        let made = Command::new("mkfifo").arg(place.path(name)).status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn a_pipe_arrives() {
        let place = Place::new();
        let inbox = place.directory("in");
        fifo(&place, "pipe");
        let recv = place.start("recv", &["-o", "in"]);
        let send = place.start("send", &["pipe"]);
        let contents = noise(3 * MIB + 1, 5);
        fs::write(place.path("pipe"), &contents).unwrap();
        send.finish().code(0);
        recv.finish().code(0);
        assert!(fs::read(inbox.join("pipe")).unwrap() == contents);
    }

    #[test]
    fn nothing_is_taken_from_a_pipe_that_is_refused() {
        let place = Place::new();
        let inbox = place.directory("in");
        fifo(&place, "pipe");
        fs::write(inbox.join("pipe"), "old").unwrap();
        let mut writer =
            Running::start(place.prepared(Command::new("sh"), ["-c", "echo new > pipe"]));
        let recv = place.start("recv", &["-o", "in"]);
        place.start("send", &["pipe"]).finish().code(6);
        recv.finish().code(6);
        assert!(writer.is_running());
        let recv = place.start("recv", &["-o", "in", "--force"]);
        place.start("send", &["pipe"]).finish().code(0);
        recv.finish().code(0);
        writer.finish().code(0);
        assert_eq!(fs::read(inbox.join("pipe")).unwrap(), b"new\n");
    }

    #[test]
    fn a_silent_pipe_does_not_hold_a_sender_whose_receiver_is_dead() {
        for has_writer in [false, true] {
            let place = Place::new();
            let inbox = place.directory("in");
            fifo(&place, "pipe");
            let recv = place.start("recv", &["-o", "in"]);
            let send = place.start("send", &["pipe"]);
            let pipe = place.path("pipe");
            // Opening it waits for the sender to open it.
            let writer = has_writer.then(|| fs::OpenOptions::new().write(true).open(pipe).unwrap());
            recv.says("connected to");
            until("the file is begun", || !Place::names(&inbox).is_empty());
            recv.killed();
            send.wait_for(Duration::from_secs(30))
                .code(5)
                .says("the receiver left");
            drop(writer);
        }
    }
}
