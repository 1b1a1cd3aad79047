//! What is compared, behind one face; one file each. Which system has which is said here alone.

mod bare;
pub(crate) mod buffer;
mod framed;
pub(crate) mod line;
mod memcpy;
mod tcp;
mod twinring;
mod udp;

#[cfg(target_os = "linux")]
mod hybrid;
#[cfg(target_os = "linux")]
mod mirror;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
#[path = "shared_linux.rs"]
mod shared;
#[cfg(target_os = "linux")]
mod unix;

#[cfg(windows)]
mod named_pipe;
#[cfg(windows)]
#[path = "shared_windows.rs"]
mod shared;

#[cfg(all(target_os = "linux", feature = "peers"))]
mod iceoryx;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod interprocess;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod ipc_channel;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod shmem_ipc;

#[cfg(all(target_os = "linux", feature = "peers-native"))]
mod boost;
#[cfg(all(target_os = "linux", feature = "peers-native"))]
mod nng;
#[cfg(all(target_os = "linux", feature = "peers-native"))]
mod zmq;

use crate::cell::{MIB, Result, Spec, Workload};
use crate::child::{self, Role};
use crate::control::Control;

/// Sends on a link.
pub(crate) trait Sender: Send + Sized + 'static {
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Sends what a sender of batches has gathered; called before an answer is waited for.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// One more for another thread, onto the same link; `None` if threads have to share this one
    /// under a lock.
    fn another(&self) -> Result<Option<Self>> {
        Ok(None)
    }
}

/// Receives from a link.
pub(crate) trait Receiver: Send + 'static {
    /// Waits for the next message and shows it: where it lies, if the transport can do so.
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()>;

    /// The same for all that is there, if the transport takes it at once.
    fn recv_some(&mut self, mut read: impl FnMut(&[u8])) -> Result<()> {
        self.recv(|bytes| read(bytes))
    }
}

/// Something that carries messages between two processes, both ways.
pub(crate) trait Transport: 'static {
    type Tx: Sender;
    type Rx: Receiver;
    type Listener;

    /// Makes what a guest can find by the text.
    fn listen(&self, spec: &Spec) -> Result<(Self::Listener, String)>;
    /// Waits for the guest.
    fn accept(&self, listener: Self::Listener, spec: &Spec) -> Result<(Self::Tx, Self::Rx)>;
    fn connect(&self, token: &str, spec: &Spec) -> Result<(Self::Tx, Self::Rx)>;
}

/// How a transport waits; tells what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Spins for ever: never idle.
    Spins,
    /// Sleeps, at once or after a while.
    Sleeps,
}

/// Why `memcpy` and the cache line have few workloads.
const NOT_A_LINK: &str = "it is a limit of other things";

type Start = dyn Fn(Role, &Spec, &Control) -> Result<()>;

/// One transport with its settings.
pub(crate) struct Entry {
    /// On the command line and in the rows.
    pub(crate) name: &'static str,
    /// In tables.
    pub(crate) title: &'static str,
    /// Everything that was chosen, for the report.
    pub(crate) settings: &'static str,
    pub(crate) waits: Waits,
    /// The longest message that it carries whole.
    pub(crate) longest: usize,
    /// It measures only some workloads, and why.
    only: Option<(&'static [Workload], &'static str)>,
    /// What one end does.
    pub(crate) start: Box<Start>,
}

impl Entry {
    fn new(
        name: &'static str,
        title: &'static str,
        waits: Waits,
        transport: impl Transport,
        settings: &'static str,
    ) -> Entry {
        Entry {
            name,
            title,
            settings,
            waits,
            longest: usize::MAX,
            only: None,
            start: Box::new(move |role, spec, control| {
                child::play(&transport, role, spec, control)
            }),
        }
    }

    /// Longer messages are not for it.
    fn longest(mut self, longest: usize) -> Entry {
        self.longest = longest;
        self
    }

    /// Other workloads are not for it.
    fn only(mut self, workloads: &'static [Workload], why: &'static str) -> Entry {
        self.only = Some((workloads, why));
        self
    }

    /// Why this transport is not measured so.
    pub(crate) fn not(&self, workload: Workload) -> Option<String> {
        if let Some((only, why)) = self.only {
            return (!only.contains(&workload)).then(|| why.into());
        }
        if workload == Workload::Footprint && self.waits == Waits::Spins {
            return Some("it spins: it is never idle".into());
        }
        let longest = workload.longest();
        (longest > self.longest).then(|| {
            let unit = if self.longest >= MIB {
                format!("{} MiB", self.longest / MIB)
            } else {
                format!("{} bytes", self.longest)
            };
            format!("its messages have at most {unit}")
        })
    }
}

/// All of this build, in the order of the tables.
pub(crate) fn all() -> Vec<Entry> {
    let mut all = Vec::new();
    all.extend(line::entries());
    all.extend(memcpy::entries());
    all.extend(bare::entries());
    #[cfg(target_os = "linux")]
    all.extend(hybrid::entries());
    #[cfg(target_os = "linux")]
    all.extend(mirror::entries());
    all.extend(twinring::entries());
    #[cfg(target_os = "linux")]
    all.extend(pipe::entries());
    #[cfg(target_os = "linux")]
    all.extend(unix::entries());
    #[cfg(windows)]
    all.extend(named_pipe::entries());
    all.extend(udp::entries());
    all.extend(tcp::entries());
    #[cfg(all(target_os = "linux", feature = "peers"))]
    {
        all.extend(iceoryx::entries());
        all.extend(ipc_channel::entries());
        all.extend(interprocess::entries());
        all.extend(shmem_ipc::entries());
    }
    #[cfg(all(target_os = "linux", feature = "peers-native"))]
    {
        all.extend(zmq::entries());
        all.extend(nng::entries());
        all.extend(boost::entries());
    }
    all
}

pub(crate) fn find(name: &str) -> Result<Entry> {
    let all = all();
    let names = all.iter().map(|entry| entry.name).collect::<Vec<_>>();
    let names = names.join(", ");
    all.into_iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| format!("no transport {name:?} in this build, which has {names}").into())
}

/// The bare ring that waits as `entry` does, if it is not one itself.
pub(crate) fn limit_of(waits: Waits, all: &[Entry]) -> Option<&Entry> {
    let name = match waits {
        Waits::Spins => "bare-spin",
        Waits::Sleeps => "bare-hybrid",
    };
    let by_name = |name: &str| all.iter().find(|entry| entry.name == name);
    by_name(name).or_else(|| by_name("bare-spin"))
}

/// A name that no other run uses.
fn unique(what: &str) -> String {
    format!("compare-{what}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_settings_are_told() {
        let mut names: Vec<_> = all().iter().map(|entry| entry.name).collect();
        assert!(all().iter().all(|entry| entry.settings.len() > 20));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_unknown_transport_says_which_there_are() {
        let error = find("carrier-pigeon").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("bare-spin")));
    }

    #[test]
    fn what_is_not_measured_has_a_reason() {
        let udp = find("udp").ok();
        let reason = udp.and_then(|udp| udp.not(Workload::OneWay(MIB)));
        assert_eq!(
            reason.as_deref(),
            Some("its messages have at most 65507 bytes")
        );
    }
}
