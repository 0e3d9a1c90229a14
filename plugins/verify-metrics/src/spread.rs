//! A weighted running mean and variance.

use modelwatch_sdk::report::float;
use serde::{Deserialize, Serialize};

/// The total weight, mean, and sum of squared deviations of values with whole weights.
///
/// Welford's update with weights (West 1979); merging after Chan, Golub & LeVeque (1983).
/// It stands beside `modelwatch_stats::moments` because the bootstrap needs weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) n: u64,
    #[serde(with = "float")]
    mean: f64,
    #[serde(with = "float")]
    m2: f64,
}

impl Spread {
    /// Adds `value` as if it came `weight` times; a NaN makes everything NaN.
    pub(crate) fn add(&mut self, value: f64, weight: u64) {
        if weight == 0 {
            return;
        }
        self.n += weight;
        let delta = value - self.mean;
        self.mean += delta * (weight as f64 / self.n as f64);
        self.m2 += weight as f64 * delta * (value - self.mean);
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.n == 0 || other.n == 0 {
            if self.n == 0 {
                *self = other.clone();
            }
            return;
        }
        let (left, right) = (self.n as f64, other.n as f64);
        let total = left + right;
        let delta = other.mean - self.mean;
        self.n += other.n;
        self.mean += delta * (right / total);
        self.m2 += other.m2 + delta * delta * (left * right / total);
    }

    /// Returns the mean, NaN for no values.
    pub(crate) fn mean(&self) -> f64 {
        if self.n == 0 { f64::NAN } else { self.mean }
    }

    /// Returns the sum of squared deviations from the mean.
    pub(crate) fn m2(&self) -> f64 {
        self.m2
    }

    /// Returns the standard error of the mean, NaN for fewer than two values.
    pub(crate) fn standard_error(&self) -> f64 {
        if self.n < 2 { f64::NAN } else { (self.m2 / (self.n - 1) as f64 / self.n as f64).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_repetitions_and_merging_agrees() {
        let values = [(1.5, 1), (4.0, 3), (-2.0, 2), (9.0, 0)];
        let (mut weighted, mut repeated) = (Spread::default(), Spread::default());
        let (mut left, mut right) = (Spread::default(), Spread::default());
        for (idx, &(value, weight)) in values.iter().enumerate() {
            weighted.add(value, weight);
            (0..weight).for_each(|_| repeated.add(value, 1));
            if idx < 2 { left.add(value, weight) } else { right.add(value, weight) }
        }
        left.merge(&right);
        for it in [&weighted, &repeated, &left] {
            assert_eq!(it.n, 6);
            assert!((it.mean() - 9.5 / 6.0).abs() < 1e-15);
            assert!((it.m2() - (58.25 - 9.5 * 9.5 / 6.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn too_few_values_are_undefined() {
        let mut spread = Spread::default();
        assert!(spread.mean().is_nan());
        spread.add(1.0, 1);
        assert!(spread.standard_error().is_nan());
    }
}
