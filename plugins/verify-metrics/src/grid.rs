//! Many rows of one binary model, counted by label, predicted class and bin of the score.
//!
//! It stands for all rows where they are more than are kept one by one. Counts and losses are summed in whole numbers, so that
//! neither order nor partitions nor merges show in a single bit. What a report is made of then are the [rows](Grid::rows) of its
//! cells, a few thousand with how often each came: the sum of independent Poisson(1) draws, one for each row of a cell, is a
//! Poisson draw of their number, so that replicates have exactly the distribution that those of the binned rows have.
//!
//! Within a cell losses differ, which one row for all of them does not show. So the losses of the cells are spread about their mean
//! until their variance is that of the rows: replicates of a mean loss have the mean and the variance that those of rows have.
//!
//! A model beside another has none, whose rows differ by both scores; nor have rows with weights, slices or margins.

use crate::{
    row::{Layout, Prediction, RowScores},
    sample::Sample,
    tally::bin_of,
    totals::{SCORE_BINS, score_bin},
};

/// The parts of 1 in which is counted: losses are at most 36.1 as a probability is at least 2⁻⁵², and other summands at most 1.
const LOSS: f64 = (1_u64 << 57) as f64;
const SQUARED_LOSS: f64 = (1_u64 << 52) as f64;
const SHARE: f64 = (1_u64 << 62) as f64;

/// The words of a cell as bytes.
const WORDS: usize = 13;

/// The cells with their rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    /// By predicted class, bins and label; see [`Grid::place`].
    cells: Vec<Cell>,
    /// Per label, the rows without a usable prediction.
    unusable: [u64; 2],
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Cell {
    /// Rows whose score is a probability; all sums are of them.
    n: u64,
    improper: u64,
    confidence: u128,
    log_loss: Sums,
    brier: Sums,
}

/// The sums of a loss and of its squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    first: u128,
    second: u128,
}

/// What makes the losses of cells vary as much as those of rows.
struct Widening {
    mean: f64,
    factor: f64,
}

