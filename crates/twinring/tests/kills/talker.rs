//! Who is killed, and who lives on: a process that sends and receives without end, to and from one
//! peer after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use twinring::{ErrorKind, Link, Status};

use crate::common::{Parent, Random, count, labelled, microseconds, read_label};
use crate::ledger::{Ledger, Word};
use crate::moment::Moment;

pub(crate) const CAPACITY: usize = 4096;
/// Messages of up to so many bytes.
const MOST: usize = 4 * CAPACITY;

/// Bits of a message's sender: what it asks of the other side for as long as it lives. Its process
/// number is then in the upper half of the sequence.
const READ_NO_MORE: u64 = 1 << 62;
const SEND_NO_MORE: u64 = 1 << 61;
const ASKS: u64 = READ_NO_MORE | SEND_NO_MORE;
const PID_AT: u32 = 32;

/// A pause of one who has been asked to stand still.
const PAUSE: Duration = Duration::from_micros(300);

struct Talker {
    parent: &'static Parent,
    /// A number that no other talker on this link has.
    incarnation: u64,
    moment: Moment,
    ledger: Ledger,
    link: Link,
    /// The process that has asked for silence.
    silent: AtomicU64,
}

/// Is told `INCARNATION MOMENT LEDGER`. Says:
/// `at` when it comes to its moment; `claiming` when the name is not free yet; `closed` when it has
/// closed the link;
/// `status ...` when that changes; `end ...` when a peer has gone of which it got messages;
/// `wrong ...` if something is.
pub(crate) fn talker(parent: &'static Parent) {
    let told = parent.next_line();
    let mut words = told.splitn(3, ' ');
    let mut word = || words.next().unwrap();
    let incarnation = word().parse().unwrap();
    let moment = word().parse().unwrap();
    let ledger = Ledger::open(word());
    if moment == Moment::Opening {
        parent.say("at");
    }
    ledger.put(Word::Opened, microseconds());
    let talker: &Talker = Box::leak(Box::new(Talker {
        parent,
        incarnation,
        moment,
        ledger,
        link: open(parent),
        silent: AtomicU64::new(0),
    }));
    thread::spawn(|| talker.send());
    thread::spawn(|| talker.receive());
    loop {
        parent.expect("audit");
        let counts: Vec<String> = count().iter().map(u64::to_string).collect();
        parent.say(format!("audit {}", counts.join(" ")));
    }
}

/// A host that was killed just now may hold the name for a moment yet.
fn open(parent: &'static Parent) -> Link {
    let mut claiming = false;
    loop {
        let opened = parent
            .builder()
            .ring_capacity(CAPACITY as u64)
            .on_status(|_, status| match status {
                Status::Connected {
                    generation, peer, ..
                } => parent.say(format!("status connected {generation} {}", peer.pid)),
                Status::Disconnected {
                    generation, reason, ..
                } => parent.say(format!(
                    "status disconnected {generation} {reason:?} {}",
                    microseconds()
                )),
                other => parent.say(format!("status {other}")),
            })
            .open();
        match opened {
            Ok(link) => return link,
            Err(e) if e.kind() == ErrorKind::NameInUse => {
                if !claiming {
                    claiming = true;
                    parent.say("claiming");
                }
                thread::sleep(PAUSE);
            }
            Err(e) => {
                parent.say(format!("wrong: open: {e:?}"));
                parent.wait_for_the_end();
            }
        }
    }
}

impl Talker {
    /// Stands still for as long as this process is the peer.
    fn pause_for(&self, pid: u64) {
        while self
            .link
            .peer()
            .is_some_and(|peer| u64::from(peer.pid) == pid)
        {
            thread::sleep(PAUSE);
        }
    }

    fn connected(&self) {
        let hour = Duration::from_secs(3600);
        if let Err(e) = self.link.wait_connected(hour) {
            self.wrong(format!("wait_connected: {e:?}"));
        }
    }

    fn wrong(&self, what: String) -> ! {
        self.parent.say(format!("wrong: {what}"));
        loop {
            thread::park();
        }
    }

