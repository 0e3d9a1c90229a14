//! One row as a list of words: what is kept of it to compute every metric.
//!
//! Words rather than structs, so that equal rows are equal, have one order, one hash and one byte
//! form, whatever the task.

use serde::{Deserialize, Serialize};

use crate::{
    config::{MAX_CALIBRATION_BINS, MAX_CLASSES, MAX_LEVELS},
    summed::{Kind, SumLayout},
};

/// The most classes for which scores are kept to rank them (one-versus-rest AUC).
pub(crate) const MAX_RANKED_CLASSES: usize = 100;
/// Stands for the class of a row that has no usable prediction.
const UNUSABLE: u64 = u64::MAX;

/// What the words of a row mean: `label, weight?, slice…, candidate…, baseline…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The classes; none for a regression.
    pub(crate) classes: Vec<String>,
    /// The index of the positive class of a binary model.
    pub(crate) positive: Option<usize>,
    /// Whether rows have sample weights.
    pub(crate) has_weights: bool,
    /// Whether the distance of the true class's raw score from the next is kept.
    pub(crate) has_margin: bool,
    /// The `k` of top-k accuracy.
    pub(crate) top_k: Vec<u64>,
    /// The bins of the calibration error and the reliability curve.
    pub(crate) calibration_bins: usize,
    pub(crate) slice_columns: Vec<String>,
    /// What the task sums; none for classes and numbers.
    pub(crate) sums: Option<SumLayout>,
    /// The candidate, then the baseline if there is one.
    pub(crate) models: Vec<ModelLayout>,
}

/// What is kept of one model's prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModelLayout {
    /// The output that is looked at.
    pub(crate) output: String,
    /// Whether it is scores rather than labels or numbers.
    pub(crate) is_scored: bool,
    /// How many binary digits its floats have after the first.
    pub(crate) n_digits: u8,
}

impl ModelLayout {
    /// Returns the probability to which those of a log loss are bound, as scikit-learn's are: the distance from 1 to the next number of
    /// the type that they come in.
    pub(crate) fn least_probability(&self) -> f64 {
        2.0_f64.powi(-i32::from(self.n_digits))
    }
}

/// One model's prediction for one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prediction<'a> {
    /// Missing or not finite.
    Unusable,
    /// A class without scores.
    Label(usize),
    /// A class with scores.
    Scores(RowScores<'a>),
    /// A number.
    Number(f64),
    /// The words of a task of sums.
    Summed(&'a [u64]),
}

/// What is kept of the scores of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowScores<'a> {
    /// The predicted class.
    pub(crate) class: usize,
    /// The place of the true class among the scores, from 0.
    pub(crate) rank: u64,
    /// NaN where the scores are no probabilities.
    pub(crate) log_loss: f64,
    pub(crate) brier: f64,
    /// The probability of the positive class (binary) or of the predicted class.
    pub(crate) confidence: f64,
    /// By how much the raw score of the true class exceeds the greatest other; only where the layout has margins.
    pub(crate) margin: f64,
    /// The bits of the scores that are ranked, one per ranked class.
    pub(crate) kept: &'a [u64],
}

impl Layout {
    /// Returns whether it can be the layout of rows, for one that comes from stored bytes.
    pub(crate) fn is_valid(&self) -> bool {
        (1..=2).contains(&self.models.len())
            && self.models.iter().all(|it| [10, 23, 52].contains(&it.n_digits))
            && self.classes.len() <= MAX_CLASSES
            && self.calibration_bins <= MAX_CALIBRATION_BINS
            && self.top_k.len() <= MAX_LEVELS
            && (self.classes.is_empty() || self.calibration_bins > 0)
            && self.sums.as_ref().is_none_or(|it| self.classes.is_empty() && it.is_valid())
            && self.positive.is_none_or(|it| it < 2 && self.classes.len() == 2)
            && !(self.is_regression() && self.models.iter().any(|it| it.is_scored))
    }

    pub(crate) fn is_regression(&self) -> bool {
        self.classes.is_empty() && self.sums.is_none()
    }

    /// Returns whether counts by label and bin of the score stand for all that a report is made of.
    pub(crate) fn is_of_grid(&self) -> bool {
        let is_plain = !self.has_weights && !self.has_margin && self.slice_columns.is_empty();
        is_plain && self.positive.is_some() && matches!(&self.models[..], [it] if it.is_scored)
    }

    /// Returns whether it is not known yet which classes there are, as no row has a label.
    pub(crate) fn lacks_classes(&self) -> bool {
        self.sums.as_ref().is_some_and(|it| it.kind == Kind::Segmentation && it.classes.is_empty())
    }

    /// Returns whether the other is the same, whatever the classes of sums.
    pub(crate) fn is_but_for_classes(&self, other: &Self) -> bool {
        let mut res = self.clone();
        if let (Some(it), Some(other)) = (&mut res.sums, &other.sums) {
            it.classes.clone_from(&other.classes);
        }
        res == *other
    }

    /// Returns whether rows are documents that are to be joined to queries.
    pub(crate) fn is_of_documents(&self) -> bool {
        self.sums.as_ref().is_some_and(|it| it.kind == Kind::Documents)
    }

    pub(crate) fn has_baseline(&self) -> bool {
        self.models.len() > 1
    }

    /// Returns the classes whose scores are kept for ranking.
    pub(crate) fn ranked_classes(&self) -> std::ops::Range<usize> {
        match self.positive {
            Some(it) => it..it + 1,
            None if self.classes.len() <= MAX_RANKED_CLASSES => 0..self.classes.len(),
            None => 0..0,
        }
    }

