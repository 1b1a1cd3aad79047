//! Windows: event objects and WaitForMultipleObjects.
//!
//! The doorbells are six auto-reset events without names, three for each side. All that a peer can do
//! with them is to set them, or to consume a ring that was meant for us, which only harms itself.

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{WAIT_ABANDONED_0, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::SystemServices::MAXIMUM_WAIT_OBJECTS;
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, OpenEventW, ResetEvent, SetEvent, WaitForMultipleObjects,
};

use super::deadline::Deadline;
use crate::os::windows::{AccessList, call, own, own_new, wide};

const MOST: usize = MAXIMUM_WAIT_OBJECTS as usize;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Ready when the object is signalled; an auto-reset event is then reset.
    Handle(BorrowedHandle<'a>),
    /// Never ready: used where there is nothing to wait for.
    Never,
}

/// What a program's own loop can wait for.
pub(crate) type Waitable<'a> = BorrowedHandle<'a>;

impl<'a> From<Waitable<'a>> for Source<'a> {
    fn from(waitable: Waitable<'a>) -> Source<'a> {
        Source::Handle(waitable)
    }
}

/// Implements the system's traits for a type that has a method `waitable`.
macro_rules! impl_waitable {
    ($type:ty) => {
        impl std::os::windows::io::AsHandle for $type {
            fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
                self.waitable()
            }
        }

        impl std::os::windows::io::AsRawHandle for $type {
            fn as_raw_handle(&self) -> std::os::windows::io::RawHandle {
                self.waitable().as_raw_handle()
            }
        }
    };
}
pub(crate) use impl_waitable;

/// A new event without a name, not set. With manual reset it stays set until it is reset, otherwise
/// until one wait has seen it.
pub(in crate::os) fn new_event(manual_reset: bool) -> io::Result<OwnedHandle> {
    // SAFETY: no pointers but NULL: no name, and a handle that is not inheritable.
    unsafe {
        own("CreateEventW", || {
            CreateEventW(ptr::null(), manual_reset.into(), 0, ptr::null())
        })
    }
}

/// As [`new_event`], with a name, an access list and automatic reset; an error if there is something of that name.
pub(in crate::os) fn named_event(name: &str, access: &AccessList) -> io::Result<OwnedHandle> {
    // SAFETY: a zero-terminated string, and attributes that live as long as the call.
    unsafe {
        own_new("CreateEventW", || {
            CreateEventW(&access.attributes(), 0, 0, wide(name).as_ptr())
        })
    }
}

/// Opens the event of this name.
pub(in crate::os) fn open_event(name: &str, rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: a zero-terminated string; the handle is not inheritable and nobody else's.
    unsafe { own("OpenEventW", || OpenEventW(rights, 0, wide(name).as_ptr())) }
}

/// Sets an event. It cannot fail for a live handle with the right to do so, and otherwise nothing
/// could be done about it.
pub(in crate::os) fn set(event: &OwnedHandle) {
    // SAFETY: a live handle; one of another kind of object would only be refused.
    unsafe { SetEvent(event.as_raw_handle()) };
}

/// Resets an event; the same holds.
pub(in crate::os) fn reset(event: &OwnedHandle) {
    // SAFETY: as for `set`.
    unsafe { ResetEvent(event.as_raw_handle()) };
}

/// The three events of one side.
#[derive(Debug)]
pub(in crate::os) struct DoorbellEvents {
    pub(in crate::os) data: OwnedHandle,
    pub(in crate::os) space: OwnedHandle,
    pub(in crate::os) hang_up: OwnedHandle,
}

