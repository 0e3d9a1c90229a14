//! Rows of one kind, for metrics that are functions of how many rows there are of each.
//!
//! Of such rows only the label and the predicted classes matter, so that a million of them are a few cells. The sum of
//! independent Poisson(1) draws, one for each row of a cell, is a Poisson draw of their number: cells give replicates of
//! exactly the distribution that rows give, and of all rows that are kept, at the price of the cells.

use std::collections::BTreeMap;

use modelwatch_stats::bootstrap::{PoissonCounts, Replicate};

use crate::{row::Layout, sample::hash, tally::Tally};

/// The kinds of rows, with how many there are of each.
pub(crate) struct Cells(Vec<Cell>);

struct Cell {
    words: Vec<u64>,
    count: u64,
    draws: PoissonCounts,
}

impl Cells {
    pub(crate) fn new<'a>(layout: &Layout, rows: impl Iterator<Item = (&'a [u64], u64)>) -> Self {
        let mut counts: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        for (words, count) in rows {
            *counts.entry(layout.classes_alone(words)).or_default() += count;
        }
        let cell =
            |(words, count): (Vec<u64>, u64)| Cell { draws: PoissonCounts::new(hash(&words), count), words, count };
        Self(counts.into_iter().map(cell).collect())
    }

    /// Returns the sums of a replicate. Those that depend on scores mean nothing.
    pub(crate) fn replicate(&self, layout: &Layout, replicate: Replicate) -> Tally {
        self.sums(layout, |it| it.draws.draw(replicate))
    }

    /// Returns each kind of row, and how many there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u64], u64)> {
        self.0.iter().map(|it| (it.words.as_slice(), it.count))
    }

    fn sums(&self, layout: &Layout, times: impl Fn(&Cell) -> u64) -> Tally {
        let mut res = Tally::new(layout);
        self.0.iter().for_each(|it| res.add(layout, &it.words, times(it)));
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{Measure, Of},
        row::{ModelLayout, Prediction, RowScores},
    };

    fn layout(has_weights: bool) -> Layout {
        let model = ModelLayout { output: "y".to_owned(), is_scored: true, n_digits: 52 };
        Layout {
            classes: ["a", "b", "c"].map(str::to_owned).into(),
            positive: None,
            has_weights,
            has_margin: false,
            top_k: vec![1, 2],
            calibration_bins: 5,
            slice_columns: vec!["writer".to_owned()],
            sums: None,
            models: vec![model.clone(), model],
        }
    }

    /// Rows that all differ in their scores and slices.
    fn rows(layout: &Layout, n: u64) -> Vec<Vec<u64>> {
        let row = |it: u64| {
            let mut res = vec![it % 3];
            res.extend(layout.has_weights.then(|| (1.0 + (it % 2) as f64).to_bits()));
            res.push(1000 + it);
            for model in 0..2 {
                let share = it as f64 / n as f64;
                let kept = [share, 1.0 - share, 0.0].map(f64::to_bits);
                let (class, rank) = (((it * 5 + model) / 2 % 3) as usize, it % 3);
                let scores = RowScores {
                    class,
                    rank,
                    log_loss: share,
                    brier: share,
                    confidence: share,
                    margin: 0.0,
                    kept: &kept,
                };
                layout.push(&mut res, model as usize, Prediction::Scores(scores));
            }
            res
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn cells_keep_what_metrics_of_classes_are_made_of() {
        for has_weights in [false, true] {
            let layout = layout(has_weights);
            let rows = rows(&layout, 900);
            let cells = Cells::new(&layout, rows.iter().map(|it| (it.as_slice(), 2)));
            assert!(cells.0.len() <= 72, "{}", cells.0.len());
            let mut whole = Tally::new(&layout);
            rows.iter().for_each(|it| whole.add(&layout, it, 2));
            let of_cells = cells.sums(&layout, |it| it.count);
            use Measure::{Accuracy, BalancedAccuracy, CohenKappa, F1, FBeta, Mcc, Precision, Recall, TopK};
            let averaged = [Precision(Of::Macro), Recall(Of::Weighted), F1(Of::Class(1)), FBeta(Of::Macro, 2.0)];
            let plain = [Accuracy, BalancedAccuracy, Mcc, CohenKappa, TopK(0), TopK(1)];
            for measure in averaged.into_iter().chain(plain) {
                assert!(measure.is_of_classes_alone());
                for model in 0..2 {
                    let (left, right) = (measure.value(&of_cells, model), measure.value(&whole, model));
                    assert!((left - right).abs() < 1e-12, "{measure:?}: {left} {right}");
                }
            }
        }
    }

    #[test]
    fn replicates_have_the_spread_of_resampled_rows() {
        let layout = layout(false);
        let rows = rows(&layout, 900);
        let cells = Cells::new(&layout, rows.iter().map(|it| (it.as_slice(), 1)));
        let values: Vec<f64> =
            (0..4000).map(|it| Measure::Accuracy.value(&cells.replicate(&layout, Replicate::new(5, it)), 0)).collect();
        let mean = values.iter().sum::<f64>() / 4000.0;
        let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 3999.0;
        let share = Measure::Accuracy.value(&cells.sums(&layout, |it| it.count), 0);
        // That of a share of 900 rows, and of the number of rows, which a Poisson bootstrap does not fix.
        let expected = share * (1.0 - share) / 900.0;
        assert!((mean - share).abs() < 4.0 * (expected / 4000.0).sqrt(), "{mean} {share}");
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance} {expected}");
    }
}
