//! Metrics of scores that are averages over rows, for many weightings of the same rows.
//!
//! The sums of a [`Tally`](crate::tally::Tally) are exact in many ways that a replicate does not need; here a weighting costs
//! one multiplication and addition for each row and metric.

use crate::{
    measure::Measure,
    row::{Layout, Prediction},
    spread::linearized_error,
    tally::bin_of,
};

/// What each row weighs, its square (of a row that counts several times the sum of these), and the sums of both.
pub(crate) struct Weighting {
    weights: Vec<f64>,
    squares: Vec<f64>,
    all: f64,
    all_squares: f64,
}

/// What is averaged, row by row, of one model.
pub(crate) struct Means {
    log_loss: Vec<f64>,
    brier: Vec<f64>,
    /// Empty where the layout has no margins.
    hinge: Vec<f64>,
    /// The bin of the calibration curve, and confidence minus whether it was justified.
    calibration: Vec<(usize, f64)>,
    n_bins: usize,
}

impl Weighting {
    /// Returns the weighting of rows that count so many times and have these weights.
    pub(crate) fn new(times: &[u64], each: &[f64]) -> Self {
        let weights: Vec<f64> = times.iter().zip(each).map(|(&it, weight)| it as f64 * weight).collect();
        let squares: Vec<f64> = weights.iter().zip(each).map(|(it, weight)| it * weight).collect();
        let [all, all_squares] = [&weights, &squares].map(|it| sum_of_pairs(it, it, |it, _| it));
        Self { weights, squares, all, all_squares }
    }

    /// Returns what each row weighs.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }
}

impl Means {
    /// Returns the columns of a model; none where a row has no usable scores, which have no averages.
    pub(crate) fn new<'a>(layout: &Layout, rows: impl Iterator<Item = &'a [u64]>, model: usize) -> Option<Self> {
        let n_bins = layout.calibration_bins;
        let mut res =
            Self { log_loss: Vec::new(), brier: Vec::new(), hinge: Vec::new(), calibration: Vec::new(), n_bins };
        for words in rows {
            let Prediction::Scores(scores) = layout.prediction(words, model) else { return None };
            if scores.log_loss.is_nan() {
                return None;
            }
            res.log_loss.push(scores.log_loss);
            res.brier.push(scores.brier);
            if layout.has_margin {
                res.hinge.push((1.0 - scores.margin).max(0.0));
            }
            let label = Layout::label_class(words);
            let observed = label == layout.positive.unwrap_or(scores.class);
            let excess = scores.confidence - f64::from(u8::from(observed));
            res.calibration.push((bin_of(scores.confidence, n_bins), excess));
        }
        Some(res)
    }

    /// Returns whether a metric is one of these.
    pub(crate) fn has(measure: Measure) -> bool {
        matches!(measure, Measure::LogLoss | Measure::Brier | Measure::Hinge | Measure::Ece)
    }

    /// Returns the metric of rows that are so weighted; NaN where they weigh nothing.
    pub(crate) fn value(&self, measure: Measure, by: &Weighting) -> f64 {
        let sum = match measure {
            Measure::Ece => {
                let mut bins = vec![0.0; self.n_bins];
                for (&(bin, excess), weight) in self.calibration.iter().zip(&by.weights) {
                    bins[bin] += excess * weight;
                }
                bins.iter().map(|it: &f64| it.abs()).sum()
            }
            _ => self.column(measure).map_or(f64::NAN, |it| sum_of_pairs(it, &by.weights, |it, weight| it * weight)),
        };
        sum / by.all
    }

    /// Returns the standard error of a mean, which [`Self::value`] gave for rows that are so weighted, as
    /// [`Spread`](crate::spread::Spread) does; NaN for what is no mean over rows.
    pub(crate) fn standard_error(&self, measure: Measure, mean: f64, by: &Weighting) -> f64 {
        let Some(values) = self.column(measure) else { return f64::NAN };
        let sum = sum_of_pairs(values, &by.squares, |it, square| square * (it - mean).powi(2));
        linearized_error(sum, by.all, by.all * by.all / by.all_squares)
    }

    /// Returns what a metric is the mean of, if it is one over rows.
    fn column(&self, measure: Measure) -> Option<&[f64]> {
        let column = match measure {
            Measure::LogLoss => &self.log_loss,
            Measure::Brier => &self.brier,
            Measure::Hinge => &self.hinge,
            _ => return None,
        };
        Some(column).filter(|it| !it.is_empty()).map(Vec::as_slice)
    }
}

/// Returns the sum of what `of` says of each pair. Several sums at once, none of which waits for the others.
fn sum_of_pairs(left: &[f64], right: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    let n = left.len().min(right.len());
    let ((left, left_rest), (right, right_rest)) = (left[..n].as_chunks::<4>(), right[..n].as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (left, right) in left.iter().zip(right) {
        let [a, b, c, d]: [f64; 4] = std::array::from_fn(|it| of(left[it], right[it]));
        sums = [sums[0] + a, sums[1] + b, sums[2] + c, sums[3] + d];
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| of(*left, *right)).sum();
    sums.iter().sum::<f64>() + rest
}
