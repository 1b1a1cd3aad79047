//! Hosts that hand over the wrong things. The guest maps nothing, says what is wrong, and goes on
//! trying until an honest host comes.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use rustix::fs::{
    FallocateFlags, MemfdFlags, OFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate,
    memfd_create,
};

use crate::common::{Place, Side, Watchdog};
use crate::fds;
use crate::victim::{CAPACITY, Victim};
use crate::wire::{
    HELLO, KNOCK, LONG, PACKET, Packet, REFUSE, SHORT, VERSION, WELCOME, packet, put, put_text,
    put_versions, socket_path, u32_at,
};

/// Length of a segment with two rings of [`CAPACITY`].
const LEN: u64 = 16 * 1024;
const ID: [u8; 16] = *b"0123456789abcdef";

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

fn hello(capacities: [u64; 2]) -> Packet {
    let mut hello = packet(HELLO);
    put_versions(&mut hello, 1, 1);
    put(&mut hello, 24, &(1u64 << 30).to_le_bytes());
    put(&mut hello, 32, &ID);
    put(&mut hello, 48, &capacities[0].to_le_bytes());
    put(&mut hello, 56, &capacities[1].to_le_bytes());
    hello
}

/// Memory as it should be: of this length, reserved, with the right header, sealed.
fn memory(len: u64, reserved: u64, header: &[u8], seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, len).unwrap();
    if reserved > 0 {
        fallocate(&fd, FallocateFlags::empty(), 0, reserved).unwrap();
    }
    let mut file = File::from(fd);
    file.write_all(header).unwrap();
    let fd = OwnedFd::from(file);
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn header() -> Vec<u8> {
    let mut header = vec![0; 48];
    header[..8].copy_from_slice(b"twinring");
    header[8] = 1;
    header[16..24].copy_from_slice(&CAPACITY.to_le_bytes());
    header[24..32].copy_from_slice(&CAPACITY.to_le_bytes());
    header[32..48].copy_from_slice(&ID);
    header
}

fn good_memory() -> OwnedFd {
    memory_with(LEN, &header())
}

fn memory_with(len: u64, header: &[u8]) -> OwnedFd {
    memory(len, len, header, SEALS)
}

fn good_doorbell() -> OwnedFd {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // The other end may be closed; no guest gets as far as reading it.
    drop(ours);
    theirs.into()
}

/// A host on the name whose every guest is treated like this; returns what the victim says first.
#[track_caller]
fn host(patience: std::time::Duration, treat: impl Fn(UnixStream)) -> String {
    let place = Place::new();
    DirBuilder::new()
        .mode(0o700)
        .create(place.directory())
        .unwrap();
    let listener = UnixListener::bind(socket_path(&place)).unwrap();
    let mut victim = Victim::start(&place, Side::Guest, patience);
    let (mut guest, _) = listener.accept().unwrap();
    let mut knock = [0; PACKET];
    guest.read_exact(&mut knock).unwrap();
    assert_eq!(u32_at(&knock, 8), KNOCK);
    treat(guest);
    let told = victim.says("error ");
    assert!(told.contains(place.name()), "{told}");
    // It comes again, and again, and finds an honest host at last.
    let (again, _) = listener.accept().unwrap();
    drop(again);
    drop(listener);
    std::fs::remove_file(socket_path(&place)).unwrap();
    victim.serves(&place, Side::Host);
    told
}

/// A host that sends this HELLO; the guest must refuse it and name the cause.
#[track_caller]
fn refused(hello: &Packet, fds: &[BorrowedFd<'_>], cause: &str) {
    let told = host(LONG, |guest| {
        fds::send(&guest, hello, fds);
        let (answer, _) = fds::receive(&guest);
        assert_eq!(u32_at(&answer, 8), REFUSE, "{cause}");
    });
    assert!(told.starts_with("error Protocol "), "{told}");
    assert!(told.contains(cause), "{told} does not say {cause:?}");
}

#[test]
fn the_memory_is_none() {
    let _watchdog = Watchdog::new(120);
    let good = hello([CAPACITY; 2]);
    let doorbell = good_doorbell();
    let file = tempfile();
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let null = File::open("/dev/zero").unwrap();
    let directory = File::open("/").unwrap();
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    for wrong in [
        file.as_fd(),
        pipe.as_fd(),
        null.as_fd(),
        directory.as_fd(),
        event.as_fd(),
        doorbell.as_fd(),
    ] {
        refused(
            &good,
            &[wrong, doorbell.as_fd()],
            "the memory handed over is n",
        );
    }
}

/// A regular file of the right length.
fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("twinring-hostile-{}", std::process::id()));
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(LEN).unwrap();
    file
}

