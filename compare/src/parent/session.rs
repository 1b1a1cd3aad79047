//! What is true of all runs of a file of rows.

use std::collections::BTreeMap;
use std::path::Path;

use super::plan::Plan;
use crate::machine::{self, date};
use crate::results::{Described, Session};
use crate::transports::{self, Entry};

pub(super) fn describe(plan: &Plan, all: &[Entry], chosen: &[&Entry]) -> Session {
    let described = |entry: &&Entry| {
        let limit = transports::limit_of(entry.waits, all);
        Described {
            name: entry.name.into(),
            title: entry.title.into(),
            settings: entry.settings.into(),
            limit: limit
                .filter(|limit| limit.name != entry.name)
                .map(|limit| limit.name.into()),
        }
    };
    // Without the folders of this machine.
    let command: Vec<String> = std::env::args()
        .skip(1)
        .map(|arg| {
            Path::new(&arg)
                .file_name()
                .map_or(arg.clone(), |name| name.to_string_lossy().into())
        })
        .collect();
    Session {
        date: date::now(),
        command: format!("compare {}", command.join(" ")),
        machine: machine::describe(),
        versions: versions(include_str!("../../Cargo.lock")),
        transports: chosen.iter().map(described).collect(),
        ms: plan.ms,
        ring: plan.ring,
        rounds: plan.rounds,
    }
}

/// Versions of what is compared, out of the lock file.
fn versions(lock: &str) -> BTreeMap<String, String> {
    const NAMES: [&str; 7] = [
        "twinring",
        "iceoryx2",
        "ipc-channel",
        "interprocess",
        "shmem-ipc",
        "zmq",
        "nng",
    ];
    let field = |line: &str, name: &str| -> Option<String> {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(" = \"")?
                .strip_suffix('"')?
                .into(),
        )
    };
    let mut versions = BTreeMap::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = field(line, "name").filter(|name| NAMES.contains(&&**name)) else {
            continue;
        };
        if let Some(version) = lines.next().and_then(|line| field(line, "version")) {
            versions.insert(name, version);
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_out_of_the_lock_file() {
        let lock = "[[package]]\nname = \"zmq\"\nversion = \"0.10.0\"\nsource = \"x\"\n\
                    [[package]]\nname = \"zmq-sys\"\nversion = \"0.12.0\"\n";
        let versions = versions(lock);
        assert_eq!(versions.get("zmq").map(String::as_str), Some("0.10.0"));
        assert_eq!(versions.len(), 1);
    }
}
