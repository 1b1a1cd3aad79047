//! What a guest can do to the sockets that are the doorbells: never read them, take its own rings, change
//! the flags of its ends, fill them, close half. It only harms itself.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use crate::common::{LIMIT, Place, Side, Watchdog, until};
use crate::intruder::{DATA_WAIT, HEAD, Intruder, OURS, SPACE_WAIT, TAIL, THEIRS, frame};
use crate::victim::Victim;
use crate::wire::LONG;

/// Reads so many bytes of what the victim sends, and asks it to ring each time it sends or reads.
fn read(intruder: &Intruder, bytes: u64, mut between: impl FnMut()) {
    let start = Instant::now();
    let end = intruder.theirs(TAIL).load(Relaxed) + bytes;
    let mut written = 0;
    while intruder.theirs(HEAD).load(Relaxed) < end {
        intruder.u32_at(THEIRS + DATA_WAIT).store(1, Relaxed);
        intruder.u32_at(OURS + SPACE_WAIT).store(1, Relaxed);
        let tail = intruder.theirs(TAIL).load(Relaxed);
        intruder.theirs(HEAD).store(tail, Relaxed);
        // A message of ours, once the last one has been read.
        if intruder.ours(HEAD).load(Relaxed) == written {
            let at = (written % crate::victim::CAPACITY) as usize;
            written += 16;
            intruder.frames(&[(at, frame(8, 1, 3))], written);
        }
        between();
        intruder.ring();
        assert!(start.elapsed() < LIMIT, "the victim sends no more");
    }
}

/// Doorbells that the peer never reads do not keep the victim from its work, whatever flags the peer sets on
/// its ends.
#[test]
fn doorbells_that_are_never_read() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for blocking in [false, true] {
        let intruder = Intruder::enter(&place);
        for socket in [intruder.connection.0.as_fd(), intruder.space.as_fd()] {
            sockopt::set_socket_recv_buffer_size(socket, 0).unwrap();
            sockopt::set_socket_send_buffer_size(socket, 0).unwrap();
            ioctl_fionbio(socket, !blocking).unwrap();
        }
        read(&intruder, 1 << 20, || {});
        drop(intruder);
        victim.says("disconnected ");
        victim.serves(&place, Side::Guest);
    }
}

/// The flags go on changing while the victim rings.
#[test]
fn flags_that_change() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let intruder = Intruder::enter(&place);
    let mut blocking = false;
    read(&intruder, 1 << 20, || {
        for socket in [intruder.connection.0.as_fd(), intruder.space.as_fd()] {
            ioctl_fionbio(socket, blocking).unwrap();
        }
        blocking = !blocking;
    });
    drop(intruder);
    victim.says("disconnected ");
    victim.serves(&place, Side::Guest);
}

/// A guest that takes its own rings only misses them; and a doorbell whose socket is full still works.
#[test]
fn doorbells_that_are_taken_and_filled() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    let intruder = Intruder::enter(&place);
    let sockets = [intruder.connection.0.as_fd(), intruder.space.as_fd()];
    read(&intruder, 1 << 20, || {
        for socket in sockets {
            let mut bytes = [0u8; 4096];
            let _ = recv(socket, &mut bytes, RecvFlags::DONTWAIT);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            while send(socket, &[0xa5; 4096], flags).is_ok() {}
        }
    });
    drop(intruder);
    victim.says("disconnected ");
    victim.serves(&place, Side::Guest);
}

/// Half of a socket closed: the link ends, or goes on as far as it can; the next guest is served.
#[test]
fn half_closed() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut victim = Victim::start(&place, Side::Host, LONG);
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        for which in ["connection", "space"] {
            println!("{which} {how:?}");
            let intruder = Intruder::enter(&place);
            victim.says("connected ");
            // Asleep beside a full ring, it is told as well.
            until("it waits for room", || {
                intruder.u32_at(THEIRS + SPACE_WAIT).load(Relaxed) == 1
            });
            match which {
                "connection" => shutdown(&intruder.connection.0, how).unwrap(),
                _ => shutdown(&intruder.space, how).unwrap(),
            }
            if which == "connection" && how != Shutdown::Read {
                // The intruder is still there, but it has hung up.
                let told = victim.says("disconnected ");
                assert!(told.ends_with("Crashed"), "{told}");
                drop(intruder);
            } else {
                // It still reads what comes.
                intruder.frames(&[(0, frame(8, 1, 3))], 16);
                until("it reads", || intruder.ours(HEAD).load(Relaxed) == 16);
                std::thread::sleep(Duration::from_millis(2));
                drop(intruder);
                victim.says("disconnected ");
            }
            victim.serves(&place, Side::Guest);
        }
    }
}
