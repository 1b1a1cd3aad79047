//! Host and guest as two threads and, where it matters, as two processes.

use std::io::{self, BufRead, BufReader};
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::GetHandleInformation;

use super::offer::{area, will_take};
use super::rendezvous::{name_of, pipe_name};
use super::{
    Channel, Handover, HostListener, NameClaim, Offer, PreparedOffer, Rendezvous, claim, pipe,
};
use crate::error::ErrorKind;
use crate::os::endpoint::common::{HANDOVER, PACKET, Packet, RendezvousOptions};
use crate::os::event::{Deadline, Doorbells, Source, named_event, new_event, set, wait};
use crate::os::memory::{Memory, Pages};
use crate::os::process::{self, KeptPipe, Process, User};
use crate::os::windows::{AccessList, is_code, own, owner, wide};

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

/// A guest's place, which can also do everything that a host's can.
fn place(key: &str) -> Rendezvous {
    place_for(key, process::Access::SameUser)
}

fn place_for(key: &str, access: process::Access) -> Rendezvous {
    let options = RendezvousOptions {
        is_guest: true,
        access,
        ..RendezvousOptions::default()
    };
    Rendezvous::new(key, &options).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn send(channel: &Channel, packet: &Packet, offer: Option<&Offer>) -> io::Result<()> {
    until_done(channel, || channel.send(packet, offer))
}

fn receive(channel: &Channel) -> io::Result<(Packet, Handover)> {
    until_done(channel, || channel.receive())
}

fn until_done<T>(channel: &Channel, go_on: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = soon();
    loop {
        match go_on() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !deadline.passed() => {
                wait(&[channel.source()], deadline)?;
            }
            done => return done,
        }
    }
}

fn packet(byte: u8) -> Packet {
    let mut packet = [0; PACKET];
    packet[..HANDOVER.start].fill(byte);
    packet
}

fn answer(listener: &HostListener) -> Channel {
    loop {
        assert_eq!(wait(&[listener.source()], soon()).unwrap(), Some(0));
        if let Some(channel) = listener.accept().unwrap() {
            return channel;
        }
    }
}

struct Host {
    listener: HostListener,
    claim: NameClaim,
}

fn host(place: &Rendezvous) -> Host {
    let claim = place.claim("test").unwrap().expect("the name is free");
    Host {
        listener: claim.listen().unwrap(),
        claim,
    }
}

fn connected(place: &Rendezvous, host: &Host) -> (Channel, Channel) {
    let guest = place.connect().unwrap().expect("a host listens");
    (answer(&host.listener), guest)
}

/// The host's side of a handshake.
fn be_host(channel: Channel, len: usize) -> io::Result<(Memory, Doorbells)> {
    let (memory, doorbells, _) = be_host_that(channel, len, true)?;
    Ok((memory, doorbells))
}

/// `opens`: whether it may open the guest's process.
fn be_host_that(channel: Channel, len: usize, opens: bool) -> io::Result<Parts> {
    let (offer, memory, mut process) = send_all(&channel, len, opens)?;
    let (doorbells, _) = channel.finish_host(offer, &mut process)?;
    Ok((memory, doorbells, process))
}

/// Everything that a host sends and receives.
fn send_all(channel: &Channel, len: usize, opens: bool) -> io::Result<(Offer, Memory, Process)> {
    let (process, _) = channel.identify()?;
    let process = match opens {
        true => process,
        false => process.closed_to_us(),
    };
    receive(channel)?.1.none_expected()?;
    let mut names = channel.names_for(&process)?;
    let (memory, section) = match &mut names {
        Some(names) => names.create_memory(len)?,
        None => Memory::create(len, Pages::Reserved)?,
    };
    let prepared = PreparedOffer::new(names.as_ref())?;
    let offer = channel.make_offer(prepared, &process, section, false)?;
    send(channel, &packet(2), Some(&offer))?;
    receive(channel)?.1.none_expected()?;
    send(channel, &packet(4), None)?;
    Ok((offer, memory, process))
}

/// What a side has in the end.
type Parts = (Memory, Doorbells, Process);

