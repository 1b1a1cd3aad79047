//! The thread that brings to a collector what waits, and takes back what one that has ended had not taken.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use twinring::{Connection, Interest, Link, Timeout};

use crate::queue::Item;
use crate::record::{self, MAX_RECORD};
use crate::shared::Shared;

/// How much is sent at once.
const BATCH: usize = 64 << 10;

/// How long one such call waits for room.
const SEND: Duration = Duration::from_millis(500);

/// How long a collector that has left may take to say what it has taken.
const UNREAD: Duration = Duration::from_secs(5);

/// A pause after a host that is no collector.
const PAUSE: Duration = Duration::from_secs(1);

/// How often to look whether a collector has gone that has said that it says no more.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(shared: &Shared, link: &Link) {
    for conn in link.connections() {
        if conn.peer_max_message() < MAX_RECORD as u64 {
            conn.close(1, "a collector accepts records of 16 KiB");
            drop(conn);
            thread::sleep(PAUSE);
            continue;
        }
        shared.connected();
        deliver(shared, &conn);
        let last = shared.over();
        take_back(shared, &conn, last);
        shared.disconnected();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Returns once the connection has ended.
fn deliver(shared: &Shared, conn: &Connection) {
    let (now, soon) = (conn.within(Timeout::Now), conn.within(SEND));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut watch = Watch::default();
    loop {
        let items = shared.next(&now, BATCH);
        if !items.is_empty() {
            if !send(shared, &soon, items) {
                return;
            }
        } else if shared.is_closed() || watch.is_over(&now, &waker) {
            return;
        } else if watch.is_deaf {
            thread::park_timeout(LOOK);
        } else {
            thread::park();
        }
    }
}

/// Puts back what does not go. `false` once nothing goes any more.
fn send(shared: &Shared, conn: &Connection, items: Vec<Item>) -> bool {
    let mut records: Vec<Vec<u8>> = items
        .into_iter()
        .map(|item| match item {
            Item::Record(record) => record,
            Item::Dropped { last, count } => record::dropped(last, count, &shared.process),
        })
        .collect();
    let sent = conn.send_batch(&records);
    let rest = records.split_off(*sent.as_ref().unwrap_or(&0));
    shared.put_back(rest.into_iter().map(Item::Record));
    match sent {
        Ok(_) => true,
        Err(e) => e.is_timeout() && !shared.is_closed(),
    }
}

/// Whether the collector has gone, while there is nothing to send.
#[derive(Default)]
struct Watch {
    /// It has finished, so that its end wakes nobody who wants to receive.
    is_deaf: bool,
}

impl Watch {
    fn is_over(&mut self, now: &Connection, waker: &Waker) -> bool {
        let mut task = Context::from_waker(waker);
        while !self.is_deaf {
            match now.poll_ready(Interest::Recv, &mut task) {
                Poll::Pending => return false,
                Poll::Ready(()) => match now.recv() {
                    // It has nothing to say that would be for us.
                    Ok(Some(_)) => {}
                    Ok(None) => self.is_deaf = true,
                    Err(e) if e.is_timeout() => {}
                    Err(_) => return true,
                },
            }
        }
        now.end().is_some()
    }
}

/// What the collector had not taken is sent again, before all else.
fn take_back(shared: &Shared, conn: &Connection, last: u64) {
    // If it has only stopped, it is for the next one all the same.
    conn.close(0, "");
    let Ok(unread) = conn.within(UNREAD).take_unread() else {
        return;
    };
    let is_one_missing = unread.partial();
    let mut items: Vec<Item> = unread.map(Item::Record).collect();
    if is_one_missing {
        let first = items.iter().find_map(|item| match item {
            Item::Record(record) => record::number(record),
            Item::Dropped { .. } => None,
        });
        let missing = first.map_or(last, |first| first.saturating_sub(1));
        items.insert(
            0,
            Item::Dropped {
                last: missing,
                count: 1,
            },
        );
    }
    shared.put_back(items.into_iter());
}
