//! The code that is committed is that of the `.proto` file.

use std::fs::read_to_string;

/// Git may have given the committed file the line ends of Windows.
fn text(folder: &std::path::Path) -> String {
    let text = read_to_string(folder.join(generate::FILE)).unwrap();
    text.replace("\r\n", "\n")
}

#[test]
fn the_committed_code_is_current() {
    let out = tempfile::tempdir().unwrap();
    generate::generate(out.path()).unwrap();
    assert!(
        text(out.path()) == text(&generate::folder()),
        "proto/{} is not that of proto/example.proto: `cargo run -p generate`",
        generate::FILE
    );
}