/// The guest's side; `open`: whether it may open the host's process and take the handles itself.
fn be_guest(channel: Channel, len: usize, open: bool) -> io::Result<Parts> {
    let mut process = if open {
        channel.identify()?.0
    } else {
        Process::server_of(channel.pipe.as_handle())?
            .0
            .closed_to_us()
    };
    assert_eq!(process.is_watched(), open);
    send(&channel, &packet(1), None)?;
    let offered = receive(&channel)?;
    let (memory, taken) = offered.1.open(&mut process, len, Pages::Reserved, false)?;
    send(&channel, &packet(3), None)?;
    receive(&channel)?.1.none_expected()?;
    let (doorbells, _) = channel.finish_guest(taken, &mut process)?;
    assert!(!process.has_ended());
    Ok((memory, doorbells, process))
}

fn check_link(a: &(Memory, Doorbells), b: &(Memory, Doorbells)) {
    // SAFETY: both views have LEN bytes, and nobody else uses them now.
    unsafe {
        a.0.base().add(LEN - 1).write(42);
        assert_eq!(b.0.base().add(LEN - 1).read(), 42);
    }
    for (a, b) in [(&a.1, &b.1), (&b.1, &a.1)] {
        let rung = || wait(&[b.data(), b.space(), b.hung_up()], Deadline::Now).unwrap();
        assert_eq!(rung(), None);
        a.ring_space();
        a.ring_data();
        assert_eq!(rung(), Some(0));
        assert_eq!(rung(), Some(1));
        a.hang_up();
        assert_eq!(rung(), Some(2));
        assert_eq!(rung(), None);
    }
}

fn shake_hands(place: &Rendezvous, host: &Host, identify: bool) {
    let (ours, theirs) = connected(place, host);
    thread::scope(|scope| {
        let guest = scope.spawn(|| be_guest(theirs, LEN, identify).unwrap());
        let host = be_host(ours, LEN).unwrap();
        let (memory, doorbells, _process) = guest.join().unwrap();
        check_link(&host, &(memory, doorbells));
    });
}

#[test]
fn a_name_has_one_owner_at_a_time() {
    let place = place(&key());
    let first = place.claim("first").unwrap().expect("the name is free");
    assert!(place.claim("second").unwrap().is_none());
    // On another thread than the one that created it.
    thread::spawn(move || drop(first)).join().unwrap();
    assert!(place.claim("third").unwrap().is_some());
}