#[test]
fn the_memory_is_not_safe_to_map() {
    let _watchdog = Watchdog::new(120);
    let good = hello([CAPACITY; 2]);
    let doorbell = good_doorbell();
    let header = header();
    let without = |seal| memory(LEN, LEN, &header, SEALS.difference(seal));
    let cases = [
        (memory(LEN, LEN, &header, SealFlags::empty()), "not sealed"),
        (without(SealFlags::SHRINK), "not sealed"),
        (without(SealFlags::GROW), "not sealed"),
        (without(SealFlags::SEAL), "not sealed"),
        (
            memory(LEN, LEN, &header, SEALS | SealFlags::WRITE),
            "sealed against writing",
        ),
        (
            memory(LEN, LEN, &header, SEALS | SealFlags::FUTURE_WRITE),
            "sealed against writing",
        ),
        (memory(LEN - 1, 0, &header, SEALS), "has 16383 bytes"),
        (memory(4096, 4096, &header, SEALS), "has 4096 bytes"),
        (memory(2 * LEN, 2 * LEN, &header, SEALS), "has 32768 bytes"),
        (memory(LEN, 0, &header, SEALS), "not reserved"),
        (memory(LEN, LEN - 4096, &header, SEALS), "not reserved"),
    ];
    for (memory, cause) in &cases {
        refused(&good, &[memory.as_fd(), doorbell.as_fd()], cause);
    }
    let read_only = File::open(format!("/proc/self/fd/{}", {
        use std::os::fd::AsRawFd;
        cases[0].0.as_raw_fd()
    }))
    .unwrap();
    refused(&good, &[read_only.as_fd(), doorbell.as_fd()], "not sealed");
}

/// Memory that is of the right kind by some signs only, and what else can be handed over in its
/// place.
#[test]
fn the_memory_is_of_another_kind() {
    let _watchdog = Watchdog::new(240);
    let good = hello([CAPACITY; 2]);
    let (memory, doorbell) = (good_memory(), good_doorbell());
    let reopened = |flags| {
        let path = format!("/proc/self/fd/{}", {
            use std::os::fd::AsRawFd;
            memory.as_raw_fd()
        });
        rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap()
    };
    // A sealed memfd, of which there is only a handle that cannot be used.
    let path = reopened(OFlags::PATH | OFlags::CLOEXEC);
    refused(&good, &[path.as_fd(), doorbell.as_fd()], "is no memfd");
    // Sealed, reserved, and only to be read: mapping it fails.
    let read_only = reopened(OFlags::RDONLY | OFlags::CLOEXEC);
    refused(
        &good,
        &[read_only.as_fd(), doorbell.as_fd()],
        "can only be read",
    );

    // Far larger than said, and hardly there at all.
    let huge = memory_of(1 << 40);
    refused(
        &good,
        &[huge.as_fd(), doorbell.as_fd()],
        "has 1099511627776 bytes",
    );
    // Reserved, and then taken back in the middle: seals do not forbid it.
    let holed = good_memory();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&holed, punch, 4096, 4096).unwrap();
    refused(&good, &[holed.as_fd(), doorbell.as_fd()], "not reserved");

    // Pages of another size: they can be missing at the first touch.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    if let Ok(large) = memfd_create("hostile", flags) {
        fcntl_add_seals(&large, SEALS).unwrap();
        refused(
            &good,
            &[large.as_fd(), doorbell.as_fd()],
            "other than tmpfs",
        );
    } else {
        println!("this Linux has no pages of another size");
    }
    // A file of the same file system as a memfd.
    let path = format!("/dev/shm/hostile-{}", std::process::id());
    if let Ok(file) = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)
    {
        std::fs::remove_file(&path).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, LEN).unwrap();
        refused(
            &good,
            &[file.as_fd(), doorbell.as_fd()],
            "the memory handed over is n",
        );
    }

    // The two the wrong way round; the memory twice.
    refused(&good, &[doorbell.as_fd(), memory.as_fd()], "is no memfd");
    refused(&good, &[memory.as_fd(), memory.as_fd()], "no stream socket");
}

/// A sealed memfd of this length with nothing in it.
fn memory_of(len: u64) -> OwnedFd {
    memory(len, 0, &header(), SEALS)
}

