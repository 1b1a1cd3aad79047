//! Host and guest as two threads, and where it matters as two processes.

use std::io::{self, BufRead, BufReader};
use std::os::windows::io::AsRawHandle;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::GetHandleInformation;

use super::offer::{area, will_take};
use super::*;
use crate::os::event::{Bells, wait};
use crate::os::memory::{Memory, Pages};

#[path = "access_tests.rs"]
mod access;

const LEN: usize = 65536;

fn key() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A guest's place, which can do all that a host's can, too.
fn place(key: &str) -> Place {
    place_for(key, process::Access::SameUser)
}

fn place_for(key: &str, access: process::Access) -> Place {
    let options = PlaceOptions {
        is_guest: true,
        access,
        ..PlaceOptions::default()
    };
    Place::new(key, &options).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn quiet() -> Alarm {
    Alarm::new().unwrap()
}

fn packet(byte: u8) -> Packet {
    let mut packet = [0; PACKET];
    packet[..HANDOVER.start].fill(byte);
    packet
}

fn answer(listener: &Listener) -> Channel {
    loop {
        assert_eq!(wait(&[listener.source()], soon()).unwrap(), Some(0));
        if let Some(channel) = listener.accept().unwrap() {
            return channel;
        }
    }
}

struct Host {
    listener: Listener,
    _claim: Claim,
}

fn host(place: &Place) -> Host {
    let claim = place.claim("test").unwrap().expect("the name is free");
    Host {
        listener: claim.listen().unwrap(),
        _claim: claim,
    }
}

fn connected(place: &Place, host: &Host) -> (Channel, Channel) {
    let guest = place.connect().unwrap().expect("a host listens");
    (answer(&host.listener), guest)
}

/// The host's half of a handshake.
fn be_host(channel: Channel, len: usize) -> io::Result<(Memory, Bells)> {
    let (offer, memory) = send_all(&channel, len)?;
    Ok((memory, offer.accepted(channel)?))
}

/// All that a host sends and receives.
fn send_all(channel: &Channel, len: usize) -> io::Result<(Offer, Memory)> {
    let stop = quiet();
    let (process, _) = channel.identify()?;
    channel.receive(soon(), &stop)?.handover.none_expected()?;
    let (memory, section) = Memory::create(len, Pages::Reserved)?;
    let offer = Offer::make(Blank::new()?, channel, &process, section)?;
    channel.send(&packet(2), Some(&offer), soon(), &stop)?;
    channel.receive(soon(), &stop)?.handover.none_expected()?;
    channel.send(&packet(4), None, soon(), &stop)?;
    Ok((offer, memory))
}

/// What the guest's half has in the end.
type Guest = (Memory, Bells, Process);

/// The guest's half; `open`: whether it may open the host's process, and take the handles itself.
fn be_guest(channel: Channel, len: usize, open: bool) -> io::Result<Guest> {
    let stop = quiet();
    let mut process = if open {
        channel.identify()?.0
    } else {
        Process::server_of(channel.pipe.as_handle())?
            .0
            .closed_to_us()
    };
    assert_eq!(process.is_watched(), open);
    channel.send(&packet(1), None, soon(), &stop)?;
    let offered = channel.receive(soon(), &stop)?;
    let (memory, taken) = offered
        .handover
        .open(&channel, &mut process, len, Pages::Reserved)?;
    channel.send(&packet(3), None, soon(), &stop)?;
    channel.receive(soon(), &stop)?.handover.none_expected()?;
    assert!(process.is_watched() && !process.has_ended());
    Ok((memory, taken.accepted(channel)?, process))
}

fn check_link(a: &(Memory, Bells), b: &(Memory, Bells)) {
    // SAFETY: both views have LEN bytes, and nobody else uses them now.
    unsafe {
        a.0.base().add(LEN - 1).write(42);
        assert_eq!(b.0.base().add(LEN - 1).read(), 42);
    }
    for (a, b) in [(&a.1, &b.1), (&b.1, &a.1)] {
        let heard = || wait(&[b.data(), b.space(), b.hung_up()], Deadline::Now).unwrap();
        assert_eq!(heard(), None);
        a.ring_space();
        a.ring_data();
        assert_eq!(heard(), Some(0));
        assert_eq!(heard(), Some(1));
        a.hang_up();
        assert_eq!(heard(), Some(2));
        assert_eq!(heard(), None);
    }
}

fn shake_hands(place: &Place, host: &Host, identify: bool) {
    let (ours, theirs) = connected(place, host);
    thread::scope(|scope| {
        let guest = scope.spawn(|| be_guest(theirs, LEN, identify).unwrap());
        let host = be_host(ours, LEN).unwrap();
        let (memory, bells, _process) = guest.join().unwrap();
        check_link(&host, &(memory, bells));
    });
}

#[test]
fn a_name_has_one_owner_at_a_time() {
    let place = place(&key());
    let first = place.claim("first").unwrap().expect("the name is free");
    assert!(place.claim("second").unwrap().is_none());
    // On another thread than the one that made it.
    thread::spawn(move || drop(first)).join().unwrap();
    assert!(place.claim("third").unwrap().is_some());
}

#[test]
fn a_name_taken_by_somebody_else_is_an_error() {
    let place = place(&key());
    let foreign = Access::parse("D:P(A;;GA;;;S-1-5-21-1-2-3-1001)").unwrap();
    let _squatter = claim::open(&format!(r"Global\{}", place.name), &foreign).unwrap();
    let e = place.claim("test").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert!(e.to_string().contains("another user"), "{e}");
}

#[test]
fn what_is_made_here_belongs_to_this_user() {
    let place = place(&key());
    let host = host(&place);
    let guest = place.connect().unwrap().unwrap();
    assert_eq!(owner(guest.pipe.as_handle()).unwrap(), place.user);
    let notice = place.notice().unwrap();
    assert_eq!(owner(notice.event.as_handle()).unwrap(), place.user);
    drop(host);
}

#[test]
fn without_a_host_there_is_nobody_to_connect_to() {
    let place = place(&key());
    assert!(place.connect().unwrap().is_none());
    let before = host(&place);
    assert!(place.connect().unwrap().is_some());
    drop(before);
    assert!(place.connect().unwrap().is_none());
}

#[test]
fn a_guest_is_told_that_a_host_has_come() {
    let place = place(&key());
    let notice = place.notice().unwrap();
    assert_eq!(wait(&[notice.source()], Deadline::Now).unwrap(), None);
    let _host = host(&place);
    assert_eq!(wait(&[notice.source()], soon()).unwrap(), Some(0));
    notice.clear();
    assert_eq!(wait(&[notice.source()], Deadline::Now).unwrap(), None);
}

#[test]
fn each_knows_the_other_by_the_kernel() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    for channel in [&ours, &theirs] {
        let (process, peer) = channel.identify().unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.user, User::current().unwrap());
        assert!(peer.started.unwrap().elapsed().unwrap() < Duration::from_secs(3600));
        assert!(!process.has_ended());
    }
    drop(theirs);
    let e = ours.identify().unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::ConnectionReset, "{e}");
}

