//! What the lines say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cell::{Figures, Workload};
use crate::machine::Machine;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a line at a time")]
pub(crate) enum Row {
    Session(Session),
    Run(Run),
}

/// What is true of all runs that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) versions: BTreeMap<String, String>,
    /// Of each transport, in the order of the tables.
    pub(crate) transports: Vec<Described>,
    pub(crate) ms: u64,
    pub(crate) ring: usize,
    pub(crate) rounds: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) settings: String,
    /// The bare ring it is compared with.
    pub(crate) limit: Option<String>,
}

/// One run of one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) round: u32,
    pub(crate) transport: String,
    pub(crate) workload: Workload,
    /// Cache line bounced before and after, nanoseconds.
    pub(crate) probes: [f64; 2],
    /// Processor time that others used meanwhile, milliseconds, and how long it took.
    pub(crate) foreign_ms: f64,
    pub(crate) wall_ms: f64,
    /// Why there are no figures, if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
    /// Why it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}
