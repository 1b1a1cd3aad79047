//! A talker, as the test sees it: all that it says is checked, and what it leaves behind.

use std::mem;
use std::time::{Duration, Instant};

use twinring::Status;

use crate::common::{Child, LIMIT, Place, Side, microseconds};
use crate::ledger::{Deeds, Page};
use crate::moment::{How, Moment};

#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    incarnation: u64,
    moment: Moment,
    how: How,
    page: Page,
    at: bool,
    /// The name was not free yet when it came.
    claiming: bool,
    /// It has said that it has closed the link.
    closed: bool,
    /// The connections that it had.
    connections: Vec<Connection>,
    /// The connections that it has seen the end of.
    ends: Vec<End>,
    killed: u64,
}

/// A connection, by what the statuses said.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) pid: u32,
    /// Why it ended, and when that was told.
    pub(crate) end: Option<(String, u64)>,
}

/// What `end ...` says.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) pid: u32,
    /// Of whom messages came, if any did; the first one, and the one after the last.
    pub(crate) incarnation: Option<u64>,
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// When the first message came.
    pub(crate) began: u64,
    /// The first message that it sent itself, the one after the last, and the first that came back.
    pub(crate) base: u64,
    pub(crate) sent: u64,
    pub(crate) unread: u64,
    /// The one before that had been taken in part.
    pub(crate) partial: bool,
    /// How the incoming direction ended, and the connection.
    pub(crate) receiving: String,
    pub(crate) whole: String,
    /// It was not of the peer that was killed then.
    left_over: bool,
}

/// A talker that is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead {
    pub(crate) incarnation: u64,
    pub(crate) pid: u32,
    pub(crate) moment: Moment,
    pub(crate) how: How,
    /// It had closed the link before.
    pub(crate) closed: bool,
    pub(crate) deeds: Deeds,
    /// When it was killed.
    pub(crate) killed: u64,
}

impl Watched {
    pub(crate) fn start(place: &Place, side: Side, incarnation: u64, moment: Moment) -> Watched {
        let how = match moment {
            Moment::Taking => How::Batch,
            _ if incarnation % 2 == 0 => How::Recv,
            _ => How::Batch,
        };
        Watched::start_as(place, side, incarnation, moment, how)
    }

