//! How well scores rank positives above negatives.
//!
//! Scores of the two classes come as points, so two [`NumericSample`](crate::sample::NumericSample)s make these metrics mergeable;
//! once a sample is not exact, put both through [`paired_points`](crate::sample::paired_points).

use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// A score and the weight of the rows that have it.
pub type WeightedScore = (f64, f64);

/// Returns the area under the ROC curve: the chance that a positive scores above a negative, ties counting half (Mann & Whitney 1947).
///
/// Undefined if a class is missing, and for NaN or unsorted scores.
///
/// ```
/// use modelwatch_stats::classification::roc_auc;
///
/// // Positives 0.35 and 0.8, negatives 0.1 and 0.4: 3 of 4 pairs are in order.
/// assert_eq!(roc_auc(&[(0.35, 1), (0.8, 1)], &[(0.1, 1), (0.4, 1)]), Ok(0.75));
/// ```
pub fn roc_auc(positives: &[Point], negatives: &[Point]) -> Result<f64, Undefined> {
    roc_auc_weighted(&with_weights(positives), &with_weights(negatives))
}

/// Returns [`roc_auc`] of rows with weights.
///
/// ```
/// use modelwatch_stats::classification::roc_auc_weighted;
/// assert_eq!(roc_auc_weighted(&[(1.0, 0.5)], &[(0.0, 1.5), (1.0, 0.5)]), Ok(0.875));
/// ```
pub fn roc_auc_weighted(positives: &[WeightedScore], negatives: &[WeightedScore]) -> Result<f64, Undefined> {
    let (n_positive, n_negative) = (total(positives)?, total(negatives)?);
    if n_positive == 0.0 || n_negative == 0.0 {
        return Err(Undefined::new(if n_positive == n_negative { Reason::Empty } else { Reason::OneClass }));
    }
    let mut rest = negatives;
    let (mut below, mut won) = (0.0, 0.0);
    for run in positives.chunk_by(|left, right| left.0 == right.0) {
        let weight: f64 = run.iter().map(|it| it.1).sum();
        below += take_while(&mut rest, |it| it < run[0].0);
        let tied = take_while(&mut rest, |it| it == run[0].0);
        won += weight * (below + tied / 2.0);
        below += tied;
    }
    Ok((won / n_positive / n_negative).clamp(0.0, 1.0))
}

/// Returns the average precision `Σ (R_k - R_{k-1}) P_k` over the distinct scores from the top, without interpolation.
///
/// 1 if there are no negatives; undefined without positives.
///
/// ```
/// use modelwatch_stats::classification::average_precision;
///
/// // From the top: 0.8 hits (P 1, R ½), 0.4 misses, 0.35 hits (P ⅔, R 1).
/// let found = average_precision(&[(0.35, 1), (0.8, 1)], &[(0.1, 1), (0.4, 1)]).unwrap();
/// assert!((found - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
/// ```
pub fn average_precision(positives: &[Point], negatives: &[Point]) -> Result<f64, Undefined> {
    average_precision_weighted(&with_weights(positives), &with_weights(negatives))
}

/// Returns [`average_precision`] of rows with weights.
///
/// ```
/// use modelwatch_stats::classification::average_precision_weighted;
/// assert_eq!(average_precision_weighted(&[(1.0, 0.5)], &[(1.0, 1.5)]), Ok(0.25));
/// ```
pub fn average_precision_weighted(positives: &[WeightedScore], negatives: &[WeightedScore]) -> Result<f64, Undefined> {
    let (n_positive, n_negative) = (total(positives)?, total(negatives)?);
    if n_positive == 0.0 {
        return Err(Undefined::new(if n_negative == 0.0 { Reason::Empty } else { Reason::OneClass }));
    }
    let mut rest = negatives;
    let (mut hits, mut misses, mut res) = (0.0, 0.0, 0.0);
    for run in positives.chunk_by(|left, right| left.0 == right.0).rev() {
        let weight: f64 = run.iter().map(|it| it.1).sum();
        while let Some((it, before)) = rest.split_last().filter(|it| it.0.0 >= run[0].0) {
            misses += it.1;
            rest = before;
        }
        hits += weight;
        // A run of zero weight at the top has no precision, and no recall to weigh it by.
        if weight > 0.0 {
            res += weight * hits / (hits + misses);
        }
    }
    Ok((res / n_positive).clamp(0.0, 1.0))
}

fn with_weights(points: &[Point]) -> Vec<WeightedScore> {
    points.iter().map(|it| (it.0, it.1 as f64)).collect()
}

fn take_while(rest: &mut &[WeightedScore], accept: impl Fn(f64) -> bool) -> f64 {
    let split = rest.iter().position(|it| !accept(it.0)).unwrap_or(rest.len());
    let (taken, kept) = rest.split_at(split);
    *rest = kept;
    taken.iter().map(|it| it.1).sum()
}

fn total(scores: &[WeightedScore]) -> Result<f64, Undefined> {
    if scores.iter().any(|it| it.0.is_nan() || it.1.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if scores.windows(2).any(|it| it[0].0 > it[1].0) {
        return Err(Undefined::new(Reason::NotSorted));
    }
    if scores.iter().any(|it| it.1 < 0.0 || it.1.is_infinite()) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    Ok(scores.iter().map(|it| it.1).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_class_no_rows_and_nan_are_undefined() {
        assert_eq!(roc_auc(&[(0.5, 1)], &[]), Err(Undefined::new(Reason::OneClass)));
        assert_eq!(roc_auc(&[], &[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(roc_auc(&[(f64::NAN, 1)], &[(0.5, 1)]), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(roc_auc(&[(0.5, 1), (0.1, 1)], &[(0.5, 1)]), Err(Undefined::new(Reason::NotSorted)));
        assert_eq!(average_precision(&[], &[(0.5, 1)]), Err(Undefined::new(Reason::OneClass)));
        assert_eq!(average_precision(&[(0.5, 1)], &[]), Ok(1.0));
    }

    proptest! {
        #[test]
        fn auc_equals_counting_pairs(mut positives in prop::collection::vec(0u8..9, 1..20), mut negatives in prop::collection::vec(0u8..9, 1..20)) {
            positives.sort_unstable();
            negatives.sort_unstable();
            let points = |it: &[u8]| it.iter().map(|&it| (f64::from(it), 1)).collect::<Vec<Point>>();
            let pairs = positives.iter().flat_map(|p| negatives.iter().map(move |n| if p > n { 1.0 } else if p == n { 0.5 } else { 0.0 }));
            let expected = pairs.sum::<f64>() / (positives.len() * negatives.len()) as f64;
            prop_assert!((roc_auc(&points(&positives), &points(&negatives)).unwrap() - expected).abs() < 1e-12);
        }
    }
}
