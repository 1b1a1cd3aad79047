//! A peer that writes over all that it can write, as fast as it can, while its victim sends and
//! receives; another link of the same victim is at work meanwhile.
//!
//! It connects as any program does, and then looks for the segment in its own memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use twinring::{Connection, ErrorKind, MAX_CHECKPOINT_LEN, Timeout};

use crate::common::{
    Child, LIMIT, Parent, Place, Random, Side, Watchdog, amount_or, connected, count, labelled,
    read_label, text, until,
};

const CAPACITY: u64 = 4096;
const MAX_MESSAGE: u64 = 1 << 20;
/// Header, and two rings of [`CAPACITY`].
const SEGMENT: usize = 16 * 1024;
/// Where the bytes of the rings begin.
const RINGS: usize = 8192;

/// How long the attack lasts at least; `TWINRING_HOSTILE_SECONDS` for more.
fn attack() -> Duration {
    Duration::from_secs(amount_or("TWINRING_HOSTILE_SECONDS", 1, 5))
}

/// The segments that this process has mapped, found by their magic number.
#[cfg(unix)]
fn segments() -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("twinring") && line.contains("rw-s"))
        .map(|line| usize::from_str_radix(line.split_once('-').unwrap().0, 16).unwrap())
        .collect()
}

#[cfg(windows)]
fn segments() -> Vec<usize> {
    use windows_sys::Win32::System::Memory::{
        MEM_COMMIT, MEM_MAPPED, MEMORY_BASIC_INFORMATION, PAGE_READWRITE, VirtualQuery,
    };
    let mut found = Vec::new();
    let mut at = 0usize;
    loop {
        // SAFETY: plain integers and pointers that nobody follows; zeros are fine.
        let mut region: MEMORY_BASIC_INFORMATION = unsafe { std::mem::zeroed() };
        // SAFETY: room for the result; any address may be asked about.
        let told = unsafe { VirtualQuery(at as _, &mut region, size_of_val(&region)) };
        if told == 0 {
            return found;
        }
        let base = region.BaseAddress as usize;
        let ours = region.Type == MEM_MAPPED
            && region.State == MEM_COMMIT
            && region.Protect == PAGE_READWRITE
            && region.RegionSize >= SEGMENT;
        // SAFETY: committed and readable, and this thread alone unmaps nothing.
        if ours && unsafe { std::ptr::read_volatile(base as *const [u8; 8]) } == *b"twinring" {
            found.push(base);
        }
        at = base + region.RegionSize;
    }
}

/// Connects, finds the segment and scribbles, until the connection is over or this process dies of
/// it: the library may unmap the segment under its hands.
pub(crate) fn scribbler(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(CAPACITY).open().unwrap();
    let everywhere: bool = parent.next_as();
    let conn = connected(&link);
    // So that there is something to read, and doorbells to ring.
    let sending = conn.within(Timeout::Now);
    thread::spawn(move || {
        for i in 0.. {
            let _ = sending.send(&labelled(9, i, (i % 500) as usize));
        }
    });
    let mut random = Random::unrepeatable();
    let found = segments();
    if conn.end().is_some() || found.len() != 1 {
        return parent.say(format!("{} segments", found.len()));
    }
    parent.say("scribbling");
    while conn.end().is_none() {
        for _ in 0..100 {
            let value = match random.below(5) {
                0 => 0,
                1 => random.next(),
                2 => random.below(3 * CAPACITY as usize) as u64 & !7,
                // A frame's header.
                3 => random.below(3000) as u64 | 1 << 32 | (random.below(8) as u64) << 40,
                _ => u64::MAX,
            };
            let at = if everywhere {
                random.below(SEGMENT / 8) * 8
            } else {
                // The bytes of the rings: all that is wrong is what the frames say.
                RINGS + random.below(2 * CAPACITY as usize / 8) * 8
            };
            // SAFETY: within the segment, as long as that is mapped; if it is no longer, this
            // process dies, which is what the test expects of it.
            unsafe { AtomicU64::from_ptr((found[0] + at) as *mut u64) }.store(value, Relaxed);
        }
    }
    parent.say("over");
}