#[test]
fn guests_are_served_in_turn() {
    let place = place(&key());
    let host = host(&place);
    let stop = quiet();
    assert!(host.listener.accept().unwrap().is_none());
    for round in 0..3 {
        let (ours, theirs) = connected(&place, &host);
        assert!(host.listener.accept().unwrap().is_none());
        theirs.send(&packet(round), None, soon(), &stop).unwrap();
        let received = ours.receive(soon(), &stop).unwrap();
        assert_eq!(received.packet, packet(round));
        received.handover.none_expected().unwrap();
    }
    // One that has left before it was accepted is handed out all the same.
    drop(place.connect().unwrap().unwrap());
    let e = answer(&host.listener).receive(soon(), &stop).err().unwrap();
    assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "{e}");
}

#[test]
fn a_guest_may_be_faster_than_the_listener() {
    let place = place(&key());
    let access = place.for_guests().unwrap();
    for stays in [true, false] {
        let pipe = pipe::instance(&place.pipe_name(), &access, true).unwrap();
        let guest = pipe::open(&place.pipe_name()).unwrap().unwrap();
        let _guest = stays.then_some(guest);
        let called = Arc::new(new_event(true).unwrap());
        let call = pipe::Call::begin(pipe, &called).unwrap();
        assert!(matches!(call.state(), pipe::State::Called));
        let source = [Source::Handle(called.as_handle())];
        assert_eq!(wait(&source, Deadline::Now).unwrap(), Some(0));
    }
}

