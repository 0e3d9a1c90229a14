//! Proper scores of predicted probabilities.

use crate::error::{Reason, StateError, Undefined, finite};
use crate::state::{Reader, Writer};

/// Running sums of log loss and Brier score.
///
/// A NaN or a probability outside 0..=1 makes both undefined.
/// Rows are added one at a time; `merge` is commutative, and associative up to rounding.
///
/// ```
/// use modelwatch_stats::classification::ProbabilityScores;
///
/// let mut scores = ProbabilityScores::new();
/// scores.update(&[true, false], &[0.8, 0.4]).unwrap();
/// // -(ln 0.8 + ln 0.6) / 2 and (0.2² + 0.4²) / 2
/// assert!((scores.log_loss().unwrap() + (0.8f64.ln() + 0.6f64.ln()) / 2.0).abs() < 1e-15);
/// assert!((scores.brier().unwrap() - 0.1).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbabilityScores {
    n: u64,
    n_nan: u64,
    n_out_of_range: u64,
    weight: f64,
    log_loss: f64,
    brier: f64,
}

impl ProbabilityScores {
    /// Returns an accumulator of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows: whether the positive class is true, and its probability. Fails, adding nothing, if the lengths differ.
    pub fn update(&mut self, truth: &[bool], probabilities: &[f64]) -> Result<(), Undefined> {
        if truth.len() != probabilities.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        for (&truth, &probability) in truth.iter().zip(probabilities) {
            self.push(truth, probability, 1.0);
        }
        Ok(())
    }

    /// Adds one row of two classes; a negative, NaN or infinite weight counts as out of range.
    pub fn push(&mut self, truth: bool, probability: f64, weight: f64) {
        if self.check(&[probability], weight) {
            let of_truth = if truth { probability } else { 1.0 - probability };
            self.add(weight, of_truth, (1.0 - of_truth).powi(2));
        }
    }

    /// Adds one row of many classes: the index of the true class and a probability per class.
    ///
    /// The Brier score is then `Σ (p - y)²` over the classes, from 0 to 2 (Brier 1950). An index beyond the slice counts as out of range.
    pub fn push_multiclass(&mut self, truth: usize, probabilities: &[f64], weight: f64) {
        let Some(&of_truth) = probabilities.get(truth) else {
            self.n_out_of_range = self.n_out_of_range.saturating_add(1);
            return;
        };
        if self.check(probabilities, weight) {
            let others: f64 = probabilities.iter().map(|it| it * it).sum::<f64>() - of_truth * of_truth;
            self.add(weight, of_truth, others + (1.0 - of_truth).powi(2));
        }
    }

    /// Adds the rows that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.n_nan = self.n_nan.saturating_add(other.n_nan);
        self.n_out_of_range = self.n_out_of_range.saturating_add(other.n_out_of_range);
        self.weight += other.weight;
        self.log_loss += other.log_loss;
        self.brier += other.brier;
    }

    /// Returns the number of usable rows.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the mean of `-ln p` of the true class, p clipped to 2⁻⁵² from 0 and 1.
    pub fn log_loss(&self) -> Result<f64, Undefined> {
        self.mean_of(self.log_loss)
    }

    /// Returns the mean squared distance of the probabilities from the truth.
    pub fn brier(&self) -> Result<f64, Undefined> {
        self.mean_of(self.brier)
    }

    /// Returns the state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for count in [self.n, self.n_nan, self.n_out_of_range] {
            writer.u64(count);
        }
        for value in [self.weight, self.log_loss, self.brier] {
            writer.f64(value);
        }
        writer.finish()
    }

    /// Returns the accumulator that [`ProbabilityScores::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("probability scores", bytes)?;
        let (n, n_nan, n_out_of_range) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (weight, log_loss, brier) = (reader.f64()?, reader.f64()?, reader.f64()?);
        if !(weight >= 0.0 && log_loss >= 0.0 && brier >= 0.0) {
            return Err(reader.invalid("sums"));
        }
        reader.finish()?;
        Ok(Self { n, n_nan, n_out_of_range, weight, log_loss, brier })
    }

    fn check(&mut self, probabilities: &[f64], weight: f64) -> bool {
        if weight.is_nan() || probabilities.iter().any(|it| it.is_nan()) {
            self.n_nan = self.n_nan.saturating_add(1);
            return false;
        }
        if weight < 0.0 || weight.is_infinite() || probabilities.iter().any(|it| !(0.0..=1.0).contains(it)) {
            self.n_out_of_range = self.n_out_of_range.saturating_add(1);
            return false;
        }
        true
    }

    fn add(&mut self, weight: f64, of_truth: f64, brier: f64) {
        self.n = self.n.saturating_add(1);
        self.weight += weight;
        self.log_loss -= weight * of_truth.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        self.brier += weight * brier.max(0.0);
    }

    fn mean_of(&self, sum: f64) -> Result<f64, Undefined> {
        if self.n_nan > 0 {
            Err(Undefined::new(Reason::NotANumber))
        } else if self.n_out_of_range > 0 {
            Err(Undefined::new(Reason::OutOfRange))
        } else if self.weight == 0.0 {
            Err(Undefined::new(Reason::Empty))
        } else {
            finite(sum / self.weight)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[(bool, f64)]) -> ProbabilityScores {
        let mut res = ProbabilityScores::new();
        rows.iter().for_each(|it| res.push(it.0, it.1, 1.0));
        res
    }

    #[test]
    fn bad_probabilities_make_the_scores_undefined() {
        for (bad, reason) in [(f64::NAN, Reason::NotANumber), (1.5, Reason::OutOfRange), (-0.1, Reason::OutOfRange)] {
            assert_eq!(of(&[(true, 0.5), (true, bad)]).log_loss(), Err(Undefined::new(reason)));
            assert_eq!(of(&[(true, 0.5), (true, bad)]).brier(), Err(Undefined::new(reason)));
        }
        assert_eq!(of(&[]).brier(), Err(Undefined::new(Reason::Empty)));
        let mut scores = ProbabilityScores::new();
        scores.push_multiclass(2, &[0.5, 0.5], 1.0);
        assert_eq!(scores.brier(), Err(Undefined::new(Reason::OutOfRange)));
    }

    proptest! {
        #[test]
        fn merge_agrees_with_one_pass(rows in prop::collection::vec((any::<bool>(), 0.0..=1.0f64), 1..50), at in 0usize..50) {
            let at = at.min(rows.len());
            let whole = of(&rows);
            let (mut left, mut right) = (of(&rows[..at]), of(&rows[at..]));
            let before = left.clone();
            left.merge(&right);
            right.merge(&before);
            prop_assert_eq!(&left, &right);
            prop_assert!((left.log_loss().unwrap() - whole.log_loss().unwrap()).abs() < 1e-9);
            prop_assert!((left.brier().unwrap() - whole.brier().unwrap()).abs() < 1e-12);
            let bytes = whole.to_bytes();
            prop_assert_eq!(&ProbabilityScores::from_bytes(&bytes).unwrap(), &whole);
            prop_assert!(ProbabilityScores::from_bytes(&bytes[..at.min(bytes.len() - 1)]).is_err());
        }
    }
}
