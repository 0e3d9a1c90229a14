//! HDDM with averages.

use super::{Change, Detector, Mean, from_bytes, to_bytes};
use crate::error::StateError;

/// HDDM-A (Frías-Blanco et al. 2014): the mean of all values in `0..=1` against the mean up to the best cut, by Hoeffding's bound. It sees
/// rises alone.
///
/// ```
/// use modelwatch_stats::online::{HddmA, drifts};
///
/// let errors = (0..400).map(|it| f64::from(u8::from(if it < 200 { it % 10 == 0 } else { it % 2 == 0 })));
/// let found = drifts(&mut HddmA::new(0.001, 0.005), errors);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct HddmA {
    drift_confidence: f64,
    warning_confidence: f64,
    all: Mean,
    /// The values up to the cut at which the mean plus its bound was least.
    cut: Mean,
}

impl HddmA {
    /// Returns a detector with the given error probabilities, such as 0.001 and 0.005.
    pub fn new(drift_confidence: f64, warning_confidence: f64) -> Self {
        Self { drift_confidence, warning_confidence, all: Mean::default(), cut: Mean::default() }
    }

    fn bound(&self, n: f64) -> f64 {
        ((1.0 / self.drift_confidence).ln() / (2.0 * n)).sqrt()
    }

    fn has_risen(&self, confidence: f64) -> bool {
        if self.cut.n == self.all.n {
            return false;
        }
        let inverse = (self.all.n - self.cut.n) / self.cut.n / self.all.n;
        self.all.mean - self.cut.mean >= (inverse / 2.0 * (2.0 / confidence).ln()).sqrt()
    }
}

impl Detector for HddmA {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.all.push(value);
        let is_first = self.cut.n == 0.0;
        if is_first || self.cut.mean + self.bound(self.cut.n) >= self.all.mean + self.bound(self.all.n) {
            self.cut = self.all;
        }
        if self.has_risen(self.drift_confidence) {
            *self = Self::new(self.drift_confidence, self.warning_confidence);
            Change::Drift
        } else if self.has_risen(self.warning_confidence) {
            Change::Warning
        } else {
            Change::None
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&[self.all.n, self.all.mean, self.cut.n, self.cut.mean])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        [self.all.n, self.all.mean, self.cut.n, self.cut.mean] = from_bytes(bytes)?;
        Ok(())
    }
}
