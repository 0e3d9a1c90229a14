//! By how much a metric of a sample differs from that of all, from what rows of a labeled reference say.
//!
//! The definitions are those of NannyML 0.13.1 (`sampling_error/`), but for the area under the ROC curve: the standard
//! deviation of what a row adds, over the root of the number of rows that matter. Where rows have weights, which NannyML does not know, errors
//! are the linearized ones ([`crate::weights`]), told for as many rows that count alike as all of them are worth by Kish.

use super::expected::{check_weights, ratio};
use crate::{
    classification::average_precision_weighted,
    error::{Reason, Undefined},
    hash::mix,
    weights::Mass,
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
    /// Returns the spread of the share that `part` has of `whole`, the rows of `total` that matter.
    pub(super) fn of_share(part: Mass, whole: Mass, total: Mass) -> Result<Self, Undefined> {
        ratio(part.weight, whole.weight)?;
        let share = whole.weight / total.weight;
        Ok(Self { deviation: (part.variance_of_share(whole) * total.size() * share).sqrt(), share })
    }

    /// Returns the spread of a weighted mean over that share of all rows, whose squared deviations come to `Σ w² (x - mean)²`.
    ///
    /// ```
    /// use modelwatch_stats::{estimation::Spread, weights::Mass};
    ///
    /// // Of 0 and 1, of which the one counts twice: the mean is ⅔, and the error √(⅔² + 4 ⅓²) / 3.
    /// let spread = Spread::of_mean(4.0 / 9.0 + 4.0 / 9.0, Mass { weight: 3.0, square: 5.0 }, 1.0);
    /// assert!((spread.error(9.0 / 5.0) - (8.0f64 / 9.0).sqrt() / 3.0).abs() < 1e-15);
    /// ```
    pub fn of_mean(squares: f64, total: Mass, share: f64) -> Self {
        let variance = squares / (total.weight * share).powi(2);
        Self { deviation: (variance * total.size() * share).sqrt(), share }
    }

    /// Returns the standard error of the metric over rows that are worth `size` that count alike: `σ / √(size · share)`.
    ///
    /// ```
    /// use modelwatch_stats::estimation::{ExpectedCounts, ExpectedMasses};
    ///
    /// // Nine of ten rows are right: √(0.9 · 0.1 / 100).
    /// let reference = ExpectedCounts { true_positive: 9.0, false_positive: 1.0, ..ExpectedCounts::default() };
    /// let spread = ExpectedMasses::from(reference).accuracy_spread().unwrap();
    /// assert!((spread.error(100.0) - 0.03).abs() < 1e-15);
    /// ```
    pub fn error(self, size: f64) -> f64 {
        self.deviation / (size * self.share).sqrt()
    }
}

/// Returns the standard error of a mean over classes: `√(Σ σ² / (size · share)) / k`.
///
/// ```
/// use modelwatch_stats::estimation::{Spread, macro_error};
/// let classes = [Spread { deviation: 0.3, share: 1.0 }, Spread { deviation: 0.4, share: 1.0 }];
/// assert!((macro_error(&classes, 100.0) - 0.025).abs() < 1e-15);
/// ```
pub fn macro_error(classes: &[Spread], size: f64) -> f64 {
    classes.iter().map(|it| it.error(size).powi(2)).sum::<f64>().sqrt() / classes.len() as f64
}

/// Returns how the area under the ROC curve spreads, by DeLong's variance, linearized where rows have weights.
///
/// NannyML looks at the rows of the rarer class alone, whose ranks vary, and not at those of the other one, so that for
/// classes of equal size its error is too small by up to `√2`.
///
/// Undefined for fewer than two rows of a class, a NaN, slices of different lengths, and weights that are not above 0.
///
/// ```
/// use modelwatch_stats::estimation::roc_auc_spread;
///
/// // One positive outranks 1 of the negatives and one ⅓, which are outranked by ½, ½ and 1 of the positives:
/// // 2/9 / 2 + 1/12 / 3 = 5/36.
/// let is_positive = [true, true, false, false, false];
/// let spread = roc_auc_spread(&[0.9, 0.3, 0.5, 0.4, 0.1], &is_positive, &[1.0; 5]).unwrap();
/// assert!((spread.error(5.0) - (5.0f64 / 36.0).sqrt()).abs() < 1e-12);
/// ```
pub fn roc_auc_spread(scores: &[f64], is_positive: &[bool], weights: &[f64]) -> Result<Spread, Undefined> {
    let rows = sorted(scores, is_positive, weights)?;
    let variance = area_variance(&rows)?;
    Ok(Spread { deviation: (variance * mass(&rows).size()).sqrt(), share: 1.0 })
}

