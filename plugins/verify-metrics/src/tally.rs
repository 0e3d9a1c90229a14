//! The sums that metrics are functions of, over rows with whole weights.
//!
//! A weight is how often a row counts: its multiplicity, or its draw in a bootstrap replicate.

use serde::{Deserialize, Serialize};

use crate::{
    row::{Layout, Prediction},
    spread::Spread,
};

/// The bins of the calibration error and the reliability curve: `(i/15, (i+1)/15]`, the first with 0.
pub(crate) const CALIBRATION_BINS: usize = 15;
/// The `k` of top-k accuracy.
pub(crate) const TOP_K: [usize; 2] = [2, 3];

/// The sums over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) n: u64,
    /// How many rows have each class as label.
    pub(crate) truth: Vec<u64>,
    /// The labels of a regression.
    pub(crate) labels: Spread,
    /// The candidate, then the baseline if there is one.
    pub(crate) models: Vec<ModelTally>,
    pub(crate) pair: Pair,
}

/// The sums over one model's predictions. A regression has no `classes`, a classification no `numbers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelTally {
    /// Rows without a usable prediction.
    pub(crate) unusable: u64,
    pub(crate) classes: ClassTally,
    pub(crate) numbers: NumberTally,
}

/// The sums over predicted classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClassTally {
    /// Per class, the rows of which it is both label and prediction.
    pub(crate) hits: Vec<u64>,
    /// Per class, the rows for which it is predicted.
    pub(crate) predicted: Vec<u64>,
    /// Rows whose scores are no probabilities.
    pub(crate) improper: u64,
    /// Rows whose true class is among the first [`TOP_K`].
    pub(crate) top: [u64; TOP_K.len()],
    pub(crate) log_loss: Spread,
    pub(crate) brier: Spread,
    /// Confidence in the predicted class minus whether it is right.
    pub(crate) excess: Spread,
    pub(crate) bins: Vec<Bin>,
}

/// One bin of the calibration curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bin {
    pub(crate) n: u64,
    pub(crate) hits: u64,
    pub(crate) confidence: f64,
}

/// The sums over predicted numbers; an error is prediction minus label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberTally {
    pub(crate) predicted: Spread,
    pub(crate) error: Spread,
    pub(crate) absolute: Spread,
    pub(crate) squared: Spread,
    pub(crate) percentage: Spread,
    #[serde(with = "modelwatch_sdk::report::float")]
    pub(crate) max_error: f64,
}

/// The sums over pairs of predictions for the same row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) both_right: u64,
    pub(crate) candidate_only: u64,
    pub(crate) baseline_only: u64,
    pub(crate) neither: u64,
    /// Candidate minus baseline: log loss of scores, absolute error of numbers.
    pub(crate) loss: Spread,
}

impl Tally {
    pub(crate) fn new(layout: &Layout) -> Self {
        let n_classes = layout.classes.len();
        let classes = ClassTally {
            hits: vec![0; n_classes],
            predicted: vec![0; n_classes],
            bins: if n_classes > 0 { vec![Bin::default(); CALIBRATION_BINS] } else { Vec::new() },
            ..ClassTally::default()
        };
        let model = ModelTally { classes, ..ModelTally::default() };
        Self {
            n: 0,
            truth: vec![0; n_classes],
            labels: Spread::default(),
            models: vec![model; layout.models.len()],
            pair: Pair::default(),
        }
    }

    /// Adds a row `weight` times.
    pub(crate) fn add(&mut self, layout: &Layout, words: &[u64], weight: u64) {
        if weight == 0 {
            return;
        }
        self.n += weight;
        if layout.is_regression() {
            self.add_number(layout, words, weight);
        } else {
            self.add_class(layout, words, weight);
        }
    }

    fn add_class(&mut self, layout: &Layout, words: &[u64], weight: u64) {
        let label = Layout::label_class(words);
        self.truth[label] += weight;
        // Per model: whether the prediction is right, and its log loss.
        let mut seen = [None; 2];
        for (idx, model) in self.models.iter_mut().enumerate() {
            let tally = &mut model.classes;
            let (class, log_loss) = match layout.prediction(words, idx) {
                Prediction::Label(class) => (class, None),
                Prediction::Scores { class, rank, log_loss, brier, confidence, .. } => {
                    tally.add_scores(layout, label, class, (rank, log_loss, brier, confidence), weight);
                    (class, Some(log_loss))
                }
                Prediction::Unusable | Prediction::Number(_) => {
                    model.unusable += weight;
                    continue;
                }
            };
            tally.predicted[class] += weight;
            if class == label {
                tally.hits[class] += weight;
            }
            seen[idx.min(1)] = Some((class == label, log_loss));
        }
        if let [Some((candidate, left)), Some((baseline, right))] = seen {
            *self.pair.count(candidate, baseline) += weight;
            if let (Some(left), Some(right)) = (left, right) {
                self.pair.loss.add(left - right, weight);
            }
        }
    }