impl Grid {
    /// Returns no rows.
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { cells: vec![Cell::default(); 4 * n_segments(layout)], unusable: [0; 2] }
    }

    /// Adds a prediction of a row `times` times.
    #[inline(always)] // So that one row costs no multiplications.
    pub(crate) fn add(&mut self, layout: &Layout, label: usize, prediction: &Prediction<'_>, times: u64) {
        let Prediction::Scores(scores) = prediction else {
            self.unusable[label] += times;
            return;
        };
        let cell = &mut self.cells[place(layout, label, scores)];
        if scores.log_loss.is_nan() {
            cell.improper += times;
            return;
        }
        cell.n += times;
        cell.confidence += parts(scores.confidence, SHARE) * u128::from(times);
        cell.log_loss.add(scores.log_loss, [LOSS, SQUARED_LOSS], times);
        cell.brier.add(scores.brier, [SHARE, SHARE], times);
    }

    /// Adds rows that were kept one by one.
    pub(crate) fn add_rows(&mut self, layout: &Layout, rows: &Sample) {
        for (_, words, count) in rows.iter() {
            self.add(layout, Layout::label_class(words), &layout.prediction(words, 0), count);
        }
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (left, right) in self.cells.iter_mut().zip(&other.cells) {
            left.n += right.n;
            left.improper += right.improper;
            left.confidence += right.confidence;
            left.log_loss.merge(right.log_loss);
            left.brier.merge(right.brier);
        }
        self.unusable.iter_mut().zip(other.unusable).for_each(|(left, right)| *left += right);
    }

    /// Returns a row for each cell that has some, with how many.
    pub(crate) fn rows(&self, layout: &Layout) -> Sample {
        let log_loss = Widening::of(&self.cells, |it| it.log_loss, [LOSS, SQUARED_LOSS]);
        let brier = Widening::of(&self.cells, |it| it.brier, [SHARE, SHARE]);
        let bins = bins(layout);
        let mut res = Sample::default();
        let mut push = |label: usize, prediction: Prediction<'_>, count: u64| {
            if count > 0 {
                let mut words = vec![label as u64];
                layout.push(&mut words, 0, prediction);
                res.add(&words, count);
            }
        };
        for (at, cell) in self.cells.iter().enumerate() {
            let (class, segment, label) = (at / 2 / bins.len(), at / 2 % bins.len(), at % 2);
            let (bin, calibration) = bins[segment];
            // Division may round a mean out of the bin of all.
            let edge = |it: usize| it as f64 / layout.calibration_bins as f64;
            let low = if calibration == 0 { 0.0 } else { edge(calibration).next_up() };
            let kept = [((bin as f64 + 0.5) / SCORE_BINS as f64).to_bits()];
            let scores = RowScores {
                class,
                rank: u64::from(class != label),
                log_loss: log_loss.value(cell.log_loss.mean(cell.n, LOSS)),
                brier: brier.value(cell.brier.mean(cell.n, SHARE)),
                confidence: (cell.confidence as f64 / SHARE / cell.n as f64).clamp(low, edge(calibration + 1)),
                margin: 0.0,
                kept: &kept,
            };
            push(label, Prediction::Scores(scores), cell.n);
            push(label, Prediction::Scores(RowScores { log_loss: f64::NAN, confidence: 0.0, ..scores }), cell.improper);
        }
        (0..2).for_each(|label| push(label, Prediction::Unusable, self.unusable[label]));
        res.settle();
        res
    }

    /// Returns the words of the cells that have rows.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let seen = self.cells.iter().enumerate().filter(|(_, it)| it.n + it.improper > 0);
        let words = seen.flat_map(|(at, it)| {
            let sums = [it.confidence, it.log_loss.first, it.log_loss.second, it.brier.first, it.brier.second];
            let halves = sums.into_iter().flat_map(|it| [it as u64, (it >> 64) as u64]);
            [at as u64, it.n, it.improper].into_iter().chain(halves)
        });
        self.unusable.into_iter().chain(words)
    }

    /// Returns the grid of at most `n` rows that [`Grid::words`] are of; none where they are of none.
    pub(crate) fn from_words(layout: &Layout, words: &[u64], n: u64) -> Option<Self> {
        let mut res = Self::new(layout);
        let (unusable, cells) = words.split_first_chunk::<2>()?;
        res.unusable = *unusable;
        let (cells, []) = cells.as_chunks::<WORDS>() else { return None };
        let mut seen = unusable.iter().try_fold(0_u64, |sum, it| sum.checked_add(*it))?;
        let mut next = 0;
        for &[at, n, improper, ref halves @ ..] in cells {
            seen = seen.checked_add(n)?.checked_add(improper)?;
            let mut sums = halves.as_chunks::<2>().0.iter().map(|it| u128::from(it[0]) | (u128::from(it[1]) << 64));
            let mut sum = || sums.next().filter(|&it| it <= u128::from(n) << 63);
            let cell = Cell {
                n,
                improper,
                confidence: sum()?,
                log_loss: Sums { first: sum()?, second: sum()? },
                brier: Sums { first: sum()?, second: sum()? },
            };
            let at = usize::try_from(at).ok().filter(|it| *it >= next && n + improper > 0)?;
            *res.cells.get_mut(at)? = cell;
            next = at + 1;
        }
        (seen <= n).then_some(res)
    }
}

impl Sums {
    #[inline]
    fn add(&mut self, value: f64, scales: [f64; 2], times: u64) {
        self.first += parts(value, scales[0]) * u128::from(times);
        self.second += parts(value * value, scales[1]) * u128::from(times);
    }

    fn merge(&mut self, other: Self) {
        self.first += other.first;
        self.second += other.second;
    }

    fn mean(self, n: u64, scale: f64) -> f64 {
        self.first as f64 / scale / n as f64
    }
}

impl Widening {
    fn of(cells: &[Cell], sums: impl Fn(&Cell) -> Sums, scales: [f64; 2]) -> Self {
        let (mut all, mut n) = (Sums::default(), 0);
        for it in cells {
            all.merge(sums(it));
            n += it.n;
        }
        let mean = all.mean(n, scales[0]);
        let deviation = |it: &Cell| it.n as f64 * (sums(it).mean(it.n, scales[0]) - mean).powi(2);
        let between: f64 = cells.iter().filter(|it| it.n > 0).map(deviation).sum();
        let whole = all.second as f64 / scales[1] - n as f64 * mean * mean;
        let factor = (whole / between).sqrt();
        // Where losses hardly vary there is nothing to widen, and what is left of sums is rounding.
        Self { mean, factor: if factor.is_finite() { factor.max(1.0) } else { 1.0 } }
    }

    fn value(&self, of_cell: f64) -> f64 {
        self.mean + (of_cell - self.mean) * self.factor
    }
}

/// Returns a number of 0 or more in whole parts of 1.
#[inline]
fn parts(value: f64, scale: f64) -> u128 {
    // Below 2⁶³, to which one instruction converts; stored rows may be of anything.
    ((value * scale) as i64).max(0) as u128
}

