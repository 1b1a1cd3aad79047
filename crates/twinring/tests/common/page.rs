//! `docs/format.md`, for tests that compare it with what the code does.

use std::path::Path;

/// Checks that a section of the page says this, wherever its lines break.
#[track_caller]
pub(crate) fn says(section: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let page = std::fs::read_to_string(path).expect("docs/format.md of the repository");
    let begin = page
        .find(&format!("\n## {section}\n"))
        .unwrap_or_else(|| panic!("format.md has no section {section}"));
    let section = &page[begin + 1..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words(section).contains(&words(text)),
        "format.md does not say: {text}"
    );
}
