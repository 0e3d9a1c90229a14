//! A weighted running mean and variance.

use modelwatch_sdk::report::float;
use serde::{Deserialize, Serialize};

use crate::mass::Mass;

/// The mass, mean, and sum of squared deviations of values with weights.
///
/// Welford's update with weights (West 1979); merging after Chan, Golub & LeVeque (1983).
/// It stands beside `modelwatch_stats::moments` because the bootstrap needs weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) mass: Mass,
    #[serde(with = "float")]
    mean: f64,
    #[serde(with = "float")]
    m2: f64,
}

impl Spread {
    /// Adds `value` as if it came `times` times, each of a weight; a NaN makes everything NaN.
    pub(crate) fn add(&mut self, value: f64, times: u64, weight: f64) {
        let added = times as f64 * weight;
        self.mass.add(times, weight);
        if added == 0.0 {
            return;
        }
        let delta = value - self.mean;
        self.mean += delta * (added / self.mass.weight);
        self.m2 += added * delta * (value - self.mean);
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        let (left, right) = (self.mass.weight, other.mass.weight);
        self.mass += other.mass;
        if left == 0.0 || right == 0.0 {
            if left == 0.0 {
                (self.mean, self.m2) = (other.mean, other.m2);
            }
            return;
        }
        let total = left + right;
        let delta = other.mean - self.mean;
        self.mean += delta * (right / total);
        self.m2 += other.m2 + delta * delta * (left * right / total);
    }

    /// Returns the mean, NaN for no values or no weight.
    pub(crate) fn mean(&self) -> f64 {
        if self.mass.weight > 0.0 { self.mean } else { f64::NAN }
    }

    /// Returns the sum of squared deviations from the mean.
    pub(crate) fn m2(&self) -> f64 {
        self.m2
    }

    /// Returns the standard error of the mean, NaN for fewer than two values. With weights it is that of the
    /// [effective number](Mass::effective) of rows.
    pub(crate) fn standard_error(&self) -> f64 {
        let n = self.mass.effective();
        if n <= 1.0 { f64::NAN } else { (self.m2 / self.mass.weight / (n - 1.0)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_whole_weights_agree_and_merge() {
        let values = [(1.5, 1), (4.0, 3), (-2.0, 2), (9.0, 0)];
        let (mut times, mut weighted, mut repeated) = (Spread::default(), Spread::default(), Spread::default());
        let (mut left, mut right) = (Spread::default(), Spread::default());
        for (idx, &(value, count)) in values.iter().enumerate() {
            times.add(value, count, 1.0);
            weighted.add(value, 1, count as f64);
            (0..count).for_each(|_| repeated.add(value, 1, 1.0));
            if idx < 2 { left.add(value, count, 1.0) } else { right.add(value, count, 1.0) }
        }
        left.merge(&right);
        for it in [&times, &weighted, &repeated, &left] {
            assert_eq!(it.mass.weight, 6.0);
            assert!((it.mean() - 9.5 / 6.0).abs() < 1e-15);
            assert!((it.m2() - (58.25 - 9.5 * 9.5 / 6.0)).abs() < 1e-12);
        }
        assert_eq!(times.standard_error(), repeated.standard_error());
    }

    #[test]
    fn too_few_values_are_undefined() {
        let mut spread = Spread::default();
        assert!(spread.mean().is_nan());
        spread.add(3.0, 1, 0.0);
        assert!(spread.mean().is_nan());
        spread.add(1.0, 1, 1.0);
        assert_eq!(spread.mean(), 1.0);
        assert!(spread.standard_error().is_nan());
    }
}
