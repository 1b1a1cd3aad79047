//! The Rust code for `proto/example.proto`. It is committed, so that who builds the example needs neither `protoc` nor
//! this crate.

use std::error::Error;
use std::path::{Path, PathBuf};

/// The folder with the `.proto` file and the code made from it.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

/// The file that the code is written to.
pub const FILE: &str = "twinring.example.rs";

/// Writes the code to this folder.
///
/// # Errors
/// The `.proto` file is wrong, or the folder cannot be written to.
pub fn generate(out: &Path) -> Result<(), Box<dyn Error>> {
    let files = protox::compile(["example.proto"], [folder()])?;
    tonic_prost_build::configure()
        .out_dir(out)
        // `Bytes` are handed on without a copy.
        .bytes(".")
        .compile_fds(files)?;
    Ok(())
}
