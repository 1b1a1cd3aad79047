//! A process with a connected link forks: in the child the link is dead, in the parent it is as if
//! nothing had happened.
#![cfg(unix)]

mod common;

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{LIMIT, Parent, Place, Side, Watchdog, connected, peers};
use rustix::process::{Pid, WaitOptions, waitpid};
use twinring::{Error, ErrorKind, Link, Status};

#[cfg(target_os = "linux")]
peers!(echo, forker, with_guards, bereaved, calling, cloner, nested);
#[cfg(not(target_os = "linux"))]
peers!(echo, forker, with_guards, bereaved, calling, nested);

/// Sends back what comes, until the peer closes.
fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let e = loop {
        match link.recv() {
            Ok(message) => link.send(&message).unwrap(),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.kind()));
}

/// Runs `child` in a forked child of this process, and returns its exit code.
///
/// The child does nothing that needs a lock which another thread may have held: it allocates and
/// uses the library, as programs do that fork.
fn in_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `child` and ends, without going back to the test harness.
    match unsafe { libc::fork() } {
        0 => {
            let code = child();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
        pid => {
            let pid = Pid::from_raw(pid).expect("a child");
            let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
            status.exit_status().unwrap_or(-1)
        }
    }
}

/// 0 if every call says `Forked`, or the number of the first that does not.
fn all_refused(link: Link) -> i32 {
    let is = |e: Option<Error>| e.is_some_and(|e| e.kind() == ErrorKind::Forked);
    let short = Duration::from_millis(10);
    let checks = [
        is(link.send(b"x").err()),
        is(link.send_timeout(&[0; 3_000_000], short).err()),
        is(link.try_send(b"x").err()),
        is(link.recv().err()),
        is(link.recv_timeout(short).err()),
        is(link.try_recv().err()),
        is(link.wait_connected(short).err()),
        link.status() == Status::Closed,
        link.peer().is_none(),
        is(link.messages().next().and_then(Result::err)),
        is(link.send_vectored(&[IoSlice::new(b"x")]).err()),
        is(link.send_batch(&["x"]).err()),
        is(link.send_batch::<&str>(&[]).err()),
        is(link.reserve(1).err()),
        is(link.reserve_timeout(1, short).err()),
        is(link.try_reserve(1).err()),
        is(link.send_stream().err()),
        is(link.send_from(&mut &b"x"[..]).err()),
        is(link.recv_batch(|_| {}).err()),
        is(link.recv_in_place().err()),
        is(link.recv_in_place_timeout(short).err()),
        is(link.try_recv_in_place().err()),
        is(link.recv_stream().err()),
        is(link.recv_stream_timeout(short).err()),
    ];
    link.close();
    drop(link);
    first_wrong(&checks)
}

fn first_wrong(checks: &[bool]) -> i32 {
    let failed = checks.iter().position(|ok| !ok);
    failed.map_or(0, |failed| failed as i32 + 1)
}

fn is_forked<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|e| {
        e.downcast::<Error>()
            .is_ok_and(|e| e.kind() == ErrorKind::Forked)
    })
}

