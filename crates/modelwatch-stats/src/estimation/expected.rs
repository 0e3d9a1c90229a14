//! Expected confusion matrices and rankings.

use super::Spread;
use crate::{
    classification::{WeightedScore, average_precision_weighted, roc_auc_weighted},
    error::{Reason, Undefined},
};

/// The expected confusion matrix of one class against all others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExpectedCounts {
    /// Rows that are of the class and called so.
    pub true_positive: f64,
    /// Rows that are called so and are not.
    pub false_positive: f64,
    /// Rows that are of the class and not called so.
    pub false_negative: f64,
    /// Rows that are neither.
    pub true_negative: f64,
}

impl ExpectedCounts {
    /// Returns the sums over rows of which each is of the class with that chance, and is called so or not.
    ///
    /// Undefined for slices of different lengths, a NaN, and chances outside 0..=1.
    ///
    /// ```
    /// use modelwatch_stats::estimation::ExpectedCounts;
    ///
    /// let it = ExpectedCounts::of(&[0.75, 0.5, 0.25], &[true, true, false]).unwrap();
    /// assert_eq!((it.true_positive, it.false_positive, it.false_negative, it.true_negative), (1.25, 0.75, 0.25, 0.75));
    /// assert_eq!(it.precision(), Ok(0.625));
    /// assert_eq!(it.f1(), Ok(1.25 / (1.25 + 0.5)));
    /// ```
    pub fn of(chances: &[f64], is_called: &[bool]) -> Result<Self, Undefined> {
        check_chances(chances, is_called.len())?;
        let mut res = Self::default();
        for (chance, is_called) in chances.iter().zip(is_called) {
            if *is_called {
                res.true_positive += chance;
                res.false_positive += 1.0 - chance;
            } else {
                res.false_negative += chance;
                res.true_negative += 1.0 - chance;
            }
        }
        Ok(res)
    }

    /// Returns the number of rows.
    pub fn total(self) -> f64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// Returns `(TP + TN) / n`; undefined without rows, as all of these where they divide by nothing.
    pub fn accuracy(self) -> Result<f64, Undefined> {
        ratio(self.true_positive + self.true_negative, self.total())
    }

