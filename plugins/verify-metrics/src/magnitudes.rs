//! A histogram of magnitudes of bounded relative error, for quantiles of more errors than are kept.
//!
//! Bins are those of the leading bits of the float, as in HdrHistogram and in the logarithmic bins of
//! DDSketch (Masson, Rim & Lee 2019), so that merging is exact and order does not matter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ranking;

/// The bits of the mantissa that a bin is named by.
const BITS: u32 = 9;
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - BITS;
/// How far a quantile can be from the true one, relative to it: half of the width of a bin.
pub(crate) const RELATIVE_ERROR: f64 = 1.0 / (1u64 << (BITS + 1)) as f64;

/// The weight of magnitudes per bin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Magnitudes(BTreeMap<u64, f64>);

impl Magnitudes {
    /// Adds a finite number that is not negative.
    pub(crate) fn add(&mut self, value: f64, weight: f64) {
        *self.0.entry(value.min(f64::MAX).to_bits() >> SHIFT).or_default() += weight;
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: Self) {
        for (bin, weight) in other.0 {
            *self.0.entry(bin).or_default() += weight;
        }
    }

    /// Returns a quantile, within [`RELATIVE_ERROR`] of that of the values, and within it of itself.
    pub(crate) fn quantile(&self, level: f64) -> f64 {
        let middle = |bin: u64| if bin == 0 { 0.0 } else { f64::from_bits(bin << SHIFT | 1 << (SHIFT - 1)) };
        ranking::quantile(self.0.iter().map(|(&bin, &weight)| (middle(bin), weight)), level)
    }

    /// Returns whether the bins are those of finite numbers.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.keys().all(|&bin| bin < f64::INFINITY.to_bits() >> SHIFT) && self.0.values().all(|it| *it >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_bound() {
        let values: Vec<f64> = (1..1000).map(|it| f64::from(it).powi(3) * 1e-7).collect();
        let (mut left, mut right) = (Magnitudes::default(), Magnitudes::default());
        for (idx, &value) in values.iter().enumerate() {
            if idx % 3 == 0 { left.add(value, 1.0) } else { right.add(value, 1.0) }
        }
        left.merge(right);
        assert!(left.is_valid());
        for level in [0.1, 0.5, 0.9, 0.99] {
            let exact = ranking::quantile(values.iter().map(|&it| (it, 1.0)), level);
            assert!((left.quantile(level) / exact - 1.0).abs() <= RELATIVE_ERROR, "{level}");
        }
        let mut zero = Magnitudes::default();
        assert!(zero.quantile(0.5).is_nan());
        zero.add(0.0, 2.0);
        assert_eq!(zero.quantile(0.5), 0.0);
    }
}
