//! Sizes and figures as the tables show them.

use crate::common::{KIB, MIB};

pub(super) fn size(len: usize) -> String {
    match len {
        _ if len >= MIB && len.is_multiple_of(MIB) => format!("{} MiB", len / MIB),
        _ if len >= KIB && len.is_multiple_of(KIB) => format!("{} KiB", len / KIB),
        _ => format!("{len} B"),
    }
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [12345.6, 99.96, 12.34, 1.234, 0.1234, 0.01234, 0.0].map(number);
        assert_eq!(
            texts,
            ["12346", "100.0", "12.3", "1.23", "0.12", "0.0123", "0.00"]
        );
    }
}
