//! The code made from `proto/example.proto`; see `generate/`.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "it is generated"
)]

include!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/proto/twinring.example.rs"
));