    fn add_number(&mut self, layout: &Layout, words: &[u64], weight: u64) {
        let label = Layout::label_number(words);
        self.labels.add(label, weight);
        let mut seen = [None; 2];
        for (idx, model) in self.models.iter_mut().enumerate() {
            let Prediction::Number(value) = layout.prediction(words, idx) else {
                model.unusable += weight;
                continue;
            };
            let error = value - label;
            let tally = &mut model.numbers;
            tally.predicted.add(value, weight);
            tally.error.add(error, weight);
            tally.absolute.add(error.abs(), weight);
            tally.squared.add(error * error, weight);
            // scikit-learn's guard against a label of 0.
            tally.percentage.add(error.abs() / label.abs().max(f64::EPSILON), weight);
            tally.max_error = tally.max_error.max(error.abs());
            seen[idx.min(1)] = Some(error.abs());
        }
        if let [Some(left), Some(right)] = seen {
            self.pair.loss.add(left - right, weight);
        }
    }

    /// Adds what `other` has seen; both must be of one layout.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.n += other.n;
        add_all(&mut self.truth, &other.truth);
        self.labels.merge(&other.labels);
        for (left, right) in self.models.iter_mut().zip(&other.models) {
            left.unusable += right.unusable;
            left.classes.merge(&right.classes);
            left.numbers.merge(&right.numbers);
        }
        let (left, right) = (&mut self.pair, &other.pair);
        left.both_right += right.both_right;
        left.candidate_only += right.candidate_only;
        left.baseline_only += right.baseline_only;
        left.neither += right.neither;
        left.loss.merge(&right.loss);
    }

    /// Returns whether the sums have the sizes that `layout` asks for.
    pub(crate) fn fits(&self, layout: &Layout) -> bool {
        let n_classes = layout.classes.len();
        let n_bins = if n_classes > 0 { CALIBRATION_BINS } else { 0 };
        let fits = |it: &ModelTally| {
            it.classes.hits.len() == n_classes
                && it.classes.predicted.len() == n_classes
                && it.classes.bins.len() == n_bins
        };
        self.truth.len() == n_classes && self.models.len() == layout.models.len() && self.models.iter().all(fits)
    }
}

impl ClassTally {
    /// Returns how many rows are right.
    pub(crate) fn n_right(&self) -> u64 {
        self.hits.iter().sum()
    }

    fn add_scores(
        &mut self,
        layout: &Layout,
        label: usize,
        class: usize,
        (rank, log_loss, brier, confidence): (u64, f64, f64, f64),
        weight: u64,
    ) {
        for (count, k) in self.top.iter_mut().zip(TOP_K) {
            if rank < k as u64 {
                *count += weight;
            }
        }
        if log_loss.is_nan() {
            self.improper += weight;
            return;
        }
        self.log_loss.add(log_loss, weight);
        self.brier.add(brier, weight);
        let (observed, in_class) = match layout.positive {
            Some(positive) => (label == positive, if class == positive { confidence } else { 1.0 - confidence }),
            None => (label == class, confidence),
        };
        self.excess.add(in_class - f64::from(u8::from(label == class)), weight);
        let bin = &mut self.bins[bin_of(confidence)];
        bin.n += weight;
        bin.hits += if observed { weight } else { 0 };
        bin.confidence += confidence * weight as f64;
    }

    fn merge(&mut self, other: &Self) {
        add_all(&mut self.hits, &other.hits);
        add_all(&mut self.predicted, &other.predicted);
        add_all(&mut self.top, &other.top);
        self.improper += other.improper;
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        self.excess.merge(&other.excess);
        for (left, right) in self.bins.iter_mut().zip(&other.bins) {
            left.n += right.n;
            left.hits += right.hits;
            left.confidence += right.confidence;
        }
    }
}

impl NumberTally {
    fn merge(&mut self, other: &Self) {
        self.predicted.merge(&other.predicted);
        self.error.merge(&other.error);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.percentage.merge(&other.percentage);
        self.max_error = self.max_error.max(other.max_error);
    }
}

impl Pair {
    fn count(&mut self, candidate: bool, baseline: bool) -> &mut u64 {
        match (candidate, baseline) {
            (true, true) => &mut self.both_right,
            (true, false) => &mut self.candidate_only,
            (false, true) => &mut self.baseline_only,
            (false, false) => &mut self.neither,
        }
    }
}

fn add_all(left: &mut [u64], right: &[u64]) {
    for (left, right) in left.iter_mut().zip(right) {
        *left += right;
    }
}

/// Returns the bin `(i/b, (i+1)/b]` of a probability.
fn bin_of(probability: f64) -> usize {
    let edge = |idx: usize| idx as f64 / CALIBRATION_BINS as f64;
    let mut idx = ((probability * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
    // The product may round across an edge.
    while idx > 0 && probability <= edge(idx) {
        idx -= 1;
    }
    while idx + 1 < CALIBRATION_BINS && probability > edge(idx + 1) {
        idx += 1;
    }
    idx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_closed_above() {
        for (probability, bin) in [(0.0, 0), (1.0 / 15.0, 0), (0.07, 1), (0.2, 2), (0.6, 8), (1.0, 14)] {
            assert_eq!(bin_of(probability), bin, "{probability}");
        }
    }
}
