//! What is compared, each with its settings. Which build and which system has which is said here and
//! in `limits` and `kernel` alone.

mod entry;
mod framed;
mod kernel;
mod limits;
#[cfg(all(target_os = "linux", feature = "peers-native"))]
mod native_peers;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod peers;
mod twinring;

pub(crate) use entry::Entry;

use self::entry::Waits;
use crate::common::Result;

/// All of this build, in the order of the tables.
pub(crate) fn all() -> Vec<Entry> {
    let mut all = limits::entries();
    all.extend(twinring::entries());
    all.extend(kernel::entries());
    #[cfg(all(target_os = "linux", feature = "peers"))]
    all.extend(peers::entries().into_iter().map(Entry::one_link));
    #[cfg(all(target_os = "linux", feature = "peers-native"))]
    all.extend(native_peers::entries().into_iter().map(Entry::one_link));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Workload;
    use crate::common::MIB;

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
