//! The Kolmogorov–Smirnov test on a sliding window.

use std::collections::VecDeque;

use super::{Change, Detector, WHAT};
use crate::error::StateError;
use crate::sample::{NumericSample, Point};
use crate::state::{Reader, Writer};
use crate::two_sample::ks;

/// The least statistic that counts.
const MIN_STATISTIC: f64 = 0.1;

/// KSWIN (Raab, Heusinger & Schleif 2020): the newest values of a window against the older ones.
///
/// The paper and river draw as many of the older values at random, so that their answer depends on a seed; all of them are taken here, which
/// also finds more. The test is repeated with every value, so that `alpha` is no bound on false alarms.
///
/// ```
/// use modelwatch_stats::online::{Kswin, drifts};
///
/// let stream = (0..200).map(|it| f64::from(it % 10) + if it < 150 { 0.0 } else { 8.0 });
/// let found = drifts(&mut Kswin::new(0.005, 100, 30), stream);
/// assert!((150..175).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Kswin {
    alpha: f64,
    window_size: usize,
    newest: usize,
    window: VecDeque<f64>,
}

impl Kswin {
    /// Returns a detector, such as with 0.005, 100 and 30; at least one of the window is older than the newest.
    pub fn new(alpha: f64, window_size: usize, newest: usize) -> Self {
        let window_size = window_size.max(2);
        let newest = newest.clamp(1, window_size - 1);
        Self { alpha, window_size, newest, window: VecDeque::with_capacity(window_size) }
    }
}

impl Detector for Kswin {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        if self.window.len() == self.window_size {
            self.window.pop_front();
        }
        self.window.push_back(value);
        if self.window.len() < self.window_size {
            return Change::None;
        }
        let n_older = self.window_size - self.newest;
        let (older, newer) = (points(self.window.range(..n_older)), points(self.window.range(n_older..)));
        let is_drift = ks(&older, &newer).is_ok_and(|it| it.p_value <= self.alpha && it.statistic > MIN_STATISTIC);
        if !is_drift {
            return Change::None;
        }
        self.window.drain(..n_older);
        Change::Drift
    }

    fn n_kept(&self) -> Option<u64> {
        Some(self.window.len() as u64)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.window.len() as u64);
        self.window.iter().for_each(|it| writer.f64(*it));
        writer.finish()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader::new(WHAT, bytes)?;
        let n = reader.len(size_of::<f64>())?;
        let window = (0..n).map(|_| reader.f64()).collect::<Result<VecDeque<_>, _>>()?;
        if n > self.window_size || window.iter().any(|it| it.is_nan()) {
            return Err(reader.invalid("window"));
        }
        self.window = window;
        reader.finish()
    }
}

fn points<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<Point> {
    let mut sample = NumericSample::new(u64::MAX);
    values.for_each(|it| sample.push(*it));
    sample.points_with_infinities()
}
