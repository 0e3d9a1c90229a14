//! Calibration in bins of equal width.

use crate::error::{Reason, StateError, Undefined};
use crate::state::{Reader, Writer};

/// Confidence and outcome summed in bins of equal width.
///
/// Bin k of b is `(k/b, (k+1)/b]`, the first one closed at 0 (Naeini, Cooper & Hauskrecht 2015).
/// For one binary score, give the probability and whether the positive class is true;
/// for the top label of many classes, the greatest probability and whether it was right (Guo et al. 2017).
///
/// ```
/// use modelwatch_stats::classification::CalibrationBins;
///
/// let mut bins = CalibrationBins::new(10);
/// bins.update(&[true, false, true], &[0.9, 0.85, 0.2]).unwrap();
/// // Bin (0.8, 0.9]: 2/3 of the rows, |0.5 - 0.875|; bin (0.1, 0.2]: 1/3, |1 - 0.2|.
/// assert!((bins.ece().unwrap() - (2.0 * 0.375 + 0.8) / 3.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationBins {
    bins: Vec<Bin>,
    n_nan: u64,
    n_out_of_range: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    weight: f64,
    confidence: f64,
    hits: f64,
}

/// One row of a reliability curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationPoint {
    /// The weight of the rows in the bin.
    pub weight: f64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is true.
    pub accuracy: f64,
}

impl Default for CalibrationBins {
    /// Returns 10 empty bins.
    fn default() -> Self {
        Self::new(10)
    }
}

impl CalibrationBins {
    /// Returns `n_bins` empty bins, at least 1 and at most 65,535.
    pub fn new(n_bins: u16) -> Self {
        Self { bins: vec![Bin::default(); usize::from(n_bins.max(1))], n_nan: 0, n_out_of_range: 0 }
    }

    /// Adds rows of weight 1; fails, adding nothing, if the lengths differ.
    pub fn update(&mut self, truth: &[bool], confidences: &[f64]) -> Result<(), Undefined> {
        if truth.len() != confidences.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        for (&truth, &confidence) in truth.iter().zip(confidences) {
            self.push(truth, confidence, 1.0);
        }
        Ok(())
    }

    /// Adds one row.
    pub fn push(&mut self, truth: bool, confidence: f64, weight: f64) {
        if confidence.is_nan() || weight.is_nan() {
            self.n_nan = self.n_nan.saturating_add(1);
        } else if !(0.0..=1.0).contains(&confidence) || weight < 0.0 || weight.is_infinite() {
            self.n_out_of_range = self.n_out_of_range.saturating_add(1);
        } else {
            let idx = bin_of(confidence, self.bins.len());
            let bin = &mut self.bins[idx];
            bin.weight += weight;
            bin.confidence += weight * confidence;
            bin.hits += if truth { weight } else { 0.0 };
        }
    }

