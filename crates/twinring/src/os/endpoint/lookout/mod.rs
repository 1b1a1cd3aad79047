//! Noticing what happens at the places of links, for all links of a process at once: the systems
//! give a process few such notices, and a thousand guests may be waiting for their hosts.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

/// One for a process.
///
/// * `new(&Hub, key: u64) -> io::Result<Lookout>`: `key` is reported at the hub when
///   [`changed`](Lookout::changed) has something to tell;
/// * `for_host(&self, &Hub, &Place, key) -> io::Result<Watch>`: `key` when the place was meddled
///   with;
/// * `for_guest(&self, &Hub, &Place, key) -> io::Result<Watch>`: `key` when there may be a host;
/// * `changed(&self, &mut Vec<u64>)`: appends the keys of places at which something happened.
///
/// A key may be reported for nothing; callers look.
pub(crate) use sys::Lookout;

/// Watches one place until drop.
///
/// * `renew(&mut self)`: to be called before each look at the place; what happens from then on is
///   reported;
/// * `is_blind(&self) -> bool`: the system gives no notice, now or ever, so look now and then.
pub(crate) use sys::Watch;
