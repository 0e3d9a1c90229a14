//! ADWIN: a window that drops its older part where the means of both parts differ.

use super::{Change, Detector, MAX_COUNT, WHAT};
use crate::error::StateError;
use crate::state::{Reader, Writer};

/// The settings of [`Adwin`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdwinSettings {
    /// The chance of a false alarm per value.
    pub delta: f64,
    /// Every so many values, all cuts are tried.
    pub clock: u64,
    /// How many buckets of one size there are before two are joined; at least 1.
    pub max_buckets: usize,
    /// The least values on either side of a cut.
    pub min_window_length: u64,
    /// With as many values or fewer, no cut is tried.
    pub grace_period: u64,
    /// By how much the second term of the bound is multiplied: by more than 1 where values reach farther than it is made for.
    pub reach: f64,
}

impl AdwinSettings {
    /// The defaults of MOA and river.
    pub const PAPER: Self =
        Self { delta: 0.002, clock: 32, max_buckets: 5, min_window_length: 5, grace_period: 10, reach: 1.0 };
}

/// Adaptive windowing (Bifet & Gavaldà 2007): an exponential histogram of the values since the last change, cut where
/// `|mean - mean| > √(2 σ² ln(2 ln W / δ) / m) + ⅔ ln(2 ln W / δ) / m`.
///
/// The memory grows with the logarithm of the window. With the usual settings `1/m` is `1/(n₀ - 4) + 1/(n₁ - 4)` and cuts are tried
/// every 32 values, as in MOA and river. River never tries the cut after the newest bucket of a size, and forgets the whole window after a change; here every cut
/// is tried, and the values since the change stay, as the paper has it.
///
/// ```
/// use modelwatch_stats::online::{Adwin, AdwinSettings, drifts};
///
/// let stream = (0..400).map(|it| f64::from(it % 7) + if it < 200 { 0.0 } else { 5.0 });
/// let found = drifts(&mut Adwin::new(AdwinSettings::PAPER), stream);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Adwin {
    settings: AdwinSettings,
    n_seen: u64,
    /// Buckets of 1, 2, 4, … values, each list from the oldest on.
    rows: Vec<Vec<Bucket>>,
    window: Bucket,
}

/// Values that are one to the detector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bucket {
    n: f64,
    sum: f64,
    /// The sum of squared deviations from their mean.
    squares: f64,
}

impl Bucket {
    /// The bytes of one in a state.
    const BYTES: usize = 3 * size_of::<f64>();

    fn write(&self, writer: &mut Writer) {
        [self.n, self.sum, self.squares].into_iter().for_each(|it| writer.f64(it));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { n: reader.f64()?, sum: reader.f64()?, squares: reader.f64()? })
    }

    fn mean(&self) -> f64 {
        self.sum / self.n
    }

    fn joined(&self, other: &Self) -> Self {
        if self.n == 0.0 || other.n == 0.0 {
            return if self.n == 0.0 { *other } else { *self };
        }
        let between = self.n * other.n * (self.mean() - other.mean()).powi(2) / (self.n + other.n);
        Self { n: self.n + other.n, sum: self.sum + other.sum, squares: self.squares + other.squares + between }
    }

    /// Without a part that was joined before.
    fn without(&self, part: &Self) -> Self {
        let rest = Self { n: self.n - part.n, sum: self.sum - part.sum, squares: 0.0 };
        if rest.n <= 0.0 {
            return Self::default();
        }
        let between = rest.n * part.n * (rest.mean() - part.mean()).powi(2) / self.n;
        Self { squares: (self.squares - part.squares - between).max(0.0), ..rest }
    }
}

impl Adwin {
    /// Returns a detector.
    pub fn new(settings: AdwinSettings) -> Self {
        let settings = AdwinSettings { max_buckets: settings.max_buckets.max(1), ..settings };
        Self { settings, n_seen: 0, rows: Vec::new(), window: Bucket::default() }
    }

    /// Returns how many values the window holds.
    pub fn width(&self) -> u64 {
        self.window.n as u64
    }

    /// Returns the mean of the window; 0 without values.
    pub fn mean(&self) -> f64 {
        if self.window.n > 0.0 { self.window.mean() } else { 0.0 }
    }

