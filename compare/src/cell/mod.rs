//! A cell: one transport, one workload. What is asked of it, and the figures that come out.

mod figures;
mod spec;
mod workload;

pub(crate) use figures::Figures;
pub(crate) use spec::Spec;
pub(crate) use workload::{BULK, LINKS, ROUND_TRIPS, SENDERS, SMALL, STREAMS, THREADS, Workload};
