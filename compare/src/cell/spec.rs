//! What the two processes of a cell are told.

use serde::{Deserialize, Serialize};

use super::workload::Workload;

/// One run of one cell: all that its two processes must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) transport: String,
    pub(crate) workload: Workload,
    /// The timed part.
    pub(crate) ms: u64,
    /// The part before it, for as many milliseconds.
    pub(crate) warm_ms: u64,
    pub(crate) idle_ms: u64,
    /// Capacity of each ring of twinring and of the bare rings.
    pub(crate) ring: usize,
    /// Alters a byte of the message with this number: the cell must fail. For the tests.
    pub(crate) spoil: Option<u64>,
}