#[test]
fn a_name_taken_by_somebody_else_is_an_error() {
    let place = place(&key());
    let foreign = AccessList::parse("D:P(A;;GA;;;S-1-5-21-1-2-3-1001)").unwrap();
    let _squatter = claim::open(&format!(r"Global\{}", place.name), &foreign).unwrap();
    let e = place.claim_beside(None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert!(e.to_string().contains("another program"), "{e}");
}

#[test]
fn a_name_taken_by_something_else_is_an_error() {
    let place = place(&key());
    let access = place.for_guests().unwrap();
    let check = |e: crate::Error| {
        assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
        assert!(
            e.to_string().contains("another program has taken the name"),
            "{e}"
        );
    };
    let name = format!(r"Global\{}", place.name);
    let event = named_event(&name, &access).unwrap();
    check(place.claim_beside(None).unwrap_err());
    drop(event);
    let (_memory, section) = Memory::create_named(LEN, &name, &access).unwrap();
    check(place.claim_beside(None).unwrap_err());
    drop(section);
    let claim = place.claim_beside(None).unwrap().unwrap();
    // A pipe of one instance.
    let _lock = pipe::Lock::take(&pipe_name(&place.name), &access).unwrap();
    check(claim.listen().unwrap_err());
}

/// Where this process may have pipes that others may not: as administrator or service; under Wine always.
#[test]
fn nobody_keeps_a_privileged_host_from_its_name() {
    let place = place(&key());
    let foreign = AccessList::parse("D:P(A;;GA;;;S-1-5-21-1-2-3-1001)").unwrap();
    let _mutex = claim::open(&format!(r"Global\{}", place.name), &foreign).unwrap();
    let _pipe = pipe::instance(&pipe_name(&place.name), &foreign, true).unwrap();
    let claim = match place.claim("test") {
        Err(e) if e.kind() == ErrorKind::AccessDenied => {
            println!("skipped: this user has no rights that others do not have");
            return;
        }
        claim => claim.unwrap().expect("the name is free"),
    };
    let host = Host {
        listener: claim.listen().unwrap(),
        claim,
    };
    assert!(place.claim("test").unwrap().is_none());
    for _ in 0..2 {
        shake_hands(&place, &host, true);
    }
    drop(host);
    assert!(place.claim("test").unwrap().is_some());
}

/// Two hosts of one user do not both get a name because one of them has more rights.
#[test]
fn a_host_with_rights_and_one_without_exclude_each_other() {
    let place = place(&key());
    let without = place.claim_beside(None).unwrap().unwrap();
    assert!(place.claim("test").unwrap().is_none());
    drop(without);
    let with = place.claim("test").unwrap().unwrap();
    assert!(place.claim_beside(None).unwrap().is_none());
    drop(with);
    assert!(place.claim_beside(None).unwrap().is_some());
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
    assert!(host.listener.accept().unwrap().is_none());
    for round in 0..3 {
        let (ours, theirs) = connected(&place, &host);
        assert!(host.listener.accept().unwrap().is_none());
        send(&theirs, &packet(round), None).unwrap();
        let received = receive(&ours).unwrap();
        assert_eq!(received.0, packet(round));
        received.1.none_expected().unwrap();
    }
    // One that has left before it was accepted is returned all the same.
    drop(place.connect().unwrap().unwrap());
    let e = receive(&answer(&host.listener)).err().unwrap();
    assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "{e}");
}

#[test]
fn a_guest_may_be_faster_than_the_listener() {
    let place = place(&key());
    let access = place.for_guests().unwrap();
    for stays in [true, false] {
        let pipe = pipe::instance(&pipe_name(&place.name), &access, true).unwrap();
        let guest = pipe::open(&pipe_name(&place.name)).unwrap().unwrap();
        let _guest = stays.then_some(guest);
        let called = Arc::new(new_event(true).unwrap());
        let call = pipe::Call::begin(pipe, &called).unwrap();
        assert!(matches!(call.state(), pipe::CallState::Called));
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
                    if let Ok(Some(channel)) = place.connect() {
                        return channel;
                    }
                    assert!(!deadline.passed());
                    thread::sleep(Duration::from_millis(1));
                }
            });
            // The next wait for a guest is also begun by a thread that ends.
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
fn who_cannot_be_watched_ends_with_the_pipe() {
    let place = place(&key());
    let host = host(&place);
    // By names, if neither may open the other.
    for guest_opens in [true, false] {
        for host_goes_first in [true, false] {
            let (ours, theirs) = connected(&place, &host);
            thread::scope(|scope| {
                // The thread that keeps the pipe stays, as the driver's does.
                let (tell, told) = mpsc::channel();
                let (_over, wait_until_over) = mpsc::channel::<()>();
                scope.spawn(move || {
                    tell.send(be_guest(theirs, LEN, guest_opens).unwrap())
                        .unwrap();
                    let _ = wait_until_over.recv();
                });
                let (memory, doorbells, guests) = be_host_that(ours, LEN, false).unwrap();
                let (their_memory, their_doorbells, hosts) = told.recv().unwrap();
                check_link(&(memory, doorbells), &(their_memory, their_doorbells));
                assert_eq!(hosts.is_watched(), guest_opens);
                assert!(!guests.has_ended() && !hosts.has_ended());
                // This process does not end, so only a pipe can tell.
                if host_goes_first {
                    drop(guests);
                    let ended = wait(&[hosts.ended()], Deadline::after(Duration::from_millis(50)));
                    assert_eq!(ended.unwrap().is_some(), !guest_opens);
                } else {
                    drop(hosts);
                    assert_eq!(wait(&[guests.ended()], soon()).unwrap(), Some(0));
                    assert!(guests.has_ended());
                }
            });
        }
    }
}

