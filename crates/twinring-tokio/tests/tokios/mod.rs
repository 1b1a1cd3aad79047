//! Tokio's runtimes.

#![allow(dead_code, reason = "each test uses what it needs")]

use tokio::runtime::{Builder, Runtime};

pub(crate) fn many_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
