//! What the handles of a link, the keeper and the link's callback thread share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use super::Link;
use super::callbacks::{self, Callbacks, Notices};
use super::connection::{Connection, End, Parts, closed_here};
use super::guest::{Guest, Outlook};
use super::host::{Door, Host};
use super::keeper::{Charge, KeeperBell, Post};
use super::name::Name;
use super::options::Options;
use super::recv::Inbox;
use super::send::Outbox;
use super::status::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::{Alarm, Deadline};
use crate::os::process::{Peer, forks};
use crate::segment::Side;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) name: Name,
    pub(crate) options: Options,
    /// Set once, by the first `close`.
    closing: AtomicBool,
    /// Set once the link is being closed: breaks off handshakes.
    pub(crate) stop: Alarm,
    keeper: KeeperBell,
    /// What [`forks`] said when the link was opened.
    forks: u32,
    state: Mutex<State>,
    changed: Condvar,
    generation: AtomicU64,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) notices: Notices,
}

#[derive(Debug)]
struct State {
    status: Status,
    /// Why the last attempt to connect failed, while there is no connection.
    failure: Option<(ErrorKind, String)>,
    /// Generation and peer of the current or last connection.
    last: Option<(u64, Peer)>,
    /// The keeper has said goodbye and given everything back.
    finished: bool,
}

/// Opens a link: the claim on the name, or the place of it, is got here, so that what is wrong
/// with them is told at once, and a guest makes its first attempt; the rest is the keeper's.
pub(crate) fn open(side: Side, name: Name, options: Options, callbacks: Callbacks) -> Result<Link> {
    let post = Post::new()?;
    let prepared = match side {
        Side::Host => {
            // It is at its desk by the time that the memory for the first guest is made.
            post.staff()?;
            Prepared::Host(Door::open(&post, &name, &options)?)
        }
        Side::Guest => Prepared::Guest(Outlook::new(&post, &name, &options)?),
    };
    let core = Arc::new(Core {
        closing: AtomicBool::new(false),
        stop: Alarm::new().map_err(|e| Error::from_io("cannot make an event", e))?,
        keeper: post.bell(),
        forks: forks(),
        state: Mutex::new(State {
            status: Status::Waiting,
            failure: None,
            last: None,
            finished: false,
        }),
        changed: Condvar::new(),
        generation: AtomicU64::new(0),
        outbox: Outbox::new(options.wait),
        inbox: Inbox::new(options.wait, callbacks.take_messages()),
        notices: Notices::new(&callbacks)?,
        name,
        options,
    });
    core.notices.status(Status::Waiting);
    if callbacks.any() {
        spawn("twinring-calls", {
            let core = core.clone();
            move || callbacks::run(&core, callbacks)
        })?;
    }
    let charge = match prepared {
        Prepared::Host(door) => Charge::Host(Host::new(&core, door)),
        Prepared::Guest(outlook) => {
            let mut guest = Guest::new(&core, outlook);
            guest.try_at_once();
            Charge::Guest(guest)
        }
    };
    post.begin(core.clone(), charge)?;
    Ok(Link::owning(core))
}

/// What the keeper needs for a link, before it begins.
enum Prepared {
    Host(Door),
    Guest(Outlook),
}

/// Starts a thread of the library's own.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(f)
        .map(drop)
        .map_err(|e| {
            Error::new(
                ErrorKind::OutOfHandles,
                format!("cannot start a thread: {e}; raise the limit of threads or close some"),
            )
            .with_source(e)
        })
}