    fn send(&self) {
        let mut random = Random::new(self.incarnation);
        // Among the first messages, as many kills are early ones.
        let act_at = random.below(12) as u64;
        self.connected();
        if self.moment == Moment::Connected {
            self.parent.say("at");
        }
        for sequence in 0.. {
            let mut len = random.len(300, 10, MOST);
            let mut asks = 0;
            let now = sequence == act_at;
            match self.moment {
                Moment::Talking if sequence == 1 => self.parent.say("at"),
                Moment::Sending if now => self.parent.say("at"),
                Moment::SendingLarge if now => {
                    len = MOST;
                    self.parent.say("at");
                }
                Moment::AsleepFull if now => asks = READ_NO_MORE,
                Moment::AsleepFull if sequence == act_at + 1 => return self.fill(sequence),
                Moment::AsleepEmpty if now => asks = SEND_NO_MORE,
                Moment::AsleepEmpty if sequence == act_at + 1 => return self.fall_silent(),
                Moment::Closing if now => return self.close("at", "closed"),
                Moment::Closed if now => return self.close("closing", "at"),
                _ => {}
            }
            let label = match asks {
                0 => sequence,
                _ => sequence | u64::from(std::process::id()) << PID_AT,
            };
            let message = labelled(self.incarnation | asks, label, len);
            while let Err(e) = self.link.send(&message) {
                if !e.is_disconnect() || e.kind() == ErrorKind::Protocol {
                    self.wrong(format!("send: {e:?}"));
                }
                self.connected();
            }
            self.ledger.put(Word::Sent, sequence + 1);
            self.pause_for(self.silent.load(Ordering::Relaxed));
            // Or the rings would never be empty.
            if random.one_in(20) {
                thread::sleep(Duration::from_micros(random.below(500) as u64));
            }
        }
    }

    /// Fills the ring, of which nobody reads, and waits for room in it.
    fn fill(&self, from: u64) {
        let mut full = 0;
        for sequence in from.. {
            let message = labelled(self.incarnation, sequence, 100);
            while full < 2 {
                match self.link.try_send(&message) {
                    Ok(()) => break,
                    // Perhaps it reads its last messages only now.
                    Err(e) if e.kind() == ErrorKind::Full => full += 1,
                    Err(e) => self.wrong(format!("try_send: {e:?}")),
                }
                thread::sleep(PAUSE);
            }
            if full == 2 {
                self.parent.say("at");
                // Not labelled: nobody ever gets it.
                let e = self.link.send(&[0; MOST]).unwrap_err();
                self.wrong(format!("send beside a full ring: {e:?}"));
            }
            self.ledger.put(Word::Sent, sequence + 1);
        }
    }

    /// Sends nothing more; the other side neither.
    fn fall_silent(&self) {
        thread::sleep(4 * PAUSE);
        self.parent.say("at");
    }

    fn close(&self, before: &str, after: &str) {
        self.parent.say(before);
        self.link.close();
        self.parent.say(after);
    }

    fn receive(&self) {
        // Whose messages come on this connection, the first, the next one, and when it began.
        let mut seen: Option<(u64, u64, u64, u64)> = None;
        loop {
            let e = match self.link.recv() {
                Ok(bytes) => {
                    let (from, sequence) = match read_label(&bytes) {
                        Ok(label) => label,
                        Err(e) => self.wrong(format!("torn: {e}")),
                    };
                    let (asks, from) = (from & ASKS, from & !ASKS);
                    let (pid, sequence) = match asks {
                        0 => (0, sequence),
                        _ => (sequence >> PID_AT, sequence & ((1 << PID_AT) - 1)),
                    };
                    let next = sequence + 1;
                    match &mut seen {
                        None => {
                            seen = Some((from, sequence, next, microseconds()));
                            self.ledger.put(Word::First, sequence);
                        }
                        Some(known) if (known.0, known.2) == (from, sequence) => {
                            known.2 = next;
                        }
                        Some(other) => self.wrong(format!("{from}:{sequence} after {other:?}")),
                    }
                    self.ledger.put(Word::Next, next);
                    if asks == SEND_NO_MORE {
                        self.silent.store(pid, Ordering::Relaxed);
                    }
                    if asks == READ_NO_MORE {
                        self.pause_for(pid);
                    }
                    continue;
                }
                Err(e) => e,
            };
            match e.kind() {
                ErrorKind::PeerGone | ErrorKind::Closed => {
                    if let Some((from, first, next, began)) = seen.take() {
                        self.parent
                            .say(format!("end {from} {first} {next} {began} {:?}", e.kind()));
                    }
                }
                ErrorKind::ClosedHere if self.moment.may_say_goodbye() => return,
                _ => self.wrong(format!("recv: {e:?}")),
            }
        }
    }
}
