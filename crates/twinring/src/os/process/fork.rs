//! Noticing that this process is a forked child.
//!
//! A child of `fork` has copies of everything that a link is made of, but not its threads. What it did
//! with them would be done to its parent's link: the same sockets, the same lock, the same rings.
//!
//! The number of the process is in memory that the kernel fills with zeros in every child (Linux 4.14), however
//! that was forked. A child that the C library makes gets its own number at once, any other one when it
//! opens a link: until then it has 0. Where there is no such memory, only the C library's children are noticed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The number while there is no memory that children find wiped.
static UNWIPED: AtomicU32 = AtomicU32::new(1);
/// Where the number is; never unmapped.
static NUMBER: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const UNWIPED).cast_mut());
/// The last number given to this process or one that it was forked from.
static LAST: AtomicU32 = AtomicU32::new(1);

#[inline]
fn number() -> &'static AtomicU32 {
    // Acquire: with the Release in `use_wiped_memory`, the memory holds a number.
    // SAFETY: this is `UNWIPED`, or a mapping that is never unmapped.
    unsafe { &*NUMBER.load(Ordering::Acquire) }
}

/// Must be called before a link is opened. Takes no lock: it could be one that a thread of the parent's
/// held when this process was forked.
pub(crate) fn count_forks() {
    static READY: AtomicBool = AtomicBool::new(false);
    // Two threads may do this at once: each step may be taken twice.
    if !READY.load(Ordering::Acquire) {
        use_wiped_memory();
        // SAFETY: the function only touches static atomics and calls `close`, which is allowed
        // between `fork` and `exec`. It fails only for lack of memory; then the wiped memory has to do.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        READY.store(true, Ordering::Release);
    }
    become_another();
}

#[cfg(target_os = "linux")]
fn use_wiped_memory() {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    let none = (&raw const UNWIPED).cast_mut();
    let len = rustix::param::page_size();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
    let Ok(page) = (unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE) })
    else {
        return;
    };
    let number = page.cast::<AtomicU32>();
    // SAFETY: the page is ours alone, new, aligned and larger than the number.
    let is_wiped = unsafe {
        (*number).store(UNWIPED.load(Ordering::Relaxed), Ordering::Relaxed);
        madvise(page, len, Advice::LinuxWipeOnFork).is_ok()
    };
    // Release: whoever sees the address sees the number.
    let (release, relaxed) = (Ordering::Release, Ordering::Relaxed);
    if !is_wiped
        || NUMBER
            .compare_exchange(none, number, release, relaxed)
            .is_err()
    {
        // SAFETY: nobody else has seen the page.
        let _ = unsafe { munmap(page, len) };
    }
}

/// macOS has no such memory, and no way to fork but the C library's.
#[cfg(target_os = "macos")]
fn use_wiped_memory() {}

extern "C" fn forked() {
    let number = number();
    if ptr::eq(number, &UNWIPED) {
        // Relaxed: the child has one thread.
        number.store(0, Ordering::Relaxed);
    }
    become_another();
}

/// Takes a number of its own, if this is a child that has none.
fn become_another() {
    let number = number();
    if number.load(Ordering::Acquire) == 0 {
        close_what_is_the_parents(number);
        let new = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
        // It fails if another thread was first.
        let _ = number.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// The number of this process, which is another one than its parent's; 0 in a child that has not opened a
/// link and was not forked by the C library.
#[inline]
pub(crate) fn forks() -> u32 {
    number().load(Ordering::Relaxed)
}

/// A descriptor that a forked child must not keep: as long as the child had it, nobody could take over
/// what its parent had, even if the parent is dead. (Inheritance through `exec` is no such case: that
/// closes all of ours.)
#[derive(Debug)]
pub(crate) struct NotInChildren {
    fd: OwnedFd,
    slot: Option<usize>,
}

/// What a child closes, with the number of the process that has it; 0 is a free slot. No lock, because the child
/// may not wait for one.
static CLOSED_IN_CHILDREN: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

/// A descriptor, plus 1, and above it the number.
fn entry(number: u32, fd: RawFd) -> u64 {
    u64::from(number) << 32 | u64::from(fd.unsigned_abs() + 1)
}

fn close_what_is_the_parents(number: &AtomicU32) {
    for slot in &CLOSED_IN_CHILDREN {
        // Acquire: with the Release in `new`, an entry of this process's comes after its number.
        let entry = slot.load(Ordering::Acquire);
        let is_parents = entry != 0 && (entry >> 32) as u32 != number.load(Ordering::Acquire);
        let (relaxed, free) = (Ordering::Relaxed, 0);
        if is_parents && slot.compare_exchange(entry, free, relaxed, relaxed).is_ok() {
            // SAFETY: the descriptor was open in the parent, so this copy of it is open; and its owner
            // belongs to the driver, of which only the memory exists here.
            unsafe { libc::close((entry as u32 - 1) as RawFd) };
        }
    }
}

impl NotInChildren {
    /// If all slots are taken, the descriptor is treated like any other.
    pub(in crate::os) fn new(fd: OwnedFd) -> NotInChildren {
        let entry = entry(forks(), fd.as_raw_fd());
        let slot = CLOSED_IN_CHILDREN.iter().position(|slot| {
            slot.compare_exchange(0, entry, Ordering::Release, Ordering::Relaxed)
                .is_ok()
        });
        NotInChildren { fd, slot }
    }
}

impl AsFd for NotInChildren {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for NotInChildren {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            CLOSED_IN_CHILDREN[slot].store(0, Ordering::Relaxed);
        }
    }
}