/// Returns how many bins there are: each of [`SCORE_BINS`], and another wherever one of the calibration curve begins within it.
fn n_segments(layout: &Layout) -> usize {
    SCORE_BINS + layout.calibration_bins - 1
}

#[inline]
fn place(layout: &Layout, label: usize, scores: &RowScores<'_>) -> usize {
    // As neither bin falls while the score rises, no two pairs of them have the same sum.
    let segment = score_bin(f64::from_bits(scores.kept[0])) + bin_of(scores.confidence, layout.calibration_bins);
    2 * (scores.class * n_segments(layout) + segment) + label
}

/// Returns the bins of score and calibration of each segment.
fn bins(layout: &Layout) -> Vec<(usize, usize)> {
    let mut res = vec![(0, 0); n_segments(layout)];
    for bin in 0..SCORE_BINS {
        let [low, high] = [bin, bin + 1].map(|it| bin_of(it as f64 / SCORE_BINS as f64, layout.calibration_bins));
        (low..=high).for_each(|it| res[bin + it] = (bin, it));
    }
    res
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::{Report, report::MetricRole};
    use modelwatch_stats::hash::mix;
    use serde_json::json;

    use super::*;
    use crate::{
        config::{Config, Settings},
        evaluate::evaluate,
        measure::{Measure, Of},
        row::ModelLayout,
        state::State,
        tally::Tally,
        totals::Totals,
    };

    fn layout() -> Layout {
        Layout {
            classes: ["0", "1"].map(str::to_owned).into(),
            positive: Some(1),
            has_weights: false,
            has_margin: false,
            top_k: Vec::new(),
            calibration_bins: 15,
            slice_columns: Vec::new(),
            sums: None,
            models: vec![ModelLayout { output: "p".to_owned(), is_scored: true }],
        }
    }

    /// Words of rows of uniform scores, each of which is the probability of its label.
    fn rows(n: u64, seed: u64) -> Vec<Vec<u64>> {
        let layout = layout();
        let uniform = |nth: u64| (mix(mix(seed) ^ nth) >> 11) as f64 / (1_u64 << 53) as f64;
        let row = |nth: u64| {
            let (score, label) = (uniform(2 * nth), u64::from(uniform(2 * nth + 1) < uniform(2 * nth)));
            let truth = if label == 1 { score } else { 1.0 - score };
            let scores = RowScores {
                class: usize::from(score >= 0.3),
                rank: 0,
                log_loss: -truth.ln(),
                brier: (1.0 - truth).powi(2),
                confidence: score,
                margin: 0.0,
                kept: &[score.to_bits()],
            };
            let mut words = vec![label];
            layout.push(&mut words, 0, Prediction::Scores(scores));
            words
        };
        (0..n).map(row).collect()
    }

    fn grid<'a>(rows: impl IntoIterator<Item = &'a Vec<u64>>) -> Grid {
        let (layout, mut res) = (layout(), Grid::new(&layout()));
        rows.into_iter().for_each(|it| res.add(&layout, it[0] as usize, &layout.prediction(it, 0), 1));
        res
    }

    #[test]
    fn neither_order_nor_cuts_nor_merges_show_in_a_bit() {
        let (rows, layout) = (rows(5000, 1), layout());
        let whole = grid(&rows);
        assert_eq!(grid(rows.iter().rev()), whole);
        let (mut left, right) = (grid(&rows[3100..]), grid(&rows[..3100]));
        left.merge(&right);
        assert_eq!(left, whole);
        let words: Vec<u64> = whole.words().collect();
        assert_eq!(Grid::from_words(&layout, &words, 5000), Some(whole));
        assert_eq!(Grid::from_words(&layout, &words, 4999), None);
        for at in 0..words.len() {
            assert_eq!(
                Grid::from_words(&layout, &words[..at], 5000).is_some(),
                at >= 2 && (at - 2) % WORDS == 0,
                "{at}"
            );
            let mut damaged = words.clone();
            damaged[at] ^= 1 << (at % 64);
            drop(Grid::from_words(&layout, &damaged, 5000));
        }
    }

    #[test]
    fn the_rows_of_cells_have_the_sums_of_all() {
        let (rows, layout) = (rows(20_000, 2), layout());
        let (mut expected, mut got) = (Tally::new(&layout), Tally::new(&layout));
        rows.iter().for_each(|it| expected.add(&layout, it, 1));
        grid(&rows).rows(&layout).iter().for_each(|(_, words, count)| got.add(&layout, words, count));
        let classes = |it: &Tally| it.models[0].classes.clone();
        let ([left, right], close) = ([classes(&got), classes(&expected)], |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9);
        assert_eq!((got.all, &left.hits, &left.predicted), (expected.all, &right.hits, &right.predicted));
        for (left, right) in [(&left.log_loss, &right.log_loss), (&left.brier, &right.brier)] {
            assert!(close(left.mean(), right.mean()) && close(left.m2(), right.m2()), "{left:?} {right:?}");
        }
        for (left, right) in left.bins.iter().zip(&right.bins) {
            assert!(left.rows == right.rows && left.hits == right.hits && close(left.confidence, right.confidence));
        }
        assert!(close(Measure::Ece.value(&got, 0), Measure::Ece.value(&expected, 0)));
        // That of confidences within a cell is missing: at most a quarter of the square of its width a row.
        assert!((0.0..1.5e-8 * 20_000.0).contains(&(right.excess.m2() - left.excess.m2())));
        assert_eq!(Measure::F1(Of::Positive(1)).value(&got, 0), Measure::F1(Of::Positive(1)).value(&expected, 0));
    }

    #[test]
    fn states_that_no_probe_writes_are_refused() {
        let of = |totals: Option<Totals>, counts: [u64; 2]| {
            let (mut state, layout) = (State::default(), layout());
            rows(2, 4).iter().zip(counts).for_each(|(it, count)| state.sample.add(it, count));
            state.sample.settle();
            (state.head.n_rows, state.head.layout, state.head.totals) = (10, Some(layout), totals);
            State::from_bytes(&state.to_bytes().unwrap()).map_err(|it| it.message)
        };
        assert!(of(None, [4, 6]).is_ok());
        assert!(of(None, [5, 6]).unwrap_err().contains("a row is not of its layout"));
        assert!(of(Some(Totals::new(&layout(), true)), [4, 6]).unwrap_err().contains("sums in place of counts"));
    }

    #[test]
    fn rows_without_a_probability_are_counted_apart() {
        let layout = layout();
        let mut grid = grid(&rows(10, 3));
        let improper = RowScores {
            class: 1,
            rank: 0,
            log_loss: f64::NAN,
            brier: 0.25,
            confidence: 1.5,
            margin: 0.0,
            kept: &[1.5_f64.to_bits()],
        };
        grid.add(&layout, 1, &Prediction::Scores(improper), 3);
        grid.add(&layout, 0, &Prediction::Unusable, 2);
        let mut tally = Tally::new(&layout);
        grid.rows(&layout).iter().for_each(|(_, words, count)| tally.add(&layout, words, count));
        let model = &tally.models[0];
        assert_eq!((tally.all.n, model.unusable, model.classes.improper), (15, 2, 3));
        assert!(Measure::LogLoss.value(&tally, 0).is_nan());
    }

    fn report(rows: &[Vec<u64>], seed: u64) -> Report {
        let options = json!({"task": "binary", "threshold": 0.3, "intervals": {"replicates": 200, "seed": seed}});
        let settings = Settings::new(serde_json::from_value::<Config>(options).unwrap()).unwrap();
        let mut state = State::default();
        state.head.layout = Some(layout());
        state.head.n_rows = rows.len() as u64;
        state.grid = Some(grid(rows));
        evaluate(&state, None, &settings, &()).unwrap()
    }

    #[test]
    fn intervals_of_cells_cover() {
        // Of uniform scores that are the probability of their label: the mean entropy, E[p (1 - p)], and areas by integration.
        let truths =
            [("log_loss", 0.5), ("brier", 1.0 / 6.0), ("roc_auc", 5.0 / 6.0), ("average_precision", 5.0 / 6.0)];
        // Percentiles of the average precision of few rows fall short, of rows as of cells.
        let of = |n: u64| &truths[..if n < 5000 { 3 } else { 4 }];
        for (n, trials) in [(50, 400), (500, 400), (5000, 400)] {
            let mut held = [0; 4];
            for seed in 0..trials {
                let report = report(&rows(n, seed + 1), seed);
                for ((name, truth), held) in of(n).iter().zip(&mut held) {
                    let mut metrics = report.metrics.iter().filter(|it| it.role == MetricRole::Candidate);
                    let interval = metrics.find(|it| it.name == *name).unwrap().interval.unwrap();
                    *held += u64::from((interval.low..=interval.high).contains(truth));
                }
            }
            for ((name, _), held) in of(n).iter().zip(held) {
                let coverage = held as f64 / trials as f64;
                assert!((0.93..=0.97).contains(&coverage), "{name} of {n} rows: {coverage}");
            }
        }
    }
}
