//! What nobody can beat: copies and hand-overs with as little around them as there can be.
//!
//! ```text
//! line    memcpy    bare, mirror ─ end ─ words    rings that wait by spin, or by hybrid
//! ```

mod bare;
mod end;
#[cfg(target_os = "linux")]
mod hybrid;
mod line;
mod memcpy;
#[cfg(target_os = "linux")]
mod mirror;
mod spin;
mod words;

use super::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = line::entries();
    all.extend(memcpy::entries());
    all.extend(bare::entries());
    #[cfg(target_os = "linux")]
    all.extend(hybrid::entries());
    #[cfg(target_os = "linux")]
    all.extend(mirror::entries());
    all
}
