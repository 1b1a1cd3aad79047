//! The way to the keeper: the thread that owns the lives of all links of this process, finds their
//! peers, notices their ends, tells everyone. What it does is in [`desk`](super::desk).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::core::{Core, spawn};
use super::desk::Desk;
use super::errand::Errand;
use super::guest::Guest;
use super::host::Host;
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Lookout;
use crate::os::event::{Deadline, Hub, MOST_KEYS, Source, Watched};
use crate::os::process::{count_forks, forks};

/// What the keeper heard of one link since it last attended to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// A guest calls.
    pub(super) called: bool,
    /// Something happened at the link's place.
    pub(super) place: bool,
    /// The peers of these vigils hung up.
    pub(super) hung_up: Vec<u32>,
}

/// What can be heard of a link. What is heard of an earlier peer must not be taken for the present
/// one's, so each vigil has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Called,
    Place,
    HungUp(u32),
    /// Only calls the keeper: whether the peer's process has ended is asked of the kernel.
    Ended,
}

/// What a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) link: u64,
    pub(super) sound: Sound,
}

impl Key {
    /// The link in the upper half, then the number of the vigil, then the sound in 2 bits.
    fn encode(self) -> u64 {
        let (vigil, sound) = match self.sound {
            Sound::Called => (0, 0),
            Sound::Place => (0, 1),
            Sound::HungUp(vigil) => (vigil & VIGILS, 2),
            Sound::Ended => (0, 3),
        };
        self.link << 32 | u64::from(vigil) << 2 | sound
    }

    pub(super) fn decode(key: u64) -> Key {
        let sound = match key & 3 {
            0 => Sound::Called,
            1 => Sound::Place,
            2 => Sound::HungUp((key as u32) >> 2),
            _ => Sound::Ended,
        };
        let link = key >> 32;
        Key { link, sound }
    }
}

/// Numbers of vigils begin again after this one.
pub(super) const VIGILS: u32 = u32::MAX >> 2;

/// Links of one keeper have ids from 1, below this.
const MOST_LINKS: u64 = MOST_KEYS >> 32;

/// What is to be done next for a link.
pub(super) enum Next {
    /// Attend to it when something is heard of it, at the latest then.
    Until(Deadline),
    /// It is closed.
    Finished,
}

/// A link's part of the keeper's work.
pub(super) enum Charge {
    Host(Host),
    Guest(Guest),
}

impl Charge {
    pub(super) fn attend(&mut self, post: &Post, heard: &Heard, errands: &mut Vec<Errand>) -> Next {
        match self {
            Charge::Host(host) => host.attend(post, heard, errands),
            Charge::Guest(guest) => guest.attend(post, heard, errands),
        }
    }
}

/// A charge on the keeper's books. In this order, so that the name is free when `close` returns.
pub(super) struct Kept {
    pub(super) charge: Charge,
    pub(super) finish: Finish,
    /// When to attend to it at the latest.
    pub(super) due: Option<Instant>,
    pub(super) post: Post,
}

/// Tells that a link is closed, also if it was a fault of ours that ended it: `close` waits.
pub(super) struct Finish(pub(super) Arc<Core>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finished();
    }
}

pub(super) struct Keeper {
    pub(super) hub: Hub,
    pub(super) lookout: Lookout,
    /// Whether there is a thread at the desk. There is no mail before that.
    staffed: Mutex<bool>,
    mail: Mutex<Mail>,
    ids: AtomicU64,
    /// How many posts there are. Changed only while the slot is locked.
    posts: AtomicU64,
    /// There are no posts any more, nor will be.
    pub(super) retired: AtomicBool,
}

/// What other threads have for the keeper.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) begun: Vec<(u64, Kept)>,
    pub(super) nudged: BTreeSet<u64>,
}

impl Mail {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.nudged.is_empty()
    }
}

/// The lookout's key: no link has the id 0.
pub(super) const LOOKOUT: u64 = 0;

/// How many forks deep a process still has a keeper to itself.
const SLOTS: usize = 64;

/// Where the process's keeper is, while it has links. A forked child takes the next slot: in the
/// one of its parent is a keeper without a thread, and maybe a lock that nobody will open.
fn slot() -> MutexGuard<'static, Option<Arc<Keeper>>> {
    static KEEPERS: [Mutex<Option<Arc<Keeper>>>; SLOTS] = [const { Mutex::new(None) }; SLOTS];
    let slot = &KEEPERS[(forks() as usize).min(SLOTS - 1)];
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link's place with the keeper; the keeper stays for as long as there are any.
pub(super) struct Post {
    keeper: Arc<Keeper>,
    id: u64,
}

