//! What this crate's own tests and examples use; present only with the feature `_testing`.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::os::event::{Deadline, wait};
use crate::transfer::{NO_NET, TO_LOSE};
use crate::{Connection, Doorbell, Link, Result};

/// A link name that no other call returns, in this process or in one that runs at the same time.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    format!("example-{}-{number}", std::process::id())
}

/// The connections of a host and a guest of a [unique name](unique_name): what most examples begin with.
pub fn pair() -> Result<(Connection, Connection)> {
    let name = unique_name();
    let host = Link::host(&name).open()?.within(TIME_LIMIT);
    let guest = Link::guest(&name).open()?.within(TIME_LIMIT);
    Ok((host.next()?, guest.next()?))
}

/// Waits for a doorbell, as an event loop does; at most 5 seconds.
pub fn wait_readable(doorbell: &Doorbell) {
    // Without a reason it only returns too early.
    let _ = wait(&[doorbell.waitable().into()], Deadline::after(TIME_LIMIT));
}

/// How long to wait for a peer.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Switches this process's net under lost wake-ups on or off. Without it, a sleeper looks again only when it
/// is woken.
pub fn set_net(on: bool) {
    NO_NET.store(!on, Relaxed);
}

/// Makes this process lose the next `count` wake-ups that it owes to peers, as if it had looked at the peer's
/// wait flag too early.
pub fn lose_wakes(count: u32) {
    TO_LOSE.store(count, Relaxed);
}

/// How many of them have not been lost yet.
pub fn wakes_to_lose() -> u32 {
    TO_LOSE.load(Relaxed)
}

/// How often, on this connection, the net has found something that the peer had published without waking us.
pub fn caught(conn: &Connection) -> u64 {
    conn.caught()
}
