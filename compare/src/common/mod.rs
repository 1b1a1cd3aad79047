//! What all rooms use: errors, sizes, percentiles, printing.

mod error;
pub(crate) mod print;
pub(crate) mod stats;
mod units;

pub(crate) use error::{Failure, Result};
pub(crate) use units::{KIB, MIB};
