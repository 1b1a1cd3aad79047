//! Too few descriptors, too little memory: an error that says so, and it goes on when there are
//! more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use twinring::{End, ErrorKind, Timeout};

use crate::common::{LIMIT, Log, Parent, Place, Side, Watchdog, connected, until};

/// A limit of this process that is lowered for a while.
struct Lowered(Resource, Rlimit);

impl Lowered {
    fn to(resource: Resource, value: u64) -> Lowered {
        let before = getrlimit(resource);
        let lowered = Rlimit {
            current: Some(value),
            maximum: before.maximum,
        };
        setrlimit(resource, lowered).unwrap();
        Lowered(resource, before)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        setrlimit(self.0, self.1).unwrap();
    }
}

/// The limit with which this process can open so many further files.
fn limit_with(spare: usize) -> u64 {
    let used: Vec<u64> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    (0..).filter(|fd| !used.contains(fd)).nth(spare).unwrap()
}

/// Opens the link with as many further descriptors as it is told, and tells how far it comes;
/// then with enough.
pub(crate) fn few_descriptors(parent: &'static Parent) {
    loop {
        let spare = parent.next_as();
        let lowered = Lowered::to(Resource::Nofile, limit_with(spare));
        let opened = parent
            .builder()
            .on_error(|e| parent.say(format!("error {:?}", e.kind())))
            .open();
        match opened {
            Ok(link) => {
                parent.say("opened");
                parent.expect("lift");
                drop(lowered);
                let conn = connected(&link);
                parent.say("connected");
                let message = conn.within(LIMIT).recv().unwrap().unwrap();
                assert_eq!(message, b"hello");
                parent.expect("close");
                link.close(0, "");
            }
            Err(e) => parent.say(format!("failed {:?}", e.kind())),
        }
    }
}

/// With 0, 1, 2... descriptors to spare.
#[test]
fn too_few_descriptors() {
    let _watchdog = Watchdog::new(240);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("few_descriptors", side.opposite());
        let (mut failed, mut strained) = (0, 0);
        for spare in 0..24 {
            child.say(spare);
            let mut missing = 0;
            let opened = loop {
                match child.next_line().as_str() {
                    "opened" => break true,
                    "failed OutOfHandles" => break false,
                    "error OutOfHandles" => missing += 1,
                    other => panic!("with {spare} descriptors: {other}"),
                }
            };
            if !opened {
                failed += 1;
                continue;
            }
            let log = Log::new();
            let link = place.builder(side).on_error(log.errors()).open().unwrap();
            until(
                "it connects, or one of both says that something is missing",
                || {
                    for line in child.lines_so_far() {
                        assert_eq!(line, "error OutOfHandles", "with {spare} descriptors");
                        missing += 1;
                    }
                    missing > 0 || !log.lines().is_empty() || link.status().is_connected()
                },
            );
            strained += usize::from(missing > 0);
            child.say("lift");
            loop {
                match child.next_line().as_str() {
                    "error OutOfHandles" => {}
                    "error NotConnected" => {}
                    "connected" => break,
                    other => panic!("with {spare} descriptors: {other}"),
                }
            }
            let conn = connected(&link);
            conn.send(b"hello").unwrap();
            for line in log.lines() {
                // What the other side says that it lacks.
                let fine = ["error OutOfHandles", "error NotConnected"].contains(&line.as_str());
                assert!(fine, "with {spare} descriptors: {line}");
            }
            child.say("close");
            let e = conn.recv().unwrap_err();
            assert!(matches!(e.end(), Some(End::Closed { .. })), "{e}");
        }
        println!("{failed} did not open, {strained} did not connect");
        assert!(failed > 0 && strained > 0, "both have to be met");
    }
}

/// Opens the link, and from then on has no descriptor to spare until it is told.
pub(crate) fn no_descriptors(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_error(|e| parent.say(format!("error {:?}", e.kind())))
        .open()
        .unwrap();
    let _lowered = Lowered::to(Resource::Nofile, limit_with(10));
    // Until no thread of the library holds one for a moment, or gives up its spare one.
    std::thread::sleep(LIMIT / 300);
    let taken: Vec<_> = std::iter::repeat_with(|| std::fs::File::open("/dev/null"))
        .map_while(Result::ok)
        .collect();
    parent.say("opened");
    parent.expect("lift");
    drop(taken);
    let _conn = connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// A host that cannot even accept a call tells the guest what it lacks.
#[test]
fn a_guest_learns_that_its_host_has_no_descriptors() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut host = place.start("no_descriptors", Side::Host);
    host.expect("opened");
    for _ in 0..2 {
        let link = place.guest().open().unwrap();
        let e = link.within(LIMIT / 30).next().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::OutOfHandles, "{e}");
        for part in [
            "the other side refuses",
            "Too many open files",
            "raise the limit",
        ] {
            assert!(e.to_string().contains(part), "{e} does not say {part:?}");
        }
    }
    host.expect("error OutOfHandles");
    let link = place.guest().open().unwrap();
    host.say("lift");
    host.wait_for_line(|line| line == "connected");
    connected(&link);
}

