//! Who is killed, and who lives on: a process that sends and receives without end, to and from one
//! peer after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twinring::{By, Connection, End, ErrorKind, Link, Status, Timeout};

use crate::common::{Parent, Random, count, labelled, microseconds, read_label};
use crate::ledger::{Ledger, Word};
use crate::moment::{How, Moment};

pub(crate) const CAPACITY: usize = 4096;
/// Messages of up to so many bytes.
const MOST: usize = 4 * CAPACITY;

/// Bits of a message's sender: what it asks of the other side for as long as it lives.
const READ_NO_MORE: u64 = 1 << 62;
const SEND_NO_MORE: u64 = 1 << 61;
const ASKS: u64 = READ_NO_MORE | SEND_NO_MORE;

/// A pause of one who has been asked to stand still.
const PAUSE: Duration = Duration::from_micros(300);

/// How long `close` waits for another thread.
const CLOSE_WAITS: Duration = Duration::from_millis(20);

/// What a talker says when it closes its link.
const CODE: u32 = 7;
const REASON: &str = "closing";

struct Talker {
    parent: &'static Parent,
    /// A number that no other talker on this link has.
    incarnation: u64,
    moment: Moment,
    how: How,
    ledger: Ledger,
    link: Link,
}

/// Is told `INCARNATION MOMENT HOW LEDGER`. Says:
/// `at` when it comes to its moment; `claiming` when the name is not free yet; `closed` when it has
/// closed the link;
/// `status ...` when that changes; `end ...` when a connection has ended;
/// `wrong ...` if something is.
pub(crate) fn talker(parent: &'static Parent) {
    let told = parent.next_line();
    let mut words = told.splitn(4, ' ');
    let mut word = || words.next().unwrap();
    let incarnation = word().parse().unwrap();
    let moment = word().parse().unwrap();
    let how = word().parse().unwrap();
    let ledger = Ledger::open(word());
    if moment == Moment::Opening {
        parent.say("at");
    }
    ledger.put(Word::Opened, microseconds());
    let talker: &Talker = Box::leak(Box::new(Talker {
        parent,
        incarnation,
        moment,
        how,
        ledger,
        link: open(parent),
    }));
    thread::spawn(|| {
        let mut sequence = 0;
        for conn in talker.link.connections() {
            sequence = talker.talk(&conn, sequence);
        }
    });
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
            .on_status(|status| match status {
                Status::Connected(conn) => {
                    parent.say(format!("status connected {}", conn.peer().pid))
                }
                Status::Disconnected(_, end) => parent.say(format!(
                    "status disconnected {} {}",
                    word(end),
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

/// An end in one word.
fn word(end: &End) -> String {
    match end {
        End::Closed {
            by: By::Peer,
            code: CODE,
            reason,
            ..
        } if reason == REASON => "Closed".into(),
        End::Closed {
            by: By::Local,
            code: CODE,
            reason,
            ..
        } if reason == REASON => "ClosedHere".into(),
        other => format!("{other:?}").replace(' ', ""),
    }
}

/// What was received on a connection.
#[derive(Debug, Default)]
struct Seen {
    /// Whose messages came, the first, the next one, and when it began.
    from: Option<(u64, u64, u64, u64)>,
    /// How it ended.
    end: String,
}

impl Talker {
    fn wrong(&self, what: String) -> ! {
        self.parent.say(format!("wrong: {what}"));
        loop {
            thread::park();
        }
    }

    /// Sends, from the message of this number on, and receives until the connection has ended. The number
    /// of the first message that was not sent.
    fn talk(&self, conn: &Connection, first: u64) -> u64 {
        let silent = AtomicBool::new(false);
        let (seen, sent) = thread::scope(|scope| {
            let sender = scope.spawn(|| self.send(conn, first, &silent));
            (self.receive(conn, &silent), sender.join().unwrap())
        });
        until_ended(conn);
        let end = conn.end().unwrap();
        if word(&end) == "ClosedHere" {
            // The peer still reads; what is unread is not known before it has done so.
            return sent;
        }
        let taken = conn
            .taken()
            .unwrap_or_else(|e| self.wrong(format!("taken: {e:?}")));
        let unread = conn.take_unread();
        let unread = unread.unwrap_or_else(|e| self.wrong(format!("take_unread: {e:?}")));
        let partial = u64::from(unread.partial());
        let labels: Vec<_> = unread.map(|bytes| read_label(&bytes)).collect();
        // All from some message on, in order, as they were sent.
        let from = sent - labels.len() as u64;
        for (sequence, label) in (from..).zip(&labels) {
            match label {
                Ok((sender, number))
                    if (sender & !ASKS, *number) == (self.incarnation, sequence) => {}
                _ => self.wrong(format!("{labels:?} are unread, of {first}..{sent}")),
            }
        }
        if (taken.messages, taken.waiting) != (from - partial - first, sent - from + partial) {
            self.wrong(format!(
                "{taken:?}, of {first}..{sent} unread from {from} ({partial})"
            ));
        }
        if conn.take_unread().is_ok_and(|again| again.len() > 0) {
            self.wrong("unread twice".to_owned());
        }
        let (peer, came, next, began) = seen.from.unwrap_or((u64::MAX, 0, 0, 0));
        self.parent.say(format!(
            "end {} {peer} {came} {next} {began} {first} {sent} {from} {partial} {} {}",
            conn.peer().pid,
            seen.end,
            word(&end)
        ));
        sent
    }

    /// Sends from this message on, until the connection ends or it is time to be silent. The number of the
    /// first message that was not sent.
    fn send(&self, conn: &Connection, first: u64, silent: &AtomicBool) -> u64 {
        let mut random = Random::new(self.incarnation ^ first);
        // Among the first messages, as many kills are early ones.
        let act_at = random.below(12) as u64;
        if self.moment == Moment::Connected {
            self.parent.say("at");
        }
        for sequence in first.. {
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
                Moment::AsleepFull if sequence == act_at + 1 => return self.fill(conn, sequence),
                Moment::AsleepEmpty if now => asks = SEND_NO_MORE,
                Moment::AsleepEmpty if sequence == act_at + 1 => {
                    // The other side neither.
                    thread::sleep(4 * PAUSE);
                    self.parent.say("at");
                    return sequence;
                }
                Moment::Finished if now => {
                    match conn.finish() {
                        Ok(()) => self.ledger.put(Word::Finished, 1),
                        Err(e) => self.check_ended(conn, "finish", &e),
                    }
                    self.parent.say("at");
                    return sequence;
                }
                Moment::Closing if now => {
                    self.parent.say("at");
                    self.close();
                    return sequence;
                }
                Moment::Closed if now => {
                    self.close();
                    self.parent.say("at");
                    return sequence;
                }
                _ => {}
            }
            let message = labelled(self.incarnation | asks, sequence, len);
            if let Err(e) = conn.send(&message) {
                self.check_ended(conn, "send", &e);
                return sequence;
            }
            self.ledger.put(Word::Sent, sequence + 1);
            if silent.load(Ordering::Relaxed) {
                until_ended(conn);
            }
            // Or the rings would never be empty.
            if random.one_in(20) {
                thread::sleep(Duration::from_micros(random.below(500) as u64));
            }
        }
        unreachable!("there are messages without end")
    }

    /// A call may fail only because the connection has ended, and says how.
    fn check_ended(&self, conn: &Connection, call: &str, e: &twinring::Error) {
        // A sender may see what the peer says before this side has ended it.
        until_ended(conn);
        if e.kind() != ErrorKind::Ended || e.end() != conn.end().as_ref() {
            self.wrong(format!("{call}: {e:?}, on {conn:?}"));
        }
    }

    /// Fills the ring, of which nobody reads, and waits for room in it.
    fn fill(&self, conn: &Connection, from: u64) -> u64 {
        let at_once = conn.within(Timeout::Now);
        let mut full = 0;
        for sequence in from.. {
            let message = labelled(self.incarnation, sequence, 100);
            while full < 2 {
                match at_once.send(&message) {
                    Ok(()) => break,
                    // Perhaps it reads its last messages only now.
                    Err(e) if e.is_timeout() => full += 1,
                    Err(e) => {
                        self.check_ended(conn, "send at once", &e);
                        return sequence;
                    }
                }
                thread::sleep(PAUSE);
            }
            if full == 2 {
                self.parent.say("at");
                // Not labelled: nobody ever gets it.
                let e = conn.send(&[0; MOST]).unwrap_err();
                self.check_ended(conn, "send beside a full ring", &e);
                return sequence;
            }
            self.ledger.put(Word::Sent, sequence + 1);
        }
        unreachable!("a ring is full at some time")
    }

    fn close(&self) {
        let start = Instant::now();
        self.link.close(CODE, REASON);
        // Else it may have left the goodbye to the driver.
        if start.elapsed() < CLOSE_WAITS {
            self.parent.say("closed");
        }
    }

    fn receive(&self, conn: &Connection, silent: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        let end = match self.how {
            How::Recv => loop {
                match conn.recv() {
                    Ok(Some(bytes)) => self.note(conn, silent, &mut seen, &bytes),
                    Ok(None) => break Ok(()),
                    Err(e) => break Err(e),
                }
            },
            How::Batch => loop {
                match conn.recv_batch() {
                    Ok(Some(mut batch)) => {
                        while let Some(bytes) = batch.next_message() {
                            self.note(conn, silent, &mut seen, bytes);
                        }
                        let next = seen.from.map_or(0, |from| from.2);
                        if self.moment == Moment::Taking && next > self.incarnation % 12 {
                            self.parent.say("at");
                        }
                        self.ledger.put(Word::Taking, next);
                        batch.take();
                        self.ledger.put(Word::Taken, next);
                    }
                    Ok(None) => break Ok(()),
                    Err(e) => break Err(e),
                }
            },
        };
        seen.end = match &end {
            Ok(()) => "Finished".to_owned(),
            Err(e) if e.kind() == ErrorKind::Ended => word(e.end().unwrap()),
            Err(e) => self.wrong(format!("recv: {e:?}")),
        };
        seen
    }

    /// A message has come.
    fn note(&self, conn: &Connection, silent: &AtomicBool, seen: &mut Seen, bytes: &[u8]) {
        let (from, sequence) = match read_label(bytes) {
            Ok(label) => label,
            Err(e) => self.wrong(format!("torn: {e}")),
        };
        let (asks, from) = (from & ASKS, from & !ASKS);
        let next = sequence + 1;
        match &mut seen.from {
            None => {
                seen.from = Some((from, sequence, next, microseconds()));
                self.ledger.put(Word::First, sequence);
            }
            Some(known) if (known.0, known.2) == (from, sequence) => known.2 = next,
            Some(other) => self.wrong(format!("{from}:{sequence} after {other:?}")),
        }
        self.ledger.put(Word::Next, next);
        if asks == SEND_NO_MORE {
            silent.store(true, Ordering::Relaxed);
        }
        if asks == READ_NO_MORE {
            until_ended(conn);
        }
    }
}

/// Stands still until the connection has ended.
fn until_ended(conn: &Connection) {
    while conn.end().is_none() {
        thread::sleep(PAUSE);
    }
}
