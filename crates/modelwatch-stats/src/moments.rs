//! Count, mean, variance and range in one pass.
//!
//! Higher moments are not here; binning rules that need skewness compute it from points.

mod exact;

use crate::error::{Reason, StateError, Undefined, finite};
use crate::state::{Reader, Writer};

pub use exact::ExactMoments;

/// Running count, mean, sum of squared deviations, minimum and maximum of the finite values.
///
/// NaN and infinities are counted apart and enter nothing else.
/// Values are added one at a time (Welford 1962), so that the cut of the rows into `update` calls does not matter.
/// `merge` uses the pairwise formula of Chan, Golub & LeVeque (1983); it is commutative and associative up to rounding.
///
/// ```
/// use modelwatch_stats::moments::Moments;
///
/// let mut left = Moments::new();
/// left.update(&[1.0, 2.0, f64::NAN]);
/// let mut right = Moments::new();
/// right.update(&[3.0, 6.0]);
/// left.merge(&right);
/// assert_eq!((left.n(), left.n_nan()), (4, 1));
/// assert_eq!(left.mean(), Ok(3.0));
/// // ((1-3)² + (2-3)² + (3-3)² + (6-3)²) / (4 - 1)
/// assert!((left.variance(1).unwrap() - 14.0 / 3.0).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    n: u64,
    n_nan: u64,
    n_infinite: u64,
    mean: f64,
    /// What the rounded mean lacks; keeps the variance exact for values far from 0.
    mean_rest: f64,
    m2: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self::new()
    }
}

