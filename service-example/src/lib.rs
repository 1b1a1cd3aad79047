//! What the service and its GUI share: what they say to each other, where they meet, and the GUI's side of the link.

mod client;
mod meeting;
mod protocol;

pub use client::{Client, Presence, Seen};
pub use meeting::Meeting;
pub use protocol::{Amount, Command, Entry, Snapshot, Stage, decode, encode};