    /// Returns the number of words of a row.
    pub(crate) fn width(&self) -> usize {
        self.start_of_models() + self.models.iter().map(|it| self.model_width(it)).sum::<usize>()
    }

    /// Returns the weight of a row.
    pub(crate) fn weight(&self, words: &[u64]) -> f64 {
        if self.has_weights { f64::from_bits(words[1]) } else { 1.0 }
    }

    pub(crate) fn label_class(words: &[u64]) -> usize {
        words[0] as usize
    }

    pub(crate) fn label_number(words: &[u64]) -> f64 {
        f64::from_bits(words[0])
    }

    /// Returns the keys of the row's slices; 0 where it is in none.
    pub(crate) fn slices<'a>(&self, words: &'a [u64]) -> &'a [u64] {
        &words[1 + usize::from(self.has_weights)..self.start_of_models()]
    }

    /// Returns the prediction of a model.
    pub(crate) fn prediction<'a>(&self, words: &'a [u64], model: usize) -> Prediction<'a> {
        let start = self.start_of_models() + self.models[..model].iter().map(|it| self.model_width(it)).sum::<usize>();
        let layout = &self.models[model];
        let words = &words[start..start + self.model_width(layout)];
        if self.sums.is_some() {
            return if words[0] == 1 { Prediction::Summed(&words[1..]) } else { Prediction::Unusable };
        }
        if self.is_regression() {
            let value = f64::from_bits(words[0]);
            return if value.is_finite() { Prediction::Number(value) } else { Prediction::Unusable };
        }
        match words {
            [UNUSABLE, ..] => Prediction::Unusable,
            [class, rank, log_loss, brier, confidence, margin, kept @ ..] if layout.is_scored => {
                Prediction::Scores(RowScores {
                    class: *class as usize,
                    rank: *rank,
                    log_loss: f64::from_bits(*log_loss),
                    brier: f64::from_bits(*brier),
                    confidence: f64::from_bits(*confidence),
                    margin: f64::from_bits(*margin),
                    kept,
                })
            }
            _ => Prediction::Label(words[0] as usize),
        }
    }

    /// Returns whether anything that is kept of the two models' predictions differs.
    pub(crate) fn differs(&self, words: &[u64]) -> bool {
        let [candidate, _] = &self.models[..] else { return false };
        let of_models = &words[self.start_of_models()..];
        let (left, right) = of_models.split_at(self.model_width(candidate).min(of_models.len()));
        left != right
    }

    /// Returns whether the words are a row of this layout, for words that come from stored bytes.
    pub(crate) fn accepts(&self, words: &[u64]) -> bool {
        let n_classes = self.classes.len();
        if words.len() != self.width() || !(0.0..f64::INFINITY).contains(&self.weight(words)) {
            return false;
        }
        self.is_regression()
            || self.sums.is_some()
            || Self::label_class(words) < n_classes
                && (0..self.models.len()).all(|it| match self.prediction(words, it) {
                    Prediction::Label(class) | Prediction::Scores(RowScores { class, .. }) => class < n_classes,
                    Prediction::Unusable | Prediction::Number(_) | Prediction::Summed(_) => true,
                })
    }

    /// Returns the words of a row without all that metrics of classes alone do not look at: its slices, and its scores but for
    /// the place of the true class, as far as it matters.
    pub(crate) fn classes_alone(&self, words: &[u64]) -> Vec<u64> {
        let last_k = self.top_k.iter().copied().max().unwrap_or_default();
        let mut res = words[..1 + usize::from(self.has_weights)].to_vec();
        res.resize(self.start_of_models(), 0);
        for model in 0..self.models.len() {
            let prediction = match self.prediction(words, model) {
                Prediction::Scores(it) => Prediction::Scores(RowScores {
                    class: it.class,
                    rank: it.rank.min(last_k),
                    log_loss: 0.0,
                    brier: 0.0,
                    confidence: 0.0,
                    margin: 0.0,
                    kept: &[],
                }),
                other => other,
            };
            self.push(&mut res, model, prediction);
        }
        res
    }

    /// Appends a prediction of a model.
    pub(crate) fn push(&self, words: &mut Vec<u64>, model: usize, prediction: Prediction<'_>) {
        let end = words.len() + self.model_width(&self.models[model]);
        match prediction {
            Prediction::Unusable => words.push(if self.is_regression() { f64::NAN.to_bits() } else { UNUSABLE }),
            Prediction::Label(class) => words.push(class as u64),
            Prediction::Number(value) => words.push(value.to_bits()),
            Prediction::Summed(found) => {
                words.push(1);
                words.extend_from_slice(found);
            }
            Prediction::Scores(it) => {
                let numbers = [it.log_loss, it.brier, it.confidence, it.margin].map(f64::to_bits);
                words.extend([it.class as u64, it.rank]);
                words.extend(numbers);
                words.extend_from_slice(it.kept);
            }
        }
        words.resize(end, 0);
    }

    /// Appends the words of a task of sums; none for an unusable prediction.
    pub(crate) fn push_judged(&self, words: &mut Vec<u64>, judged: Option<&[u64]>) {
        let end = words.len() + 1 + self.sums.as_ref().map_or(0, SumLayout::n_words);
        words.push(u64::from(judged.is_some()));
        words.extend_from_slice(judged.unwrap_or_default());
        words.resize(end, 0);
    }

    fn start_of_models(&self) -> usize {
        1 + usize::from(self.has_weights) + self.slice_columns.len()
    }

    fn model_width(&self, model: &ModelLayout) -> usize {
        if let Some(sums) = &self.sums {
            return 1 + sums.n_words();
        }
        if model.is_scored { 6 + self.ranked_classes().len() } else { 1 }
    }
}
