//! The sums that metrics are functions of.
//!
//! A row counts `times` times, which is its multiplicity or its draw in a bootstrap replicate, and each
//! time with its sample weight.

use serde::{Deserialize, Serialize};

use crate::{
    mass::Mass,
    row::{Layout, Prediction, RowScores},
    spread::Spread,
    summed::SumLayout,
};

/// The sums over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) all: Mass,
    /// The rows that have each class as label.
    pub(crate) truth: Vec<Mass>,
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
    /// The sums of a task of sums.
    pub(crate) sums: Vec<f64>,
}

/// The sums over predicted classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClassTally {
    /// Per class, the rows of which it is both label and prediction.
    pub(crate) hits: Vec<Mass>,
    /// Per class, the rows for which it is predicted.
    pub(crate) predicted: Vec<Mass>,
    /// Rows whose scores are no probabilities.
    pub(crate) improper: u64,
    /// Rows whose true class is among the first `k`, for each `k` of the layout.
    pub(crate) top: Vec<Mass>,
    pub(crate) log_loss: Spread,
    pub(crate) brier: Spread,
    /// Confidence in the predicted class minus whether it is right.
    pub(crate) excess: Spread,
    pub(crate) hinge: Spread,
    pub(crate) bins: Vec<Bin>,
}

/// One bin of the calibration curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bin {
    pub(crate) rows: Mass,
    pub(crate) hits: f64,
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
    pub(crate) symmetric_percentage: Spread,
    pub(crate) squared_logarithm: Spread,
    /// Rows whose label or prediction has no `ln(1 + x)`.
    pub(crate) no_logarithm: u64,
    #[serde(with = "modelwatch_sdk::report::float")]
    pub(crate) max_error: f64,
}

/// The sums over pairs of predictions for the same row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) both_right: Mass,
    pub(crate) candidate_only: Mass,
    pub(crate) baseline_only: Mass,
    pub(crate) neither: Mass,
    /// Rows for which the models predict different classes.
    pub(crate) changed: Mass,
    /// Of a binary model, those for which the candidate alone predicts the positive class.
    pub(crate) to_positive: Mass,
    /// Candidate minus baseline: log loss of scores, absolute error of numbers.
    pub(crate) loss: Spread,
    /// Rows of which anything that is kept of the predictions differs.
    pub(crate) differing: u64,
}

impl Tally {
    pub(crate) fn new(layout: &Layout) -> Self {
        let n_classes = layout.classes.len();
        let classes = ClassTally {
            hits: vec![Mass::default(); n_classes],
            predicted: vec![Mass::default(); n_classes],
            top: vec![Mass::default(); layout.top_k.len()],
            bins: vec![Bin::default(); layout.calibration_bins],
            ..ClassTally::default()
        };
        let sums = vec![0.0; layout.sums.as_ref().map_or(0, SumLayout::n_sums)];
        let model = ModelTally { classes, sums, ..ModelTally::default() };
        Self {
            all: Mass::default(),
            truth: vec![Mass::default(); n_classes],
            labels: Spread::default(),
            models: vec![model; layout.models.len()],
            pair: Pair::default(),
        }
    }

    /// Adds a row `times` times.
    pub(crate) fn add(&mut self, layout: &Layout, words: &[u64], times: u64) {
        if times == 0 {
            return;
        }
        let weight = layout.weight(words);
        self.all.add(times, weight);
        if layout.differs(words) {
            self.pair.differing += times;
        }
        if let Some(sums) = &layout.sums {
            self.add_sums(layout, sums, words, times, weight);
        } else if layout.is_regression() {
            self.add_number(layout, words, times, weight);
        } else {
            self.add_class(layout, words, times, weight);
        }
    }

    fn add_sums(&mut self, layout: &Layout, sums: &SumLayout, words: &[u64], times: u64, weight: f64) {
        for (idx, model) in self.models.iter_mut().enumerate() {
            match layout.prediction(words, idx) {
                Prediction::Summed(found) => sums.task().add(sums, found, times, weight, &mut model.sums),
                _ => model.unusable += times,
            }
        }
    }

