//! Linux.

mod about;
mod memory;
mod process;
mod shared_memory;
mod time;

pub(crate) use about::{name, processor, wine};
pub(crate) use memory::{free_memory, memory};
pub(crate) use process::usage;
pub(crate) use shared_memory::SharedMemory;
pub(crate) use time::{busy_ms, cpu_of, cpu_of_this_process, cpu_with_ended_threads, now_ns};
