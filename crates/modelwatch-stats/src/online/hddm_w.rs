//! HDDM with weighted averages.

use super::{Change, Detector, from_bytes, to_bytes};
use crate::error::StateError;

/// HDDM-W (Frías-Blanco et al. 2014): exponentially weighted means of values in `0..=1` before and after the best cut, by McDiarmid's
/// bound. It sees rises alone, and sudden ones sooner than [`HddmA`](super::HddmA).
///
/// ```
/// use modelwatch_stats::online::{HddmW, drifts};
///
/// let errors = (0..400).map(|it| f64::from(u8::from(if it < 200 { it % 10 == 0 } else { it % 2 == 0 })));
/// let found = drifts(&mut HddmW::new(0.001, 0.005, 0.05), errors);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct HddmW {
    drift_confidence: f64,
    warning_confidence: f64,
    lambda: f64,
    all: Weighted,
    before: Weighted,
    after: Weighted,
    cut: f64,
}

/// An exponentially weighted mean.
#[derive(Clone, Copy, Debug, Default)]
struct Weighted {
    mean: Option<f64>,
    /// The sum of squared weights.
    weight: f64,
}

impl Weighted {
    fn push(&mut self, value: f64, lambda: f64) {
        let weight = if self.mean.is_none() { 1.0 } else { self.weight };
        self.weight = lambda * lambda + (1.0 - lambda).powi(2) * weight;
        self.mean = Some(self.mean.map_or(value, |it| lambda * value + (1.0 - lambda) * it));
    }
}

impl HddmW {
    /// Returns a detector with the given error probabilities and the weight of the newest value, such as 0.001, 0.005 and 0.05.
    pub fn new(drift_confidence: f64, warning_confidence: f64, lambda: f64) -> Self {
        let empty = Weighted::default();
        let cut = f64::INFINITY;
        Self { drift_confidence, warning_confidence, lambda, all: empty, before: empty, after: empty, cut }
    }

    fn has_risen(&self, confidence: f64) -> bool {
        let (Some(before), Some(after)) = (self.before.mean, self.after.mean) else { return false };
        after - before > bound(self.before.weight + self.after.weight, confidence)
    }
}

impl Detector for HddmW {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.all.push(value, self.lambda);
        let level = self.all.mean.unwrap_or(value) + bound(self.all.weight, self.drift_confidence);
        if level < self.cut {
            (self.cut, self.before, self.after) = (level, self.all, Weighted::default());
        } else {
            self.after.push(value, self.lambda);
        }
        if self.has_risen(self.drift_confidence) {
            *self = Self::new(self.drift_confidence, self.warning_confidence, self.lambda);
            Change::Drift
        } else if self.has_risen(self.warning_confidence) {
            Change::Warning
        } else {
            Change::None
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        // No mean is NaN.
        let of = |it: Weighted| (it.mean.unwrap_or(f64::NAN), it.weight);
        let [all, before, after] = [self.all, self.before, self.after].map(of);
        to_bytes(&[all.0, all.1, before.0, before.1, after.0, after.1, self.cut])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let [all, all_weight, before, before_weight, after, after_weight, cut] = from_bytes(bytes)?;
        let of = |mean: f64, weight: f64| Weighted { mean: Some(mean).filter(|it| !it.is_nan()), weight };
        self.all = of(all, all_weight);
        self.before = of(before, before_weight);
        self.after = of(after, after_weight);
        self.cut = cut;
        Ok(())
    }
}

fn bound(weight: f64, confidence: f64) -> f64 {
    (weight * (1.0 / confidence).ln() / 2.0).sqrt()
}