/// One link that is attacked, and another that must not notice.
pub(crate) fn two_links(parent: &'static Parent) {
    let place = beside(&parent.place);
    let other = place.builder(parent.side).open().unwrap();
    thread::spawn(move || {
        let conn = connected(&other);
        loop {
            let outcome = conn.recv().and_then(|bytes| conn.send(&bytes.unwrap()));
            if let Err(e) = outcome {
                return parent.say(format!("beside {:?}", e.kind()));
            }
        }
    });
    let attacked = parent
        .builder()
        .ring_capacity(CAPACITY)
        .max_message(MAX_MESSAGE)
        .on_status(|status| parent.say(text(status)))
        .on_error(|e| parent.say(format!("error {:?}", e.kind())))
        .open()
        .unwrap();
    thread::spawn(move || {
        for conn in attacked.connections() {
            thread::scope(|scope| {
                scope.spawn(|| send_on(parent, &conn));
                receive_on(parent, &conn);
            });
            // Whatever it has written there.
            let soon = conn.within(PATIENCE);
            let _ = soon.flush();
            let _ = soon.taken();
            let _ = soon.take_unread().map(Iterator::count);
            let _ = soon.peer_checkpoint();
        }
    });
    loop {
        parent.expect("audit");
        let counts: Vec<String> = count().iter().map(u64::to_string).collect();
        parent.say(format!("audit {}", counts.join(" ")));
    }
}

/// How long a victim's call waits.
const PATIENCE: Duration = Duration::from_millis(20);

fn send_on(parent: &Parent, conn: &Connection) {
    let soon = conn.within(PATIENCE);
    for i in 0.. {
        if conn.end().is_some() {
            return;
        }
        let message = labelled(0, i, Random::new(i).len(300, 20, 10_000));
        // Whatever is wrong, it ends in time.
        let start = Instant::now();
        let _ = soon.send(&message);
        let _ = soon.taken();
        let _ = soon.set_checkpoint(&[7; MAX_CHECKPOINT_LEN]);
        let _ = soon.peer_checkpoint();
        if start.elapsed() > LIMIT / 6 {
            parent.say("wrong: send took its time");
        }
    }
}

fn receive_on(parent: &Parent, conn: &Connection) {
    loop {
        match conn.recv() {
            Ok(Some(bytes)) if bytes.len() as u64 > MAX_MESSAGE => {
                parent.say(format!("wrong: a message of {} bytes", bytes.len()));
            }
            Ok(Some(_)) => {}
            // It may have written that it has finished.
            Ok(None) => return,
            Err(e) => match e.kind() {
                ErrorKind::Ended => return,
                ErrorKind::StreamEnded | ErrorKind::TooLarge => {}
                _ => parent.say(format!("wrong: recv: {e:?}")),
            },
        }
    }
}

/// The place of the link that is not attacked.
fn beside(place: &Place) -> Place {
    Place::at(&format!("{} beside", place.name()), place.directory())
}

fn audit(victim: &mut Child) -> Vec<u64> {
    victim.say("audit");
    let line = victim.wait_for_line(|line| {
        fine(line);
        line.starts_with("audit ")
    });
    let counts = line["audit ".len()..].split(' ');
    counts.map(|n| n.parse().unwrap()).collect()
}

/// Whether a victim may say so.
fn fine(line: &str) {
    let wrong = line.starts_with("wrong") || line.starts_with("beside") || line == "closed";
    assert!(!wrong, "the victim says {line:?}");
}

/// Memory that a victim may have more than before: a few messages of the largest size on their way.
const MORE: u64 = 16 << 20;

