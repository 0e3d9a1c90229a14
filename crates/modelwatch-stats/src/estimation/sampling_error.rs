//! By how much a metric of a sample differs from that of all, from what rows of a labeled reference say.
//!
//! The definitions are those of NannyML 0.13.1 (`sampling_error/`), but for the area under the ROC curve: the standard
//! deviation of what a row adds, over the root of the number of rows that matter.

use super::expected::ratio;
use crate::{
    classification::average_precision,
    delong::{Placements, Scored},
    error::{Reason, Undefined},
    hash::mix,
};

/// How many resamples the spread of an average precision is from.
const N_RESAMPLES: u64 = 50;
/// The most rows of a resample.
const MAX_RESAMPLE: usize = 50_000;

/// How a metric spreads over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The standard deviation of what a row that matters adds.
    pub deviation: f64,
    /// The share of the rows that matter.
    pub share: f64,
}

impl Spread {
    /// Returns the spread of the share `part / whole`, where `whole` of `total` rows matter.
    pub(super) fn of_share(part: f64, whole: f64, total: f64) -> Result<Self, Undefined> {
        let share = ratio(part, whole)?;
        Ok(Self { deviation: (share * (1.0 - share)).max(0.0).sqrt(), share: whole / total })
    }

    /// Returns the standard error of the metric over `n_rows` rows: `σ / √(n · share)`.
    ///
    /// ```
    /// use modelwatch_stats::estimation::ExpectedCounts;
    ///
    /// // Nine of ten rows are right: √(0.9 · 0.1 / 100).
    /// let reference = ExpectedCounts { true_positive: 9.0, false_positive: 1.0, ..ExpectedCounts::default() };
    /// assert!((reference.accuracy_spread().unwrap().error(100) - 0.03).abs() < 1e-15);
    /// ```
    pub fn error(self, n_rows: u64) -> f64 {
        self.deviation / (n_rows as f64 * self.share).sqrt()
    }
}

/// Returns the standard error of a mean over classes over `n_rows` rows: `√(Σ σ² / (n · share)) / k`.
///
/// ```
/// use modelwatch_stats::estimation::{Spread, macro_error};
/// let classes = [Spread { deviation: 0.3, share: 1.0 }, Spread { deviation: 0.4, share: 1.0 }];
/// assert!((macro_error(&classes, 100) - 0.025).abs() < 1e-15);
/// ```
pub fn macro_error(classes: &[Spread], n_rows: u64) -> f64 {
    classes.iter().map(|it| it.error(n_rows).powi(2)).sum::<f64>().sqrt() / classes.len() as f64
}

/// Returns how the area under the ROC curve spreads, by DeLong's variance.
///
/// NannyML looks at the rows of the rarer class alone, whose ranks vary, and not at those of the other one, so that for
/// classes of equal size its error is too small by up to `√2`.
///
/// Undefined for fewer than two rows of a class, a NaN, and slices of different lengths.
///
/// ```
/// use modelwatch_stats::estimation::roc_auc_spread;
///
/// // One positive outranks 1 of the negatives and one ⅓, which are outranked by ½, ½ and 1 of the positives:
/// // 2/9 / 2 + 1/12 / 3 = 5/36.
/// let spread = roc_auc_spread(&[0.9, 0.3, 0.5, 0.4, 0.1], &[true, true, false, false, false]).unwrap();
/// assert!((spread.error(5) - (5.0f64 / 36.0).sqrt()).abs() < 1e-12);
/// ```
pub fn roc_auc_spread(scores: &[f64], is_positive: &[bool]) -> Result<Spread, Undefined> {
    let rows = sorted(scores, is_positive)?;
    let scored: Vec<Scored> = rows.iter().map(|it| Scored { score: it.0, is_positive: it.1, count: 1 }).collect();
    let variance = Placements::new(&scored)?.variance()?;
    Ok(Spread { deviation: (variance * rows.len() as f64).sqrt(), share: 1.0 })
}

