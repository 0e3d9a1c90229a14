//! The Page–Hinkley test.

use super::{Change, Detector, Mean, from_bytes, to_bytes};
use crate::error::StateError;

/// The settings of [`PageHinkley`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageHinkleySettings {
    /// How many values come before the first decision.
    pub min_rows: u64,
    /// How much of a deviation from the mean is ignored.
    pub delta: f64,
    /// From which sum of deviations on the mean has changed.
    pub threshold: f64,
    /// By which factor older deviations fade with each value.
    pub alpha: f64,
}

impl PageHinkleySettings {
    /// The defaults of MOA and river.
    pub const PAPER: Self = Self { min_rows: 30, delta: 0.005, threshold: 50.0, alpha: 0.9999 };
}

/// The Page–Hinkley test for a change of the mean in either direction (Page 1954; Hinkley 1971): fading sums of the deviations from
/// the running mean, held against the extremes they had.
///
/// River lets the greatest sum of falls start at -1 instead of the first sum, so that its first decisions differ by up to 1.
///
/// ```
/// use modelwatch_stats::online::{Change, Detector, PageHinkley, PageHinkleySettings};
/// let mut detector = PageHinkley::new(PageHinkleySettings::PAPER);
/// assert_eq!(detector.update(1.0), Change::None);
/// ```
#[derive(Clone, Debug)]
pub struct PageHinkley {
    settings: PageHinkleySettings,
    mean: Mean,
    rise: f64,
    fall: f64,
    least_rise: f64,
    greatest_fall: f64,
}

impl PageHinkley {
    /// Returns a detector.
    pub fn new(settings: PageHinkleySettings) -> Self {
        let (least_rise, greatest_fall) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { settings, mean: Mean::default(), rise: 0.0, fall: 0.0, least_rise, greatest_fall }
    }
}

impl Detector for PageHinkley {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.mean.push(value);
        let deviation = value - self.mean.mean;
        self.rise = self.settings.alpha * self.rise + deviation - self.settings.delta;
        self.fall = self.settings.alpha * self.fall + deviation + self.settings.delta;
        self.least_rise = self.least_rise.min(self.rise);
        self.greatest_fall = self.greatest_fall.max(self.fall);
        let excess = (self.rise - self.least_rise).max(self.greatest_fall - self.fall);
        if self.mean.n < self.settings.min_rows as f64 || excess <= self.settings.threshold {
            return Change::None;
        }
        *self = Self::new(self.settings);
        Change::Drift
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Mean { n, mean } = self.mean;
        to_bytes(&[n, mean, self.rise, self.fall, self.least_rise, self.greatest_fall])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let [n, mean, rise, fall, least_rise, greatest_fall] = from_bytes(bytes)?;
        *self = Self { settings: self.settings, mean: Mean { n, mean }, rise, fall, least_rise, greatest_fall };
        Ok(())
    }
}
