//! A file server whose connections are streamed by worker processes, and a renderer in a process of its own. Either kind of worker may be
//! killed at any instruction: nobody who waits for the result sees it. `docs/streaming.md` says how.

mod files;
mod http;
mod os;
mod protocol;
pub mod render;
pub mod response;
pub mod server;
pub mod stream;
pub mod worker;
