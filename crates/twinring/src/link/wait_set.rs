//! A blocking wait for any of many connections.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use super::connection::Connection;
use crate::os::event::Deadline;
use crate::transfer::{Interest, Timeout};

/// Connections of which a thread waits for any: to receive from, or to send on.
///
/// There is no limit of 64, and a wait looks only at those to which something has happened. It is for one thread;
/// several threads have a set each, or serve clients by [`Listener::serve`](crate::Listener::serve). Each connection is waited
/// for one thing. A listener cannot be a member: another thread accepts.
///
/// ```
/// use twinring::{Interest, Timeout, WaitSet};
///
/// # let (one, its_peer) = twinring::testing::pair()?;
/// # let (other, _its_peer) = twinring::testing::pair()?;
/// let mut set = WaitSet::new();
/// set.add(&one, Interest::Recv);
/// set.add(&other, Interest::Recv);
/// # its_peer.send(b"hello")?;
/// for conn in set.wait(Timeout::Never) {
///     match conn.within(Timeout::Now).recv() {
///         Ok(Some(message)) => println!("{message:?}"),
///         Err(e) if e.is_timeout() => {} // nothing there after all
///         Ok(None) | Err(_) => set.remove(&conn),
///     }
/// }
/// # assert!(one.within(Timeout::Now).recv().is_err());
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Default)]
pub struct WaitSet {
    members: HashMap<u64, Member>,
    /// Those to look at: new ones, and those that the last wait gave, which may still be ready.
    looks: Vec<u64>,
    woken: Arc<WokenMembers>,
}

struct Member {
    conn: Connection,
    interest: Interest,
    waker: Waker,
}

/// The members that have been woken since the last wait.
#[derive(Default)]
struct WokenMembers {
    ids: Mutex<Vec<u64>>,
    any: Condvar,
}

impl WokenMembers {
    fn ids(&self) -> MutexGuard<'_, Vec<u64>> {
        // Nothing can panic while it is held.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct MemberWaker {
    id: u64,
    woken: Arc<WokenMembers>,
}

impl Wake for MemberWaker {
    fn wake(self: Arc<MemberWaker>) {
        self.woken.ids().push(self.id);
        self.woken.any.notify_one();
    }
}

impl WaitSet {
    /// A set of none.
    pub fn new() -> WaitSet {
        WaitSet::default()
    }

    /// Adds a connection, or changes what is waited for on it. The set keeps it open, as a handle does.
    pub fn add(&mut self, conn: &Connection, interest: Interest) {
        let id = conn.id();
        let woken = self.woken.clone();
        let member = Member {
            conn: conn.clone(),
            interest,
            waker: Waker::from(Arc::new(MemberWaker { id, woken })),
        };
        self.members.insert(id, member);
        self.looks.push(id);
    }

    /// Takes a connection out, if it is there.
    pub fn remove(&mut self, conn: &Connection) {
        self.members.remove(&conn.id());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits until at least one connection is [ready](Connection::poll_ready), and returns all that are, the set's own
    /// handles as they were added; none once the time is over, or at once if the set is empty. One that has ended is ready.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (conn, _peer) = twinring::testing::pair()?;
    /// # let mut set = twinring::WaitSet::new();
    /// set.add(&conn, twinring::Interest::Recv);
    /// assert!(set.wait(Duration::from_millis(10)).is_empty());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn wait(&mut self, timeout: impl Into<Timeout>) -> Vec<Connection> {
        let deadline = timeout.into().deadline();
        loop {
            let mut looks = mem::take(&mut self.looks);
            looks.append(&mut self.woken.ids());
            looks.sort_unstable();
            looks.dedup();
            let mut ready = Vec::new();
            for id in looks {
                let Some(member) = self.members.get(&id) else {
                    continue;
                };
                let mut task = Context::from_waker(&member.waker);
                if member
                    .conn
                    .poll_ready(member.interest, &mut task)
                    .is_ready()
                {
                    ready.push(member.conn.clone());
                    self.looks.push(id);
                }
            }
            if !ready.is_empty() || self.is_empty() || !self.sleep(deadline) {
                return ready;
            }
        }
    }

    /// Waits until one is woken; `false` at the deadline.
    fn sleep(&self, deadline: Deadline) -> bool {
        let mut ids = self.woken.ids();
        while ids.is_empty() {
            ids = match deadline.left() {
                None => self
                    .woken
                    .any
                    .wait(ids)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    self.woken
                        .any
                        .wait_timeout(ids, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }
}

impl fmt::Debug for WaitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conns = self.members.values().map(|member| &member.conn);
        f.debug_set().entries(conns).finish()
    }
}