/// Whether this panics, as the calls do that have no error to give.
fn panics(f: impl FnOnce()) -> bool {
    // Not the usual hook: it takes locks that a thread of the parent's may have held.
    std::panic::set_hook(Box::new(|_| {}));
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Forks while it holds guards of the link: while the connection lives, and after that.
fn with_guards(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    for message in [&b"in place"[..], b"in place again", &[7; 100_000]] {
        link.send(message).unwrap();
    }
    // What the child takes out of these is still there in the parent.
    let mut view = Some(link.recv_in_place().unwrap());
    let mut stream = Some(link.send_stream().unwrap());
    let mut reservation = Some(link.reserve(100).unwrap());
    reservation.as_mut().unwrap().put(b"before").unwrap();
    let mut refused = || {
        in_child(|| {
            let view = view.take().unwrap();
            let mut reservation = reservation.take().unwrap();
            let mut stream = stream.take().unwrap();
            let checks = [
                view.len() == 8,
                view.get::<9>(0).is_none(),
                panics(|| assert!(view.get::<8>(0).is_none())),
                panics(|| view.copy_to(0, &mut [0])),
                panics(|| drop(view.to_vec())),
                panics(|| drop(view.reader().read(&mut [0]))),
                reservation
                    .put(b"x")
                    .is_err_and(|e| e.kind() == ErrorKind::Forked),
                is_forked(reservation.write(b"x")),
                panics(|| {
                    // SAFETY: it panics.
                    let _ = unsafe { reservation.spare_trusting_peer() };
                }),
                reservation
                    .commit()
                    .is_err_and(|e| e.kind() == ErrorKind::Forked),
                is_forked(stream.write(b"x")),
                is_forked(stream.write(&[0; 100_000])),
                stream
                    .finish()
                    .is_err_and(|e| e.kind() == ErrorKind::Forked),
            ];
            drop(view);
            first_wrong(&checks)
        })
    };
    assert_eq!(
        refused(),
        0,
        "the child's use of this number was not refused"
    );
    let mut message = reservation.take().unwrap();
    message.put(b" and after").unwrap();
    message.commit().unwrap();
    let mut message = stream.take().unwrap();
    message.write_all(b"a stream").unwrap();
    message.finish().unwrap();
    assert_eq!(view.take().unwrap().to_vec(), b"in place");
    assert_eq!(link.recv().unwrap(), b"in place again");

    let mut stream = Some(link.recv_stream().unwrap());
    stream.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    let code = in_child(|| {
        let mut stream = stream.take().unwrap();
        let checks = [
            is_forked(stream.read(&mut [0])),
            stream
                .next_chunk()
                .is_err_and(|e| e.kind() == ErrorKind::Forked),
            stream.overtaking().is_none(),
        ];
        drop(stream);
        first_wrong(&checks)
    });
    assert_eq!(code, 0, "the child's use of this number was not refused");
    let mut rest = Vec::new();
    stream.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [7; 99_900]);
    assert_eq!(link.recv().unwrap(), b"before and after");
    assert_eq!(link.recv().unwrap(), b"a stream");

    // A child that drops the last of a connection that is over unmaps nothing: it has other things
    // there.
    let mut stream = Some(link.send_stream().unwrap());
    let mut reservation = Some(link.reserve(100).unwrap());
    parent.say("kill it");
    assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
    let code = in_child(|| {
        // As much as any segment takes, and wherever one was.
        let memory: Vec<_> = (0..64).map(|_| vec![1u8; 1 << 20]).collect();
        drop(reservation.take());
        drop(stream.take());
        i32::from(memory.iter().flatten().any(|byte| *byte != 1))
    });
    assert_eq!(code, 0);
    drop(reservation);
    drop(stream);
    parent.say("done");
}

#[test]
fn a_forked_child_cannot_touch_what_is_held() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut peer = place.start("echo", side.opposite());
        let mut forker = place.start("with_guards", side);
        forker.expect("kill it");
        peer.kill_unreaped();
        forker.expect("done");
        forker.finish();
    }
}

/// Forks in the role of a test, whose own process has too many threads to fork in peace.
fn forker(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    for round in 0..20u32 {
        let handle = link.clone();
        let (sender, receiver) = link.clone().split();
        let code = in_child(move || {
            let code = all_refused(handle);
            drop((sender, receiver));
            code
        });
        assert_eq!(code, 0, "the child's call of this number did not refuse");
        link.send(&round.to_le_bytes()).unwrap();
        assert_eq!(link.recv().unwrap(), round.to_le_bytes());
        assert_eq!(link.generation(), 1, "the peer noticed nothing");
    }
    // A child may have links of its own.
    let place = parent.place.name().to_owned();
    let directory = parent.place.directory().to_owned();
    let code = in_child(|| {
        let name = format!("{place} of a child");
        let host = Link::host(&name).directory(&directory).open().unwrap();
        let guest = Link::guest(&name).directory(&directory).open().unwrap();
        connected(&guest);
        host.wait_connected(LIMIT).unwrap();
        guest.send(b"in the child").unwrap();
        i32::from(host.recv().unwrap() != b"in the child")
    });
    assert_eq!(code, 0);
    // The claim, if this is the host, is still the parent's.
    if parent.side == Side::Host {
        let e = parent.builder().open().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NameInUse);
    }
    link.send(b"still here").unwrap();
    assert_eq!(link.recv().unwrap(), b"still here");
    link.close();
    parent.say("done");
}

#[test]
fn a_forked_child_cannot_touch_the_link() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut peer = place.start("echo", side.opposite());
        let mut forker = place.start("forker", side);
        forker.expect("done");
        peer.expect("Closed");
        forker.finish();
        peer.finish();
    }
}

/// Forks as no C library does: none of its handlers is called in the child.
#[cfg(target_os = "linux")]
fn in_raw_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: a child with a copy of the memory, which runs `child` and ends.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        0 => {
            let code = child();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
        pid => {
            let pid = Pid::from_raw(pid as i32).expect("a child");
            let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
            status.exit_status().unwrap_or(-1)
        }
    }
}