    /// Adds the rows that `other` has seen; fails, adding nothing, if the numbers of bins differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), Undefined> {
        if self.bins.len() != other.bins.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        self.n_nan = self.n_nan.saturating_add(other.n_nan);
        self.n_out_of_range = self.n_out_of_range.saturating_add(other.n_out_of_range);
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            mine.weight += theirs.weight;
            mine.confidence += theirs.confidence;
            mine.hits += theirs.hits;
        }
        Ok(())
    }

    /// Returns the expected calibration error `Σ w_b / w · |accuracy_b - confidence_b|`.
    pub fn ece(&self) -> Result<f64, Undefined> {
        if self.n_nan > 0 {
            return Err(Undefined::new(Reason::NotANumber));
        }
        if self.n_out_of_range > 0 {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        let total: f64 = self.bins.iter().map(|it| it.weight).sum();
        if total == 0.0 {
            return Err(Undefined::new(Reason::Empty));
        }
        Ok(self.bins.iter().map(|it| (it.hits - it.confidence).abs()).sum::<f64>() / total)
    }

    /// Returns the reliability curve: one entry per bin, `None` for an empty one.
    pub fn curve(&self) -> Vec<Option<CalibrationPoint>> {
        let point = |it: &Bin| CalibrationPoint {
            weight: it.weight,
            confidence: it.confidence / it.weight,
            accuracy: it.hits / it.weight,
        };
        self.bins.iter().map(|it| (it.weight > 0.0).then(|| point(it))).collect()
    }

    /// Returns the state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.n_nan);
        writer.u64(self.n_out_of_range);
        writer.u64(self.bins.len() as u64);
        for bin in &self.bins {
            for value in [bin.weight, bin.confidence, bin.hits] {
                writer.f64(value);
            }
        }
        writer.finish()
    }

    /// Returns the accumulator that [`CalibrationBins::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("calibration bins", bytes)?;
        let (n_nan, n_out_of_range) = (reader.u64()?, reader.u64()?);
        let len = reader.len(24)?;
        if len == 0 || len > usize::from(u16::MAX) {
            return Err(reader.invalid("bins"));
        }
        let mut bins = Vec::with_capacity(len);
        for _ in 0..len {
            let bin = Bin { weight: reader.f64()?, confidence: reader.f64()?, hits: reader.f64()? };
            if ![bin.weight, bin.confidence, bin.hits].iter().all(|it| *it >= 0.0 && it.is_finite()) {
                return Err(reader.invalid("bins"));
            }
            bins.push(bin);
        }
        reader.finish()?;
        Ok(Self { bins, n_nan, n_out_of_range })
    }
}

fn bin_of(confidence: f64, n_bins: usize) -> usize {
    let edge = |idx: usize| idx as f64 / n_bins as f64;
    let mut idx = ((confidence * n_bins as f64).ceil() as usize).clamp(1, n_bins) - 1;
    // The product may round across an edge; the edges decide.
    if idx > 0 && confidence <= edge(idx) {
        idx -= 1;
    } else if idx + 1 < n_bins && confidence > edge(idx + 1) {
        idx += 1;
    }
    idx
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[(bool, f64)]) -> CalibrationBins {
        let mut res = CalibrationBins::new(15);
        rows.iter().for_each(|it| res.push(it.0, it.1, 1.0));
        res
    }

    #[test]
    fn bad_scores_and_no_rows_are_undefined() {
        assert_eq!(of(&[]).ece(), Err(Undefined::new(Reason::Empty)));
        assert_eq!(of(&[(true, f64::NAN)]).ece(), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(of(&[(true, 1.1)]).ece(), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(of(&[]).merge(&CalibrationBins::new(3)), Err(Undefined::new(Reason::LengthMismatch)));
    }

    #[test]
    fn edges_belong_to_the_bin_below() {
        for n_bins in [1, 3, 7, 10, 15] {
            for idx in 0..n_bins {
                let edge = (idx + 1) as f64 / n_bins as f64;
                assert_eq!(bin_of(edge, n_bins), idx);
                assert_eq!(bin_of(edge + 1e-12, n_bins), (idx + 1).min(n_bins - 1));
            }
            assert_eq!(bin_of(0.0, n_bins), 0);
        }
    }

    proptest! {
        #[test]
        fn merge_agrees_with_one_pass(rows in prop::collection::vec((any::<bool>(), 0.0..=1.0f64), 1..50), at in 0usize..50) {
            let at = at.min(rows.len());
            let whole = of(&rows);
            let (mut left, mut right) = (of(&rows[..at]), of(&rows[at..]));
            let before = left.clone();
            left.merge(&right).unwrap();
            right.merge(&before).unwrap();
            prop_assert_eq!(&left, &right);
            prop_assert!((left.ece().unwrap() - whole.ece().unwrap()).abs() < 1e-12);
            let bytes = whole.to_bytes();
            prop_assert_eq!(&CalibrationBins::from_bytes(&bytes).unwrap(), &whole);
            prop_assert!(CalibrationBins::from_bytes(&bytes[..at]).is_err());
        }
    }
}