#[test]
fn listening_survives_the_thread_that_began_it() {
    let place = place(&key());
    let host = thread::scope(|scope| scope.spawn(|| host(&place)).join().unwrap());
    for _ in 0..2 {
        thread::scope(|scope| {
            let guest = scope.spawn(|| {
                let deadline = soon();
                loop {
                    if let Some(channel) = place.connect().unwrap() {
                        return channel;
                    }
                    assert!(!deadline.passed());
                    thread::sleep(Duration::from_millis(1));
                }
            });
            // The next wait for a guest is begun by a thread that ends, too.
            scope.spawn(|| answer(&host.listener)).join().unwrap();
            guest.join().unwrap();
        });
    }
}

#[test]
fn the_guest_takes_what_it_is_offered() {
    let place = place(&key());
    let host = host(&place);
    shake_hands(&place, &host, true);
}

#[test]
fn the_host_gives_to_a_guest_that_cannot_take() {
    let place = place(&key());
    let host = host(&place);
    shake_hands(&place, &host, false);
}

#[test]
fn a_receive_ends_at_its_deadline_or_when_it_is_stopped() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    let stop = quiet();
    let kind = |deadline| ours.receive(deadline, &stop).err().unwrap().kind();
    let deadline = Deadline::after(Duration::from_millis(20));
    assert_eq!(kind(deadline), io::ErrorKind::TimedOut);
    assert!(deadline.passed());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            stop.set();
        });
        assert_eq!(kind(Deadline::Never), io::ErrorKind::Interrupted);
    });
    // What is there is received even so; and the pipe is still good.
    theirs.send(&packet(9), None, soon(), &quiet()).unwrap();
    assert_eq!(
        ours.receive(Deadline::Now, &stop).unwrap().packet,
        packet(9)
    );
    drop(theirs);
    assert_eq!(kind(Deadline::Never), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_send_ends_at_its_deadline_when_nobody_reads() {
    let place = place(&key());
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let deadline = Deadline::after(Duration::from_millis(50));
    let e = loop {
        if let Err(e) = ours.send(&packet(1), None, deadline, &quiet()) {
            break e;
        }
    };
    assert_eq!(e.kind(), io::ErrorKind::TimedOut, "{e}");
}

#[test]
fn lies_about_handles_are_refused() {
    let place = place(&key());
    let host = host(&place);
    let mine = new_event(false).unwrap();
    let number = mine.as_raw_handle() as usize as u64;
    let of = |form: u32, values: &[u64]| {
        let mut bytes = area(form);
        for (bytes, value) in bytes[8..].chunks_exact_mut(8).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    };
    let theirs_to_watch = this_process_to_watch();
    // What a host offers, but with the rights of one who made it for himself.
    let (_memory, section) = Memory::create(LEN, Pages::Reserved).unwrap();
    let events: [_; 6] = std::array::from_fn(|_| new_event(false).unwrap());
    let numbers = [&section]
        .into_iter()
        .chain(&events)
        .chain([&theirs_to_watch]);
    let numbers: Vec<u64> = numbers.map(|h| h.as_raw_handle() as usize as u64).collect();
    let count = |n: u64| (0..8).map(|i| n + 4 * i).collect::<Vec<_>>();
    let seven = |n: u64| count(n)[..7].to_vec();
    let this_process = u64::MAX;
    let cases = [
        // Given: nothing, handles of ours, numbers of no handles, one too few.
        (false, of(3, &[0; 8])),
        (false, of(3, &[number; 8])),
        (false, of(3, &count(number))),
        (false, of(3, &numbers)),
        (false, of(3, &count(0x7fff_0000))),
        (false, of(3, &count(1))),
        (false, of(3, &count(1 << 40))),
        (false, of(3, &numbers[..7])),
        // To be taken: likewise, and one too many.
        (true, of(2, &[this_process; 7])),
        (true, of(2, &seven(number))),
        (true, of(2, &seven(0x7fff_0000))),
        (true, of(2, &numbers)),
        // In the form that was not agreed on, or in none.
        (true, of(3, &count(number))),
        (false, of(2, &seven(number))),
        (false, of(9, &seven(number))),
        (false, [0xff; 128]),
    ];
    for (i, (identify, lie)) in cases.into_iter().enumerate() {
        let (ours, theirs) = connected(&place, &host);
        if identify {
            theirs.identify().unwrap();
        }
        let mut lying = packet(2);
        lying[HANDOVER].copy_from_slice(&lie);
        let stop = quiet();
        ours.send(&lying, None, soon(), &stop).unwrap();
        let handover = theirs.receive(soon(), &stop).unwrap().handover;
        assert!(handover.none_expected().is_err(), "case {i}");
        let mut process = theirs.identify().unwrap().0;
        let e = handover
            .open(&theirs, &mut process, LEN, Pages::Reserved)
            .err()
            .unwrap();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData, "case {i}: {e}");
        // A guest has no handles to send, and nothing else to say here.
        lying[HANDOVER].copy_from_slice(&lie);
        let pipe = &theirs.pipe;
        assert_eq!(pipe::write(pipe, &lying, soon(), &stop).unwrap(), PACKET);
        let e = ours
            .receive(soon(), &stop)
            .unwrap()
            .handover
            .none_expected();
        assert_eq!(
            e.unwrap_err().kind(),
            io::ErrorKind::InvalidData,
            "case {i}"
        );
    }
    // What was named by the lies is still ours, and unharmed.
    for event in [&mine].into_iter().chain(&events) {
        set(event);
        let source = [Source::Handle(event.as_handle())];
        assert_eq!(wait(&source, Deadline::Now).unwrap(), Some(0));
    }
    assert!(Memory::open(section, LEN, Pages::Reserved).is_ok());
    assert!(Handover::of_guest(&will_take()).1);
}