impl DoorbellEvents {
    pub(in crate::os) fn new() -> io::Result<DoorbellEvents> {
        Ok(DoorbellEvents {
            data: new_event(false)?,
            space: new_event(false)?,
            hang_up: new_event(false)?,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Doorbells {
    ours: DoorbellEvents,
    peers: DoorbellEvents,
}

impl Doorbells {
    /// The event is set only by a peer that drops its doorbells. (One that crashes does not set it, but
    /// then its process has ended.)
    pub(crate) const HANG_UP_IS_FINAL: bool = true;
    pub(crate) const RINGS_ITSELF: bool = true;

    /// `ours` are waited for (SYNCHRONIZE), the `peers` are set (EVENT_MODIFY_STATE).
    pub(in crate::os) fn new(ours: DoorbellEvents, peers: DoorbellEvents) -> Doorbells {
        Doorbells { ours, peers }
    }

    /// Ours and the peer's.
    pub(in crate::os) fn doorbell_events(&self) -> [&DoorbellEvents; 2] {
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

    pub(crate) fn ring_own_data(&self) {
        set(&self.ours.data);
    }

    pub(crate) fn ring_own(&self) {
        set(&self.ours.data);
        set(&self.ours.space);
    }

    pub(crate) fn prepare_rings(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn data_rings(&self) -> Source<'_> {
        self.data()
    }

    pub(crate) fn space_rings(&self) -> Source<'_> {
        self.space()
    }

    pub(crate) fn data_waitable(&self) -> Waitable<'_> {
        self.ours.data.as_handle()
    }

    pub(crate) fn space_waitable(&self) -> Waitable<'_> {
        self.ours.space.as_handle()
    }

    pub(crate) fn heard_data(&self, others: bool) {
        // The report has consumed it.
        if others {
            set(&self.ours.data);
        }
    }

    pub(crate) fn heard_space(&self, others: bool) {
        if others {
            set(&self.ours.space);
        }
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

impl Drop for Doorbells {
    /// A peer notices a closed socket, but not a closed handle, so it is told.
    fn drop(&mut self) {
        self.hang_up();
    }
}

#[derive(Debug)]
pub(crate) struct LocalEvent {
    event: OwnedHandle,
}

impl LocalEvent {
    pub(crate) fn new() -> io::Result<LocalEvent> {
        new_event(true).map(|event| LocalEvent { event })
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
pub(crate) fn wait(sources: &[Source<'_>], deadline: Deadline) -> io::Result<Option<usize>> {
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
        // Each of the two stands for a range of values, one for each handle.
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

/// Rounds up, so that a wait does not become a busy one in its last millisecond.
fn milliseconds(left: Duration) -> u32 {
    u32::try_from(left.as_nanos().div_ceil(1_000_000))
        .unwrap_or(INFINITE)
        .min(INFINITE - 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::os::event::{Poller, wait};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(30))
    }

    fn pair() -> (Doorbells, Doorbells) {
        let (host, guest) = (
            DoorbellEvents::new().unwrap(),
            DoorbellEvents::new().unwrap(),
        );
        let copy = |c: &DoorbellEvents| DoorbellEvents {
            data: c.data.try_clone().unwrap(),
            space: c.space.try_clone().unwrap(),
            hang_up: c.hang_up.try_clone().unwrap(),
        };
        let (host2, guest2) = (copy(&host), copy(&guest));
        (Doorbells::new(host, guest2), Doorbells::new(guest, host2))
    }

    #[test]
    fn a_local_event_stays_set_until_it_is_cleared() {
        let (quiet, event) = (LocalEvent::new().unwrap(), LocalEvent::new().unwrap());
        let sources = [quiet.source(), Source::Never, event.source()];
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), None);
        event.set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(2));
        assert_eq!(wait(&sources, Deadline::Never).unwrap(), Some(2));
        quiet.set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(0));
        quiet.clear();
        event.clear();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), None);
    }

    #[test]
    fn doorbells_ring_at_the_peer_and_merge() {
        let (a, b) = pair();
        let rung = |doorbells: &Doorbells| {
            wait(
                &[doorbells.data(), doorbells.space(), doorbells.hung_up()],
                Deadline::Now,
            )
            .unwrap()
        };
        a.ring_data();
        a.ring_data();
        a.ring_space();
        assert_eq!(rung(&a), None);
        assert_eq!(rung(&b), Some(0));
        assert_eq!(rung(&b), Some(1));
        assert_eq!(rung(&b), None);
        drop(a);
        assert_eq!(rung(&b), Some(2));
    }

    /// A hang-up is consumed by the wait that sees it, so none may be lost on the way to the poller.
    #[test]
    fn a_poller_reports_each_hang_up() {
        let poller = Poller::new().unwrap();
        let mut ready = Vec::new();
        for token in 1..500 {
            let (a, b) = pair();
            let b = Arc::new(b);
            thread::scope(|scope| {
                scope.spawn(|| a.hang_up());
                let watched = [
                    poller.watch(&b, Doorbells::hung_up, token).unwrap(),
                    poller.watch(&b, Doorbells::space, 0).unwrap(),
                ];
                while ready.is_empty() {
                    let deadline = Deadline::after(Duration::from_secs(10));
                    poller.wait(deadline, &mut ready).unwrap();
                    assert!(!deadline.passed(), "hang-up {token} was not reported");
                }
                assert_eq!(ready, [token]);
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
        let event = LocalEvent::new().unwrap();
        for sources in [&[event.source()][..], &[Source::Never], &[]] {
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
        let events: Vec<LocalEvent> = (0..MOST).map(|_| LocalEvent::new().unwrap()).collect();
        let mut sources: Vec<Source<'_>> = events.iter().map(LocalEvent::source).collect();
        sources.push(Source::Never);
        events[MOST - 1].set();
        assert_eq!(wait(&sources, Deadline::Now).unwrap(), Some(MOST - 1));
    }
}