    /// Returns `TP / (TP + FP)`.
    pub fn precision(self) -> Result<f64, Undefined> {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Returns `TP / (TP + FN)`.
    pub fn recall(self) -> Result<f64, Undefined> {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Returns `TN / (TN + FP)`.
    pub fn specificity(self) -> Result<f64, Undefined> {
        ratio(self.true_negative, self.true_negative + self.false_positive)
    }

    /// Returns `TP / (TP + (FP + FN) / 2)`.
    pub fn f1(self) -> Result<f64, Undefined> {
        ratio(self.true_positive, self.true_positive + (self.false_positive + self.false_negative) / 2.0)
    }

    /// Returns what the rows come to if each cell has a value: `Σ count · value`.
    ///
    /// ```
    /// use modelwatch_stats::estimation::ExpectedCounts;
    /// let it = ExpectedCounts { true_positive: 3.0, false_positive: 1.0, false_negative: 2.0, true_negative: 4.0 };
    /// let values = ExpectedCounts { true_positive: 10.0, false_positive: -5.0, ..ExpectedCounts::default() };
    /// assert_eq!(it.value(values), 25.0);
    /// ```
    pub fn value(self, values: Self) -> f64 {
        let cells = self.cells().into_iter().zip(values.cells());
        cells.map(|(count, value)| count * value).sum()
    }

    /// Returns TP, FP, FN and TN.
    pub(super) fn cells(self) -> [f64; 4] {
        [self.true_positive, self.false_positive, self.false_negative, self.true_negative]
    }

    /// Returns how [`ExpectedCounts::accuracy`] spreads over samples like these rows.
    pub fn accuracy_spread(self) -> Result<Spread, Undefined> {
        Spread::of_share(self.true_positive + self.true_negative, self.total(), self.total())
    }

    /// Returns how [`ExpectedCounts::precision`] spreads.
    pub fn precision_spread(self) -> Result<Spread, Undefined> {
        Spread::of_share(self.true_positive, self.true_positive + self.false_positive, self.total())
    }

    /// Returns how [`ExpectedCounts::recall`] spreads.
    pub fn recall_spread(self) -> Result<Spread, Undefined> {
        Spread::of_share(self.true_positive, self.true_positive + self.false_negative, self.total())
    }

    /// Returns how [`ExpectedCounts::specificity`] spreads.
    pub fn specificity_spread(self) -> Result<Spread, Undefined> {
        Spread::of_share(self.true_negative, self.true_negative + self.false_positive, self.total())
    }

    /// Returns how [`ExpectedCounts::f1`] spreads: as a share of the rows that matter to it, scaled to what it is.
    pub fn f1_spread(self) -> Result<Spread, Undefined> {
        let relevant = self.true_positive + self.false_positive + self.false_negative;
        let res = Spread::of_share(self.true_positive, relevant, self.total())?;
        let scale = relevant / (self.true_positive + (self.false_positive + self.false_negative) / 2.0);
        Ok(Spread { deviation: res.deviation * scale, ..res })
    }

    /// Returns how the value of a row spreads, for means of [`ExpectedCounts::value`] over rows.
    pub fn value_spread(self, values: Self) -> Result<Spread, Undefined> {
        let mean = ratio(self.value(values), self.total())?;
        let squares = self.cells().into_iter().zip(values.cells()).map(|(count, it)| count * (it - mean).powi(2));
        Ok(Spread { deviation: (squares.sum::<f64>() / self.total()).sqrt(), share: 1.0 })
    }
}

/// Returns the area under the ROC curve that is to be expected of rows with these scores and chances to be positive.
///
/// Each row is a positive of weight `p` and a negative of weight `1 - p`; ties of scores count half.
///
/// ```
/// use modelwatch_stats::estimation::expected_roc_auc;
///
/// // Certain rows give what they give with labels, and what is all chance gives one half.
/// assert_eq!(expected_roc_auc(&[0.9, 0.4, 0.1], &[1.0, 1.0, 0.0]), Ok(1.0));
/// assert_eq!(expected_roc_auc(&[0.9, 0.4], &[0.5, 0.5]), Ok(0.5));
/// ```
pub fn expected_roc_auc(scores: &[f64], chances: &[f64]) -> Result<f64, Undefined> {
    let (positives, negatives) = both(scores, chances)?;
    roc_auc_weighted(&positives, &negatives)
}

/// Returns the average precision that is to be expected, likewise.
///
/// Rows of equal scores are one step, as they are for the average precision of labels.
///
/// ```
/// use modelwatch_stats::estimation::expected_average_precision;
///
/// // From the top: 0.5 of 1 row, then 0.75 of 2.
/// let found = expected_average_precision(&[0.9, 0.4], &[0.5, 0.25]).unwrap();
/// assert!((found - (0.5 * 0.5 + 0.25 * 0.375) / 0.75).abs() < 1e-15);
/// ```
pub fn expected_average_precision(scores: &[f64], chances: &[f64]) -> Result<f64, Undefined> {
    let (positives, negatives) = both(scores, chances)?;
    average_precision_weighted(&positives, &negatives)
}

fn both(scores: &[f64], chances: &[f64]) -> Result<(Vec<WeightedScore>, Vec<WeightedScore>), Undefined> {
    check_chances(chances, scores.len())?;
    let mut rows: Vec<WeightedScore> = scores.iter().copied().zip(chances.iter().copied()).collect();
    rows.sort_unstable_by(|left, right| left.0.total_cmp(&right.0).then(left.1.total_cmp(&right.1)));
    let negatives = rows.iter().map(|it| (it.0, 1.0 - it.1)).collect();
    Ok((rows, negatives))
}

fn check_chances(chances: &[f64], n_rows: usize) -> Result<(), Undefined> {
    if chances.len() != n_rows {
        Err(Undefined::new(Reason::LengthMismatch))
    } else if chances.iter().any(|it| it.is_nan()) {
        Err(Undefined::new(Reason::NotANumber))
    } else if !chances.iter().all(|it| (0.0..=1.0).contains(it)) {
        Err(Undefined::new(Reason::OutOfRange))
    } else {
        Ok(())
    }
}

pub(super) fn ratio(part: f64, whole: f64) -> Result<f64, Undefined> {
    if whole > 0.0 { Ok(part / whole) } else { Err(Undefined::new(Reason::Empty)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_divides_by_nothing_is_undefined() {
        let none = ExpectedCounts::of(&[], &[]).unwrap();
        assert_eq!(none.accuracy(), Err(Undefined::new(Reason::Empty)));
        let never_called = ExpectedCounts::of(&[0.5], &[false]).unwrap();
        assert_eq!(never_called.precision(), Err(Undefined::new(Reason::Empty)));
        assert_eq!((never_called.recall(), never_called.specificity(), never_called.f1()), (Ok(0.0), Ok(1.0), Ok(0.0)));
    }

    #[test]
    fn chances_must_be_chances() {
        let reason = |chances: &[f64], called: &[bool]| ExpectedCounts::of(chances, called).unwrap_err().reason;
        assert_eq!(reason(&[0.5], &[]), Reason::LengthMismatch);
        assert_eq!(reason(&[f64::NAN], &[true]), Reason::NotANumber);
        assert_eq!(reason(&[1.5], &[true]), Reason::OutOfRange);
        assert_eq!(expected_roc_auc(&[f64::NAN], &[0.5]).unwrap_err().reason, Reason::NotANumber);
        assert_eq!(expected_roc_auc(&[], &[]).unwrap_err().reason, Reason::Empty);
        assert_eq!(expected_roc_auc(&[0.1, 0.2], &[1.0, 1.0]).unwrap_err().reason, Reason::OneClass);
    }
}
