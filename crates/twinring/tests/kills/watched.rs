//! A talker, as the test sees it: all that it says is checked, and what it leaves behind.

use std::time::{Duration, Instant};

use twinring::Status;

use crate::common::{Child, LIMIT, Place, Side, microseconds};
use crate::ledger::{Deeds, Page};
use crate::moment::Moment;

#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    incarnation: u64,
    moment: Moment,
    page: Page,
    at: bool,
    /// The name was not free yet when it came.
    claiming: bool,
    /// It has said that it has closed the link.
    closed: bool,
    /// The connections that it had, by their generations less 1.
    connections: Vec<Connection>,
    /// The peers that it has outlived and had messages of.
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

/// What `end I F N MICROSECONDS KIND` says.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) incarnation: u64,
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// When the first message came.
    pub(crate) began: u64,
    pub(crate) kind: String,
}

/// A talker that is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead {
    pub(crate) incarnation: u64,
    pub(crate) pid: u32,
    pub(crate) moment: Moment,
    /// It had closed the link before.
    pub(crate) closed: bool,
    pub(crate) deeds: Deeds,
    /// When it was killed.
    pub(crate) killed: u64,
}

impl Watched {
    pub(crate) fn start(place: &Place, side: Side, incarnation: u64, moment: Moment) -> Watched {
        // Not in the place's own directory, of which every file is accounted for.
        let page = format!("twinring-page-{}-{incarnation}-{side}", unique(place));
        let page = Page::new(std::env::temp_dir().join(page));
        let mut child = place.start("talker", side);
        child.say(format!("{incarnation} {moment} {}", page.path().display()));
        Watched {
            child,
            incarnation,
            moment,
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
            "closing" => {}
            "claiming" => self.claiming = true,
            "closed" => self.closed = true,
            "end" => {
                let mut number = || word().parse::<u64>().unwrap();
                self.ends.push(End {
                    incarnation: number(),
                    first: number(),
                    next: number(),
                    began: number(),
                    kind: word().to_owned(),
                });
            }
            "status" => self.note_status(word(), &line["status ".len()..]),
            _ => panic!("talker {} ({}) says: {line}", self.incarnation, self.moment),
        }
    }

    /// A connection follows the end of the one before, and its number is one more.
    fn note_status(&mut self, status: &str, line: &str) {
        let open = self
            .connections
            .last()
            .is_some_and(|last| last.end.is_none());
        let words: Vec<&str> = line.split(' ').collect();
        let generation = || words[1].parse::<usize>().unwrap();
        match status {
            "waiting" => assert!(!open, "waiting while connected"),
            "connected" => {
                assert!(!open, "{line} while {:?} lasts", self.connections.last());
                assert_eq!(generation(), self.connections.len() + 1, "{line}");
                let pid = words[2].parse().unwrap();
                self.connections.push(Connection { pid, end: None });
            }
            "disconnected" => {
                assert!(open, "{line} while there is no connection");
                assert_eq!(generation(), self.connections.len(), "{line}");
                let end = (words[2].to_owned(), words[3].parse().unwrap());
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
            closed: self.closed || self.at && self.moment == Moment::Closed,
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
        let of_it = |end: &End| end.incarnation == dead.incarnation;
        while dead.deeds.sent > 0 && !self.ends.iter().any(of_it) {
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

    /// What it has told of the end of another, if that had sent anything.
    pub(crate) fn end_of(&mut self, dead: &Dead) -> Option<End> {
        let of_it = |end: &End| end.incarnation == dead.incarnation;
        let at = self.ends.iter().position(of_it);
        let end = at.map(|at| self.ends.remove(at));
        for other in &self.ends {
            // The next one may have come and gone already. Of one before, only the message that
            // it was sending is news.
            assert!(
                other.incarnation == dead.incarnation + 1
                    || other.incarnation < dead.incarnation && (other.first, other.next) == (0, 1),
                "after {dead:?}: {other:?}"
            );
        }
        self.ends
            .retain(|other| other.incarnation > dead.incarnation);
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

/// What is unique of a place's name.
fn unique(place: &Place) -> &str {
    place.name().rsplit(' ').next().unwrap()
}
