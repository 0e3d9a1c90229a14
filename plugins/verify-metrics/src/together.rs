//! How the metrics of two models go together over the rows of a slice.
//!
//! Both are of the same rows, so that what one row more adds to one it often adds to the other, too. The correlation of two estimates is that
//! of what each row adds to them (the infinitesimal jackknife; Jaeckel 1972, Efron 1982, chapter 6), which takes no replicates. It is that of
//! the rows that are kept, for which a sample of them is as good.

use modelwatch_stats::correlation::pearson;

use crate::{
    bootstrap::{MIN_DIFFERING, differing},
    cells::Cells,
    evaluate::MAX_PAIRED_CLASSES,
    intervals::less_by_a_row,
    measure::Measure,
    row::Layout,
    tally::Tally,
};

/// The kept rows of a slice.
pub(crate) struct Together<'a> {
    layout: &'a Layout,
    rows: Vec<(&'a [u64], u64)>,
    /// None where there are no classes.
    cells: Option<Cells>,
    tally: Tally,
}

impl<'a> Together<'a> {
    pub(crate) fn new(layout: &'a Layout, rows: Vec<(&'a [u64], u64)>) -> Self {
        let mut tally = Tally::new(layout);
        rows.iter().for_each(|(words, count)| tally.add(layout, words, *count));
        let cells = (!layout.classes.is_empty()).then(|| Cells::new(layout, rows.iter().copied()));
        Self { layout, rows, cells, tally }
    }

    /// Returns the correlation of the metric of the candidate with that of the baseline, less by as much as one more row that differs would
    /// make it. 0 where it is not known: where they differ in no row, in few with weights, of which a heavier one may come next, and of many
    /// classes.
    pub(crate) fn correlation(&self, measure: Measure) -> f64 {
        if self.layout.classes.len() > MAX_PAIRED_CLASSES {
            return 0.0;
        }
        match &self.cells {
            Some(cells) if measure.is_of_classes_alone() => self.of(measure, || cells.iter()),
            _ => self.of(measure, || self.rows.iter().copied()),
        }
    }

    fn of<'r, I: Iterator<Item = (&'r [u64], u64)>>(&'r self, measure: Measure, rows: impl Fn() -> I) -> f64 {
        let n_differing = differing(self.layout, measure, rows());
        if n_differing < MIN_DIFFERING && self.layout.has_weights {
            return 0.0;
        }
        let (added, counts): (Vec<[f64; 2]>, Vec<f64>) =
            rows().map(|(words, count)| (self.added(measure, words), count as f64)).unzip();
        let column = |model: usize| added.iter().map(|it| it[model]).collect::<Vec<f64>>();
        let found = pearson(&column(0), &column(1), &counts).unwrap_or(0.0);
        if n_differing < MIN_DIFFERING { less_by_a_row(found, n_differing) } else { found }
    }

    /// Returns what one more such row adds to the metric of each model.
    fn added(&self, measure: Measure, words: &[u64]) -> [f64; 2] {
        let mut with = self.tally.clone();
        with.add(self.layout, words, 1);
        [0, 1].map(|it| measure.value(&with, it) - measure.value(&self.tally, it))
    }
}
