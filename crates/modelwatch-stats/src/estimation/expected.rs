//! Expected confusion matrices and rankings.

use std::cmp::Ordering;

use super::Spread;
use crate::{
    classification::{WeightedScore, average_precision_weighted, roc_auc_weighted},
    error::{Reason, Undefined},
    weights::Mass,
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
        chances.iter().zip(is_called).for_each(|(chance, is_called)| res.push(*chance, *is_called, 1.0));
        Ok(res)
    }

    fn push(&mut self, chance: f64, is_called: bool, weight: f64) {
        let (positive, negative) = (weight * chance, weight * (1.0 - chance));
        if is_called {
            self.true_positive += positive;
            self.false_positive += negative;
        } else {
            self.false_negative += positive;
            self.true_negative += negative;
        }
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
}

/// The expected confusion matrix of rows that count by their weights: their sums, and those of their squares, which say how it spreads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExpectedMasses {
    /// Each row counts by its weight.
    pub weights: ExpectedCounts,
    /// Each row counts by the square of its weight.
    pub squares: ExpectedCounts,
}

impl From<ExpectedCounts> for ExpectedMasses {
    /// Returns those of rows that count alike.
    fn from(counts: ExpectedCounts) -> Self {
        Self { weights: counts, squares: counts }
    }
}

impl ExpectedMasses {
    /// Returns the sums over rows of these weights, as [`ExpectedCounts::of`] has them of rows that count once.
    ///
    /// ```
    /// use modelwatch_stats::estimation::{ExpectedCounts, ExpectedMasses};
    ///
    /// let it = ExpectedMasses::of(&[0.75, 0.5, 0.25], &[true, true, false], &[2.0, 1.0, 1.0]).unwrap();
    /// // As if the first row were there twice.
    /// assert_eq!(it.weights, ExpectedCounts::of(&[0.75, 0.75, 0.5, 0.25], &[true, true, true, false]).unwrap());
    /// assert_eq!(it.total().size(), 16.0 / 6.0);
    /// ```
    pub fn of(chances: &[f64], is_called: &[bool], weights: &[f64]) -> Result<Self, Undefined> {
        check_chances(chances, is_called.len())?;
        check_weights(weights, chances.len())?;
        let mut res = Self::default();
        for ((chance, is_called), weight) in chances.iter().zip(is_called).zip(weights) {
            res.weights.push(*chance, *is_called, *weight);
            res.squares.push(*chance, *is_called, weight * weight);
        }
        Ok(res)
    }

    /// Returns what all rows weigh.
    pub fn total(self) -> Mass {
        self.mass(ExpectedCounts::total)
    }

    /// Returns how [`ExpectedCounts::accuracy`] spreads over samples like these rows.
    pub fn accuracy_spread(self) -> Result<Spread, Undefined> {
        Spread::of_share(self.mass(|it| it.true_positive + it.true_negative), self.total(), self.total())
    }

    /// Returns how [`ExpectedCounts::precision`] spreads.
    pub fn precision_spread(self) -> Result<Spread, Undefined> {
        let called = self.mass(|it| it.true_positive + it.false_positive);
        Spread::of_share(self.mass(|it| it.true_positive), called, self.total())
    }

    /// Returns how [`ExpectedCounts::recall`] spreads.
    pub fn recall_spread(self) -> Result<Spread, Undefined> {
        let positive = self.mass(|it| it.true_positive + it.false_negative);
        Spread::of_share(self.mass(|it| it.true_positive), positive, self.total())
    }

    /// Returns how [`ExpectedCounts::specificity`] spreads.
    pub fn specificity_spread(self) -> Result<Spread, Undefined> {
        let negative = self.mass(|it| it.true_negative + it.false_positive);
        Spread::of_share(self.mass(|it| it.true_negative), negative, self.total())
    }

    /// Returns how [`ExpectedCounts::f1`] spreads: as a share of the rows that matter to it, scaled to what it is.
    pub fn f1_spread(self) -> Result<Spread, Undefined> {
        let relevant = self.mass(|it| it.true_positive + it.false_positive + it.false_negative);
        let res = Spread::of_share(self.mass(|it| it.true_positive), relevant, self.total())?;
        let counts = self.weights;
        let scale = relevant.weight / (counts.true_positive + (counts.false_positive + counts.false_negative) / 2.0);
        Ok(Spread { deviation: res.deviation * scale, ..res })
    }

    /// Returns how the value of a row spreads, for means of [`ExpectedCounts::value`] over rows.
    pub fn value_spread(self, values: ExpectedCounts) -> Result<Spread, Undefined> {
        let total = self.total();
        let mean = ratio(self.weights.value(values), total.weight)?;
        let squares = self.squares.cells().into_iter().zip(values.cells());
        let squares: f64 = squares.map(|(square, it)| square * (it - mean).powi(2)).sum();
        Ok(Spread::of_mean(squares, total, 1.0))
    }

    fn mass(self, of: fn(ExpectedCounts) -> f64) -> Mass {
        Mass { weight: of(self.weights), square: of(self.squares) }
    }
}

