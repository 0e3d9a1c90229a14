//! Where the values of a stretch of a stream lie.

use modelwatch_stats::moments::Moments;

/// Mean and standard deviation of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) n: u64,
    /// NaN of no values, or of too great ones.
    pub(crate) mean: f64,
    /// NaN of fewer than two values, or of too great ones.
    pub(crate) deviation: f64,
}

impl Level {
    /// Returns the level of finite values.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut moments = Moments::new();
        moments.update(values);
        Self {
            n: moments.n(),
            mean: moments.mean().unwrap_or(f64::NAN),
            deviation: moments.standard_deviation(1).unwrap_or(f64::NAN),
        }
    }
}
