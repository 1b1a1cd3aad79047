//! A process with a connected link forks: in the child the link is dead, in the parent it is as if
//! nothing had happened.
#![cfg(unix)]

mod common;

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use common::{Parent, Place, Side, Watchdog, connected, peers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};
use twinring::{Connection, Doorbell, End, Error, ErrorKind, Interest, Link, Status, Timeout};

#[cfg(target_os = "linux")]
peers!(echo, forker, with_guards, bereaved, calling, cloner, nested);
#[cfg(not(target_os = "linux"))]
peers!(echo, forker, with_guards, bereaved, calling, nested);

/// Sends back what comes, and says how the connection ends.
fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let e = loop {
        match conn.recv() {
            Ok(message) => conn.send(&message.unwrap()).unwrap(),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.end()));
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
fn all_refused(link: Link, conn: Connection) -> i32 {
    let is = |e: Option<Error>| e.is_some_and(|e| e.kind() == ErrorKind::Forked);
    let at_once = conn.within(Timeout::Now);
    let checks = [
        is(link.next().err()),
        is(link.within(Timeout::Now).next().err()),
        link.connections().next().is_none(),
        is(link.send(b"x").err()),
        matches!(link.status(), Status::Closed),
        is(conn.send(b"x").err()),
        is(conn.send(&[0; 3_000_000]).err()),
        is(at_once.send(b"x").err()),
        is(conn.recv().err()),
        is(at_once.recv().err()),
        is(conn.recv_into(&mut Vec::new()).err()),
        is(conn.send_vectored(&[IoSlice::new(b"x")]).err()),
        is(conn.send_batch(&["x"]).err()),
        is(conn.send_batch::<&str>(&[]).err()),
        is(conn.reserve(1).err()),
        is(at_once.reserve(1).err()),
        is(conn.send_stream().err()),
        is(conn.recv_batch().err()),
        is(conn.recv_in_place().err()),
        is(at_once.recv_in_place().err()),
        is(conn.recv_stream().err()),
        is(at_once.recv_stream().err()),
        is(conn.finish().err()),
        is(conn.flush().err()),
        is(conn.taken().err()),
        is(conn.take_unread().err()),
        is(conn.set_checkpoint(b"x").err()),
        conn.peer_checkpoint().is_none(),
        conn.end().is_none(),
    ];
    conn.stop(1, "child");
    conn.close(1, "child");
    link.close(1, "child");
    drop((conn, at_once, link));
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

fn rings(doorbell: &Option<Doorbell>, seconds: i64) -> bool {
    let doorbell = doorbell.as_ref().unwrap();
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(doorbell, PollFlags::IN)], Some(&time)).unwrap() > 0
}