    fn add_class(&mut self, layout: &Layout, words: &[u64], times: u64, weight: f64) {
        let label = Layout::label_class(words);
        self.truth[label].add(times, weight);
        // Per model: the predicted class and its log loss.
        let mut seen = [None; 2];
        for (idx, model) in self.models.iter_mut().enumerate() {
            let (class, log_loss) = match layout.prediction(words, idx) {
                Prediction::Label(class) => (class, None),
                Prediction::Scores(scores) => {
                    model.classes.add_scores(layout, label, &scores, times, weight);
                    (scores.class, Some(scores.log_loss))
                }
                Prediction::Unusable | Prediction::Number(_) | Prediction::Summed(_) => {
                    model.unusable += times;
                    continue;
                }
            };
            model.classes.predicted[class].add(times, weight);
            if class == label {
                model.classes.hits[class].add(times, weight);
            }
            seen[idx.min(1)] = Some((class, log_loss));
        }
        if let [Some((candidate, left)), Some((baseline, right))] = seen {
            self.pair.of(candidate == label, baseline == label).add(times, weight);
            if candidate != baseline {
                self.pair.changed.add(times, weight);
                if layout.positive == Some(candidate) {
                    self.pair.to_positive.add(times, weight);
                }
            }
            if let (Some(left), Some(right)) = (left, right) {
                self.pair.loss.add(left - right, times, weight);
            }
        }
    }

    fn add_number(&mut self, layout: &Layout, words: &[u64], times: u64, weight: f64) {
        let label = Layout::label_number(words);
        self.labels.add(label, times, weight);
        let mut seen = [None; 2];
        for (idx, model) in self.models.iter_mut().enumerate() {
            let Prediction::Number(value) = layout.prediction(words, idx) else {
                model.unusable += times;
                continue;
            };
            let error = value - label;
            let tally = &mut model.numbers;
            tally.predicted.add(value, times, weight);
            tally.error.add(error, times, weight);
            tally.absolute.add(error.abs(), times, weight);
            tally.squared.add(error * error, times, weight);
            // scikit-learn's guard against a label of 0.
            tally.percentage.add(error.abs() / label.abs().max(f64::EPSILON), times, weight);
            // Both 0 is no error.
            let size = (value.abs() + label.abs()).max(f64::MIN_POSITIVE);
            tally.symmetric_percentage.add(2.0 * error.abs() / size, times, weight);
            if value > -1.0 && label > -1.0 {
                tally.squared_logarithm.add((value.ln_1p() - label.ln_1p()).powi(2), times, weight);
            } else {
                tally.no_logarithm += times;
            }
            tally.max_error = tally.max_error.max(error.abs());
            seen[idx.min(1)] = Some(error.abs());
        }
        if let [Some(left), Some(right)] = seen {
            self.pair.loss.add(left - right, times, weight);
        }
    }

    /// Adds what `other` has seen; both must be of one layout.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.all += other.all;
        add_all(&mut self.truth, &other.truth);
        self.labels.merge(&other.labels);
        for (left, right) in self.models.iter_mut().zip(&other.models) {
            left.unusable += right.unusable;
            left.classes.merge(&right.classes);
            left.numbers.merge(&right.numbers);
            left.sums.iter_mut().zip(&right.sums).for_each(|(left, right)| *left += right);
        }
        let (left, right) = (&mut self.pair, &other.pair);
        left.both_right += right.both_right;
        left.candidate_only += right.candidate_only;
        left.baseline_only += right.baseline_only;
        left.neither += right.neither;
        left.changed += right.changed;
        left.to_positive += right.to_positive;
        left.loss.merge(&right.loss);
        left.differing += right.differing;
    }

    /// Returns whether there are two models whose predictions are the same for every row, so that all of their metrics are. For
    /// other rows they need not be.
    pub(crate) fn is_of_equals(&self) -> bool {
        self.models.len() == 2 && self.pair.differing == 0 && self.models.iter().all(|it| it.unusable == 0)
    }

    /// Returns whether the sums have the sizes that `layout` asks for.
    pub(crate) fn fits(&self, layout: &Layout) -> bool {
        let n_classes = layout.classes.len();
        let fits = |it: &ModelTally| {
            it.classes.hits.len() == n_classes
                && it.classes.predicted.len() == n_classes
                && it.classes.bins.len() == layout.calibration_bins
                && it.classes.top.len() == layout.top_k.len()
                && it.sums.len() == layout.sums.as_ref().map_or(0, SumLayout::n_sums)
        };
        self.truth.len() == n_classes && self.models.len() == layout.models.len() && self.models.iter().all(fits)
    }
}