/// Returns how the average precision spreads, from 50 samples of half the rows (at most 50,000) with replacement.
///
/// Undefined where there are no positives, for a NaN, and slices of different lengths. The samples depend on nothing but
/// `seed` and the rows, whatever their order.
pub fn average_precision_spread(scores: &[f64], is_positive: &[bool], seed: u64) -> Result<Spread, Undefined> {
    let rows = sorted(scores, is_positive)?;
    let n_drawn = (rows.len() / 2).clamp(1, MAX_RESAMPLE);
    let mut counts = vec![0u64; rows.len()];
    let mut found = Vec::new();
    for resample in 0..N_RESAMPLES {
        counts.fill(0);
        for draw in 0..n_drawn as u64 {
            let random = mix(mix(seed ^ resample) ^ draw);
            // The high word of a product is a number below the length, as even as 64 bits are.
            counts[((u128::from(random) * rows.len() as u128) >> 64) as usize] += 1;
        }
        let points = |wanted: bool| {
            let drawn = rows.iter().zip(&counts).filter(|(row, count)| row.1 == wanted && **count > 0);
            drawn.map(|(row, count)| (row.0, *count)).collect::<Vec<_>>()
        };
        // A sample without positives says nothing.
        found.extend(average_precision(&points(true), &points(false)).ok());
    }
    if found.is_empty() {
        return Err(Undefined::new(if rows.is_empty() { Reason::Empty } else { Reason::OneClass }));
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    let variance = found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / found.len() as f64;
    Ok(Spread { deviation: (variance * n_drawn as f64).sqrt(), share: 1.0 })
}

/// Returns the rows by ascending score.
fn sorted(scores: &[f64], is_positive: &[bool]) -> Result<Vec<(f64, bool)>, Undefined> {
    if scores.len() != is_positive.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    if scores.iter().any(|it| it.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if scores.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(is_positive.iter().copied()).collect();
    rows.sort_unstable_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Point;

    /// Rows of which the positives score higher.
    fn rows(n_rows: u64) -> (Vec<f64>, Vec<bool>) {
        let uniform = |seed: u64| (mix(seed) >> 11) as f64 / (1u64 << 53) as f64;
        let labels: Vec<bool> = (0..n_rows).map(|it| uniform(3 * it) < 0.3).collect();
        let scores = labels.iter().zip(0..).map(|(label, it)| uniform(3 * it + 1) + if *label { 0.4 } else { 0.0 });
        (scores.collect(), labels)
    }

    #[test]
    fn the_error_is_what_samples_show() {
        let (scores, labels) = rows(20_000);
        let auc = roc_auc_spread(&scores, &labels).unwrap().error(1000);
        let precision = average_precision_spread(&scores, &labels, 1).unwrap().error(1000);
        let points = |range: std::ops::Range<usize>, wanted: bool| {
            let mut res: Vec<_> = range.filter(|it| labels[*it] == wanted).map(|it| (scores[it], 1)).collect();
            res.sort_by(|left, right| left.0.total_cmp(&right.0));
            res
        };
        let deviation = |of: fn(&[Point], &[Point]) -> Result<f64, Undefined>| {
            let chunks = (0..20).map(|it| it * 1000..(it + 1) * 1000);
            let found: Vec<f64> = chunks.map(|it| of(&points(it.clone(), true), &points(it, false)).unwrap()).collect();
            let mean = found.iter().sum::<f64>() / 20.0;
            (found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 19.0).sqrt()
        };
        let (seen_auc, seen_precision) = (deviation(crate::classification::roc_auc), deviation(average_precision));
        assert!((0.6..1.7).contains(&(auc / seen_auc)), "{auc} and {seen_auc}");
        assert!((0.6..1.7).contains(&(precision / seen_precision)), "{precision} and {seen_precision}");
    }

    #[test]
    fn neither_the_order_of_rows_nor_which_class_is_positive_shows() {
        let (mut scores, mut labels) = rows(500);
        let (auc, precision) =
            (roc_auc_spread(&scores, &labels).unwrap(), average_precision_spread(&scores, &labels, 1).unwrap());
        let turned: Vec<f64> = scores.iter().map(|it| -it).collect();
        let others: Vec<bool> = labels.iter().map(|it| !it).collect();
        let other = roc_auc_spread(&turned, &others).unwrap();
        assert!((auc.deviation - other.deviation).abs() < 1e-12 && auc.share == other.share);
        scores.reverse();
        labels.reverse();
        assert_eq!(auc, roc_auc_spread(&scores, &labels).unwrap());
        assert_eq!(precision, average_precision_spread(&scores, &labels, 1).unwrap());
    }

    #[test]
    fn one_class_no_rows_and_nan_are_undefined() {
        assert_eq!(roc_auc_spread(&[], &[]).unwrap_err().reason, Reason::Empty);
        assert_eq!(roc_auc_spread(&[0.5], &[true]).unwrap_err().reason, Reason::OneClass);
        assert_eq!(roc_auc_spread(&[f64::NAN], &[true]).unwrap_err().reason, Reason::NotANumber);
        assert_eq!(roc_auc_spread(&[0.5], &[]).unwrap_err().reason, Reason::LengthMismatch);
        assert_eq!(average_precision_spread(&[0.5], &[false], 1).unwrap_err().reason, Reason::OneClass);
        assert_eq!(average_precision_spread(&[], &[], 1).unwrap_err().reason, Reason::Empty);
    }
}
