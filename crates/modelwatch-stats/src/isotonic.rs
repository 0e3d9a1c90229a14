//! Isotonic regression: the non-decreasing function that is nearest to the data.

use crate::error::{Reason, Undefined};

/// A non-decreasing function of a score: straight lines between points, and level beyond the first and the last.
///
/// It is fitted by pooling adjacent violators (Ayer et al. 1955), which minimizes `Σ (y - f(x))²`; rows of equal scores
/// share their mean first. Points and lines are those of scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.
#[derive(Clone, Debug, PartialEq)]
pub struct Isotonic {
    /// Scores in strictly ascending order, with what they are mapped to.
    points: Vec<(f64, f64)>,
}

/// Neighboring scores that share a value.
#[derive(Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Block {
    fn mean(self) -> f64 {
        self.sum / self.weight
    }

    fn joined(self, next: Self) -> Self {
        Self { first: self.first, last: next.last, sum: self.sum + next.sum, weight: self.weight + next.weight }
    }
}

impl Isotonic {
    /// Fits the function to rows in any order.
    ///
    /// Undefined for no rows, slices of different lengths, a NaN and an infinity.
    ///
    /// ```
    /// use modelwatch_stats::isotonic::Isotonic;
    ///
    /// // 0 and then 1 would fall at 0.4 to 0.5, so that these two share their mean.
    /// let function = Isotonic::fit(&[0.1, 0.4, 0.5, 0.9], &[0.0, 1.0, 0.0, 1.0]).unwrap();
    /// assert_eq!([0.4, 0.45, 0.5, 0.7, 2.0].map(|it| function.value(it)), [0.5, 0.5, 0.5, 0.75, 1.0]);
    /// ```
    pub fn fit(scores: &[f64], targets: &[f64]) -> Result<Self, Undefined> {
        Self::fit_weighted(scores, targets, &vec![1.0; scores.len()])
    }