/// Forks while it holds parts of the connection: while that lives, and after its end.
fn with_guards(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let recv = || conn.recv().unwrap().unwrap();
    for message in [
        &b"in place"[..],
        b"in place again",
        b"a batch",
        &[7; 100_000],
    ] {
        conn.send(message).unwrap();
    }
    // What the child takes out of these is still there in the parent.
    let mut view = conn.recv_in_place().unwrap();
    assert_eq!(recv(), b"in place again");
    let mut batch = conn.recv_batch().unwrap();
    let mut stream = Some(conn.send_stream().unwrap());
    let mut reservation = Some(conn.reserve(100).unwrap());
    reservation.as_mut().unwrap().put(b"before").unwrap();
    let mut refused = || {
        in_child(|| {
            let view = view.take().unwrap();
            let mut batch = batch.take().unwrap();
            let mut reservation = reservation.take().unwrap();
            let mut stream = stream.take().unwrap();
            let checks = [
                view.len() == 8,
                panics(|| drop(view.to_vec())),
                panics(|| view.copy_to(0, &mut [0])),
                batch.next_message() == Some(b"a batch"),
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
            batch.take();
            drop((view, batch));
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
    assert_eq!(
        batch.as_mut().unwrap().next_message(),
        Some(&b"a batch"[..])
    );
    // Not taken: it comes again.
    drop(batch);
    assert_eq!(recv(), b"a batch");

    let mut stream = conn.recv_stream().unwrap();
    stream.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    let code = in_child(|| {
        let mut stream = stream.take().unwrap();
        let checks = [
            is_forked(stream.read(&mut [0])),
            stream
                .next_chunk()
                .is_err_and(|e| e.kind() == ErrorKind::Forked),
        ];
        drop(stream);
        first_wrong(&checks)
    });
    assert_eq!(code, 0, "the child's use of this number was not refused");
    let mut rest = Vec::new();
    stream.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [7; 99_900]);
    assert_eq!(recv(), b"before and after");
    assert_eq!(recv(), b"a stream");

    // The child does not take the ring that the parent's loop is to hear.
    let mut doorbell = Some(conn.doorbell(Interest::Recv));
    let mut task = Context::from_waker(Waker::noop());
    let asks = doorbell.as_ref().unwrap();
    assert!(asks.poll_ready(Interest::Recv, &mut task).is_pending());
    conn.send(b"ring").unwrap();
    assert!(rings(&doorbell, 60));
    let code = in_child(|| {
        conn.doorbell(Interest::Recv).heard();
        let doorbell = doorbell.take().unwrap();
        doorbell.heard();
        drop(doorbell);
        0
    });
    assert_eq!(code, 0);
    assert!(rings(&doorbell, 0));
    drop(doorbell);
    assert_eq!(recv(), b"ring");

    // A child that drops the last of a connection that is over unmaps nothing: it has other things
    // there.
    let mut stream = Some(conn.send_stream().unwrap());
    let mut reservation = Some(conn.reserve(100).unwrap());
    parent.say("kill it");
    assert_eq!(conn.recv().unwrap_err().end(), Some(&End::Crashed));
    let mut conn = Some(conn);
    let code = in_child(|| {
        // As much as any segment takes, and wherever one was.
        let memory: Vec<_> = (0..64).map(|_| vec![1u8; 1 << 20]).collect();
        drop(reservation.take());
        drop(stream.take());
        drop(conn.take());
        i32::from(memory.iter().flatten().any(|byte| *byte != 1))
    });
    assert_eq!(code, 0);
    drop((reservation, stream, conn));
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
    let conn = connected(&link);
    let echoed = |message: &[u8]| {
        conn.send(message).unwrap();
        assert_eq!(conn.recv().unwrap().as_deref(), Some(message));
    };
    for round in 0..20u32 {
        let handles = (link.clone(), conn.clone());
        let code = in_child(move || {
            let (link, conn) = handles;
            all_refused(link, conn)
        });
        assert_eq!(code, 0, "the child's call of this number did not refuse");
        echoed(&round.to_le_bytes());
    }
    // A child may have links of its own.
    let place = parent.place.name().to_owned();
    let directory = parent.place.directory().to_owned();
    let code = in_child(|| {
        let name = format!("{place} of a child");
        let host = Link::host(&name).directory(&directory).open().unwrap();
        let guest = Link::guest(&name).directory(&directory).open().unwrap();
        let (to_host, to_guest) = (connected(&guest), connected(&host));
        to_host.send(b"in the child").unwrap();
        i32::from(to_guest.recv().unwrap().as_deref() != Some(b"in the child"))
    });
    assert_eq!(code, 0);
    // The claim, if this is the host, is still the parent's.
    if parent.side == Side::Host {
        let e = parent.builder().open().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NameInUse);
    }
    echoed(b"still here");

    // Nor does a child end either direction that drops the halves of a connection.
    let (sender, receiver) = conn.split();
    let mut halves = Some((sender, receiver));
    let code = in_child(|| {
        let (sender, receiver) = halves.take().unwrap();
        let is = |e: Option<Error>| e.is_some_and(|e| e.kind() == ErrorKind::Forked);
        let checks = [is(sender.send(b"x").err()), is(receiver.recv().err())];
        drop(sender);
        drop(receiver);
        first_wrong(&checks)
    });
    assert_eq!(code, 0);
    let (sender, receiver) = halves.unwrap();
    sender.send(b"halves").unwrap();
    assert_eq!(receiver.recv().unwrap().unwrap(), b"halves");
    link.close(7, "parent");
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
        peer.expect(r#"Some(Closed { by: Peer, code: 7, reason: "parent" })"#);
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
    let conn = connected(&link);
    let id = conn.id();
    for round in 0..20u32 {
        let (handle, there) = (link.clone(), conn.clone());
        let code = in_raw_child(move || all_refused(handle, there));
        assert_eq!(code, 0, "the child's call of this number did not refuse");
        conn.send(&round.to_le_bytes()).unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), round.to_le_bytes());
        assert_eq!(
            (conn.id(), conn.end()),
            (id, None),
            "the peer noticed nothing"
        );
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
        connected(&guest).send(b"in the child").unwrap();
        i32::from(connected(&host).recv().unwrap().unwrap() != b"in the child")
    });
    assert_eq!(code, 0);
    conn.send(b"still here").unwrap();
    assert_eq!(conn.recv().unwrap().unwrap(), b"still here");
    link.close(0, "");
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
        peer.expect(r#"Some(Closed { by: Peer, code: 0, reason: "" })"#);
        cloner.finish();
        peer.finish();
    }
}

/// Forks a child, which forks a child, and so on; each has its own link with the peer, the last at the end.
fn nested(parent: &'static Parent) {
    fn generation(parent: &'static Parent, left: u32) -> i32 {
        let link = parent.builder().open().unwrap();
        let conn = connected(&link);
        conn.send(&left.to_le_bytes()).unwrap();
        if conn.recv().unwrap().unwrap() != left.to_le_bytes() {
            return 1;
        }
        // The link first: it is not to connect again.
        drop((link, conn));
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
            let conn = connected(&link);
            let number = conn.recv().unwrap().unwrap();
            assert_eq!(number, left.to_le_bytes());
            conn.send(&number).unwrap();
            // Until the other side has let go of its link.
            conn.recv().unwrap_err();
        }
        child.expect("done");
        child.finish();
    }
}

/// Forks a child that outlives it.
fn bereaved(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let _conn = connected(&link);
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
        let e = connected(&link).recv().unwrap_err();
        assert_eq!(e.end(), Some(&End::Crashed), "{e}");
        let next = place.builder(side).open().unwrap();
        let conn = connected(&next);
        conn.send(b"next").unwrap();
        assert_eq!(connected(&link).recv().unwrap().unwrap(), b"next");
    }
}

/// Forks in its callback; the child returns from it, and its thread with it.
fn calling(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_message(move |conn, message| {
            // SAFETY: the child does nothing but to return from here.
            match unsafe { libc::fork() } {
                0 => {}
                pid => {
                    let pid = Pid::from_raw(pid).expect("a child");
                    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
                    let answer = format!("{:?}", status.exit_status());
                    conn.send(if message == b"fork" {
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
    link.close(0, "");
}

#[test]
fn a_callback_forks() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let link = place.host().open().unwrap();
    let mut child = place.start("calling", Side::Guest);
    let conn = connected(&link);
    for _ in 0..3 {
        conn.send(b"fork").unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), b"Some(0)");
    }
    child.say("end");
    child.finish();
}
