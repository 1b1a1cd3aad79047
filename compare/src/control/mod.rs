//! How the parent leads the two ends of a cell: orders on their stdin, lines on their stdout.

mod lines;
mod role;
mod stdio;

pub(crate) use lines::{Line, Order};
pub(crate) use role::Role;
pub(crate) use stdio::Control;
