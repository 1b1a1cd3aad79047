//! A thousand links in one process, or a thousand clients of one name, half of whose peers die at once.
//!
//! The peers are a few children with a hundred guests each. What a link costs is measured and
//! printed, and must not grow when links come and go.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    AUDITED, CRASHED, Child, LIMIT, Log, Parent, Place, Side, Watchdog, amount, connected, count,
    end_text, ended, labelled, peers, raise_limit_of_files, read_label, rounds, until,
};
use twinring::{Connection, Link, Status, Wait};

peers!(many_guests, many_clients, busy_client, waiting);

/// Guests of one child.
const PER_CHILD: usize = 100;
const CAPACITY: u64 = 4096;

/// Both tests count what the whole process has: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many links there are in all.
fn links() -> usize {
    rounds(amount(300, 1000), 200)
}

/// The place of one link of many.
fn place_of(place: &Place, number: usize) -> Place {
    Place::at(&format!("{} {number}", place.name()), place.directory())
}

/// Opens [`PER_CHILD`] guests from a number on, and says when all are connected. Sends back what each
/// gets whenever it is told to.
fn many_guests(parent: &'static Parent) {
    raise_limit_of_files();
    let from: usize = parent.next_as();
    let guests: Vec<Link> = (from..from + PER_CHILD)
        .map(|number| place_of(&parent.place, number).guest().open().unwrap())
        .collect();
    let conns: Vec<Connection> = guests.iter().map(connected).collect();
    parent.say("all are connected");
    loop {
        parent.expect("echo");
        for conn in &conns {
            let conn = conn.within(LIMIT);
            conn.send(&conn.recv().unwrap().unwrap()).unwrap();
        }
    }
}

/// Hosts, and the children that are their guests.
struct Pairs {
    place: Place,
    hosts: Vec<Link>,
    /// Those of the hosts that have a guest.
    conns: Vec<Connection>,
    children: Vec<Child>,
    log: Log,
}

impl Pairs {
    fn open(links: usize) -> Pairs {
        let (place, log) = (Place::new(), Log::new());
        let hosts = (0..links)
            .map(|number| {
                let log = log.clone();
                place_of(&place, number)
                    .host()
                    .ring_capacity(CAPACITY)
                    .wait(Wait::Sleep)
                    .on_status(move |status| {
                        if let Status::Disconnected(_, end) = status {
                            log.push(format!("{number} {}", end_text(end)));
                        }
                    })
                    .open()
                    .unwrap()
            })
            .collect();
        let mut pairs = Pairs {
            place,
            hosts,
            conns: Vec::new(),
            children: Vec::new(),
            log,
        };
        pairs.fill();
        pairs
    }

    /// Starts the children that are missing.
    fn fill(&mut self) {
        let first = self.children.len();
        for number in first..self.hosts.len() / PER_CHILD {
            let mut child = self.place.start("many_guests", Side::Guest);
            child.say(number * PER_CHILD);
            self.children.push(child);
        }
        for child in &mut self.children[first..] {
            child.expect("all are connected");
        }
        let missing = &self.hosts[self.conns.len()..];
        self.conns.extend(missing.iter().map(connected));
    }

    /// One message to and fro on each link that still has its child, all under way at once.
    fn exchange(&mut self) {
        for child in &mut self.children {
            child.say("echo");
        }
        let alive = &self.conns[..self.children.len() * PER_CHILD];
        for (number, conn) in alive.iter().enumerate() {
            let message = labelled(number as u64, 0, number % 2000);
            conn.within(LIMIT).send(&message).unwrap();
        }
        for (number, conn) in alive.iter().enumerate() {
            let bytes = conn.within(LIMIT).recv().unwrap();
            assert_eq!(read_label(&bytes.unwrap()), Ok((number as u64, 0)));
        }
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        // All of them first, so that one does not end after the other.
        self.children.iter_mut().for_each(Child::kill_now);
    }
}

fn print_counts(what: &str, counts: &[u64], links: usize) {
    for (kind, count) in AUDITED.iter().zip(counts) {
        let each = *count as f64 / links as f64;
        println!("{what}: {count} {kind}, {each:.2} for each link");
    }
}