#[test]
fn the_wrong_length_is_refused() {
    let place = place(&key());
    let host = host(&place);
    for identify in [true, false] {
        let (ours, theirs) = connected(&place, &host);
        thread::scope(|scope| {
            let guest = scope.spawn(move || be_guest(theirs, LEN + 4096, identify));
            let e = be_host(ours, LEN).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "{e}");
            let e = guest.join().unwrap().unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::InvalidData, "{e}");
        });
    }
}

/// How many handles this process has, by trying all numbers that they can have in so small a one.
/// (GetProcessHandleCount says 0 under Wine.)
fn handles() -> usize {
    let is_open = |number: usize| {
        let mut flags = 0;
        // SAFETY: room for the result; a number that is no handle is refused.
        unsafe { GetHandleInformation(number as _, &mut flags) != 0 }
    };
    let count = (4..0x8000)
        .step_by(4)
        .filter(|number| is_open(*number))
        .count();
    assert_ne!(count, 0);
    count
}

/// Run by the test below in a process of its own: other tests make and close handles, too.
#[test]
#[ignore = "run by no_handle_is_lost"]
fn count_handles() {
    let place = place(&key());
    let round = |i: u32| {
        let host = host(&place);
        let notice = place.notice().unwrap();
        shake_hands(&place, &host, i.is_multiple_of(2));
        // Broken off: by both sides before and after handles have been given.
        for identify in [true, false] {
            let (ours, theirs) = connected(&place, &host);
            let stop = quiet();
            if identify {
                theirs.identify().unwrap();
            }
            theirs.send(&packet(1), None, soon(), &stop).unwrap();
            ours.receive(soon(), &stop).unwrap();
            let (process, _) = ours.identify().unwrap();
            let (_memory, section) = Memory::create(LEN, Pages::Reserved).unwrap();
            let offer = Offer::make(Blank::new().unwrap(), &ours, &process, section).unwrap();
            ours.send(&packet(2), Some(&offer), soon(), &stop).unwrap();
            if i.is_multiple_of(3) {
                theirs.receive(soon(), &stop).unwrap();
            }
            if i % 3 == 1 {
                drop(theirs);
                assert!(ours.send(&packet(2), Some(&offer), soon(), &stop).is_err());
            }
        }
        drop(notice);
    };
    (0..6).for_each(round);
    let before = handles();
    (0..50).for_each(round);
    let after = handles();
    assert!(
        after <= before + 5,
        "{before} handles before, {after} after"
    );
}

