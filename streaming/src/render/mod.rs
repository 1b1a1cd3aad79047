//! A picture that a process of its own renders, band by band, into the ring.

mod mandelbrot;
mod parent;
mod protocol;
mod worker;

pub use parent::{Told, render};
pub use protocol::Picture;
pub use worker::run;