/// Returns the area under the ROC curve that is to be expected of rows with these scores and chances to be positive.
///
/// Each row of weight `w` is a positive of weight `w p` and a negative of weight `w (1 - p)`; ties of scores count half.
///
/// ```
/// use modelwatch_stats::estimation::expected_roc_auc;
///
/// // Certain rows give what they give with labels, and what is all chance gives one half.
/// assert_eq!(expected_roc_auc(&[0.9, 0.4, 0.1], &[1.0, 1.0, 0.0], &[1.0; 3]), Ok(1.0));
/// assert_eq!(expected_roc_auc(&[0.9, 0.4], &[0.5, 0.5], &[1.0; 2]), Ok(0.5));
/// // Of a pair in order and three that are not.
/// assert_eq!(expected_roc_auc(&[0.9, 0.4, 0.5], &[1.0, 1.0, 0.0], &[1.0, 3.0, 1.0]), Ok(0.25));
/// ```
pub fn expected_roc_auc(scores: &[f64], chances: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    let (positives, negatives) = both(scores, chances, weights)?;
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
/// let found = expected_average_precision(&[0.9, 0.4], &[0.5, 0.25], &[1.0; 2]).unwrap();
/// assert!((found - (0.5 * 0.5 + 0.25 * 0.375) / 0.75).abs() < 1e-15);
/// ```
pub fn expected_average_precision(scores: &[f64], chances: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    let (positives, negatives) = both(scores, chances, weights)?;
    average_precision_weighted(&positives, &negatives)
}

fn both(
    scores: &[f64],
    chances: &[f64],
    weights: &[f64],
) -> Result<(Vec<WeightedScore>, Vec<WeightedScore>), Undefined> {
    check_chances(chances, scores.len())?;
    check_weights(weights, scores.len())?;
    let rows = scores.iter().zip(chances).zip(weights);
    let mut rows: Vec<[f64; 3]> = rows.map(|((score, chance), weight)| [*score, *chance, *weight]).collect();
    let order = |left: &[f64; 3], right: &[f64; 3]| {
        left.iter().zip(right).map(|(left, right)| left.total_cmp(right)).fold(Ordering::Equal, Ordering::then)
    };
    rows.sort_unstable_by(order);
    let of = |chance: fn(f64) -> f64| rows.iter().map(|it| (it[0], it[2] * chance(it[1]))).collect();
    Ok((of(|it| it), of(|it| 1.0 - it)))
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

pub(super) fn check_weights(weights: &[f64], n_rows: usize) -> Result<(), Undefined> {
    if weights.len() != n_rows {
        Err(Undefined::new(Reason::LengthMismatch))
    } else if !weights.iter().all(|it| *it > 0.0 && it.is_finite()) {
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
        assert_eq!(expected_roc_auc(&[f64::NAN], &[0.5], &[1.0]).unwrap_err().reason, Reason::NotANumber);
        assert_eq!(expected_roc_auc(&[], &[], &[]).unwrap_err().reason, Reason::Empty);
        assert_eq!(expected_roc_auc(&[0.1, 0.2], &[1.0, 1.0], &[1.0; 2]).unwrap_err().reason, Reason::OneClass);
        for weights in [&[1.0][..], &[1.0, -1.0], &[1.0, f64::NAN], &[1.0, 0.0]] {
            assert!(expected_roc_auc(&[0.1, 0.2], &[1.0, 0.0], weights).is_err(), "{weights:?}");
            assert!(ExpectedMasses::of(&[0.1, 0.2], &[true, false], weights).is_err(), "{weights:?}");
        }
    }

    #[test]
    fn the_error_of_weighted_rows_is_the_linearized_one() {
        let (chances, is_called) = ([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [true, true, true, false, false, true]);
        let weights = [4.0, 1.0, 1.0, 2.0, 1.0, 3.0];
        let it = ExpectedMasses::of(&chances, &is_called, &weights).unwrap();
        let size = it.total().size();
        // Of the called rows, which weigh 9, 8/9 is right: Σ w² (x - p)² / (Σ w)².
        let variance = (26.0 * (1.0f64 / 9.0).powi(2) + (8.0f64 / 9.0).powi(2)) / 81.0;
        assert!((it.precision_spread().unwrap().error(size) - variance.sqrt()).abs() < 1e-15);
        // Of all, which weigh 12, 9/12 is right.
        let variance = (27.0 * 0.25f64.powi(2) + 5.0 * 0.75f64.powi(2)) / 144.0;
        assert!((it.accuracy_spread().unwrap().error(size) - variance.sqrt()).abs() < 1e-15);
        let right = ExpectedCounts { true_positive: 1.0, true_negative: 1.0, ..ExpectedCounts::default() };
        assert!((it.value_spread(right).unwrap().error(size) - variance.sqrt()).abs() < 1e-15);
        // The same weight for all changes nothing.
        let alike = ExpectedMasses::of(&chances, &is_called, &[7.0; 6]).unwrap();
        let once = ExpectedMasses::from(ExpectedCounts::of(&chances, &is_called).unwrap());
        assert!((alike.total().size() - 6.0).abs() < 1e-12);
        for of in [ExpectedMasses::f1_spread, ExpectedMasses::recall_spread, ExpectedMasses::specificity_spread] {
            let (alike, once) = (of(alike).unwrap(), of(once).unwrap());
            assert!((alike.deviation - once.deviation).abs() < 1e-12 && (alike.share - once.share).abs() < 1e-12);
        }
    }
}
