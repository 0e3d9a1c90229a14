//! The sums over many rows: overall, per slice, the confusion matrix, and score histograms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    magnitudes::Magnitudes,
    mass::Mass,
    row::{Layout, Prediction, RowScores},
    score_bins::{N_BINS, Score},
    slices,
    tally::Tally,
};

/// Sums over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    /// The candidate's confusion matrix: rows by `label * classes + prediction`.
    pub(crate) confusion: BTreeMap<u64, Mass>,
    /// Per key of a slice.
    pub(crate) slices: BTreeMap<u64, Tally>,
    /// Per model and ranked class; only where not all rows are kept.
    pub(crate) histograms: Vec<Vec<ScoreHistogram>>,
    /// Per model the absolute errors of a regression; only where not all rows are kept.
    pub(crate) errors: Vec<Magnitudes>,
}

/// The weight of the scores of one class in each bin, of rows that have it as label and of others.
///
/// Written are the bins that have some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(usize, f64, f64)>", into = "Vec<(usize, f64, f64)>")]
pub(crate) struct ScoreHistogram {
    pub(crate) positive: Vec<f64>,
    pub(crate) negative: Vec<f64>,
}

impl Totals {
    /// Returns the sums over no rows, with histograms or without.
    pub(crate) fn new(layout: &Layout, with_histograms: bool) -> Self {
        let empty = ScoreHistogram::default();
        let n_ranked = layout.ranked_classes().len();
        let of_model = |is_scored: bool| vec![empty.clone(); if with_histograms && is_scored { n_ranked } else { 0 }];
        Self {
            tally: Tally::new(layout),
            confusion: BTreeMap::new(),
            slices: BTreeMap::new(),
            histograms: layout.models.iter().map(|it| of_model(it.is_scored)).collect(),
            errors: if with_histograms && layout.is_regression() {
                vec![Magnitudes::default(); layout.models.len()]
            } else {
                Vec::new()
            },
        }
    }

    /// Adds a row `times` times; `is_kept` says which keys have a slice of their own.
    pub(crate) fn add(&mut self, layout: &Layout, words: &[u64], times: u64, is_kept: impl Fn(u64) -> bool) {
        self.tally.add(layout, words, times);
        for (nth, &key) in layout.slices(words).iter().enumerate().filter(|it| *it.1 != 0) {
            let key = if is_kept(key) { key } else { slices::rest(nth) };
            self.slices.entry(key).or_insert_with(|| Tally::new(layout)).add(layout, words, times);
        }
        let weight = layout.weight(words);
        if layout.sums.is_some() {
            return;
        }
        if layout.is_regression() {
            for (model, errors) in self.errors.iter_mut().enumerate() {
                if let Prediction::Number(value) = layout.prediction(words, model) {
                    errors.add((value - Layout::label_number(words)).abs(), times as f64 * weight);
                }
            }
            return;
        }
        let label = Layout::label_class(words);
        if let Prediction::Label(class) | Prediction::Scores(RowScores { class, .. }) = layout.prediction(words, 0) {
            self.confusion.entry((label * layout.classes.len() + class) as u64).or_default().add(times, weight);
        }
        for (model, histograms) in self.histograms.iter_mut().enumerate() {
            if let Prediction::Scores(RowScores { kept, .. }) = layout.prediction(words, model) {
                for ((class, histogram), &score) in layout.ranked_classes().zip(histograms).zip(kept) {
                    let side = if class == label { &mut histogram.positive } else { &mut histogram.negative };
                    side[Score::of(f64::from_bits(score)).place().0] += times as f64 * weight;
                }
            }
        }
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, layout: &Layout, other: Self) {
        self.tally.merge(&other.tally);
        for (cell, count) in other.confusion {
            *self.confusion.entry(cell).or_default() += count;
        }
        for (key, tally) in other.slices {
            self.slices.entry(key).or_insert_with(|| Tally::new(layout)).merge(&tally);
        }
        self.errors.iter_mut().zip(other.errors).for_each(|(left, right)| left.merge(right));
        let pairs = self.histograms.iter_mut().flatten().zip(other.histograms.iter().flatten());
        for (left, right) in pairs {
            left.positive.iter_mut().zip(&right.positive).for_each(|(left, right)| *left += right);
            left.negative.iter_mut().zip(&right.negative).for_each(|(left, right)| *left += right);
        }
    }

    /// Moves slices of the `nth` column or cross to its rest.
    pub(crate) fn drop_slices(&mut self, layout: &Layout, nth: usize, keys: &[u64]) {
        for tally in keys.iter().filter_map(|key| self.slices.remove(key)).collect::<Vec<_>>() {
            self.slices.entry(slices::rest(nth)).or_insert_with(|| Tally::new(layout)).merge(&tally);
        }
    }

    /// Returns whether the sums have the sizes that `layout` asks for.
    pub(crate) fn fits(&self, layout: &Layout) -> bool {
        let n_ranked = layout.ranked_classes().len();
        let n_cells = (layout.classes.len() * layout.classes.len()) as u64;
        self.tally.fits(layout)
            && self.slices.values().all(|it| it.fits(layout))
            && self.errors.len() == if layout.is_regression() { layout.models.len() } else { 0 }
            && self.errors.iter().all(Magnitudes::is_valid)
            && self.confusion.keys().all(|&it| it < n_cells)
            && self.histograms.len() == layout.models.len()
            && self
                .histograms
                .iter()
                .zip(&layout.models)
                .all(|(it, model)| it.len() == if model.is_scored { n_ranked } else { 0 })
    }
}

impl Default for ScoreHistogram {
    fn default() -> Self {
        Self { positive: vec![0.0; N_BINS], negative: vec![0.0; N_BINS] }
    }
}

impl From<ScoreHistogram> for Vec<(usize, f64, f64)> {
    fn from(it: ScoreHistogram) -> Self {
        let bins = it.positive.into_iter().zip(it.negative).enumerate();
        bins.map(|(bin, (positive, negative))| (bin, positive, negative))
            .filter(|it| it.1 != 0.0 || it.2 != 0.0)
            .collect()
    }
}

impl TryFrom<Vec<(usize, f64, f64)>> for ScoreHistogram {
    type Error = &'static str;

    fn try_from(bins: Vec<(usize, f64, f64)>) -> Result<Self, Self::Error> {
        let mut res = Self::default();
        for (bin, positive, negative) in bins {
            let is_weight = |it: f64| (0.0..f64::INFINITY).contains(&it);
            if bin >= N_BINS || !is_weight(positive) || !is_weight(negative) {
                return Err("a bin of scores is not one");
            }
            (res.positive[bin], res.negative[bin]) = (positive, negative);
        }
        Ok(res)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_written_by_the_bins_that_have_rows() {
        let mut histogram = ScoreHistogram::default();
        (histogram.positive[7], histogram.negative[7], histogram.negative[N_BINS - 1]) = (1.0, 0.5, 2.0);
        let text = serde_json::to_string(&histogram).unwrap();
        assert_eq!(text, format!("[[7,1.0,0.5],[{},0.0,2.0]]", N_BINS - 1));
        assert_eq!(serde_json::from_str::<ScoreHistogram>(&text).unwrap(), histogram);
        for bad in [format!("[[{N_BINS},1.0,1.0]]"), "[[0,-1.0,1.0]]".to_owned(), "[[0,1.0]]".to_owned()] {
            assert!(serde_json::from_str::<ScoreHistogram>(&bad).is_err(), "{bad}");
        }
    }
}
