//! The messages: a header, a pattern, and the sum that tells whether every byte arrived.
//!
//! ```text
//! | what and thread | number | argument | pattern ...            (words of 8 bytes)
//! ```
//! The receiver adds up all words of every message in the timed part, whoever carries them. Number
//! and thread show what was lost, doubled or overtaken; the sum, what was altered.

mod buffer;
mod header;
mod message;
mod pattern;

pub(crate) use buffer::Buffer;
pub(crate) use header::{Header, What};
pub(crate) use message::Message;
pub(crate) use pattern::{first_wrong, sum};
