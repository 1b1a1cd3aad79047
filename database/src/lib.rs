//! Query results of SQLite as Arrow record batches over a link, from a provider to a tool that computes on them where they
//! were received. What the two say to each other is in [`protocol`]; `docs/database.md` tells the rest.

pub mod arrow;
pub mod client;
pub mod protocol;
pub mod provider;
pub mod sample;
pub mod summary;