/// The same for a thread that begins with `what`, which is given back if there is no thread to be had.
pub(super) fn hand_over<T: Send + 'static>(
    name: &str,
    what: T,
    f: impl FnOnce(T) + Send + 'static,
) -> std::result::Result<(), (T, Error)> {
    let (give, given) = mpsc::channel();
    let begin = move || {
        if let Ok(what) = given.recv() {
            f(what);
        }
    };
    match spawn(name, begin) {
        Ok(()) => {
            // It is waiting for it.
            let _ = give.send(what);
            Ok(())
        }
        Err(e) => Err((what, e)),
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Calls the keeper to this link.
    pub(crate) fn nudge(&self) {
        self.keeper.ring();
    }

    /// Whether this process is a forked child of the one that opened the link. Then nothing of the
    /// link may be touched: it is the parent's, and a thread that held a lock may be missing here.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        forks() != self.forks
    }

    /// The error of every call in a forked child.
    #[inline]
    pub(crate) fn check_forked(&self) -> Result<()> {
        if self.is_forked() {
            return Err(self.named(Error::new(
                ErrorKind::Forked,
                "this process is a forked child of the one that opened the link; open another \
                 link here, of another name",
            )));
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Status {
        if self.is_forked() {
            return Status::Closed;
        }
        self.state().status.clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        if self.is_forked() {
            return None;
        }
        match &self.state().status {
            Status::Connected { peer, .. } => Some(peer.clone()),
            _ => None,
        }
    }

    /// Adds the link's name to an error.
    pub(crate) fn named(&self, e: Error) -> Error {
        e.of_link(self.name.as_str())
    }

    /// The error for a call that needs a connection when there is none.
    pub(crate) fn not_connected(&self) -> Error {
        if self.is_closing() {
            return closed_here();
        }
        let why = match &self.state().failure {
            Some((_, failure)) => format!("; the last attempt to connect failed: {failure}"),
            None => String::new(),
        };
        Error::new(
            ErrorKind::NotConnected,
            format!("there is no peer now; wait for it with wait_connected{why}"),
        )
    }

    pub(crate) fn wait_connected(&self, deadline: Deadline) -> Result<Peer> {
        self.check_forked()?;
        let mut state = self.state();
        let before = state.last.as_ref().map_or(0, |last| last.0);
        loop {
            if self.is_closing() {
                return Err(closed_here());
            }
            if let Status::Connected { peer, .. } = &state.status {
                return Ok(peer.clone());
            }
            // One that came and went while this thread was waking up was there all the same.
            if let Some((generation, peer)) = &state.last
                && *generation > before
            {
                return Ok(peer.clone());
            }
            state = match deadline.left() {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    return Err(match &state.failure {
                        Some((kind, failure)) => Error::new(*kind, failure.clone()),
                        None => Error::new(
                            ErrorKind::TimedOut,
                            "no peer appeared in the time given; is the other side running?",
                        ),
                    });
                }
                Some(left) => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Ends the link and waits until the peer has been told. The keeper never waits for anything
    /// but the system, so neither does this. In a forked child it does nothing: the link is the
    /// parent's.
    pub(crate) fn close(&self) {
        if self.is_forked() {
            return;
        }
        self.begin_to_close();
        self.nudge();
        self.inbox.wake_all();
        self.notices.wake();
        let mut state = self.state();
        while !state.finished {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells it to all calls that wait.
    pub(super) fn begin_to_close(&self) {
        {
            let state = self.state();
            self.closing.store(true, Ordering::Release);
            self.changed.notify_all();
            drop(state);
        }
        self.stop.set();
    }

    // The keeper's part.

    /// A handshake has succeeded.
    pub(crate) fn connected(&self, parts: Parts) -> Arc<Connection> {
        let generation = self.generation() + 1;
        let connection = Arc::new(Connection::new(parts, generation, self.keeper.clone()));
        self.generation.store(generation, Ordering::Release);
        self.outbox.connect(&connection);
        let status = Status::Connected {
            generation,
            peer: connection.peer.clone(),
        };
        // At once for all who look: whoever is told that there is a peer also finds what it has sent,
        // and whoever has a message of the peer's also finds its peer.
        self.change_and(status, || {
            self.inbox.connect(&connection, self.options.max_message);
        });
        self.notices.wake();
        connection
    }

    /// The connection has ended: wakes everyone who waits on it, and tells the peer, if it lives.
    pub(crate) fn disconnected(&self, connection: &Connection, end: End) {
        let status = match &end {
            End::Disconnected(reason) => Some(Status::Disconnected {
                generation: connection.generation,
                reason: reason.clone(),
            }),
            End::ClosedHere => None,
        };
        {
            // At once for all who look: whoever is told by a call that the peer has gone, and then
            // waits for one, does not find this one.
            let mut state = self.state();
            if let Some(status) = &status {
                state.status = status.clone();
            }
            connection.finish(end.clone());
        }
        self.outbox.disconnect(&end);
        connection.bells.hang_up();
        self.inbox.wake_all();
        if let Some(status) = status {
            self.change(status);
            self.change(Status::Waiting);
        }
    }

    /// An attempt to connect has failed. Told once for each kind of failure in a row.
    pub(crate) fn failed(&self, e: Error) {
        if self.is_closing() {
            return;
        }
        let e = self.named(e);
        let mut state = self.state();
        let news = state
            .failure
            .as_ref()
            .is_none_or(|(kind, _)| *kind != e.kind());
        state.failure = Some((e.kind(), e.message().to_owned()));
        drop(state);
        if news {
            self.notices.error(e);
        }
    }

    /// There is nobody to connect to: what failed before is no longer why.
    pub(crate) fn absent(&self) {
        self.state().failure = None;
    }

    fn change(&self, status: Status) {
        self.change_and(status, || {});
    }

    /// Nobody sees the new status before `and` is done, which must not look at it.
    fn change_and(&self, status: Status, and: impl FnOnce()) {
        {
            let mut state = self.state();
            if let Status::Connected { generation, peer } = &status {
                state.last = Some((*generation, peer.clone()));
            }
            state.status = status.clone();
            state.failure = None;
            and();
            self.changed.notify_all();
        }
        self.notices.status(status);
    }

    pub(super) fn finished(&self) {
        self.change(Status::Closed);
        self.state().finished = true;
        self.changed.notify_all();
        self.notices.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::link::Link;

    #[test]
    fn who_is_told_of_a_peer_finds_what_it_has_sent() {
        for round in 0..300 {
            let name = format!("core-{}-{round}", std::process::id());
            let host = Link::host(&name).open().unwrap();
            let guest = Link::guest(&name).open().unwrap();
            for link in [&host, &guest] {
                link.wait_connected(Duration::from_secs(10)).unwrap();
            }
            guest.send(b"ping").unwrap();
            host.send(b"pong").unwrap();
            let got = [&host, &guest].map(|link| link.try_recv().unwrap());
            assert_eq!(got, [Some(b"ping".to_vec()), Some(b"pong".to_vec())]);
        }
    }
}
