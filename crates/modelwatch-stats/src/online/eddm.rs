//! The early drift detection method on a stream of errors.

use super::{Change, Detector, count, from_bytes, to_bytes};
use crate::error::StateError;

/// The settings of [`Eddm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EddmSettings {
    /// How many values, and how many errors, come before the first decision.
    pub warm_start: u64,
    /// Below which share of the greatest sum it warns.
    pub alpha: f64,
    /// Below which share of the greatest sum it is drift.
    pub beta: f64,
}

impl EddmSettings {
    /// Those of the paper, and the defaults of MOA and river.
    pub const PAPER: Self = Self { warm_start: 30, alpha: 0.95, beta: 0.9 };
}

/// EDDM (Baena-García et al. 2006): the mean distance between errors and twice its deviation, held against their greatest sum so far. Below
/// 95 % of it it warns, below 90 % it is drift, with the shares of the paper.
///
/// Values are 1 for an error and anything else for none. As published, it alarms often where nothing changes.
///
/// ```
/// use modelwatch_stats::online::{Change, Detector, Eddm, EddmSettings};
/// let mut detector = Eddm::new(EddmSettings::PAPER);
/// assert!((0..30).all(|_| detector.update(1.0) == Change::None));
/// ```
#[derive(Clone, Debug)]
pub struct Eddm {
    settings: EddmSettings,
    n: u64,
    n_errors: u64,
    last_error: u64,
    mean: f64,
    squares: f64,
    greatest: f64,
    /// What the last error led to, which holds until the next one.
    state: Option<Change>,
}

impl Detector for Eddm {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.n += 1;
        if value == 1.0 {
            self.state = self.error();
            self.last_error = self.n;
        }
        match self.state {
            Some(Change::Drift) => {
                *self = Self::new(self.settings);
                Change::Drift
            }
            other => other.unwrap_or(Change::None),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let counts = [self.n, self.n_errors, self.last_error].map(|it| it as f64);
        let state = self.state.map_or(-1.0, |it| f64::from(it as u8));
        to_bytes(&[counts[0], counts[1], counts[2], self.mean, self.squares, self.greatest, state])
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let [n, n_errors, last_error, mean, squares, greatest, state] = from_bytes(bytes)?;
        let (n, n_errors) = (count(n, "values")?, count(n_errors, "errors")?);
        let last_error = count(last_error, "last error")?.min(n);
        let states = [Change::None, Change::Warning, Change::Drift];
        let state = states.into_iter().find(|it| f64::from(*it as u8) == state);
        *self = Self { settings: self.settings, n, n_errors, last_error, mean, squares, greatest, state };
        Ok(())
    }
}

impl Eddm {
    /// Returns a detector.
    pub fn new(settings: EddmSettings) -> Self {
        Self { settings, n: 0, n_errors: 0, last_error: 0, mean: 0.0, squares: 0.0, greatest: 0.0, state: None }
    }

    fn error(&mut self) -> Option<Change> {
        self.n_errors += 1;
        let distance = (self.n - self.last_error) as f64;
        let step = distance - self.mean;
        self.mean += step / self.n_errors as f64;
        self.squares += step * (distance - self.mean);
        if self.n <= self.settings.warm_start {
            return self.state;
        }
        let degrees_of_freedom = (self.n_errors - 1).max(1) as f64;
        let sum = self.mean + 2.0 * (self.squares / degrees_of_freedom).sqrt();
        if sum > self.greatest {
            self.greatest = sum;
            return self.state;
        }
        if self.n_errors <= self.settings.warm_start {
            return self.state;
        }
        Some(match sum / self.greatest {
            level if level < self.settings.beta => Change::Drift,
            level if level < self.settings.alpha => Change::Warning,
            _ => Change::None,
        })
    }
}