    pub(crate) fn start_as(
        place: &Place,
        side: Side,
        incarnation: u64,
        moment: Moment,
        how: How,
    ) -> Watched {
        // Not in the place's own directory, of which every file is accounted for.
        let page = format!("twinring-page-{}-{incarnation}-{side}", unique(place));
        let page = Page::new(std::env::temp_dir().join(page));
        let mut child = place.start("talker", side);
        child.say(format!(
            "{incarnation} {moment} {how} {}",
            page.path().display()
        ));
        Watched {
            child,
            incarnation,
            moment,
            how,
            page,
            at: false,
            claiming: false,
            closed: false,
            connections: Vec::new(),
            ends: Vec::new(),
            killed: 0,
        }
    }

    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let mut word = || {
            words
                .next()
                .unwrap_or_else(|| panic!("{line:?} is cut off"))
        };
        match word() {
            "at" => self.at = true,
            "claiming" => self.claiming = true,
            "closed" => self.closed = true,
            "end" => {
                let mut number = || word().parse::<u64>().unwrap();
                self.ends.push(End {
                    pid: number() as u32,
                    incarnation: Some(number()).filter(|peer| *peer != u64::MAX),
                    first: number(),
                    next: number(),
                    began: number(),
                    base: number(),
                    sent: number(),
                    unread: number(),
                    partial: number() != 0,
                    receiving: word().to_owned(),
                    whole: word().to_owned(),
                    left_over: false,
                });
            }
            "status" => self.note_status(word(), &line["status ".len()..]),
            _ => panic!("talker {} ({}) says: {line}", self.incarnation, self.moment),
        }
    }

    /// A connection follows the end of the one before.
    fn note_status(&mut self, status: &str, line: &str) {
        let open = self
            .connections
            .last()
            .is_some_and(|last| last.end.is_none());
        let words: Vec<&str> = line.split(' ').collect();
        match status {
            "waiting" => assert!(!open, "waiting while connected"),
            "connected" => {
                assert!(!open, "{line} while {:?} lasts", self.connections.last());
                let pid = words[1].parse().unwrap();
                self.connections.push(Connection { pid, end: None });
            }
            "disconnected" => {
                assert!(open, "{line} while there is no connection");
                let end = (words[1].to_owned(), words[2].parse().unwrap());
                self.connections.last_mut().unwrap().end = Some(end);
            }
            _ if line == Status::Closed.to_string() => {
                assert!(self.moment.may_say_goodbye(), "{line}");
            }
            _ => panic!("talker {} says that it is {line}", self.incarnation),
        }
    }

    fn take_line(&mut self) {
        let line = self.child.next_line();
        self.note(&line);
    }

    pub(crate) fn moment(&self) -> Moment {
        self.moment
    }

    /// Waits for its moment; the killer chooses the random ones.
    pub(crate) fn come_to_its_moment(&mut self) {
        while !self.at && self.moment != Moment::Any {
            self.take_line();
        }
    }

    /// As [`come_to_its_moment`](Watched::come_to_its_moment), with an eye on the other side, on
    /// which it depends.
    pub(crate) fn come_to_its_moment_beside(&mut self, other: &mut Watched) {
        let start = Instant::now();
        while !self.at && self.moment != Moment::Any {
            self.take_all_lines();
            other.take_all_lines();
            std::thread::sleep(Duration::from_micros(100));
            assert!(start.elapsed() < LIMIT, "{self:?} waits beside {other:?}");
        }
    }

    fn take_all_lines(&mut self) {
        for line in self.child.lines_so_far() {
            self.note(&line);
        }
    }

    /// Begins to kill it.
    pub(crate) fn kill_now(&mut self) {
        self.killed = microseconds();
        self.child.kill_now();
    }

    /// Kills it, if that has not begun; what it has done in its life.
    pub(crate) fn bury(mut self) -> (Dead, Vec<End>) {
        if self.killed == 0 {
            self.killed = microseconds();
        }
        for line in self.child.kill() {
            self.note(&line);
        }
        let dead = Dead {
            incarnation: self.incarnation,
            pid: self.child.pid(),
            moment: self.moment,
            how: self.how,
            closed: self.closed,
            deeds: self.page.read().unwrap(),
            killed: self.killed,
        };
        (dead, self.ends)
    }

    /// How many connections it has told of.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Waits until this one has told the end of another, which it met only after so many
    /// connections, if at all.
    pub(crate) fn outlive(&mut self, dead: &Dead, since: usize) -> Option<&Connection> {
        // If it knows of the connection, so does this one.
        let talked = dead.deeds.sent > 0 || dead.deeds.next > 0;
        while talked && !self.ends.iter().any(|end| end.is_of(dead)) {
            self.take_line();
        }
        let knew = |c: &Connection| c.pid == dead.pid;
        while self.connections[since..]
            .last()
            .is_some_and(|c| knew(c) && c.end.is_none())
        {
            self.take_line();
        }
        self.take_all_lines();
        self.connections[since..]
            .iter()
            .rfind(|c| knew(c) && c.end.is_some())
    }

    /// What it has told of the end of the connection with another.
    pub(crate) fn end_of(&mut self, dead: &Dead) -> Option<End> {
        let at = self.ends.iter().position(|end| end.is_of(dead));
        let end = at.map(|at| self.ends.remove(at));
        self.ends.retain_mut(|other| {
            // The next one may have come and gone already; it is looked at then.
            let next = match other.incarnation {
                Some(incarnation) => incarnation == dead.incarnation + 1,
                None => !mem::replace(&mut other.left_over, true),
            };
            // Of one before, only the message that it was sending is news, and the first that was sent
            // to it.
            assert!(
                next || other.incarnation < Some(dead.incarnation)
                    && [(0, 0), (0, 1)].contains(&(other.first, other.next))
                    && other.unread <= other.base + 1,
                "after {dead:?}: {other:?}"
            );
            next
        });
        end
    }

    /// What it has of the system's things now, at rest.
    pub(crate) fn audit(&mut self) -> Vec<u64> {
        let mut least: Vec<u64> = Vec::new();
        // A handshake or a connection that is just ending holds some for a moment.
        for attempt in 0..4 {
            if attempt > 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
            self.child.say("audit");
            let counts: Vec<u64> = loop {
                let line = self.child.next_line();
                match line.strip_prefix("audit ") {
                    Some(counts) => break counts.split(' ').map(|n| n.parse().unwrap()).collect(),
                    None => self.note(&line),
                }
            };
            match &mut least[..] {
                [] => least = counts,
                least => {
                    for (least, count) in least.iter_mut().zip(counts) {
                        *least = count.min(*least);
                    }
                }
            }
        }
        least
    }
}

impl End {
    fn is_of(&self, dead: &Dead) -> bool {
        match self.incarnation {
            Some(incarnation) => incarnation == dead.incarnation,
            None => self.pid == dead.pid,
        }
    }
}

/// What is unique of a place's name.
fn unique(place: &Place) -> &str {
    place.name().rsplit(' ').next().unwrap()
}
