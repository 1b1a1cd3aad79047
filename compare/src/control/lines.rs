//! What an end and the parent tell each other, a line of JSON each.

use serde::{Deserialize, Serialize};

use crate::cell::Figures;

/// What an end tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// It runs; nothing of the transport has been touched yet.
    Born,
    /// The host can be found by this.
    Token(String),
    /// The guest's link works and rests.
    Idle,
    /// It is done, and keeps its link until told to end.
    Result(Box<Figures>),
    Failed(String),
}

/// What an end is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Open,
    Connect(String),
    /// Use the link that rested.
    Wake,
    End,
}
