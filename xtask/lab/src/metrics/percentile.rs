//! A set of measured values, by percentile: [`Distribution`].

/// Values in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution(Vec<u64>);

impl Distribution {
    /// The distribution of `values`.
    #[must_use]
    pub fn new(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that at least `percent` per cent of all do not exceed (nearest rank).
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        // Less a trifle, for 99.9 per cent of 1000 are 999, whatever rounding makes of it.
        let rank = (percent * self.0.len() as f64 / 100.0 - 1e-6).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied()
    }

    /// The largest value.
    #[must_use]
    pub fn maximum(&self) -> Option<u64> {
        self.0.last().copied()
    }

    /// At most `points` pairs of a value and the part of all that do not exceed it, for a curve.
    #[must_use]
    pub fn curve(&self, points: usize) -> Vec<(u64, f64)> {
        let count = self.0.len();
        let steps = points.min(count);
        let at = |step: usize| {
            let index = (step * count).div_ceil(steps) - 1;
            (self.0[index], (index + 1) as f64 / count as f64)
        };
        (1..=steps).map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let values = Distribution::new((1..=1000).rev().collect());
        assert_eq!(values.percentile(50.0), Some(500));
        assert_eq!(values.percentile(99.0), Some(990));
        assert_eq!(values.percentile(99.9), Some(999));
        assert_eq!((values.maximum(), values.count()), (Some(1000), 1000));
        assert_eq!(Distribution::default().percentile(50.0), None);
    }

    #[test]
    fn a_curve_ends_at_the_whole() {
        let values = Distribution::new(vec![5, 1, 3]);
        assert_eq!(values.curve(10), [(1, 1.0 / 3.0), (3, 2.0 / 3.0), (5, 1.0)]);
        assert_eq!(values.curve(1), [(5, 1.0)]);
        assert!(Distribution::default().curve(4).is_empty());
    }
}
