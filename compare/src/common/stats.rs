//! Medians and percentiles.

/// The middle value; of an even number, the lower one of the middle two, so that it was measured.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 0.5)
}

/// The smallest value that at least this share of the values does not exceed.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// p50, p99 and p99.9 of times in nanoseconds, in microseconds. Sorts them.
pub(crate) fn three(times: &mut [u64]) -> Option<[f64; 3]> {
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (share * times.len() as f64).ceil() as usize;
        Some(*times.get(rank.max(1) - 1)? as f64 / 1e3)
    };
    Some([at(0.5)?, at(0.99)?, at(0.999)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 3.0]), Some(2.0));
    }

    #[test]
    fn percentiles() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&values, 0.01), Some(1.0));
        assert_eq!(percentile(&values, 0.99), Some(99.0));
        assert_eq!(percentile(&values, 1.0), Some(100.0));
    }

    #[test]
    fn three_of_a_thousand() {
        let mut times: Vec<u64> = (1..=1000).rev().map(|i| i * 1000).collect();
        assert_eq!(three(&mut times), Some([500.0, 990.0, 999.0]));
        assert_eq!(three(&mut []), None);
    }
}