/// Opens the link while the size of files is limited to this.
pub(crate) fn small_files(parent: &'static Parent) {
    let _lowered = Lowered::to(Resource::Fsize, parent.next_as());
    let link = parent
        .builder()
        .on_error(|e| parent.say(format!("error {:?} {e}", e.kind())))
        .open()
        .unwrap();
    parent.say("opened");
    parent.expect("go on");
    drop(link);
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    let conn = connected(&link);
    conn.send(b"hello").unwrap();
    parent.wait_for_the_end();
}

/// The limit counts for shared memory too. Beyond it, the kernel would end the process by SIGXFSZ.
#[test]
fn a_limit_on_the_size_of_files() {
    let _watchdog = Watchdog::new(120);
    // The last one has room for small rings.
    for (limit, is_enough) in [(0, false), (4096, false), (64 << 10, true)] {
        let place = Place::new();
        let mut host = place.start("small_files", Side::Host);
        host.say(limit);
        host.expect("opened");
        let log = Log::new();
        let guest = place.guest().on_error(log.errors()).open().unwrap();
        let told = host.next_line();
        assert!(told.starts_with("error OutOfMemory "), "{told}");
        assert!(told.contains("ulimit -f"), "{told}");
        assert_eq!(log.wait_for(1), ["error OutOfMemory"], "both are told");
        if is_enough {
            host.say("go on");
            assert_eq!(connected(&guest).recv().unwrap().unwrap(), b"hello");
        }
        assert!(!host.has_ended(), "with {limit}");
    }
}

/// Opens the link with little address space to spare; then with enough.
pub(crate) fn little_memory(parent: &'static Parent) {
    let capacity = parent.next_as();
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    let spare: u64 = parent.next_as();
    let page = rustix::param::page_size() as u64;
    let lowered = Lowered::to(Resource::As, pages * page + spare);
    let link = parent
        .builder()
        .ring_capacity(capacity)
        .on_error(|e| parent.say(format!("error {:?} {e}", e.kind())))
        .open()
        .unwrap();
    parent.say("opened");
    match parent.next_line().as_str() {
        "lift" => {}
        "receive" => {
            // Held until the fault has ended it.
            let conn = connected(&link);
            let received = conn.recv();
            parent.say(format!(
                "{:?}",
                received.map(|_| "a message").map_err(|e| e.kind())
            ));
            parent.expect("lift");
        }
        other => panic!("{other}"),
    }
    drop(lowered);
    let conn = connected(&link);
    let message = conn.within(LIMIT).recv().unwrap().unwrap();
    parent.say(message.len());
    parent.wait_for_the_end();
}

/// Room for threads and their stacks, but not for what is asked for.
const SPARE: u64 = 256 << 20;

#[test]
fn too_little_memory_for_the_rings() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("little_memory", side.opposite());
        child.say(256 << 20);
        child.say(SPARE);
        child.expect("opened");
        let log = Log::new();
        let link = place
            .builder(side)
            .ring_capacity(256 << 20)
            .on_error(log.errors())
            .open()
            .unwrap();
        let told = child.next_line();
        assert!(told.starts_with("error OutOfMemory "), "{told}");
        for part in ["no address space for", "ulimit -v"] {
            assert!(told.contains(part), "{told} does not say {part:?}");
        }
        assert!(!told.contains("wrong objects"), "{told}");
        assert_eq!(log.wait_for(1), ["error OutOfMemory"], "both are told");
        let e = link.within(Timeout::Now).next().unwrap_err().to_string();
        assert!(e.contains("no address space for"), "{e}");
        child.say("lift");
        connected(&link).send(&[0; 1000]).unwrap();
        child.expect("1000");
    }
}

#[test]
fn too_little_memory_for_a_message() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("little_memory", side.opposite());
        child.say(1 << 20);
        child.say(SPARE);
        child.expect("opened");
        let log = Log::new();
        let link = place
            .builder(side)
            .on_status(log.statuses())
            .open()
            .unwrap();
        let conn = connected(&link);
        child.say("receive");
        let e = conn.send(&vec![0; 2 * SPARE as usize]).unwrap_err();
        let end = e.end().cloned();
        // It was not this side's fault, whoever has ended it.
        assert!(matches!(end, Some(End::Fault { .. })), "{e}");
        child.expect("Err(OutOfMemory)");
        // They connect again, and smaller messages pass.
        child.say("lift");
        connected(&link).send(&[0; 1000]).unwrap();
        child.expect("1000");
        let lines = log.lines();
        assert_eq!(lines[2], format!("disconnected {:?}", end.unwrap()));
    }
}