#[test]
fn a_thousand_links_and_half_their_peers_killed_at_once() {
    let _alone = alone();
    let _watchdog = Watchdog::new(600);
    raise_limit_of_files();
    let links = links();
    // What the first links load and start stays; what the later ones take must be given back.
    Pairs::open(PER_CHILD).exchange();
    let without = settled();
    let start = Instant::now();
    let mut pairs = Pairs::open(links);
    println!("{links} links after {:?}", start.elapsed());
    pairs.exchange();
    let mut before: Vec<u64> = Vec::new();
    for round in 0..3 {
        let now = settled();
        let taken: Vec<u64> = now
            .iter()
            .zip(&without)
            .map(|(now, without)| now.saturating_sub(*without))
            .collect();
        print_counts(&format!("round {round}"), &taken, links);
        match round {
            0 => {}
            // Once warm, nothing grows with the peers that were lost.
            1 => before = now,
            // Not at once: a thread that gives something back may have to wait for a processor.
            _ => until(&format!("no more than before, {before:?}"), || {
                let now = settled();
                AUDITED.iter().enumerate().all(|(i, kind)| {
                    let slack = match *kind {
                        "bytes of memory" => 4 << 20,
                        // The system's pool of threads has more or fewer, by how busy the machine was.
                        "handles" => 16,
                        _ => 0,
                    };
                    now[i] <= before[i] + slack
                })
            }),
        }

        let dead = pairs.children.len() / 2 * PER_CHILD;
        let mut doomed = pairs
            .children
            .split_off(pairs.children.len() - dead / PER_CHILD);
        let told = pairs.log.lines().len();
        let start = Instant::now();
        doomed.iter_mut().for_each(Child::kill_now);
        // The others do not notice.
        pairs.exchange();
        let lines = pairs.log.wait_for(told + dead);
        println!("{dead} peers killed, all told after {:?}", start.elapsed());
        let mut lines: Vec<&str> = lines[told..].iter().map(String::as_str).collect();
        lines.sort_unstable();
        let mut expected: Vec<String> = (links - dead..links)
            .map(|number| format!("{number} {CRASHED}"))
            .collect();
        expected.sort_unstable();
        assert_eq!(lines, expected, "each once, and for what it was");
        for conn in pairs.conns.drain(links - dead..) {
            assert_eq!(ended(conn.recv()), CRASHED);
        }
        for conn in &pairs.conns {
            assert_eq!(conn.end(), None);
        }
        pairs.exchange();

        let start = Instant::now();
        pairs.fill();
        println!("{dead} peers again after {:?}", start.elapsed());
        pairs.exchange();
    }
    let start = Instant::now();
    pairs.hosts.iter().for_each(|host| host.close(0, ""));
    println!("{links} links closed after {:?}", start.elapsed());
    // The children too, which cost this process pipes and threads.
    drop(pairs);
    // All but memory, which allocators keep. Not at once: Windows keeps the threads of its pool for a
    // while.
    until(&format!("no more than before, {without:?}"), || {
        let now = settled();
        now.iter()
            .zip(&without)
            .take(3)
            .all(|(now, before)| now <= before)
    });
}

/// What this process has, once no handshake or callback is under way.
fn settled() -> Vec<u64> {
    let mut last = count();
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = count();
        if now.iter().zip(&last).take(3).all(|(now, last)| now == last) {
            return now;
        }
        last = now;
    }
}

/// One thread waits for all links of a process.
#[cfg(target_os = "linux")]
#[test]
fn threads_do_not_grow_with_links() {
    let _alone = alone();
    let _watchdog = Watchdog::new(300);
    raise_limit_of_files();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let place = Place::new();
    let open = |number| {
        place_of(&place, number)
            .host()
            .ring_capacity(CAPACITY)
            .open()
            .unwrap()
    };
    let mut hosts: Vec<Link> = (0..PER_CHILD).map(open).collect();
    let mut child = place.start("many_guests", Side::Guest);
    child.say(0);
    child.expect("all are connected");
    settled();
    let (few, some) = (threads(), hosts.len());
    hosts.extend((PER_CHILD..2 * PER_CHILD).map(open));
    let mut other = place.start("many_guests", Side::Guest);
    other.say(PER_CHILD);
    other.expect("all are connected");
    // One more listens to the other child.
    until(&format!("no more than {few} threads and one"), || {
        threads() <= few + 1
    });
    println!(
        "{few} threads with {some} links, {} with {}",
        threads(),
        hosts.len()
    );
}

/// Opens as many guests as it is told to, whose hosts never come, and says what processor time they take in
/// two seconds, in nanoseconds.
fn waiting(parent: &'static Parent) {
    raise_limit_of_files();
    let many: usize = parent.next_as();
    let open = |number| {
        // So that they do not look all at once.
        thread::sleep(Duration::from_millis(1));
        place_of(&parent.place, number).guest().open().unwrap()
    };
    let guests: Vec<Link> = (0..many).map(open).collect();
    // Until each looks for its host once a second, and no more often.
    thread::sleep(Duration::from_secs(3));
    let before = processor_time();
    thread::sleep(Duration::from_secs(2));
    parent.say(processor_time() - before);
    drop(guests);
}

#[cfg(target_os = "linux")]
fn processor_time() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(target_os = "linux"))]
fn processor_time() -> u64 {
    unreachable!("nobody starts this")
}

/// What a link that waits takes does not grow with the number of the others.
#[cfg(target_os = "linux")]
#[test]
fn ten_times_as_many_waiting_guests_take_ten_times_as_much() {
    if !common::is_long() {
        return eprintln!("left out of the short form: it takes 11 seconds");
    }
    let _alone = alone();
    let _watchdog = Watchdog::new(300);
    let [few, many] = [100, 1000].map(|guests| {
        let place = Place::new();
        let mut child = place.start("waiting", Side::Guest);
        child.say(guests);
        let time: u64 = child.next_line().parse().unwrap();
        println!("{guests} waiting guests: {time} ns in 2 s");
        time
    });
    // With a look at all links at each deadline it is 22 times as much.
    assert!(many < 16 * few, "{many} ns for ten times what takes {few}");
}

