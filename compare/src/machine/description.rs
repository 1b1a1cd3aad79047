//! What machine it is.

use serde::{Deserialize, Serialize};

use super::system;

/// Where and with what a file of rows was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) system: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    /// Version of Wine: its kernel waits are not those of Windows.
    pub(crate) wine: Option<String>,
    pub(crate) rust: String,
    pub(crate) commit: String,
}

impl Machine {
    /// Said wherever figures of Wine might be taken for those of Windows.
    pub(crate) fn wine_warning(&self) -> Option<String> {
        let version = self.wine.as_ref()?;
        Some(format!(
            "This is Wine {version}, not Windows: that it runs and is correct is shown here; the \
             times say nothing about Windows and are not to be published as such."
        ))
    }
}

pub(crate) fn describe() -> Machine {
    Machine {
        system: system::name(),
        processor: system::processor(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: system::memory() >> 30,
        wine: system::wine(),
        rust: env!("COMPARE_RUSTC").into(),
        commit: env!("COMPARE_COMMIT").into(),
    }
}