/// Returns DeLong's variance of the area under the curve of rows by ascending score: of each class
/// `n / (n - 1) · Σ w² (placement - area)² / (Σ w)²`.
fn area_variance(rows: &[Row]) -> Result<f64, Undefined> {
    let of_class =
        |rows: &[Row], wanted: bool| rows.iter().filter(|it| it.is_positive == wanted).map(|it| it.weight).sum::<f64>();
    let all = [false, true].map(|it| of_class(rows, it));
    let counts = [false, true].map(|wanted| rows.iter().filter(|it| it.is_positive == wanted).count());
    if counts.contains(&0) {
        return Err(Undefined::new(Reason::OneClass));
    }
    if counts.contains(&1) {
        return Err(Undefined::new(Reason::TooFew));
    }
    // How much of the other class each row is on the right side of.
    let mut placements = Vec::with_capacity(rows.len());
    let (mut below, mut area) = ([0.0, 0.0], 0.0);
    for run in rows.chunk_by(|left, right| left.score == right.score) {
        let own = [false, true].map(|it| of_class(run, it));
        let above = (below[0] + own[0] / 2.0) / all[0];
        let under = 1.0 - (below[1] + own[1] / 2.0) / all[1];
        placements.extend(run.iter().map(|it| if it.is_positive { above } else { under }));
        area += own[1] * above / all[1];
        below = [below[0] + own[0], below[1] + own[1]];
    }
    let mut squares = [0.0, 0.0];
    for (row, placement) in rows.iter().zip(&placements) {
        squares[usize::from(row.is_positive)] += (row.weight * (placement - area)).powi(2);
    }
    let of = |class: usize| {
        let n = counts[class] as f64;
        n / (n - 1.0) * squares[class] / all[class].powi(2)
    };
    Ok(of(0) + of(1))
}

/// Returns how the average precision spreads, from 50 samples of half the rows (at most 50,000) with replacement.
///
/// Undefined where there are no positives, for a NaN, slices of different lengths, and weights that are not above 0. The samples depend on
/// nothing but `seed` and the rows, whatever their order.
pub fn average_precision_spread(
    scores: &[f64],
    is_positive: &[bool],
    weights: &[f64],
    seed: u64,
) -> Result<Spread, Undefined> {
    let rows = sorted(scores, is_positive, weights)?;
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
            let drawn = rows.iter().zip(&counts).filter(|(row, count)| row.is_positive == wanted && **count > 0);
            drawn.map(|(row, count)| (row.score, row.weight * *count as f64)).collect::<Vec<_>>()
        };
        // A sample without positives says nothing.
        found.extend(average_precision_weighted(&points(true), &points(false)).ok());
    }
    if found.is_empty() {
        return Err(Undefined::new(Reason::OneClass));
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    let variance = found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / found.len() as f64;
    // The rows of a sample are worth as much of theirs as all are.
    let size = mass(&rows).size() * (n_drawn as f64 / rows.len() as f64);
    Ok(Spread { deviation: (variance * size).sqrt(), share: 1.0 })
}

#[derive(Clone, Copy)]
struct Row {
    score: f64,
    is_positive: bool,
    weight: f64,
}

fn mass(rows: &[Row]) -> Mass {
    rows.iter().map(|it| it.weight).collect()
}