impl Post {
    /// Makes a post, and the keeper if there is none, but not its thread.
    pub(super) fn new() -> Result<Post> {
        count_forks();
        let mut slot = slot();
        let keeper = match &*slot {
            Some(keeper) => keeper.clone(),
            None => slot.insert(Keeper::new()?).clone(),
        };
        let id = keeper.ids.fetch_add(1, Ordering::Relaxed);
        if id >= MOST_LINKS {
            return Err(Error::new(
                ErrorKind::Os,
                "this process has opened too many links; close them all to begin anew",
            ));
        }
        keeper.posts.fetch_add(1, Ordering::Relaxed);
        Ok(Post { keeper, id })
    }

    /// Starts the keeper's thread, unless there is one.
    pub(super) fn staff(&self) -> Result<()> {
        self.keeper.staff()
    }

    /// The way to call the keeper to this link.
    pub(super) fn bell(&self) -> KeeperBell {
        KeeperBell {
            keeper: Arc::downgrade(&self.keeper),
            id: self.id,
        }
    }

    /// Lets the keeper hear when a source is ready, once.
    pub(super) fn listen<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        sound: Sound,
    ) -> Result<Watched<T>> {
        self.keeper
            .hub
            .watch(owner, source, self.key(sound))
            .map_err(|e| Error::from_io("cannot wait for an event", e))
    }

    pub(super) fn key(&self, sound: Sound) -> u64 {
        let link = self.id;
        Key { link, sound }.encode()
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.keeper.hub
    }

    pub(super) fn lookout(&self) -> &Lookout {
        &self.keeper.lookout
    }

    /// Hands the link over to the keeper, whose thread begins with the first one. Without a thread
    /// the link is closed.
    pub(super) fn begin(self, core: Arc<Core>, charge: Charge) -> Result<()> {
        let keeper = self.keeper.clone();
        let id = self.id;
        let mut kept = Kept {
            charge,
            finish: Finish(core.clone()),
            due: None,
            post: self,
        };
        if let Err(e) = keeper.staff() {
            core.begin_to_close();
            // It says goodbye, if there is a peer already.
            kept.charge
                .attend(&kept.post, &Heard::default(), &mut Vec::new());
            return Err(e);
        }
        let mut mail = keeper.mail();
        mail.begun.push((id, kept));
        mail.nudged.insert(id);
        drop(mail);
        keeper.hub.wake();
        Ok(())
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let mut slot = slot();
        if self.keeper.posts.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The next link gets another keeper.
            if slot.as_ref().is_some_and(|k| Arc::ptr_eq(k, &self.keeper)) {
                *slot = None;
            }
            self.keeper.retired.store(true, Ordering::Release);
            self.keeper.hub.wake();
        }
    }
}

/// Calls the keeper to a link. Does nothing once the link is closed.
#[derive(Clone)]
pub(crate) struct KeeperBell {
    /// A closed link must not hold on to what the keeper has of the system's.
    keeper: Weak<Keeper>,
    id: u64,
}

impl KeeperBell {
    pub(crate) fn ring(&self) {
        if let Some(keeper) = self.keeper.upgrade()
            && keeper.mail().nudged.insert(self.id)
        {
            keeper.hub.wake();
        }
    }
}

impl std::fmt::Debug for KeeperBell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeeperBell").finish_non_exhaustive()
    }
}

impl Keeper {
    fn new() -> Result<Arc<Keeper>> {
        let failed = |e| Error::from_io("cannot make what the library's thread needs", e);
        let hub = Hub::new().map_err(failed)?;
        let lookout = Lookout::new(&hub, LOOKOUT).map_err(failed)?;
        Ok(Arc::new(Keeper {
            hub,
            lookout,
            staffed: Mutex::new(false),
            mail: Mutex::default(),
            ids: AtomicU64::new(1),
            posts: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }))
    }

    /// Starts the thread, unless there is one.
    fn staff(self: &Arc<Keeper>) -> Result<()> {
        // Nothing can panic while it is held.
        let mut staffed = self.staffed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*staffed {
            let desk = Desk::new(self);
            spawn("twinring", move || desk.run())?;
            *staffed = true;
        }
        Ok(())
    }

    pub(super) fn mail(&self) -> MutexGuard<'_, Mail> {
        // Nothing can panic while it is held.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_was_put_into_them() {
        let sounds = [
            Sound::Called,
            Sound::Place,
            Sound::HungUp(0),
            Sound::HungUp(VIGILS),
            Sound::Ended,
        ];
        for link in [1, 77, MOST_LINKS - 1] {
            for sound in sounds {
                let key = Key { link, sound };
                assert_eq!(Key::decode(key.encode()), key);
                assert_ne!(key.encode(), LOOKOUT);
                assert!(key.encode() < MOST_KEYS);
            }
        }
    }
}
