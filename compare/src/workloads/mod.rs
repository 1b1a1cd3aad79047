//! What the two ends do, whoever carries the messages. The guest drives; the host serves.
//!
//! ```text
//! play ─┬─ guest ─ round_trip  stream  threads  overtake  footprint
//!       │            both (both ends)  ─┐
//!       ├─ host ────────────────────────┼─ serve    does what a message says
//!       └─ links (both ends) ───────────┘
//!                                            └ tally   what was received, and whether it is right
//! exchange, shared_sender   what several of these use
//! ```

mod both;
mod exchange;
mod footprint;
mod guest;
mod host;
pub(crate) mod links;
mod overtake;
mod play;
mod round_trip;
mod serve;
mod shared_sender;
mod stream;
mod tally;
mod threads;

pub(crate) use play::play;