/// Returns the rows by ascending score.
fn sorted(scores: &[f64], is_positive: &[bool], weights: &[f64]) -> Result<Vec<Row>, Undefined> {
    if scores.len() != is_positive.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    check_weights(weights, scores.len())?;
    if scores.iter().any(|it| it.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if scores.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let rows = scores.iter().zip(is_positive).zip(weights);
    let mut rows: Vec<Row> = rows
        .map(|((score, is_positive), weight)| Row { score: *score, is_positive: *is_positive, weight: *weight })
        .collect();
    rows.sort_unstable_by(|left, right| {
        let by_score = left.score.total_cmp(&right.score).then(left.is_positive.cmp(&right.is_positive));
        by_score.then(left.weight.total_cmp(&right.weight))
    });
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{classification::average_precision, sample::Point};

    /// A metric of the scores of both classes with their weights.
    type OfClasses = fn(&[(f64, f64)], &[(f64, f64)]) -> Result<f64, Undefined>;

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
        let auc = roc_auc_spread(&scores, &labels, &[1.0; 20_000]).unwrap().error(1000.0);
        let precision = average_precision_spread(&scores, &labels, &[1.0; 20_000], 1).unwrap().error(1000.0);
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
        let mut weights: Vec<f64> = (0..500).map(|it| f64::from(it % 3 + 1)).collect();
        let (auc, precision) = (
            roc_auc_spread(&scores, &labels, &weights).unwrap(),
            average_precision_spread(&scores, &labels, &weights, 1).unwrap(),
        );
        let turned: Vec<f64> = scores.iter().map(|it| -it).collect();
        let others: Vec<bool> = labels.iter().map(|it| !it).collect();
        let other = roc_auc_spread(&turned, &others, &weights).unwrap();
        assert!((auc.deviation - other.deviation).abs() < 1e-12 && auc.share == other.share);
        scores.reverse();
        labels.reverse();
        weights.reverse();
        assert_eq!(auc, roc_auc_spread(&scores, &labels, &weights).unwrap());
        assert_eq!(precision, average_precision_spread(&scores, &labels, &weights, 1).unwrap());
    }

    #[test]
    fn the_error_of_weighted_rows_is_what_samples_show() {
        let (scores, labels) = rows(60_000);
        // Rows of which the surest are heavy: what the error of rows that count alike would be is far from it.
        let weights: Vec<f64> = scores.iter().map(|it| if *it > 1.0 || *it < 0.2 { 6.0 } else { 1.0 }).collect();
        let (auc, precision) = (
            roc_auc_spread(&scores, &labels, &weights).unwrap(),
            average_precision_spread(&scores, &labels, &weights, 1).unwrap(),
        );
        let samples: Vec<_> = (0..60).map(|it| it * 1000..(it + 1) * 1000).collect();
        let sizes = samples.iter().map(|it| weights[it.clone()].iter().copied().collect::<Mass>().size());
        let size = sizes.sum::<f64>() / 60.0;
        let deviation = |of: OfClasses| {
            let found: Vec<f64> = samples
                .iter()
                .map(|range| {
                    let points = |wanted: bool| {
                        let rows = range.clone().filter(|it| labels[*it] == wanted);
                        let mut res: Vec<_> = rows.map(|it| (scores[it], weights[it])).collect();
                        res.sort_by(|left, right| left.0.total_cmp(&right.0));
                        res
                    };
                    of(&points(true), &points(false)).unwrap()
                })
                .collect();
            let mean = found.iter().sum::<f64>() / 60.0;
            (found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 59.0).sqrt()
        };
        for (spread, of) in
            [(auc, crate::classification::roc_auc_weighted as OfClasses), (precision, average_precision_weighted)]
        {
            let (told, seen) = (spread.error(size), deviation(of));
            assert!((0.75..1.33).contains(&(told / seen)), "{told} and {seen}");
        }
    }

    #[test]
    fn one_class_no_rows_and_nan_are_undefined() {
        assert_eq!(roc_auc_spread(&[], &[], &[]).unwrap_err().reason, Reason::Empty);
        assert_eq!(roc_auc_spread(&[0.5], &[true], &[1.0]).unwrap_err().reason, Reason::OneClass);
        assert_eq!(roc_auc_spread(&[f64::NAN], &[true], &[1.0]).unwrap_err().reason, Reason::NotANumber);
        assert_eq!(roc_auc_spread(&[0.5], &[], &[1.0]).unwrap_err().reason, Reason::LengthMismatch);
        assert_eq!(average_precision_spread(&[0.5], &[false], &[1.0], 1).unwrap_err().reason, Reason::OneClass);
        assert_eq!(average_precision_spread(&[], &[], &[], 1).unwrap_err().reason, Reason::Empty);
    }
}