impl ClassTally {
    /// Returns the rows that are right.
    pub(crate) fn right(&self) -> Mass {
        let mut res = Mass::default();
        self.hits.iter().for_each(|&it| res += it);
        res
    }

    fn add_scores(&mut self, layout: &Layout, label: usize, scores: &RowScores<'_>, times: u64, weight: f64) {
        if layout.has_margin {
            self.hinge.add((1.0 - scores.margin).max(0.0), times, weight);
        }
        for (top, &k) in self.top.iter_mut().zip(&layout.top_k) {
            if scores.rank < k {
                top.add(times, weight);
            }
        }
        if scores.log_loss.is_nan() {
            self.improper += times;
            return;
        }
        let (class, confidence) = (scores.class, scores.confidence);
        self.log_loss.add(scores.log_loss, times, weight);
        self.brier.add(scores.brier, times, weight);
        let (observed, in_class) = match layout.positive {
            Some(positive) => (label == positive, if class == positive { confidence } else { 1.0 - confidence }),
            None => (label == class, confidence),
        };
        self.excess.add(in_class - f64::from(u8::from(label == class)), times, weight);
        let added = times as f64 * weight;
        let bin = &mut self.bins[bin_of(confidence, layout.calibration_bins)];
        bin.rows.add(times, weight);
        bin.hits += if observed { added } else { 0.0 };
        bin.confidence += confidence * added;
    }

    fn merge(&mut self, other: &Self) {
        add_all(&mut self.hits, &other.hits);
        add_all(&mut self.predicted, &other.predicted);
        add_all(&mut self.top, &other.top);
        self.improper += other.improper;
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        self.excess.merge(&other.excess);
        self.hinge.merge(&other.hinge);
        for (left, right) in self.bins.iter_mut().zip(&other.bins) {
            left.rows += right.rows;
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
        self.symmetric_percentage.merge(&other.symmetric_percentage);
        self.squared_logarithm.merge(&other.squared_logarithm);
        self.no_logarithm += other.no_logarithm;
        self.max_error = self.max_error.max(other.max_error);
    }
}

impl Pair {
    fn of(&mut self, candidate: bool, baseline: bool) -> &mut Mass {
        match (candidate, baseline) {
            (true, true) => &mut self.both_right,
            (true, false) => &mut self.candidate_only,
            (false, true) => &mut self.baseline_only,
            (false, false) => &mut self.neither,
        }
    }
}

fn add_all(left: &mut [Mass], right: &[Mass]) {
    for (left, &right) in left.iter_mut().zip(right) {
        *left += right;
    }
}

/// Returns the bin `(i/b, (i+1)/b]` of a probability, the first with 0.
#[inline]
pub(crate) fn bin_of(probability: f64, n_bins: usize) -> usize {
    let edge = |idx: usize| idx as f64 / n_bins as f64;
    let mut idx = ((probability * n_bins as f64) as usize).min(n_bins - 1);
    // The product may round across an edge.
    while idx > 0 && probability <= edge(idx) {
        idx -= 1;
    }
    while idx + 1 < n_bins && probability > edge(idx + 1) {
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
            assert_eq!(bin_of(probability, 15), bin, "{probability}");
        }
    }
}