/// A peer has nothing to write any more: whoever does is treated as one that has ended.
#[test]
fn what_is_written_into_a_kept_pipe_ends_it() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    let kept = pipe::OpenPipe::begin(&ours.pipe).unwrap();
    assert_eq!(
        wait(&[Source::Handle(kept.closed())], Deadline::Now).unwrap(),
        None
    );
    write_bytes(&theirs, b"?");
    assert_eq!(
        wait(&[Source::Handle(kept.closed())], soon()).unwrap(),
        Some(0)
    );
}

#[test]
fn a_receive_that_would_block_goes_on_when_something_has_come() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    let blocked = || ours.receive().err().unwrap().kind();
    let is_ready = || wait(&[ours.source()], Deadline::Now).unwrap() == Some(0);
    for _ in 0..3 {
        assert_eq!(blocked(), io::ErrorKind::WouldBlock);
        assert!(!is_ready());
    }
    // Half a packet is no packet.
    let (half, rest) = (vec![9; PACKET / 2], packet(9)[PACKET / 2..].to_vec());
    write_bytes(&theirs, &half);
    wait(&[ours.source()], soon()).unwrap();
    assert_eq!(blocked(), io::ErrorKind::WouldBlock);
    write_bytes(&theirs, &rest);
    assert_eq!(receive(&ours).unwrap().0, packet(9));
    // A send that was begun and given up leaves the pipe as it was.
    assert_eq!(blocked(), io::ErrorKind::WouldBlock);
    ours.reset();
    send(&theirs, &packet(8), None).unwrap();
    assert_eq!(receive(&ours).unwrap().0, packet(8));
    drop(theirs);
    assert_eq!(
        receive(&ours).err().unwrap().kind(),
        io::ErrorKind::UnexpectedEof
    );
}

fn write_bytes(channel: &Channel, bytes: &[u8]) {
    use windows_sys::Win32::Storage::FileSystem::WriteFile;
    use windows_sys::Win32::System::IO::OVERLAPPED;
    let event = new_event(true).unwrap();
    let mut overlapped = OVERLAPPED {
        hEvent: event.as_raw_handle(),
        ..OVERLAPPED::default()
    };
    let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
    let pipe = channel.pipe.as_raw_handle();
    // SAFETY: all of it outlives the operation, which has ended when the event is set.
    unsafe { WriteFile(pipe, start, len, std::ptr::null_mut(), &mut overlapped) };
    let ended = wait(&[Source::Handle(event.as_handle())], soon()).unwrap();
    assert_eq!(ended, Some(0));
}