#[test]
fn the_memory_is_of_another_connection() {
    let _watchdog = Watchdog::new(120);
    let good = hello([CAPACITY; 2]);
    let doorbell = good_doorbell();
    for (at, cause) in [
        (0, "magic number"),
        (8, "version"),
        (12, "differs"),
        (17, "differs"),
        (25, "differs"),
        (32, "differs"),
        (47, "differs"),
    ] {
        let mut header = header();
        header[at] ^= 0x40;
        let memory = memory(LEN, LEN, &header, SEALS);
        refused(&good, &[memory.as_fd(), doorbell.as_fd()], cause);
    }
}

#[test]
fn too_few_or_too_many_descriptors() {
    let _watchdog = Watchdog::new(120);
    let good = hello([CAPACITY; 2]);
    let (memory, doorbell) = (good_memory(), good_doorbell());
    let (memory, doorbell) = (memory.as_fd(), doorbell.as_fd());
    refused(&good, &[], "0 descriptors");
    refused(&good, &[memory], "1 descriptors");
    refused(&good, &[memory, doorbell, doorbell], "3 descriptors");
    refused(&good, &fds::copies(&doorbell, fds::MOST), "253 descriptors");
}

#[test]
fn the_bell_is_none() {
    let _watchdog = Watchdog::new(120);
    let good = hello([CAPACITY; 2]);
    let memory = good_memory();
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    for wrong in [memory.as_fd(), pipe.as_fd(), datagram.as_fd()] {
        refused(&good, &[memory.as_fd(), wrong], "no stream socket");
    }
}

#[test]
fn impossible_capacities() {
    let _watchdog = Watchdog::new(240);
    let (memory, doorbell) = (good_memory(), good_doorbell());
    let fds = [memory.as_fd(), doorbell.as_fd()];
    for wrong in [0, 8, 2048, 4095, 5000, 1 << 31, 1 << 63, u64::MAX] {
        refused(&hello([wrong, CAPACITY]), &fds, "rings of");
        refused(&hello([CAPACITY, wrong]), &fds, "rings of");
    }
    // Allowed, but not what the memory is like.
    refused(&hello([8192, 8192]), &fds, "the handshake says");
    let mut header = header();
    header[24..32].copy_from_slice(&(2 * CAPACITY).to_le_bytes());
    let larger = memory_with(2 * LEN, &header);
    let fds = [larger.as_fd(), doorbell.as_fd()];
    refused(&hello([2 * CAPACITY, CAPACITY]), &fds, "differs");
}

#[test]
fn other_answers() {
    let _watchdog = Watchdog::new(120);
    let answer = |answer: Packet| move |guest: UnixStream| fds::send(&guest, &answer, &[]);

    let mut version = hello([CAPACITY; 2]);
    put_versions(&mut version, 2, 2);
    let told = host(LONG, answer(version));
    assert!(told.starts_with("error Version "), "{told}");

    let mut refusal = packet(REFUSE);
    put(&mut refusal, 64, &VERSION.to_le_bytes());
    put_text(&mut refusal, b"update the older side");
    let told = host(LONG, answer(refusal));
    assert!(told.starts_with("error Version "), "{told}");
    assert!(told.contains("update the older side"), "{told}");

    for kind in [KNOCK, WELCOME, 0, 77] {
        let told = host(LONG, answer(packet(kind)));
        assert!(told.starts_with("error Protocol "), "{told}");
    }
    let told = host(LONG, answer([0xa5; PACKET]));
    assert!(told.starts_with("error Protocol "), "{told}");

    let told = host(LONG, drop);
    assert!(told.starts_with("error NotConnected "), "{told}");
    let told = host(LONG, |mut guest| {
        guest.write_all(&packet(HELLO)[..300]).unwrap()
    });
    assert!(told.starts_with("error NotConnected "), "{told}");

    // Silence, with the connection held open until the guest gives up.
    let told = host(SHORT, |mut guest| {
        let _ = guest.read(&mut [0]);
    });
    assert!(told.starts_with("error TimedOut "), "{told}");

    // The right HELLO, and then the WELCOME of another connection.
    let (memory, doorbell) = (good_memory(), good_doorbell());
    let told = host(LONG, |guest| {
        fds::send(
            &guest,
            &hello([CAPACITY; 2]),
            &[memory.as_fd(), doorbell.as_fd()],
        );
        fds::receive(&guest);
        fds::send(&guest, &packet(WELCOME), &[]);
    });
    assert!(told.starts_with("error Protocol "), "{told}");
}
