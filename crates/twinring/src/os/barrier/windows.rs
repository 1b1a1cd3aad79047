//! Windows: FlushProcessWriteBuffers, which reaches the threads of this process. There is nothing that
//! reaches those of another.

use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;
use windows_sys::core::{s, w};

static READY: AtomicBool = AtomicBool::new(false);

#[inline]
pub(super) fn is_ready() -> bool {
    // Relaxed: nothing had to be done before.
    READY.load(Ordering::Relaxed)
}

/// Under Wine the call returns and does nothing (seen in Wine 10).
pub(super) fn prepare() {
    READY.store(!is_wine(), Ordering::Relaxed);
}

fn is_wine() -> bool {
    // SAFETY: the strings end with 0, and ntdll is never unloaded.
    unsafe {
        let ntdll = GetModuleHandleW(w!("ntdll.dll"));
        !ntdll.is_null() && GetProcAddress(ntdll, s!("wine_get_version")).is_some()
    }
}

pub(super) fn own() -> bool {
    // SAFETY: no arguments; it cannot fail.
    unsafe { FlushProcessWriteBuffers() };
    true
}

pub(super) fn can_reach_peers() -> bool {
    false
}

pub(super) fn peers() -> bool {
    false
}