    /// Fits the function to rows of weights above 0, in any order: it minimizes `Σ w (y - f(x))²`.
    ///
    /// Undefined as [`Isotonic::fit`], and for a weight that is not above 0.
    ///
    /// ```
    /// use modelwatch_stats::isotonic::Isotonic;
    ///
    /// let weighted = Isotonic::fit_weighted(&[0.1, 0.4, 0.5], &[0.0, 1.0, 0.0], &[1.0, 1.0, 3.0]).unwrap();
    /// assert_eq!(weighted, Isotonic::fit(&[0.1, 0.4, 0.5, 0.5, 0.5], &[0.0, 1.0, 0.0, 0.0, 0.0]).unwrap());
    /// ```
    pub fn fit_weighted(scores: &[f64], targets: &[f64], weights: &[f64]) -> Result<Self, Undefined> {
        if scores.len() != targets.len() || scores.len() != weights.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let rows = scores.iter().zip(targets).zip(weights);
        let mut rows: Vec<(f64, f64, f64)> = rows.map(|((score, target), weight)| (*score, *target, *weight)).collect();
        if rows.iter().any(|it| it.0.is_nan() || it.1.is_nan() || it.2.is_nan()) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        if rows.iter().any(|it| it.0.is_infinite() || it.1.is_infinite() || it.2.is_infinite()) {
            return Err(Undefined::new(Reason::Infinite));
        }
        if rows.iter().any(|it| it.2 <= 0.0) {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        // By all of it, so that the order of the rows does not show in a sum.
        rows.sort_unstable_by(|left, right| {
            left.0.total_cmp(&right.0).then(left.1.total_cmp(&right.1)).then(left.2.total_cmp(&right.2))
        });
        Self::fit_sorted(rows.into_iter())
    }

    /// Fits the function to finite rows in ascending order of their scores: each is a score, a target and a weight above 0.
    pub(crate) fn fit_sorted(rows: impl Iterator<Item = (f64, f64, f64)>) -> Result<Self, Undefined> {
        let mut blocks: Vec<Block> = Vec::new();
        for (score, target, weight) in rows {
            match blocks.last_mut() {
                // A block of one score so far, or one that was pooled: either way it gets the row.
                Some(it) if it.last == score => {
                    it.sum += weight * target;
                    it.weight += weight;
                }
                _ => blocks.push(Block { first: score, last: score, sum: weight * target, weight }),
            }
        }
        if blocks.is_empty() {
            return Err(Undefined::new(Reason::Empty));
        }
        let mut pooled: Vec<Block> = Vec::new();
        for mut block in blocks {
            while let Some(before) = pooled.pop_if(|it| it.mean() >= block.mean()) {
                block = before.joined(block);
            }
            pooled.push(block);
        }
        let ends = |it: &Block| [(it.first, it.mean()), (it.last, it.mean())];
        let mut points: Vec<(f64, f64)> = pooled.iter().flat_map(ends).collect();
        points.dedup();
        Ok(Self { points })
    }

    /// Returns what the function makes of a score; NaN for NaN.
    pub fn value(&self, score: f64) -> f64 {
        let after = self.points.partition_point(|it| it.0 <= score);
        match (after.checked_sub(1).map(|it| self.points[it]), self.points.get(after)) {
            _ if score.is_nan() => f64::NAN,
            (Some(left), Some(right)) => left.1 + (right.1 - left.1) / (right.0 - left.0) * (score - left.0),
            (Some(only), None) => only.1,
            (None, first) => first.map_or(f64::NAN, |it| it.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_rises_already_is_met_and_ties_share_their_mean() {
        let it = Isotonic::fit(&[2.0, 1.0, 3.0, 3.0], &[5.0, 1.0, 6.0, 8.0]).unwrap();
        assert_eq!([0.0, 1.0, 1.5, 2.0, 3.0, 4.0].map(|score| it.value(score)), [1.0, 1.0, 3.0, 5.0, 7.0, 7.0]);
    }

    #[test]
    fn what_falls_becomes_its_mean() {
        let it = Isotonic::fit(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
        assert_eq!(it.points, [(1.0, 2.0), (3.0, 2.0)]);
        assert_eq!(Isotonic::fit(&[1.0], &[3.0]).unwrap().value(9.0), 3.0);
    }

    #[test]
    fn no_rows_and_what_is_no_number_are_undefined() {
        let reason = |scores: &[f64], targets: &[f64]| Isotonic::fit(scores, targets).unwrap_err().reason;
        assert_eq!(reason(&[], &[]), Reason::Empty);
        assert_eq!(reason(&[1.0], &[]), Reason::LengthMismatch);
        assert_eq!(reason(&[f64::NAN], &[1.0]), Reason::NotANumber);
        assert_eq!(reason(&[1.0], &[f64::INFINITY]), Reason::Infinite);
        assert!(Isotonic::fit(&[1.0], &[1.0]).unwrap().value(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn it_never_falls_keeps_the_mean_and_no_constant_shift_is_nearer(
            rows in prop::collection::vec((0u8..20, 0u8..2), 1..60),
        ) {
            let scores: Vec<f64> = rows.iter().map(|it| f64::from(it.0) / 20.0).collect();
            let targets: Vec<f64> = rows.iter().map(|it| f64::from(it.1)).collect();
            let function = Isotonic::fit(&scores, &targets).unwrap();
            prop_assert!(function.points.windows(2).all(|it| it[0].0 < it[1].0 && it[0].1 <= it[1].1));
            let residuals: f64 = scores.iter().zip(&targets).map(|(score, it)| it - function.value(*score)).sum();
            prop_assert!(residuals.abs() < 1e-9);
            let mut reversed = (scores.clone(), targets.clone());
            reversed.0.reverse();
            reversed.1.reverse();
            prop_assert_eq!(&function, &Isotonic::fit(&reversed.0, &reversed.1).unwrap());
        }
    }
}
