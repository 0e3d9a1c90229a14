//! The verifier `metrics`: metrics of classification, regression, label sets, rankings, texts,
//! segmentation and detection, with slices, baseline and paired intervals.
//!
//! # What it reports
//! - Metrics of the candidate over all rows; per class for multiclass models (label `class`), and
//!   averaged over classes (label `average`: `macro`, `micro`, `weighted`); per slice (label `slice`, as
//!   `writer=b`). A slice has the metrics that are functions of sums over its rows, and the area under the ROC curve; it has no other one of
//!   ranks: `medae` and quantiles of errors, `average_precision`, `pr_auc`, `gini`, `ks_statistic`, `lift`, and what is of one threshold. In a slice
//!   of a multiclass model, metrics of one class against the rest are plain means over the
//!   classes that have labels there, and carry no label of a class or an average; up to 20 classes also have their own areas there.
//! - With a baseline: the same of the baseline, the paired difference, and for metrics over all rows
//!   the ratio; the number of rows that went from right to wrong and back, and McNemar's p-value.
//! - The rows whose value of a column or cross is beyond the 100 that have slices as one slice, `column=(others)`, on which nothing may rest:
//!   each of the values can be worse than all. Neither may anything rest on the worst slice then.
//! - The worst slice of each metric (label `worst_slice`), and the skill over a trivial model (`skill`, label `metric`).
//! - Where the reference data are the training rows, by how much the accuracy is higher there.
//! - Findings `MW-M001` to `MW-M009`; see `findings`.
//!
//! # Intervals
//! Wilson's for shares of rows, a transform of it for the F1 and F-beta of a class, Newcombe's for the paired
//! difference of accuracies, DeLong's for areas under the ROC curve (on the scale of the logit) and their
//! paired difference, Student's t for means in slices, and a Poisson bootstrap for all else: studentized (Efron &
//! Tibshirani 1993, section 12.5) for means over rows such as `log_loss`, `mae` and `rmse`, which are skewed; normal on the scale of the
//! logit for metrics between two bounds, such as averages over classes and areas under curves, and corrected for the bias of few rows where
//! there is one (Davison & Hinkley 1997, section 5.2); and with expanded percentiles for the others and for differences. Of few
//! rows that differ a difference is made of the intervals of both models (Zou & Donner 2008). `intervals.method = "jackknife"` replaces them over all rows by TensorFlow Model
//! Analysis's bucketed jackknife.
//! Means of squares of few heavy-tailed errors are the exception: which of them are great decides the mean, and 50 rows seldom have them. There
//! the interval of `rmse` and `mse` holds the true value in about 92 of 100 cases where errors have Student's t with 5 degrees of freedom, and in
//! fewer where their tails are heavier. Judge such errors by `mae`, or by more rows.
//! Their level is what a requirement asks for, else 95 %. Those of `ks_statistic` and `ece`, which chance makes larger by as much as they vary, reach as far below as that
//! can be, and those of their differences on both sides, so that they hold the true value more often than they say; a jackknife has none of them.
//! A greatest error, counts of flips and p-values have no interval, and a requirement of them with a confidence is refused before the run.
//!
//! Between models whose predictions are the same for every row each difference is 0, and its interval too.
//! Where all replicates agree otherwise, as of a perfect model, a metric without a closed form has no interval,
//! so that a requirement with a confidence is inconclusive rather than met. In slices `mcc`, `cohen_kappa` and `ece` have those of replicates of the
//! slice's rows, for up to 100 classes, whichever method is chosen; `r2`, `explained_variance` and `pinball_loss` have none there. Slices of tasks of sums
//! have intervals for shares of rows, and for areas under the ROC curve (`macro` and `micro`), only. Over all rows areas of labels, `macro` and
//! `micro` have DeLong's; the `weighted` area and average precisions have intervals for up to 20 labels.
//!
//! # Tasks of sums
//! `multi-label`, `ranking`, `sequences`, `segmentation` and `detection` are modules of `tasks`: each says what it
//! keeps of a row, what that adds to sums, and what its metrics are of the sums; slices, baseline,
//! weights and bootstrap come with that. Of a ranking, the rows of a query count as one.
//! The metrics of detections are of all boxes in the order of their scores, in each slice of the boxes of its images.
//! Boxes of one score count together, as in scikit-learn's average precision. pycocotools ranks them in the order of the images, so that the same boxes
//! can have another mAP where images come in another order; no result depends on that here.
//!
//! # Memory
//! Up to 100 000 distinct rows (fewer of wide ones: 32 MiB) are kept with their counts, and all
//! numbers are computed from them; while rows are appended and put in order, narrow ones take up to six times their words.
//! Beyond that the report says so, with
//! the greatest error that bins allow for each metric and model. Of what is of a sample it says how far that can be from what all rows give,
//! for all samples but one in a million (`sampling`): areas over pairs of classes, of slices and of sets of labels, detections, and rankings. The
//! skill over a median, and p-values of residuals, of a sample have no such bound. A requirement without a confidence that such a bound leaves open
//! is inconclusive. Intervals are no narrower than what a jackknife over distinct rows says, and where the kept rows do not stand for all there are
//! none.
//!
//! Of one binary model with probabilities (not logits), without baseline, weights and slices, rows are then counted by label and bin
//! of the score (`grid`; `score_bins` are finer towards 0 and 1): the bootstrap draws how often each group of neighboring counts
//! occurs, which is that of all rows at the price of the groups. Losses follow from sums, in whole parts, of where rows lie within their
//! bins: that of a row is within 2 · 10⁻¹⁰ for `log_loss`, and within 4 · 10⁻¹² for `brier`. They are those of the positive class's
//! probability alone: a model of two scores can give the other one, p, with more digits than its complement has, by which the
//! `log_loss` of a row that is so surely wrong differs by up to 2⁻⁵³/p. Of others sums, a confusion matrix and
//! score histograms of the same bins are kept, and the rows become a sample that serves the intervals. Quantiles of
//! errors then come from bins of bounded relative
//! error. What is of bins is reported with the numbers between which it surely is (`bounds`), by which its interval is wider: a
//! requirement that holds at one of them and not at the other is inconclusive. Of a ranking whole queries are kept up to 32 MiB, and beyond it the metrics are of these.
//!
//! # Weights
//! Where the data has a weight column every metric is the weighted one, as scikit-learn's under
//! `sample_weight`; a row of weight 0 counts as if it were not there, save that its prediction must be
//! usable. `n` stays the number of rows. Intervals over all rows are then all of the bootstrap. Those of slices hold where weights
//! go with what is measured: the variance of a weighted mean or share is that of a ratio (linearized, Cochran 1977), with the
//! degrees of freedom of the effective number of rows (Kish 1965), of which a few are a bit short. A weight that is
//! negative, missing or not finite is an error.
// `export_plugin!` allows it for the exported symbols alone.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod areas;
mod bootstrap;
mod bounds;
mod cells;
mod codes;
mod config;
mod curves;
mod cuts;
mod evaluate;
mod figures;
mod findings;
mod gaps;
mod grid;
mod intervals;
mod known;
mod magnitudes;
mod mass;
mod means;
mod measure;
mod outputs;
mod permutation;
mod probe;
mod ranking;
mod read;
mod read_scores;
mod residuals;
mod row;
mod sample;
mod sampling;
mod score_bins;
mod slice_areas;
mod slices;
mod spread;
mod state;
mod sum_findings;
mod summed;
mod tally;
mod tasks;
mod totals;
mod training;
mod trivial;
mod trivial_sets;
mod value;

pub use crate::{
    config::{Config, Intervals, Method, Scores, Task},
    probe::Metrics,
};

/// Returns what this plugin offers.
pub fn registry() -> modelwatch_sdk::Registry {
    modelwatch_sdk::Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Metrics>()
}

modelwatch_sdk::export_plugin!(registry);
