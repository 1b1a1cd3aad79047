//! The keeper at work. It alone decides that a connection is over.
//!
//! It never waits for a peer, nor for anything but the system, so that one link never holds up
//! another. A handshake does wait for a peer, and to start a thread for it takes as long as all the
//! rest of it. So the keeper's thread shakes hands itself, listening meanwhile for whatever else
//! there may be to do (after the spin for the peer's packet, which is shorter than a thread's start);
//! if there is anything, it hands the desk over to a new thread, which is the keeper from then on,
//! and is left with the handshake alone. (Known as leader and followers: Schmidt, O'Ryan, Kircher,
//! Pyarali, "Leader/Followers", 2000.)

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::core::hand_over;
use super::errand::Errand;
use super::keeper::{Heard, Keeper, Kept, Key, LOOKOUT, Next, Sound};
use crate::error::Error;
use crate::os::event::{Alarm, Deadline, Sleeper, Source, wait};

/// After a failure that has no event to wait for.
const RETRY: Duration = Duration::from_millis(100);

/// What the keeper has before it. Whichever thread has the desk is the keeper.
pub(super) struct Desk {
    keeper: Arc<Keeper>,
    links: HashMap<u64, Kept>,
    /// When each link that has a deadline is due, and its id: who looks for those that are reads the clock
    /// once, however many there are.
    deadlines: BTreeSet<(Instant, u64)>,
    /// What the hub has reported, until it is attended to.
    keys: Vec<u64>,
}

impl Desk {
    pub(super) fn new(keeper: &Arc<Keeper>) -> Desk {
        Desk {
            keeper: keeper.clone(),
            links: HashMap::new(),
            deadlines: BTreeSet::new(),
            keys: Vec::new(),
        }
    }

    /// Until there are no links any more, or another thread has the desk.
    pub(super) fn run(mut self) {
        loop {
            let mut errands = Vec::new();
            for (id, heard) in self.due() {
                let Some(kept) = self.links.get_mut(&id) else {
                    continue;
                };
                let next = kept.charge.attend(&kept.post, &heard, &mut errands);
                if let Some(due) = kept.due.take() {
                    self.deadlines.remove(&(due, id));
                }
                match next {
                    Next::Until(deadline) => {
                        kept.due = deadline.at();
                        self.deadlines.extend(kept.due.map(|due| (due, id)));
                    }
                    Next::Finished => drop(self.links.remove(&id)),
                }
            }
            if let Some(errand) = errands.pop() {
                errands.into_iter().for_each(Errand::send_out);
                match self.run_errand(errand) {
                    Some(desk) => self = desk,
                    None => return,
                }
                // What came of it is to be attended to.
                continue;
            }
            // Acquire: pairs with the last post's drop; its mail is there.
            if self.links.is_empty() && self.keeper.retired.load(Ordering::Acquire) {
                return;
            }
            if let Err(e) = self.keeper.hub.wait(self.next_due(), &mut self.keys) {
                let failed = format!("cannot wait for events: {e}");
                for (id, kept) in &self.links {
                    kept.finish.0.failed(Error::from_io(
                        "the library's thread",
                        io::Error::new(e.kind(), failed.clone()),
                    ));
                    self.keeper.mail().nudged.insert(*id);
                }
                thread::sleep(RETRY);
            }
        }
    }

    fn next_due(&self) -> Deadline {
        let first = self.deadlines.first();
        first.map_or(Deadline::Never, |(due, _)| Deadline::At(*due))
    }

    /// The links to attend to now, with what was heard of each.
    fn due(&mut self) -> BTreeMap<u64, Heard> {
        let mut due: BTreeMap<u64, Heard> = BTreeMap::new();
        let mail = std::mem::take(&mut *self.keeper.mail());
        self.links.extend(mail.begun);
        for id in mail.nudged {
            due.entry(id).or_default();
        }
        if self.keys.contains(&LOOKOUT) {
            self.keeper.lookout.changed(&mut self.keys);
        }
        for key in self.keys.drain(..).map(Key::decode) {
            let heard = due.entry(key.link).or_default();
            match key.sound {
                Sound::Called => heard.called = true,
                Sound::Place => heard.place = true,
                Sound::HungUp(vigil) => heard.hung_up.push(vigil),
                Sound::Ended => {}
            }
        }
        for (_, id) in self.deadlines.range(..=(Instant::now(), u64::MAX)) {
            due.entry(*id).or_default();
        }
        due
    }

    /// Shakes hands. The desk, unless another thread has it by now.
    fn run_errand(self, errand: Errand) -> Option<Desk> {
        let core = errand.core().clone();
        let clerk = Clerk {
            keeper: self.keeper.clone(),
            due: self.next_due(),
            stop: &core.stop,
            desk: RefCell::new(Some(self)),
        };
        errand.run(&clerk);
        clerk.desk.into_inner()
    }
}

/// If the keeper ends by a fault of ours, nobody waits for it in vain.
impl Drop for Desk {
    fn drop(&mut self) {
        let mail = std::mem::take(&mut *self.keeper.mail());
        drop(mail);
    }
}

/// The keeper's thread while it shakes hands.
struct Clerk<'a> {
    keeper: Arc<Keeper>,
    /// When the desk has to be attended to at the latest.
    due: Deadline,
    /// Tells that the link of the handshake is being closed.
    stop: &'a Alarm,
    /// None once another thread has it.
    desk: RefCell<Option<Desk>>,
}

impl Clerk<'_> {
    /// Whether there is anything to do at the desk, the hub having said so.
    fn is_wanted(&self) -> bool {
        let mut desk = self.desk.borrow_mut();
        desk.as_mut().is_some_and(|desk| {
            let heard = self.keeper.hub.wait(Deadline::Now, &mut desk.keys);
            heard.is_err() || !desk.keys.is_empty() || !self.keeper.mail().is_empty()
        })
    }

    /// Lets another thread have the desk.
    fn leave(&self) -> io::Result<()> {
        let Some(desk) = self.desk.take() else {
            return Ok(());
        };
        hand_over("twinring", desk, Desk::run).map_err(|(desk, e)| {
            self.desk.replace(Some(desk));
            io::Error::other(e)
        })
    }
}

impl Sleeper for Clerk<'_> {
    fn sleep(&self, source: Source<'_>, deadline: Deadline) -> io::Result<()> {
        while self.desk.borrow().is_some() {
            let sources = [self.stop.source(), source, self.keeper.hub.source()];
            match wait(&sources, Deadline::first([deadline, self.due]))? {
                Some(0) => return Err(io::ErrorKind::Interrupted.into()),
                Some(1) => return Ok(()),
                Some(_) if !self.is_wanted() => {}
                Some(_) => self.leave()?,
                None if deadline.passed() => return Err(io::ErrorKind::TimedOut.into()),
                None => self.leave()?,
            }
        }
        self.stop.sleep(source, deadline)
    }

    /// If there is no thread to be had, the others have to wait.
    fn busy(&self) {
        let _ = self.leave();
    }
}
