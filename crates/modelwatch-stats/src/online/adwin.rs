//! ADWIN: a window that drops its older part where the means of both parts differ.

use super::{Change, Detector};

/// How many buckets of one size there are before two are joined.
const MAX_BUCKETS: usize = 5;

/// The least rows on either side of a cut.
const MIN_ROWS: f64 = 5.0;

/// With as many rows or fewer, no cut is tried.
const GRACE: f64 = 10.0;

/// Every so many values, all cuts are tried.
const CLOCK: u64 = 32;

/// Adaptive windowing (Bifet & Gavaldà 2007): an exponential histogram of the values since the last change, cut where
/// `|mean - mean| > √(2 σ² ln(2 ln W / δ) / m) + ⅔ ln(2 ln W / δ) / m`.
///
/// The memory grows with the logarithm of the window. `1/m` is `1/(n₀ - 4) + 1/(n₁ - 4)` and cuts are tried every 32 values, as in MOA
/// and river. River never tries the cut after the newest bucket of a size, and forgets the whole window after a change; here every cut
/// is tried, and the values since the change stay, as the paper has it.
///
/// ```
/// use modelwatch_stats::online::{Adwin, drifts};
///
/// let stream = (0..400).map(|it| f64::from(it % 7) + if it < 200 { 0.0 } else { 5.0 });
/// let found = drifts(&mut Adwin::new(0.002), stream);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Adwin {
    delta: f64,
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
    /// Returns a detector with the given chance of a false alarm per value, such as 0.002.
    pub fn new(delta: f64) -> Self {
        Self { delta, n_seen: 0, rows: Vec::new(), window: Bucket::default() }
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
                self.rows.push(Vec::with_capacity(MAX_BUCKETS + 1));
            }
            let buckets = &mut self.rows[row];
            buckets.push(bucket);
            if buckets.len() <= MAX_BUCKETS {
                return;
            }
            bucket = buckets[0].joined(&buckets[1]);
            buckets.drain(..2);
        }
    }

    /// Whether the means on both sides of any cut differ.
    fn has_cut(&self) -> bool {
        let mut old = Bucket::default();
        for bucket in self.rows.iter().rev().flatten() {
            old = old.joined(bucket);
            let n = self.window.n - old.n;
            if old.n >= MIN_ROWS && n >= MIN_ROWS {
                let difference = old.mean() - (self.window.sum - old.sum) / n;
                if difference.abs() > self.bound(old.n, n) {
                    return true;
                }
            }
        }
        false
    }

    fn bound(&self, old: f64, new: f64) -> f64 {
        let ln = (2.0 * self.window.n.ln() / self.delta).ln();
        let inverse = 1.0 / (old - MIN_ROWS + 1.0) + 1.0 / (new - MIN_ROWS + 1.0);
        let variance = self.window.squares / self.window.n;
        (2.0 * inverse * variance * ln).sqrt() + 2.0 / 3.0 * ln * inverse
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
        while self.n_seen.is_multiple_of(CLOCK) && self.window.n > GRACE && self.has_cut() {
            self.drop_oldest();
            res = Change::Drift;
        }
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_shrinks_to_what_came_after_the_change_and_memory_stays_small() {
        let mut adwin = Adwin::new(0.002);
        for it in 0..100_000u32 {
            adwin.update(f64::from(it % 11));
        }
        assert_eq!(adwin.width(), 100_000);
        assert!(adwin.rows.iter().map(Vec::len).sum::<usize>() <= 18 * (MAX_BUCKETS + 1));
        for it in 0..1_000u32 {
            adwin.update(f64::from(it % 11) + 20.0);
        }
        assert!(adwin.width() < 2_000 && adwin.mean() > 20.0, "{} {}", adwin.width(), adwin.mean());
    }
}