fn this_test_binary(test: &str, key: &str) -> Child {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--ignored", "--nocapture"])
        .env("TWINRING_TEST_KEY", key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn no_handle_is_lost() {
    let child = this_test_binary("count_handles", "")
        .wait_with_output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

/// The host's half in another process, which waits to be killed. With the key `KEY+` it is a guest.
#[test]
#[ignore = "run by the tests of two processes"]
fn other_process() {
    let Ok(key) = std::env::var("TWINRING_TEST_KEY") else {
        return;
    };
    let stay = || {
        println!("\nconnected");
        thread::sleep(Duration::from_secs(60));
    };
    if let Some(key) = key.strip_suffix('+') {
        let channel = place(key).connect().unwrap().unwrap();
        let _link = be_guest(channel, LEN, false).unwrap();
        stay();
    } else {
        let place = place(&key);
        let host = host(&place);
        println!("\nlistening");
        let _link = be_host(answer(&host.listener), LEN).unwrap();
        stay();
    }
}

/// A handle of this process that can do nothing but wait for its end, as a host gives one.
fn this_process_to_watch() -> OwnedHandle {
    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE};
    // SAFETY: plain numbers; the handle is nobody else's.
    unsafe {
        own("OpenProcess", || {
            OpenProcess(PROCESS_SYNCHRONIZE, 0, std::process::id())
        })
    }
    .unwrap()
}

fn expect_line(output: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    while line.trim_end() != expected {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "no {expected:?}");
    }
}

/// Whether the guest opened the host's process itself or was given a handle of it.
#[test]
fn a_killed_host_is_noticed_and_its_name_is_free() {
    for open in [true, false] {
        let key = key();
        let place = place(&key);
        let mut child = this_test_binary("other_process", &key);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        expect_line(&mut output, "listening");
        assert!(place.claim("test").unwrap().is_none());
        let channel = place.connect().unwrap().unwrap();
        let (_, peer) = Process::server_of(channel.pipe.as_handle()).unwrap();
        assert_eq!(peer.pid, child.id());
        let (_memory, bells, process) = be_guest(channel, LEN, open).unwrap();
        expect_line(&mut output, "connected");
        assert!(!process.has_ended());

        child.kill().unwrap();
        let sources = [bells.hung_up(), process.ended()];
        assert_eq!(wait(&sources, soon()).unwrap(), Some(1));
        let deadline = soon();
        while place.claim("test").unwrap().is_none() {
            assert!(!deadline.passed(), "the name is still taken");
            thread::sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
    }
}

/// A host can be told that the last packet was not written, or too late, although it was.
#[test]
fn a_guest_learns_of_a_host_that_gave_up_at_the_last_moment() {
    let key = key();
    let place = place(&key);
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    thread::scope(|scope| {
        let guest = scope.spawn(|| be_guest(theirs, LEN, true).unwrap());
        drop(send_all(&ours, LEN).unwrap());
        let (_memory, bells, _process) = guest.join().unwrap();
        assert_eq!(wait(&[bells.hung_up()], soon()).unwrap(), Some(0));
    });
}

#[test]
fn handles_are_given_to_another_process() {
    let key = key();
    let place = place(&key);
    let host = host(&place);
    let mut child = this_test_binary("other_process", &format!("{key}+"));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (memory, bells) = be_host(answer(&host.listener), LEN).unwrap();
    expect_line(&mut output, "connected");
    assert_eq!(memory.len(), LEN);
    assert_eq!(wait(&[bells.hung_up()], Deadline::Now).unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}
