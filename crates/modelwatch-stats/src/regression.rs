//! Errors of predicted numbers.

use crate::error::{Reason, StateError, Undefined, finite};
use crate::moments::Moments;
use crate::quantile::quantile;
use crate::sample::NumericSample;
use crate::state::{Reader, Writer};

/// Running sums behind the regression metrics; definitions and edge cases are scikit-learn's.
///
/// Rows are added one at a time, so that the cut into `update` calls does not matter.
/// `merge` is commutative, and associative up to rounding; the median's sample is exactly associative.
/// A NaN or infinity in either column makes every metric undefined and is counted in [`RegressionErrors::n_bad`].
///
/// ```
/// use modelwatch_stats::regression::RegressionErrors;
///
/// let mut errors = RegressionErrors::new(1000);
/// errors.update(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0]).unwrap();
/// assert_eq!(errors.mae(), Ok(0.5));
/// assert_eq!(errors.mse(), Ok(0.375));
/// assert_eq!(errors.median_ae(), Ok(0.5));
/// assert!((errors.r2().unwrap() - 0.948_608_137).abs() < 1e-9);
/// ```
#[derive(Clone, Debug)]
pub struct RegressionErrors {
    n_bad: u64,
    sum_absolute: f64,
    sum_squared: f64,
    sum_relative: f64,
    truth: Moments,
    error: Moments,
    absolute: NumericSample,
}

impl Default for RegressionErrors {
    fn default() -> Self {
        Self::new(NumericSample::DEFAULT_BUDGET)
    }
}

impl RegressionErrors {
    /// Returns an accumulator whose median is exact for up to `budget` rows.
    pub const fn new(budget: u64) -> Self {
        Self {
            n_bad: 0,
            sum_absolute: 0.0,
            sum_squared: 0.0,
            sum_relative: 0.0,
            truth: Moments::new(),
            error: Moments::new(),
            absolute: NumericSample::new(budget),
        }
    }

    /// Adds rows; fails, adding nothing, if the lengths differ.
    pub fn update(&mut self, truth: &[f64], predicted: &[f64]) -> Result<(), Undefined> {
        if truth.len() != predicted.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            self.push(truth, predicted);
        }
        Ok(())
    }

    /// Adds one row.
    pub fn push(&mut self, truth: f64, predicted: f64) {
        let error = truth - predicted;
        if !(truth.is_finite() && predicted.is_finite() && error.is_finite()) {
            self.n_bad = self.n_bad.saturating_add(1);
            return;
        }
        self.sum_absolute += error.abs();
        self.sum_squared += error * error;
        self.sum_relative += error.abs() / truth.abs().max(f64::EPSILON);
        self.truth.push(truth);
        self.error.push(error);
        self.absolute.push(error.abs());
    }

    /// Adds the rows that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n_bad = self.n_bad.saturating_add(other.n_bad);
        self.sum_absolute += other.sum_absolute;
        self.sum_squared += other.sum_squared;
        self.sum_relative += other.sum_relative;
        self.truth.merge(&other.truth);
        self.error.merge(&other.error);
        self.absolute.merge(&other.absolute);
    }

    /// Returns the number of usable rows.
    pub const fn n(&self) -> u64 {
        self.truth.n()
    }

    /// Returns the number of rows with a NaN, an infinity or a difference that overflows.
    pub const fn n_bad(&self) -> u64 {
        self.n_bad
    }

    /// Returns the mean absolute error `Σ |y - ŷ| / n`.
    pub fn mae(&self) -> Result<f64, Undefined> {
        self.mean_of(self.sum_absolute)
    }

    /// Returns the mean squared error `Σ (y - ŷ)² / n`.
    pub fn mse(&self) -> Result<f64, Undefined> {
        self.mean_of(self.sum_squared)
    }

    /// Returns the square root of [`RegressionErrors::mse`].
    pub fn rmse(&self) -> Result<f64, Undefined> {
        self.mse().map(f64::sqrt)
    }

    /// Returns the coefficient of determination `1 - Σ (y - ŷ)² / Σ (y - ȳ)²`.
    ///
    /// For a constant truth it is 1 if all errors are 0, else 0. Undefined for fewer than two rows.
    pub fn r2(&self) -> Result<f64, Undefined> {
        self.usable()?;
        if self.n() < 2 {
            return Err(Undefined::new(Reason::TooFew));
        }
        explained(self.sum_squared, self.truth.m2()?)
    }

    /// Returns the explained variance `1 - Var(y - ŷ) / Var(y)`; a constant truth as in [`RegressionErrors::r2`].
    pub fn explained_variance(&self) -> Result<f64, Undefined> {
        self.usable()?;
        explained(self.error.m2()?, self.truth.m2()?)
    }

    /// Returns the greatest absolute error.
    pub fn max_error(&self) -> Result<f64, Undefined> {
        self.usable()?;
        Ok(self.error.max()?.abs().max(self.error.min()?.abs()))
    }

    /// Returns the mean absolute percentage error `Σ |y - ŷ| / max(|y|, 2⁻⁵²) / n`, as a share, not in percent.
    pub fn mape(&self) -> Result<f64, Undefined> {
        self.mean_of(self.sum_relative)
    }

    /// Returns the median absolute error; beyond the budget within [`NumericSample::relative_error`].
    pub fn median_ae(&self) -> Result<f64, Undefined> {
        self.usable()?;
        quantile(&self.absolute.points(), 0.5)
    }

    /// Returns the mean of `y - ŷ`.
    pub fn mean_error(&self) -> Result<f64, Undefined> {
        self.usable()?;
        self.error.mean()
    }

    /// Returns the absolute errors.
    pub const fn absolute_errors(&self) -> &NumericSample {
        &self.absolute
    }

    /// Returns the state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.n_bad);
        for value in [self.sum_absolute, self.sum_squared, self.sum_relative] {
            writer.f64(value);
        }
        self.truth.write(&mut writer);
        self.error.write(&mut writer);
        self.absolute.write(&mut writer);
        writer.finish()
    }

    /// Returns the accumulator that [`RegressionErrors::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("regression errors", bytes)?;
        let n_bad = reader.u64()?;
        let (sum_absolute, sum_squared, sum_relative) = (reader.f64()?, reader.f64()?, reader.f64()?);
        if !(sum_absolute >= 0.0 && sum_squared >= 0.0 && sum_relative >= 0.0) {
            return Err(reader.invalid("sums"));
        }
        let (truth, error) = (Moments::read(&mut reader)?, Moments::read(&mut reader)?);
        let absolute = NumericSample::read(&mut reader)?;
        if truth.n() != error.n() || truth.n() != absolute.n_finite() {
            return Err(reader.invalid("n"));
        }
        reader.finish()?;
        Ok(Self { n_bad, sum_absolute, sum_squared, sum_relative, truth, error, absolute })
    }

    fn usable(&self) -> Result<(), Undefined> {
        if self.n_bad > 0 {
            Err(Undefined::new(Reason::NotANumber))
        } else if self.n() == 0 {
            Err(Undefined::new(Reason::Empty))
        } else {
            Ok(())
        }
    }

    fn mean_of(&self, sum: f64) -> Result<f64, Undefined> {
        self.usable()?;
        finite(sum / self.n() as f64)
    }
}

