//! Sizes and times as people write and read them.

use std::time::Duration;

/// Reads a size: `65536`, `64K`, `64KiB`, `1M`, `4GiB`; also `64KB`, which is 64000.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write 65536, 64K, 1M or 4GiB");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (letter, ending) = match unit.chars().next() {
        None => ('B', ""),
        Some(letter) => (letter.to_ascii_uppercase(), &unit[letter.len_utf8()..]),
    };
    let base: u64 = match ending {
        "" | "iB" | "ib" => 1024,
        "B" | "b" => 1000,
        _ => return Err(wrong()),
    };
    let power = match letter {
        'B' if ending.is_empty() => 0,
        'K' => 1,
        'M' => 2,
        'G' => 3,
        'T' => 4,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(base.pow(power))
        .ok_or_else(|| format!("{text} is too large"))
}

/// Reads a time that is not 0.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    match parse_pause(text)? {
        Duration::ZERO => Err("the time must be longer than 0".into()),
        time => Ok(time),
    }
}

/// Reads a time: `5` and `5s` are seconds; also `500ms`, `2m`, `1h` and fractions such as `0.5`.
pub(crate) fn parse_pause(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time; write 5 (seconds), 500ms, 2m or 1h");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.trim_start()))
}

/// `1.5 MiB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `2.31 GB/s`: bytes per second in thousands, as links and disks are compared.
pub(crate) fn show_rate(bytes: u64, time: Duration) -> String {
    let rate = bytes as f64 / time.as_secs_f64().max(1e-9);
    match rate {
        r if r >= 1e9 => format!("{:.2} GB/s", r / 1e9),
        r if r >= 1e6 => format!("{:.1} MB/s", r / 1e6),
        r => format!("{:.1} kB/s", r / 1e3),
    }
}

/// `850 ns`, `12.3 µs`, `4.56 ms`, `1.23 s`.
pub(crate) fn show_time(time: Duration) -> String {
    let ns = time.as_secs_f64() * 1e9;
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// `1,234,567`.
pub(crate) fn show_count(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("64K", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("64 KiB", 65536),
            ("64KB", 64000),
            ("1M", 1 << 20),
            ("4GiB", 4 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5M",
            "1X",
            "1MiBs",
            "1 0",
            "99999999T",
            "1é",
            "1BiB",
            "1Mé",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("5", 5000),
            ("0.5", 500),
            ("5s", 5000),
            ("250ms", 250),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "0", "-1", "1d", "1.2.3", "inf", "1e3"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert!(parse_time(&format!("{}h", "9".repeat(300))).is_err());
    }

    #[test]
    fn shown() {
        assert_eq!(show_time(Duration::from_nanos(850)), "850 ns");
        assert_eq!(show_time(Duration::from_micros(4560)), "4.56 ms");
        assert_eq!(
            show_rate(3_000_000_000, Duration::from_secs(2)),
            "1.50 GB/s"
        );
        assert_eq!(show_count(1234567), "1,234,567");
        assert_eq!(show_bytes(1536 * 1024), "1.50 MiB");
    }

    proptest! {
        #[test]
        fn any_text_is_a_size_or_an_error(text in any::<String>()) {
            let _ = parse_size(&text);
            let _ = parse_time(&text);
        }

        #[test]
        fn plain_numbers_are_themselves(size in any::<u64>()) {
            prop_assert_eq!(parse_size(&size.to_string()), Ok(size));
        }
    }
}
