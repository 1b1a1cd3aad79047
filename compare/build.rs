//! Notes what this was built from, for the report; builds the C++ shim of Boost's queue.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    note(
        "COMPARE_RUSTC",
        first_line(Command::new(rustc).arg("--version")),
    );
    note(
        "COMPARE_COMMIT",
        first_line(Command::new("git").args(["describe", "--always", "--dirty"])),
    );
    // Every commit is noted there.
    let log = first_line(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"]));
    if let Some(log) = log {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "peers-native")]
    boost();
}

fn note(name: &str, text: Option<String>) {
    println!(
        "cargo::rustc-env={name}={}",
        text.unwrap_or_else(|| "unknown".into())
    );
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(feature = "peers-native")]
fn boost() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo::rerun-if-changed=src/transports/native_peers/boost.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .file("src/transports/native_peers/boost.cpp")
        .compile("compare_boost");
    println!("cargo::rustc-link-lib=rt");
}
