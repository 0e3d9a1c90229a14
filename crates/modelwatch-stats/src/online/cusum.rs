//! The cumulative sum control chart.

use super::{Change, Detector, from_bytes, to_bytes};
use crate::error::StateError;

/// The settings of [`Cusum`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CusumSettings {
    /// The mean of the reference.
    pub mean: f64,
    /// The standard deviation of the reference, greater than 0.
    pub deviation: f64,
    /// How many standard deviations of a shift are ignored; half of the shift that should be found.
    pub slack: f64,
    /// From how many standard deviations on a sum is a drift; 5 with a slack of 0.5 is a false alarm in about 465 normal values.
    pub threshold: f64,
}

/// The two-sided tabular CUSUM (Page 1954): sums of the standardized deviations beyond the slack, never below 0.
///
/// ```
/// use modelwatch_stats::online::{Cusum, CusumSettings, drifts};
///
/// let settings = CusumSettings { mean: 0.0, deviation: 1.0, slack: 0.5, threshold: 5.0 };
/// // Each value of 2 adds 1.5, and the fourth makes 6.
/// assert_eq!(drifts(&mut Cusum::new(settings), [0.0, 2.0, 2.0, 2.0, 2.0]), [4]);
/// assert_eq!(drifts(&mut Cusum::new(settings), [0.0, -2.0, -2.0, -2.0, -2.0]), [4]);
/// ```
#[derive(Clone, Debug)]
pub struct Cusum {
    settings: CusumSettings,
    rise: f64,
    fall: f64,
}

impl Cusum {
    /// Returns a detector.
    pub fn new(settings: CusumSettings) -> Self {
        Self { settings, rise: 0.0, fall: 0.0 }
    }
}

impl Detector for Cusum {
    fn update(&mut self, value: f64) -> Change {
        let deviation = (value - self.settings.mean) / self.settings.deviation;
        if deviation.is_nan() {
            return Change::None;
        }
        self.rise = (self.rise + deviation - self.settings.slack).max(0.0);
        self.fall = (self.fall - deviation - self.settings.slack).max(0.0);
        if self.rise.max(self.fall) <= self.settings.threshold {
            return Change::None;
        }
        *self = Self::new(self.settings);
        Change::Drift
    }

    fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&[self.rise, self.fall])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        [self.rise, self.fall] = from_bytes(bytes)?;
        Ok(())
    }
}
