//! What the service and its GUI say to each other: JSON, so that an old GUI still understands a newer service that only
//! says more.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// From the GUI to the service. There is no answer but what the next [`Snapshot`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Begins, or goes on after `Pause`.
    Start,
    Pause,
    Cancel,
}

/// From the service to the GUI: all that there is to show. Each is complete, so it does not matter when a GUI came, and
/// which of them it missed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub folder: String,
    pub stage: Stage,
    pub files: Amount,
    pub bytes: Amount,
    /// Files that could not be read.
    pub skipped: u64,
    /// How long it has worked, without pauses.
    pub seconds: f64,
    /// The files that were done last, the latest first.
    pub recent: Vec<Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    #[default]
    Idle,
    Listing,
    Hashing,
    Paused,
    Done,
    Cancelled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub done: u64,
    pub total: u64,
}

/// A file that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: String,
    pub len: u64,
    pub sha256: String,
}

impl Stage {
    /// Whether there is something to pause or to cancel.
    pub fn is_active(&self) -> bool {
        matches!(self, Stage::Listing | Stage::Hashing | Stage::Paused)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Idle => "idle",
            Stage::Listing => "listing",
            Stage::Hashing => "hashing",
            Stage::Paused => "paused",
            Stage::Done => "done",
            Stage::Cancelled => "cancelled",
        })
    }
}

pub fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("these types have nothing that JSON has not")
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}
