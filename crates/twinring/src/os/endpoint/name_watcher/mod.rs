//! Noticing changes at the places of names, for all links of a process at once: a system gives a process
//! few such watches, and a thousand guests may be waiting for their hosts.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

/// One per process.
///
/// * `new(&Poller, token: u64) -> io::Result<NameWatcher>`: the poller reports `token` when
///   [`changed`](NameWatcher::changed) has something to report;
/// * `watch(&self, &Poller, &Rendezvous, token) -> io::Result<NameWatch>`: reports `token` to a host when
///   someone else has changed its place, to a guest when there may be a host;
/// * `changed(&self, &mut Vec<u64>)`: appends the tokens of places at which something happened.
///
/// A token may be reported without a reason; callers check the place.
pub(crate) use sys::NameWatcher;

/// Watches one place until dropped.
///
/// * `renew(&mut self)`: must be called before each look at the place; what happens from then on is
///   reported;
/// * `is_blind(&self) -> bool`: the system reports nothing, now or ever, so look now and then.
pub(crate) use sys::NameWatch;
