//! A link's registration with the driver.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::event_loop::EventLoop;
use super::link_task::LinkTask;
use super::shared::Driver;
use super::threads::spawn;
use super::token::{EventKind, MAX_LINKS, Token, watch_number};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{NameWatch, Rendezvous, Spare};
use crate::os::event::{Source, Watched};
use crate::os::process::{PerProcess, count_forks};
use crate::os::system_error;
use crate::transfer::NotifyDriver;

/// The process's driver, while it has links. A forked child begins without: its parent's has no thread
/// there.
fn slot() -> MutexGuard<'static, Option<Arc<Driver>>> {
    static DRIVER: PerProcess<Mutex<Option<Arc<Driver>>>> = PerProcess::new();
    let slot = DRIVER.get();
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the driver alive.
pub(super) struct Registration {
    driver: Arc<Driver>,
    id: u64,
}

impl Registration {
    /// Registers a link, and creates the driver if there is none, but does not start its thread.
    pub(super) fn new() -> Result<Registration> {
        count_forks();
        let mut slot = slot();
        let driver = match &*slot {
            Some(driver) => driver.clone(),
            None => slot.insert(Driver::new()?).clone(),
        };
        let id = driver.next_id.fetch_add(1, Ordering::Relaxed);
        if id >= MAX_LINKS {
            return Err(Error::new(
                ErrorKind::Os,
                "this process has opened too many links; close them all to start again",
            ));
        }
        driver.registrations.fetch_add(1, Ordering::Relaxed);
        Ok(Registration { driver, id })
    }

    /// As [`Starter::start_thread`].
    pub(super) fn start_thread(&self) -> Result<()> {
        self.starter().start_thread()
    }

    /// A handle for notifying the driver of this link.
    pub(super) fn notifier(&self) -> Arc<dyn NotifyDriver> {
        Arc::new(Notifier {
            driver: Arc::downgrade(&self.driver),
            token: Token {
                link: self.id,
                event: EventKind::Notified,
            },
        })
    }

    /// Makes the driver poll the link when the source is ready, once.
    pub(super) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        event: EventKind,
    ) -> Result<Watched<T>> {
        self.driver
            .poller
            .watch(owner, source, self.token(event))
            .map_err(|e| system_error("cannot wait for an event", e))
    }

    fn token(&self, event: EventKind) -> u64 {
        let link = self.id;
        Token { link, event }.encode()
    }

    /// Watches that make the driver poll the link when something changes at the place of its name.
    pub(super) fn name_watches(&self) -> NameWatches {
        NameWatches {
            driver: self.driver.clone(),
            token: self.token(EventKind::Name),
        }
    }

    /// What is kept for guests that cannot be accepted any more.
    pub(super) fn spare(&self) -> &Spare {
        &self.driver.spare
    }

    /// For a task that owns this registration: a handle for handing it over.
    pub(super) fn starter(&self) -> Starter {
        Starter {
            driver: self.driver.clone(),
            id: self.id,
        }
    }
}

/// Hands a link over to the driver's loop.
pub(super) struct Starter {
    driver: Arc<Driver>,
    id: u64,
}

impl Starter {
    /// Starts the driver's thread if it is not running.
    pub(super) fn start_thread(&self) -> Result<()> {
        // Nothing can panic while it is held.
        let started = self.driver.started.lock();
        let mut started = started.unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let event_loop = EventLoop::new(&self.driver);
            spawn("twinring", move || event_loop.run())?;
            *started = true;
        }
        Ok(())
    }

    pub(super) fn begin(self, task: impl LinkTask + 'static) {
        let mut commands = self.driver.commands();
        commands.begun.push((self.id, Box::new(task)));
        let begun = Token {
            link: self.id,
            event: EventKind::Notified,
        };
        commands.notified.insert(begun.encode());
        drop(commands);
        self.driver.poller.wake();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut slot = slot();
        if self.driver.registrations.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The next link gets a new driver.
            if slot
                .as_ref()
                .is_some_and(|driver| Arc::ptr_eq(driver, &self.driver))
            {
                *slot = None;
            }
            self.driver.retired.store(true, Ordering::Release);
            self.driver.poller.wake();
        }
    }
}

/// Creates watches of the place of a link's name, on any thread.
#[derive(Clone)]
pub(super) struct NameWatches {
    driver: Arc<Driver>,
    token: u64,
}

impl NameWatches {
    pub(super) fn watch(&self, rendezvous: &Rendezvous) -> Result<NameWatch> {
        let Driver {
            poller,
            name_watcher,
            ..
        } = &*self.driver;
        let watch = name_watcher.watch(poller, rendezvous, self.token);
        watch.map_err(|e| system_error("cannot watch the place of the link's name", e))
    }
}

struct Notifier {
    /// A closed link must not keep the driver's system resources alive.
    driver: Weak<Driver>,
    token: Token,
}

impl NotifyDriver for Notifier {
    fn notify(&self) {
        if let Some(driver) = self.driver.upgrade() {
            if driver.commands().notified.insert(self.token.encode()) {
                driver.poller.wake();
            }
        }
    }

    fn of_connection(&self, id: u64) -> Arc<dyn NotifyDriver> {
        Arc::new(Notifier {
            driver: self.driver.clone(),
            token: Token {
                link: self.token.link,
                event: EventKind::PeerNotified(watch_number(id)),
            },
        })
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}
