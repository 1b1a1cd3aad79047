//! A call that waits, in a thread of its own.

use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

/// Begins a call and waits until its thread sleeps in it. Where the system does not tell, for a
/// moment, in which it probably does.
pub(crate) fn until_asleep<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    call: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let (told, telling) = std::sync::mpsc::channel();
    let calling = scope.spawn(move || {
        told.send(stat()).unwrap();
        call()
    });
    match telling.recv().unwrap() {
        Some(stat) => super::until("the thread sleeps", || {
            let asleep = || std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") S "));
            // Not only for a moment, in a lock; and it may not wait at all.
            calling.is_finished()
                || asleep() && {
                    thread::sleep(Duration::from_millis(5));
                    asleep()
                }
        }),
        None => thread::sleep(Duration::from_millis(50)),
    }
    calling
}

/// Where Linux tells the state of this thread.
fn stat() -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let tid = rustix::thread::gettid().as_raw_nonzero();
        Some(format!("/proc/self/task/{tid}/stat"))
    }
    #[cfg(not(target_os = "linux"))]
    None
}