/// As `forker`, with a child that the C library does not know of.
#[cfg(target_os = "linux")]
fn cloner(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    for round in 0..20u32 {
        let handle = link.clone();
        let code = in_raw_child(move || all_refused(handle));
        assert_eq!(code, 0, "the child's call of this number did not refuse");
        link.send(&round.to_le_bytes()).unwrap();
        assert_eq!(link.recv().unwrap(), round.to_le_bytes());
        assert_eq!(link.generation(), 1, "the peer noticed nothing");
    }
    // A child that opens a link lets go of the name at the latest then, and has a driver of its own.
    let place = Place::at(
        &format!("{} of a child", parent.place.name()),
        parent.place.directory(),
    );
    let code = in_raw_child(|| {
        drop(link.clone());
        let host = place.host().open().unwrap();
        let guest = place.guest().open().unwrap();
        connected(&guest);
        guest.send(b"in the child").unwrap();
        i32::from(host.recv().unwrap() != b"in the child")
    });
    assert_eq!(code, 0);
    link.send(b"still here").unwrap();
    assert_eq!(link.recv().unwrap(), b"still here");
    link.close();
    parent.say("done");
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_that_the_c_library_does_not_know() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut peer = place.start("echo", side.opposite());
        let mut cloner = place.start("cloner", side);
        cloner.expect("done");
        peer.expect("Closed");
        cloner.finish();
        peer.finish();
    }
}

/// Forks a child, which forks a child, and so on; each has its own link with the peer, the last at the end.
fn nested(parent: &'static Parent) {
    fn generation(parent: &'static Parent, left: u32) -> i32 {
        let link = parent.builder().open().unwrap();
        connected(&link);
        link.send(&left.to_le_bytes()).unwrap();
        if link.recv().unwrap() != left.to_le_bytes() {
            return 1;
        }
        drop(link);
        if left == 0 {
            return 0;
        }
        in_child(|| generation(parent, left - 1))
    }
    assert_eq!(generation(parent, 70), 0);
    parent.say("done");
}

#[test]
fn however_deep_the_forks_links_form() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side.opposite()).open().unwrap();
        let mut child = place.start("nested", side);
        for left in (0..=70u32).rev() {
            connected(&link);
            let number = loop {
                match link.recv() {
                    Ok(bytes) => break bytes,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Closed),
                }
            };
            assert_eq!(number, left.to_le_bytes());
            link.send(&number).unwrap();
        }
        child.expect("done");
        child.finish();
    }
}

/// Forks a child that outlives it.
fn bereaved(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    let (from_child, to_us) = rustix::pipe::pipe().unwrap();
    let mut from_child = std::fs::File::from(from_child);
    // SAFETY: the child only writes a byte, and sleeps until the test lets go of the pipe that it has
    // from us.
    if unsafe { libc::fork() } == 0 {
        let mut byte = 0u8;
        // Not by `std`, whose lock a thread of the parent's held.
        // SAFETY: room for the one byte; and the child ends at once after that.
        unsafe {
            libc::write(to_us.as_raw_fd(), (&raw const byte).cast(), 1);
            while libc::read(0, (&raw mut byte).cast(), 1) > 0 {}
            libc::_exit(0)
        }
    }
    // What it lets go of it lets go of on its way out of `fork`, which on a busy machine may be after
    // our own.
    from_child.read_exact(&mut [0]).unwrap();
    parent.say("forked");
    parent.wait_for_the_end();
}

/// A forked child that lives on holds nothing: the peer learns that its parent has died, and the
/// name is free.
#[test]
fn a_child_that_lives_on_holds_nothing() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side.opposite()).open().unwrap();
        let mut child = place.start("bereaved", side);
        child.expect("forked");
        child.kill_unreaped();
        assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::PeerGone);
        let next = place.builder(side).open().unwrap();
        connected(&next);
        next.send(b"next").unwrap();
        assert_eq!(link.recv().unwrap(), b"next");
    }
}

/// Forks in its callback; the child returns from it, and its thread with it.
fn calling(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_message(move |link, message| {
            // SAFETY: the child does nothing but to return from here.
            match unsafe { libc::fork() } {
                0 => {}
                pid => {
                    let pid = Pid::from_raw(pid).expect("a child");
                    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
                    let answer = format!("{:?}", status.exit_status());
                    link.send(if message == b"fork" {
                        answer.as_bytes()
                    } else {
                        message
                    })
                    .unwrap();
                }
            }
        })
        .open()
        .unwrap();
    parent.expect("end");
    link.close();
}

#[test]
fn a_callback_forks() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = place.host().open().unwrap();
    let mut child = place.start("calling", Side::Guest);
    connected(&link);
    for _ in 0..3 {
        link.send(b"fork").unwrap();
        assert_eq!(link.recv().unwrap(), b"Some(0)");
    }
    child.say("end");
    child.finish();
}
