//! Windows: event objects and WaitForMultipleObjects.
//!
//! The bells are six auto-reset events without names, three for each side. All that a peer can do
//! with them is to set them, or to take a ring that was meant for us, which only harms itself.

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{WAIT_ABANDONED_0, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::SystemServices::MAXIMUM_WAIT_OBJECTS;
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

use super::Deadline;
use crate::os::windows::{call, own};

const MOST: usize = MAXIMUM_WAIT_OBJECTS as usize;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Ready when the object is signalled; an auto-reset event is then reset.
    Handle(BorrowedHandle<'a>),
    /// Never ready: stands in where there is nothing to wait for.
    Never,
}

/// A new event without a name that is not set. One with manual reset stays set until it is reset,
/// another until one wait has seen it.
pub(in crate::os) fn new_event(manual_reset: bool) -> io::Result<OwnedHandle> {
    // SAFETY: no pointers but NULL: no name, and a handle that is not inheritable.
    unsafe {
        own("CreateEventW", || {
            CreateEventW(ptr::null(), manual_reset.into(), 0, ptr::null())
        })
    }
}

/// Sets an event. It cannot fail for a live handle with the right to do so, and there is nothing to
/// be done about it otherwise.
pub(in crate::os) fn set(event: &OwnedHandle) {
    // SAFETY: a live handle; one of another kind of object would only be refused.
    unsafe { SetEvent(event.as_raw_handle()) };
}

/// Resets an event, likewise.
pub(in crate::os) fn reset(event: &OwnedHandle) {
    // SAFETY: as for `set`.
    unsafe { ResetEvent(event.as_raw_handle()) };
}

/// The three events of one side.
#[derive(Debug)]
pub(in crate::os) struct Chimes {
    pub(in crate::os) data: OwnedHandle,
    pub(in crate::os) space: OwnedHandle,
    pub(in crate::os) hang_up: OwnedHandle,
}

impl Chimes {
    pub(in crate::os) fn new() -> io::Result<Chimes> {
        Ok(Chimes {
            data: new_event(false)?,
            space: new_event(false)?,
            hang_up: new_event(false)?,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Bells {
    ours: Chimes,
    peers: Chimes,
}

impl Bells {
    /// The event is set only by a peer that lets go of its bells. (One that crashes does not, but
    /// then its process has ended.)
    pub(crate) const HANG_UP_IS_FINAL: bool = true;

    /// `ours` are waited for (SYNCHRONIZE), the `peers` are set (EVENT_MODIFY_STATE).
    pub(in crate::os) fn new(ours: Chimes, peers: Chimes) -> Bells {
        Bells { ours, peers }
    }

    /// Ours and the peer's.
    pub(in crate::os) fn chimes(&self) -> [&Chimes; 2] {
        [&self.ours, &self.peers]
    }

    pub(crate) fn ring_data(&self) -> bool {
        set(&self.peers.data);
        true
    }

    pub(crate) fn ring_space(&self) -> bool {
        set(&self.peers.space);
        true
    }

    pub(crate) fn hang_up(&self) {
        set(&self.peers.hang_up);
    }

    pub(crate) fn data(&self) -> Source<'_> {
        Source::Handle(self.ours.data.as_handle())
    }

    pub(crate) fn space(&self) -> Source<'_> {
        Source::Handle(self.ours.space.as_handle())
    }

    pub(crate) fn hung_up(&self) -> Source<'_> {
        Source::Handle(self.ours.hang_up.as_handle())
    }
}

impl Drop for Bells {
    /// A peer notices a socket that is closed, but not a handle, so it is told.
    fn drop(&mut self) {
        self.hang_up();
    }
}

#[derive(Debug)]
pub(crate) struct Alarm {
    event: OwnedHandle,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Alarm> {
        new_event(true).map(|event| Alarm { event })
    }

    pub(crate) fn set(&self) {
        set(&self.event);
    }

    pub(crate) fn clear(&self) {
        reset(&self.event);
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Handle(self.event.as_handle())
    }

    #[cfg(test)]
    pub(in crate::os) fn into_handle(self) -> OwnedHandle {
        self.event
    }
}

/// # Panics
/// If there are more sources than the system can wait for at once (64).
pub(super) fn wait(sources: &[Source<'_>], deadline: Deadline) -> io::Result<Option<usize>> {
    let mut handles = [ptr::null_mut(); MOST];
    let mut index = [0; MOST];
    let mut count = 0;
    for (i, source) in sources.iter().enumerate() {
        if let Source::Handle(handle) = source {
            assert!(count < MOST, "more than {MOST} things to wait for at once");
            handles[count] = handle.as_raw_handle();
            index[count] = i;
            count += 1;
        }
    }
    if count == 0 {
        return wait_for_nothing(deadline);
    }
    loop {
        let timeout = deadline.left().map_or(INFINITE, milliseconds);
        // SAFETY: `count` live handles, borrowed by `sources` until after the wait.
        let wait = || unsafe { WaitForMultipleObjects(count as u32, handles.as_ptr(), 0, timeout) };
        let result = call("WaitForMultipleObjects", wait, |result| {
            result == WAIT_FAILED
        })?;
        // Both results stand for a run of values, one for each handle.
        let (object, abandoned) = (
            result.wrapping_sub(WAIT_OBJECT_0) as usize,
            result.wrapping_sub(WAIT_ABANDONED_0) as usize,
        );
        match result {
            // The system's clock is coarser than ours, so it may be early; and what is left may be
            // longer than one wait can be.
            WAIT_TIMEOUT if deadline.passed() => return Ok(None),
            WAIT_TIMEOUT => {}
            _ if object < count => return Ok(Some(index[object])),
            // A mutex whose owner ended is ours now.
            _ if abandoned < count => return Ok(Some(index[abandoned])),
            other => return Err(io::Error::other(format!("a wait ended with {other:#x}"))),
        }
    }
}

fn wait_for_nothing(deadline: Deadline) -> io::Result<Option<usize>> {
    while !deadline.passed() {
        thread::sleep(deadline.left().unwrap_or(Duration::MAX));
    }
    Ok(None)
}

/// Rounded up, so that a wait does not become a busy one in its last millisecond.
fn milliseconds(left: Duration) -> u32 {
    u32::try_from(left.as_nanos().div_ceil(1_000_000))
        .unwrap_or(INFINITE)
        .min(INFINITE - 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::os::event::{Hub, wait};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(30))
    }

    fn pair() -> (Bells, Bells) {
        let (host, guest) = (Chimes::new().unwrap(), Chimes::new().unwrap());
        let copy = |c: &Chimes| Chimes {
            data: c.data.try_clone().unwrap(),
            space: c.space.try_clone().unwrap(),
            hang_up: c.hang_up.try_clone().unwrap(),
        };
        let (host2, guest2) = (copy(&host), copy(&guest));
        (Bells::new(host, guest2), Bells::new(guest, host2))
    }

    #[test]
    fn an_alarm_stays_set_until_it_is_cleared() {
        let (quiet, alarm) = (Alarm::new().unwrap(), Alarm::new().unwrap());
        let sources = [quiet.source(), Source::Never, alarm.source()];
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), None);
        alarm.set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(2));
        assert_eq!(wait(&sources, Deadline::Never).unwrap(), Some(2));
        quiet.set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(0));
        quiet.clear();
        alarm.clear();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), None);
    }

    #[test]
    fn bells_ring_at_the_peer_and_merge() {
        let (a, b) = pair();
        let heard = |bells: &Bells| {
            wait(
                &[bells.data(), bells.space(), bells.hung_up()],
                Deadline::Now,
            )
            .unwrap()
        };
        a.ring_data();
        a.ring_data();
        a.ring_space();
        assert_eq!(heard(&a), None);
        assert_eq!(heard(&b), Some(0));
        assert_eq!(heard(&b), Some(1));
        assert_eq!(heard(&b), None);
        drop(a);
        assert_eq!(heard(&b), Some(2));
    }

    /// A hang-up is consumed by the wait that sees it, so none may be lost on the way to the hub.
    #[test]
    fn a_hub_hears_each_hang_up() {
        let hub = Hub::new().unwrap();
        let mut ready = Vec::new();
        for key in 1..500 {
            let (a, b) = pair();
            let b = Arc::new(b);
            thread::scope(|scope| {
                scope.spawn(|| a.hang_up());
                let watched = [
                    hub.watch(&b, Bells::hung_up, key).unwrap(),
                    hub.watch(&b, Bells::space, 0).unwrap(),
                ];
                while ready.is_empty() {
                    let deadline = Deadline::after(Duration::from_secs(10));
                    hub.wait(deadline, &mut ready).unwrap();
                    assert!(!deadline.passed(), "hang-up {key} was not heard");
                }
                assert_eq!(ready, [key]);
                ready.clear();
                drop(watched);
            });
            std::mem::forget(a);
        }
    }

    #[test]
    fn a_wait_is_woken_by_another_thread() {
        let (a, b) = pair();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&[b.space(), b.data()], Deadline::Never).unwrap());
            thread::sleep(Duration::from_millis(10));
            a.ring_data();
            assert_eq!(waiter.join().unwrap(), Some(1));
        });
    }

    #[test]
    fn deadlines_are_kept() {
        let alarm = Alarm::new().unwrap();
        for sources in [&[alarm.source()][..], &[Source::Never], &[]] {
            let deadline = soon();
            assert_eq!(wait(sources, deadline).unwrap(), None);
            assert!(deadline.passed());
        }
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), INFINITE - 1);
    }

    #[test]
    fn sixty_four_sources_are_not_too_many() {
        let alarms: Vec<Alarm> = (0..MOST).map(|_| Alarm::new().unwrap()).collect();
        let mut sources: Vec<Source<'_>> = alarms.iter().map(Alarm::source).collect();
        sources.push(Source::Never);
        alarms[MOST - 1].set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(MOST - 1));
    }
}