#[test]
fn a_send_would_block_when_nobody_reads() {
    let place = place(&key());
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let e = loop {
        if let Err(e) = ours.send(&packet(1), None)
            && wait(&[ours.source()], Deadline::after(Duration::from_millis(50)))
                .unwrap()
                .is_none()
        {
            break e;
        }
    };
    assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "{e}");
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
    let flagged = |mut bytes: [u8; 128], flag: u8| {
        bytes[4] = flag;
        bytes
    };
    let theirs_to_watch = this_process_to_watch();
    // What a host offers, but with the rights of handles that a process creates for itself.
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
        // Given: nothing, our own handles, numbers that are no handles, one too few.
        (false, of(3, &[0; 8])),
        (false, of(3, &[number; 8])),
        (false, of(3, &count(number))),
        (false, of(3, &numbers)),
        (false, of(3, &count(0x7fff_0000))),
        (false, of(3, &count(1))),
        (false, of(3, &count(1 << 40))),
        (false, of(3, &numbers[..7])),
        // To be taken: the same, and one too many.
        (true, of(2, &[this_process; 7])),
        (true, of(2, &seven(number))),
        (true, of(2, &seven(0x7fff_0000))),
        (true, of(2, &numbers)),
        // In the form that was not agreed on, or in none.
        (true, of(3, &count(number))),
        (false, of(2, &seven(number))),
        (false, of(9, &seven(number))),
        (false, [0xff; 128]),
        // Flags that there are not.
        (true, flagged(of(2, &seven(number)), 2)),
        (false, flagged(of(3, &count(number)), 1)),
        // By name: unasked, of nothing, in no namespace, or followed by something.
        (true, of(4, &[7, 7])),
        (false, flagged(of(4, &[7, 7]), 1)),
        (false, of(4, &[7, 7, 2])),
        (false, of(4, &[7, 7, 5 << 32])),
        (false, of(4, &[7, 7, 0, 1])),
    ];
    for (i, (identify, lie)) in cases.into_iter().enumerate() {
        let (ours, theirs) = connected(&place, &host);
        if identify {
            theirs.identify().unwrap();
        }
        let mut lying = packet(2);
        lying[HANDOVER].copy_from_slice(&lie);
        send(&ours, &lying, None).unwrap();
        let handover = receive(&theirs).unwrap().1;
        assert!(handover.none_expected().is_err(), "case {i}");
        let mut process = theirs.identify().unwrap().0;
        let e = handover
            .open(&mut process, LEN, Pages::Reserved, false)
            .err()
            .unwrap();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData, "case {i}: {e}");
        // A guest has no handles to send, and nothing else to say here.
        lying[HANDOVER].copy_from_slice(&lie);
        write_bytes(&theirs, &lying);
        let e = receive(&ours).unwrap().1.none_expected();
        assert_eq!(
            e.unwrap_err().kind(),
            io::ErrorKind::InvalidData,
            "case {i}"
        );
    }
    // What the false numbers named is still ours, and unharmed.
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

/// How many handles this process has, by trying all numbers that they can have in so small a process.
/// (GetProcessHandleCount says 0 under Wine.)
fn handles() -> usize {
    let is_open = |number: usize| {
        let mut flags = 0;
        // SAFETY: room for the result; a number that is not a handle is refused.
        unsafe { GetHandleInformation(number as _, &mut flags) != 0 }
    };
    let count = (4..0x8000)
        .step_by(4)
        .filter(|number| is_open(*number))
        .count();
    assert_ne!(count, 0);
    count
}

/// Run by the test below in a process of its own, because other tests also open and close handles.
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
            if identify {
                theirs.identify().unwrap();
            }
            send(&theirs, &packet(1), None).unwrap();
            receive(&ours).unwrap();
            let (process, _) = ours.identify().unwrap();
            let (_memory, section) = Memory::create(LEN, Pages::Reserved).unwrap();
            let prepared = PreparedOffer::new(None).unwrap();
            let offer = ours.make_offer(prepared, &process, section, false).unwrap();
            send(&ours, &packet(2), Some(&offer)).unwrap();
            if i.is_multiple_of(3) {
                receive(&theirs).unwrap();
            }
            if i % 3 == 1 {
                drop(theirs);
                assert!(send(&ours, &packet(2), Some(&offer)).is_err());
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

/// The host's side in another process, which waits to be killed. With the key `KEY+` it is a guest.
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

/// A handle of this process that can only wait for its end, as a host gives one.
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
        let (_memory, doorbells, process) = be_guest(channel, LEN, open).unwrap();
        expect_line(&mut output, "connected");
        assert!(!process.has_ended());

        child.kill().unwrap();
        let sources = [doorbells.hung_up(), process.ended()];
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
        drop(send_all(&ours, LEN, true).unwrap());
        let (_memory, doorbells, _process) = guest.join().unwrap();
        assert_eq!(wait(&[doorbells.hung_up()], soon()).unwrap(), Some(0));
    });
}

#[test]
fn handles_are_given_to_another_process() {
    let key = key();
    let place = place(&key);
    let host = host(&place);
    let mut child = this_test_binary("other_process", &format!("{key}+"));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (memory, doorbells) = be_host(answer(&host.listener), LEN).unwrap();
    expect_line(&mut output, "connected");
    assert_eq!(memory.len(), LEN);
    assert_eq!(wait(&[doorbells.hung_up()], Deadline::Now).unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}