fn scribbled_over(victims: Side, everywhere: bool) {
    let place = Place::new();
    let mut victim = place.start("two_links", victims);
    let honest = beside(&place).builder(victims.opposite()).open().unwrap();
    let beside = connected(&honest).within(LIMIT);
    let start = Instant::now();
    let (mut attacks, mut ended, mut died, mut caught) = (0u32, 0u32, 0u32, 0u32);
    let mut before = Vec::new();
    let done = AtomicU64::new(0);
    let exchanged = thread::scope(|scope| {
        let exchange = scope.spawn(|| {
            let mut i = 0;
            // As often as must be, however little the machine gets done meanwhile.
            while done.load(Relaxed) == 0 || i <= 10 {
                let message = labelled(1, i, Random::new(i).len(500, 50, 3_000_000));
                beside.send(&message).unwrap();
                assert_eq!(read_label(&beside.recv().unwrap().unwrap()), Ok((1, i)));
                i += 1;
            }
            i
        });
        // A process takes a while to start on some systems, and it may be sent away before it has
        // written anything that is wrong.
        while start.elapsed() < attack() || attacks <= 5 || (caught == 0 && attacks < 100) {
            assert!(!exchange.is_finished(), "the other link has suffered");
            let mut scribbler = place.start("scribbler", victims.opposite());
            scribbler.say(everywhere);
            // It may not find the victim free at once, but it is never kept out.
            if scribbler.next_line() == "scribbling" {
                attacks += 1;
                let limit = Instant::now() + Duration::from_millis(300);
                loop {
                    let said = scribbler.lines_so_far();
                    if said.iter().any(|line| line == "over") {
                        ended += 1;
                        break;
                    }
                    if scribbler.has_ended() {
                        died += 1;
                        break;
                    }
                    // The victim may live with it.
                    if Instant::now() > limit {
                        break;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            }
            scribbler.kill();
            for line in victim.lines_so_far() {
                fine(&line);
                caught += u32::from(line.contains("Fault { by: Peer,"));
            }
            if attacks == 5 {
                before = audit(&mut victim);
            }
        }
        done.store(1, Relaxed);
        exchange.join().unwrap()
    });
    println!(
        "the {victims} was attacked {attacks} times; {ended} scribblers were sent away, {died} \
         died of it, {caught} times it said what was wrong; {exchanged} messages on the other link meanwhile"
    );
    assert!(caught > 0 && exchanged > 10);
    assert_eq!(beside.end(), None);

    until("what the attacked link took is given back", || {
        let now = audit(&mut victim);
        let fine = now
            .iter()
            .zip(&before)
            .enumerate()
            .all(|(i, (now, before))| {
                let more = if i == 3 { MORE } else { 0 };
                now <= &(before + more)
            });
        if !fine {
            println!("{before:?} before, {now:?} now");
        }
        fine
    });
    // And it takes an honest peer again.
    let peer = place
        .builder(victims.opposite())
        .ring_capacity(CAPACITY)
        .open()
        .unwrap();
    let conn = connected(&peer).within(LIMIT);
    let mut got = 0;
    while got < 100 {
        match conn.recv() {
            Ok(bytes) => assert_eq!(read_label(&bytes.unwrap()).map(|(from, _)| from), Ok(0)),
            // It does not wait for room for long.
            Err(e) => assert_eq!(e.kind(), ErrorKind::StreamEnded, "{e}"),
        }
        got += 1;
    }
    victim.lines_so_far().iter().for_each(|line| fine(line));
}

#[test]
fn a_guest_scribbles_everywhere() {
    let _watchdog = Watchdog::new(180 + attack().as_secs());
    scribbled_over(Side::Host, true);
}

#[test]
fn a_host_scribbles_everywhere() {
    let _watchdog = Watchdog::new(180 + attack().as_secs());
    scribbled_over(Side::Guest, true);
}

#[test]
fn a_guest_scribbles_over_frames() {
    let _watchdog = Watchdog::new(180 + attack().as_secs());
    scribbled_over(Side::Host, false);
}

#[test]
fn a_host_scribbles_over_frames() {
    let _watchdog = Watchdog::new(180 + attack().as_secs());
    scribbled_over(Side::Guest, false);
}