impl Moments {
    /// Returns an accumulator of no values.
    pub const fn new() -> Self {
        Self {
            n: 0,
            n_nan: 0,
            n_infinite: 0,
            mean: 0.0,
            mean_rest: 0.0,
            m2: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Adds values.
    pub fn update(&mut self, values: &[f64]) {
        for &value in values {
            self.push(value);
        }
    }

    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        if value.is_nan() {
            self.n_nan = self.n_nan.saturating_add(1);
        } else if value.is_infinite() {
            self.n_infinite = self.n_infinite.saturating_add(1);
        } else {
            self.n = self.n.saturating_add(1);
            let delta = (value - self.mean) - self.mean_rest;
            self.move_mean(delta / self.n as f64);
            self.m2 += delta * ((value - self.mean) - self.mean_rest);
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    /// Adds the values that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n_nan = self.n_nan.saturating_add(other.n_nan);
        self.n_infinite = self.n_infinite.saturating_add(other.n_infinite);
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            (self.n, self.mean, self.mean_rest, self.m2) = (other.n, other.mean, other.mean_rest, other.m2);
            (self.min, self.max) = (other.min, other.max);
            return;
        }
        // In a fixed order of the two sides, so that either gives the same bits.
        let is_first = self.order_key() <= other.order_key();
        let (first, second) = if is_first { (&*self, other) } else { (other, &*self) };
        let (left, right) = (first.n as f64, second.n as f64);
        let share = right / (left + right);
        let delta = (second.mean - first.mean) + (second.mean_rest - first.mean_rest);
        let m2 = (first.m2 + second.m2) + delta * delta * (left * share);
        (self.mean, self.mean_rest) = (first.mean, first.mean_rest);
        self.n = self.n.saturating_add(other.n);
        self.m2 = m2;
        self.move_mean(delta * share);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Returns the number of finite values.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the number of NaN values.
    pub const fn n_nan(&self) -> u64 {
        self.n_nan
    }

    /// Returns the number of infinite values.
    pub const fn n_infinite(&self) -> u64 {
        self.n_infinite
    }

    /// Returns the mean of the finite values.
    pub fn mean(&self) -> Result<f64, Undefined> {
        self.not_empty()?;
        finite(self.mean)
    }

    /// Returns the sum of squared deviations from the mean.
    pub fn m2(&self) -> Result<f64, Undefined> {
        self.not_empty()?;
        finite(self.m2)
    }

    /// Returns `m2 / (n - ddof)`; undefined for `n <= ddof` and where the squares overflow.
    pub fn variance(&self, ddof: u64) -> Result<f64, Undefined> {
        self.not_empty()?;
        if self.n <= ddof {
            return Err(Undefined::new(Reason::TooFew));
        }
        finite(self.m2 / (self.n - ddof) as f64)
    }

    /// Returns the square root of [`Moments::variance`].
    pub fn standard_deviation(&self, ddof: u64) -> Result<f64, Undefined> {
        self.variance(ddof).map(f64::sqrt)
    }

    /// Returns the smallest finite value.
    pub fn min(&self) -> Result<f64, Undefined> {
        self.not_empty().map(|()| self.min)
    }

    /// Returns the greatest finite value.
    pub fn max(&self) -> Result<f64, Undefined> {
        self.not_empty().map(|()| self.max)
    }

    /// Returns the state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Returns the accumulator that [`Moments::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("moments", bytes)?;
        let res = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(res)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        for count in [self.n, self.n_nan, self.n_infinite] {
            writer.u64(count);
        }
        for value in [self.mean, self.mean_rest, self.m2, self.min, self.max] {
            writer.f64(value);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (n, n_nan, n_infinite) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (mean, mean_rest, m2, min, max) =
            (reader.f64()?, reader.f64()?, reader.f64()?, reader.f64()?, reader.f64()?);
        if m2 < 0.0 {
            return Err(reader.invalid("m2"));
        }
        // Written so that a NaN bound is refused as well.
        let is_range = if n == 0 { min == f64::INFINITY && max == f64::NEG_INFINITY } else { min <= max };
        if !is_range {
            return Err(reader.invalid("range"));
        }
        Ok(Self { n, n_nan, n_infinite, mean, mean_rest, m2, min, max })
    }

    fn move_mean(&mut self, step: f64) {
        (self.mean, self.mean_rest) = moved_mean(self.mean, self.mean_rest, step);
    }

    fn order_key(&self) -> (u64, u64, u64) {
        (self.n, self.mean.to_bits(), self.mean_rest.to_bits())
    }

    fn not_empty(&self) -> Result<(), Undefined> {
        if self.n == 0 { Err(Undefined::new(Reason::Empty)) } else { Ok(()) }
    }
}

/// Returns a running mean `step` further on, as a rounded number and what that lacks, so that no low bits are lost (Knuth's two-sum).
///
/// ```
/// use modelwatch_stats::moments::moved_mean;
///
/// assert_eq!(moved_mean(1e16, 0.0, 1.0), (1e16, 1.0));
/// assert_eq!(moved_mean(1e16, 1.0, 1.0), (1e16 + 2.0, 0.0));
/// ```
pub fn moved_mean(mean: f64, rest: f64, step: f64) -> (f64, f64) {
    let step = step + rest;
    let sum = mean + step;
    let of_step = sum - mean;
    (sum, (mean - (sum - of_step)) + (step - of_step))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Moments {
        let mut res = Moments::new();
        res.update(values);
        res
    }

    #[test]
    fn empty_and_non_finite_values_are_undefined_or_counted() {
        let empty = of(&[f64::NAN, f64::INFINITY]);
        assert_eq!((empty.n(), empty.n_nan(), empty.n_infinite()), (0, 1, 1));
        assert_eq!(empty.mean(), Err(Undefined::new(Reason::Empty)));
        assert_eq!(of(&[1.0]).variance(1), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(of(&[1e300, -1e300]).variance(0), Err(Undefined::new(Reason::Overflow)));
    }

    #[test]
    fn a_large_offset_does_not_cancel() {
        let values: Vec<f64> = (0..1000).map(|it| 1e12 + f64::from(it % 2)).collect();
        assert!((of(&values).variance(0).unwrap() - 0.25).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn cut_of_rows_does_not_matter_and_merge_agrees(values in prop::collection::vec(-1e6..1e6f64, 0..60), at in 0usize..60) {
            let at = at.min(values.len());
            let whole = of(&values);
            let mut cut = of(&values[..at]);
            cut.update(&values[at..]);
            prop_assert_eq!(&cut, &whole);
            let (left, right) = (of(&values[..at]), of(&values[at..]));
            let (mut forward, mut backward) = (left.clone(), right.clone());
            forward.merge(&right);
            backward.merge(&left);
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward.n(), whole.n());
            if whole.n() > 0 {
                prop_assert!((forward.mean().unwrap() - whole.mean().unwrap()).abs() <= 1e-6);
                prop_assert!((forward.m2().unwrap() - whole.m2().unwrap()).abs() <= 1e-9 * whole.m2().unwrap() + 1e-3);
            }
            prop_assert_eq!(Moments::from_bytes(&whole.to_bytes()).unwrap(), whole);
        }

        #[test]
        fn malformed_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(read) = Moments::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }
    }
}
