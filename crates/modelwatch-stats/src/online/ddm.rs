//! The drift detection method on a stream of errors.

use super::{Change, Detector, Mean, from_bytes, to_bytes};
use crate::error::StateError;

/// The settings of [`Ddm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdmSettings {
    /// How many values come before the first decision.
    pub warm_start: u64,
    /// From how many deviations on it warns.
    pub warning_threshold: f64,
    /// From how many deviations on it is drift.
    pub drift_threshold: f64,
}

impl DdmSettings {
    /// Those of the paper, and the defaults of MOA and river.
    pub const PAPER: Self = Self { warm_start: 30, warning_threshold: 2.0, drift_threshold: 3.0 };
}

/// DDM (Gama et al. 2004): the error rate p with its deviation s, held against the least `p + s` so far. Beyond `p + 2 s` of that time it
/// warns, beyond `p + 3 s` it is drift, with the factors of the paper.
///
/// Values are 1 for an error and 0 for none. As published, it sees rises alone, and alarms soon after an early streak of luck.
///
/// ```
/// use modelwatch_stats::online::{Ddm, DdmSettings, drifts};
///
/// let errors = (0..400).map(|it| f64::from(u8::from(if it < 200 { it % 10 == 0 } else { it % 2 == 0 })));
/// let found = drifts(&mut Ddm::new(DdmSettings::PAPER), errors);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Ddm {
    settings: DdmSettings,
    rate: Mean,
    /// The rate and deviation where their sum was least.
    least: Option<(f64, f64)>,
}

impl Ddm {
    /// Returns a detector.
    pub fn new(settings: DdmSettings) -> Self {
        Self { settings, rate: Mean::default(), least: None }
    }
}

impl Detector for Ddm {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.rate.push(value);
        let Mean { n, mean: rate } = self.rate;
        if n <= self.settings.warm_start as f64 {
            return Change::None;
        }
        let deviation = (rate * (1.0 - rate) / n).max(0.0).sqrt();
        let (least_rate, least_deviation) = match self.least {
            Some(it) if rate + deviation > it.0 + it.1 => it,
            _ => *self.least.insert((rate, deviation)),
        };
        let excess = rate + deviation - least_rate;
        if excess > self.settings.drift_threshold * least_deviation {
            *self = Self::new(self.settings);
            Change::Drift
        } else if excess > self.settings.warning_threshold * least_deviation {
            Change::Warning
        } else {
            Change::None
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        // No rate is NaN.
        let (least_rate, least_deviation) = self.least.unwrap_or((f64::NAN, f64::NAN));
        to_bytes(&[self.rate.n, self.rate.mean, least_rate, least_deviation])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let [n, mean, least_rate, least_deviation] = from_bytes(bytes)?;
        self.rate = Mean { n, mean };
        self.least = Some((least_rate, least_deviation)).filter(|it| !it.0.is_nan());
        Ok(())
    }
}
