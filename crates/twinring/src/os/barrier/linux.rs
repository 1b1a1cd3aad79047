//! Linux: membarrier(2), the expedited commands (4.14 and 4.16). A process has to register for them
//! first, for which the kernel makes one with several threads wait for milliseconds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Nobody has asked yet.
const UNASKED: u32 = 0;
/// A thread is registering the process, or could not.
const UNREADY: u32 = 1;
/// The process is registered.
const READY: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(UNASKED);

#[inline]
pub(super) fn is_ready() -> bool {
    // Acquire: pairs with `prepare`; the registration is done before.
    STATE.load(Ordering::Acquire) == READY
}

pub(super) fn prepare() {
    let first = STATE.compare_exchange(UNASKED, UNREADY, Ordering::Relaxed, Ordering::Relaxed);
    if first.is_err() || !can(MembarrierQuery::PRIVATE_EXPEDITED) || !can_reach_peers() {
        return;
    }
    let register = || {
        if register().is_ok() {
            // Release: pairs with `is_ready`.
            STATE.store(READY, Ordering::Release);
        }
    };
    // Without a thread things stay as they are: correct, and slower.
    let _ = thread::Builder::new()
        .name("twinring-fence".to_owned())
        .spawn(register);
}

fn register() -> rustix::io::Result<()> {
    membarrier(MembarrierCommand::RegisterPrivateExpedited)?;
    membarrier(MembarrierCommand::RegisterGlobalExpedited)
}

pub(super) fn own() -> bool {
    match membarrier(MembarrierCommand::PrivateExpedited) {
        Err(Errno::PERM) => {
            register().is_ok() && membarrier(MembarrierCommand::PrivateExpedited).is_ok()
        }
        done => done.is_ok(),
    }
}

pub(super) fn can_reach_peers() -> bool {
    can(MembarrierQuery::GLOBAL_EXPEDITED)
}

pub(super) fn peers() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

pub(super) fn forked() {
    // Relaxed: the child has one thread.
    STATE.store(UNASKED, Ordering::Relaxed);
}

fn can(command: MembarrierQuery) -> bool {
    static CAN: OnceLock<MembarrierQuery> = OnceLock::new();
    CAN.get_or_init(membarrier_query).contains(command)
}