/// As [`many_guests`], all of them clients of one name.
fn many_clients(parent: &'static Parent) {
    raise_limit_of_files();
    let links: Vec<Link> = (0..PER_CHILD)
        .map(|_| parent.builder().open().unwrap())
        .collect();
    let conns: Vec<Connection> = links.iter().map(connected).collect();
    parent.say("all are connected");
    parent.expect("echo");
    for conn in &conns {
        let conn = conn.within(LIMIT);
        conn.send(&conn.recv().unwrap().unwrap()).unwrap();
    }
    parent.wait_for_the_end();
}

#[test]
fn a_thousand_clients_of_one_name() {
    let (_watchdog, _alone) = (Watchdog::new(120), alone());
    raise_limit_of_files();
    let place = Place::new();
    let listener = place.host().listen().unwrap();
    let before = count();
    let start = Instant::now();
    let mut children: Vec<Child> = (0..links() / PER_CHILD)
        .map(|_| place.start("many_clients", Side::Guest))
        .collect();
    let accept = || listener.within(LIMIT).accept().expect("a client comes");
    let conns: Vec<Connection> = (0..links()).map(|_| accept()).collect();
    println!("{} clients within {:.1?}", links(), start.elapsed());
    for child in &mut children {
        child.expect("all are connected");
    }
    for (i, (before, after)) in before.iter().zip(count()).enumerate() {
        let each = after.saturating_sub(*before) as f64 / links() as f64;
        println!("{each:.2} {} for each", AUDITED[i]);
        if cfg!(target_os = "linux") && AUDITED[i] == "descriptors" {
            assert!(each < 6.1, "{each} descriptors for each");
        }
    }
    for child in &mut children {
        child.say("echo");
    }
    for (number, conn) in conns.iter().enumerate() {
        let message = labelled(number as u64, 0, number % 500);
        conn.within(LIMIT).send(&message).unwrap();
    }
    for (number, conn) in conns.iter().enumerate() {
        let echo = conn.within(LIMIT).recv().unwrap().unwrap();
        assert_eq!(echo, labelled(number as u64, 0, number % 500));
    }
    let (dead, alive) = children.split_at_mut(links() / PER_CHILD / 2);
    for child in dead.iter_mut() {
        child.kill_now();
    }
    let is_dead = |conn: &&Connection| dead.iter().any(|child| child.pid() == conn.peer().pid);
    for conn in conns.iter().filter(is_dead) {
        assert_eq!(ended(conn.within(LIMIT).recv()), CRASHED);
    }
    until("the others are there", || {
        listener.clients().len() == alive.len() * PER_CHILD
    });
}

/// Connects again and again, and sends, until it is killed.
fn busy_client(parent: &'static Parent) {
    loop {
        let link = parent.builder().open().unwrap();
        let conn = connected(&link);
        for number in 0..50 {
            if conn.send(&labelled(0, number, 300)).is_err() {
                break;
            }
        }
    }
}

/// Clients are killed at any moment, also within their handshakes: a server keeps nothing of them.
#[test]
fn clients_that_are_killed_leave_nothing_at_their_server() {
    let (_watchdog, _alone) = (Watchdog::new(240), alone());
    let place = Place::new();
    let listener = place.host().listen().unwrap();
    let server = {
        let listener = listener.clone();
        thread::spawn(move || {
            let wrong = Arc::new(AtomicBool::new(false));
            let notes = wrong.clone();
            let served = listener.serve(move |_conn| {
                let (mut next, wrong) = (0, notes.clone());
                move |bytes: &[u8]| {
                    if read_label(bytes) != Ok((0, next)) {
                        wrong.store(true, Relaxed);
                    }
                    next += 1;
                }
            });
            served.unwrap();
            wrong.load(Relaxed)
        })
    };
    let mut random = common::Random::unrepeatable();
    let mut kill_some = |count: usize| {
        for _ in 0..count {
            let mut children: Vec<Child> = (0..3)
                .map(|_| place.start("busy_client", Side::Guest))
                .collect();
            // Mostly when they have connected some times.
            let most = if common::is_wine() { 400_000 } else { 20_000 };
            thread::sleep(Duration::from_micros(random.below(most) as u64));
            for child in &mut children {
                child.kill_now();
            }
        }
        until("all have gone", || listener.clients().is_empty());
    };
    // What is made once and kept.
    kill_some(2);
    let before = count();
    kill_some(rounds(amount(15, 150), 5));
    let mut after = count();
    // The driver may be about to end the last handshakes.
    until("all is given back", || {
        after = count();
        let grown = |i: usize| after[i] > before[i] + 3 && AUDITED[i] != "bytes of memory";
        !(0..after.len()).any(grown)
    });
    println!("before {before:?}, after {after:?}");
    listener.close(0, "");
    assert!(!server.join().unwrap(), "a message was lost or came twice");
}
