//! What a set of samples comes to.
//!
//! Samples of an operating system have a long tail upwards (an interrupt, another program), so what describes them
//! here is robust: the median, and the median of the distances from it, neither of which a few wild samples move.

use serde::Serialize;

/// The figures of a set of samples, all in the same unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many there were.
    pub samples: usize,
    /// The smallest.
    pub minimum: f64,
    /// The middle one.
    pub median: f64,
    /// The value that 99 of 100 do not exceed.
    pub p99: f64,
    /// The largest.
    pub maximum: f64,
    /// The median absolute deviation from the median.
    pub deviation: f64,
}

impl Summary {
    /// Summarises samples that each hold so many operations; `None` if there are no samples.
    #[must_use]
    pub fn of(totals: &[u64], operations: u64) -> Option<Self> {
        let mut values: Vec<f64> =
            totals.iter().map(|total| *total as f64 / operations.max(1) as f64).collect();
        values.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*values.first()?, *values.last()?);
        let middle = median(&mut values);
        let p99 = percentile(&values, 99);
        let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        Some(Self {
            samples: values.len(),
            minimum: rounded(minimum),
            median: rounded(middle),
            p99: rounded(p99),
            maximum: rounded(maximum),
            deviation: rounded(median(&mut distances)),
        })
    }
}

/// The middle value, or the mean of the middle two; zero if there is none. Sorts the values.
#[must_use]
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The smallest of the sorted values that `percent` of them do not exceed (nearest rank).
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// To hundredths: more digits than a measurement has.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A bucket of a histogram: the largest value in it, and how many samples fell there.
pub type Bucket = (u64, usize);

/// Steps in which a histogram divides each doubling.
const STEPS: u64 = 4;

/// Counts samples in buckets that grow with the values, four to each doubling; empty buckets are left out.
#[must_use]
pub fn histogram(values: &[u64]) -> Vec<Bucket> {
    let mut buckets = std::collections::BTreeMap::new();
    for value in values {
        *buckets.entry(upper_bound(*value)).or_insert(0) += 1;
    }
    buckets.into_iter().collect()
}

/// The largest value that shares a bucket with this one.
fn upper_bound(value: u64) -> u64 {
    if value < STEPS {
        return value;
    }
    let step = 1 << (value.ilog2() - STEPS.ilog2());
    // Wide, because the last bucket ends where the type does.
    let end = (u128::from(value / step) + 1) * u128::from(step) - 1;
    u64::try_from(end).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_samples_have_no_summary() {
        assert_eq!(Summary::of(&[], 1), None);
    }

    #[test]
    fn one_wild_sample_moves_neither_median_nor_deviation() {
        let calm = Summary::of(&[10, 11, 12, 13, 14], 1).unwrap();
        let wild = Summary::of(&[10, 11, 12, 13, 9999], 1).unwrap();
        assert_eq!((calm.median, calm.deviation), (12.0, 1.0));
        assert_eq!((wild.median, wild.deviation), (12.0, 1.0));
        assert_eq!((wild.minimum, wild.maximum, wild.samples), (10.0, 9999.0, 5));
    }

    #[test]
    fn figures_are_those_of_one_operation() {
        let summary = Summary::of(&[1000, 2000, 4001], 1000).unwrap();
        assert_eq!((summary.minimum, summary.median, summary.maximum), (1.0, 2.0, 4.0));
    }

    #[test]
    fn an_even_number_has_its_median_in_between() {
        assert!((median(&mut [4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&mut []).abs() < f64::EPSILON);
    }

    #[test]
    fn percentiles_are_samples() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(Summary::of(&values, 1).unwrap().p99, 198.0);
        assert_eq!(Summary::of(&[7], 1).unwrap().p99, 7.0);
    }

    #[test]
    fn buckets_hold_what_they_say() {
        let mut last = 0;
        for value in (0..5000).chain([u64::MAX - 1, u64::MAX]) {
            let bound = upper_bound(value);
            assert!(bound >= value && bound >= last, "{value} {bound}");
            assert!(bound - value <= value / STEPS, "{value} {bound}");
            assert_eq!(upper_bound(bound), bound);
            last = bound;
        }
    }

    #[test]
    fn a_histogram_loses_no_sample() {
        let values = [1, 1, 5, 100, 101, 100_000];
        let histogram = histogram(&values);
        assert_eq!(histogram.iter().map(|bucket| bucket.1).sum::<usize>(), values.len());
        assert!(histogram.is_sorted());
    }
}