fn explained(residual: f64, total: f64) -> Result<f64, Undefined> {
    if total != 0.0 { finite(1.0 - finite(residual)? / total) } else { Ok(if residual == 0.0 { 1.0 } else { 0.0 }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[(f64, f64)]) -> RegressionErrors {
        let mut res = RegressionErrors::new(20);
        rows.iter().for_each(|it| res.push(it.0, it.1));
        res
    }

    #[test]
    fn bad_rows_and_no_rows_are_undefined() {
        for metric in
            [RegressionErrors::mae, RegressionErrors::r2, RegressionErrors::median_ae, RegressionErrors::max_error]
        {
            assert_eq!(metric(&of(&[])), Err(Undefined::new(Reason::Empty)));
            assert_eq!(metric(&of(&[(1.0, 1.0), (f64::NAN, 1.0)])), Err(Undefined::new(Reason::NotANumber)));
            assert_eq!(metric(&of(&[(1.0, 1.0), (1.0, f64::INFINITY)])), Err(Undefined::new(Reason::NotANumber)));
        }
        assert_eq!(of(&[(1.0, 1.0)]).r2(), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(RegressionErrors::default().update(&[1.0], &[]), Err(Undefined::new(Reason::LengthMismatch)));
    }

    proptest! {
        #[test]
        fn merge_agrees_with_one_pass(rows in prop::collection::vec((-1e3..1e3f64, -1e3..1e3f64), 2..50), at in 0usize..50) {
            let at = at.min(rows.len());
            let whole = of(&rows);
            let (mut left, mut right) = (of(&rows[..at]), of(&rows[at..]));
            let before = left.clone();
            left.merge(&right);
            right.merge(&before);
            prop_assert_eq!(left.to_bytes(), right.to_bytes());
            prop_assert_eq!(left.median_ae(), whole.median_ae());
            prop_assert_eq!(left.max_error(), whole.max_error());
            for metric in [RegressionErrors::mae, RegressionErrors::mse, RegressionErrors::r2, RegressionErrors::explained_variance] {
                let (found, expected) = (metric(&left).unwrap(), metric(&whole).unwrap());
                prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0));
            }
            let bytes = whole.to_bytes();
            prop_assert_eq!(&RegressionErrors::from_bytes(&bytes).unwrap().to_bytes(), &bytes);
            prop_assert!(RegressionErrors::from_bytes(&bytes[..at.min(bytes.len() - 1)]).is_err());
        }
    }
}
