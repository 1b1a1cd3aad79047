//! The field `Range`.

use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Of(Range<u64>),
    /// There is no such part.
    None,
}

/// Which part of `len` bytes a client wants. What is not one range of bytes is ignored, as RFC 9110 allows: it gets all.
pub(crate) fn part(field: Option<&[u8]>, len: u64) -> Part {
    let Some((first, last)) = field.and_then(split) else {
        return Part::All;
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Part::All,
        (Some(first), _) if first >= len => Part::None,
        (Some(first), Some(last)) => Part::Of(first..last.saturating_add(1).min(len)),
        (Some(first), None) => Part::Of(first..len),
        // The last so many.
        (None, Some(0)) => Part::None,
        (None, Some(_)) if len == 0 => Part::None,
        (None, Some(last)) => Part::Of(len.saturating_sub(last)..len),
        (None, None) => Part::All,
    }
}

/// The two sides of a range, each of which has digits only.
fn split(field: &[u8]) -> Option<(&str, &str)> {
    let (unit, range) = std::str::from_utf8(field).ok()?.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (unit.trim().eq_ignore_ascii_case("bytes") && digits(first) && digits(last))
        .then_some((first, last))
}

/// Of digits; what is too large is the largest.
fn number(digits: &str) -> Option<u64> {
    (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let of = |text: &str, len| part(Some(text.as_bytes()), len);
        assert_eq!(part(None, 10), Part::All);
        assert_eq!(of("bytes=0-0", 10), Part::Of(0..1));
        assert_eq!(of("bytes=2-4", 10), Part::Of(2..5));
        assert_eq!(of("Bytes = 2-", 10), Part::Of(2..10));
        assert_eq!(of("bytes=9-99999999999999999999999", 10), Part::Of(9..10));
        assert_eq!(of("bytes=-3", 10), Part::Of(7..10));
        assert_eq!(of("bytes=-30", 10), Part::Of(0..10));
        for none in [
            "bytes=10-",
            "bytes=10-11",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(none, 10), Part::None, "{none}");
        }
        assert_eq!(of("bytes=0-", 0), Part::None);
        assert_eq!(of("bytes=-1", 0), Part::None);
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-2",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=1--2",
        ] {
            assert_eq!(of(ignored, 10), Part::All, "{ignored}");
        }
    }
}