    fn insert(&mut self, value: f64) {
        let mut bucket = Bucket { n: 1.0, sum: value, squares: 0.0 };
        self.window = self.window.joined(&bucket);
        for row in 0.. {
            if self.rows.len() == row {
                self.rows.push(Vec::with_capacity(self.settings.max_buckets.min(64) + 1));
            }
            let buckets = &mut self.rows[row];
            buckets.push(bucket);
            if buckets.len() <= self.settings.max_buckets {
                return;
            }
            bucket = buckets[0].joined(&buckets[1]);
            buckets.drain(..2);
        }
    }

    /// Whether the means on both sides of any cut differ.
    fn has_cut(&self) -> bool {
        let least = self.settings.min_window_length as f64;
        let mut old = Bucket::default();
        for bucket in self.rows.iter().rev().flatten() {
            old = old.joined(bucket);
            let n = self.window.n - old.n;
            if old.n >= least && n >= least {
                let difference = old.mean() - (self.window.sum - old.sum) / n;
                if difference.abs() > self.bound(old.n, n) {
                    return true;
                }
            }
        }
        false
    }

    fn bound(&self, old: f64, new: f64) -> f64 {
        let ln = (2.0 * self.window.n.ln() / self.settings.delta).ln();
        let least = self.settings.min_window_length as f64;
        let inverse = 1.0 / (old - least + 1.0) + 1.0 / (new - least + 1.0);
        let variance = self.window.squares / self.window.n;
        (2.0 * inverse * variance * ln).sqrt() + 2.0 / 3.0 * ln * inverse * self.settings.reach
    }

    fn drop_oldest(&mut self) {
        while self.rows.last().is_some_and(Vec::is_empty) {
            self.rows.pop();
        }
        if let Some(buckets) = self.rows.last_mut() {
            let oldest = buckets.remove(0);
            self.window = self.window.without(&oldest);
        }
    }
}

impl Detector for Adwin {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.n_seen += 1;
        self.insert(value);
        let mut res = Change::None;
        if self.n_seen.is_multiple_of(self.settings.clock) {
            while self.window.n > self.settings.grace_period as f64 && self.has_cut() {
                self.drop_oldest();
                res = Change::Drift;
            }
        }
        res
    }

    fn n_kept(&self) -> Option<u64> {
        Some(self.width())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.n_seen);
        writer.u64(self.rows.len() as u64);
        for row in &self.rows {
            writer.u64(row.len() as u64);
            row.iter().for_each(|it| it.write(&mut writer));
        }
        self.window.write(&mut writer);
        writer.finish()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader::new(WHAT, bytes)?;
        let n_seen = reader.u64()?;
        if n_seen > MAX_COUNT as u64 {
            return Err(reader.invalid("values"));
        }
        let mut rows = Vec::new();
        for _ in 0..reader.len(size_of::<u64>())? {
            let n = reader.len(Bucket::BYTES)?;
            if n > self.settings.max_buckets {
                return Err(reader.invalid("buckets"));
            }
            rows.push((0..n).map(|_| Bucket::read(&mut reader)).collect::<Result<Vec<_>, _>>()?);
        }
        let window = Bucket::read(&mut reader)?;
        reader.finish()?;
        *self = Self { settings: self.settings, n_seen, rows, window };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_reach_farther_are_held_to_a_wider_bound() {
        let found = |reach: f64| {
            let mut adwin = Adwin::new(AdwinSettings { reach, ..AdwinSettings::PAPER });
            (0..6400u32).filter(|it| adwin.update(if *it == 6397 { 100.0 } else { 0.0 }) == Change::Drift).count()
        };
        assert!(found(1.0) > 0 && found(15.0) == 0);
    }

    #[test]
    fn the_window_shrinks_to_what_came_after_the_change_and_memory_stays_small() {
        let mut adwin = Adwin::new(AdwinSettings::PAPER);
        for it in 0..100_000u32 {
            adwin.update(f64::from(it % 11));
        }
        assert_eq!(adwin.width(), 100_000);
        assert!(adwin.rows.iter().map(Vec::len).sum::<usize>() <= 18 * (AdwinSettings::PAPER.max_buckets + 1));
        for it in 0..1_000u32 {
            adwin.update(f64::from(it % 11) + 20.0);
        }
        assert!(adwin.width() < 2_000 && adwin.mean() > 20.0, "{} {}", adwin.width(), adwin.mean());
    }
}
