//! Many rows of one binary model, counted by label, predicted class and bin of the score.
//!
//! It stands for all rows where they are more than are kept one by one. Counts and [powers](Powers) are summed in whole numbers, so
//! that neither order nor partitions nor merges show in a single bit. What a report is made of then are the [rows](Grid::rows) of its
//! cells, a few thousand with how often each came: the sum of independent Poisson(1) draws, one for each row of a cell, is a
//! Poisson draw of their number, so that replicates have exactly the distribution that those of the binned rows have.
//!
//! Within a cell losses differ, which one row for all of them does not show. So the losses of the cells are spread about their mean
//! until their variance is that of the rows: replicates of a mean loss have the mean and the variance that those of rows have.
//!
//! A model beside another has none, whose rows differ by both scores; nor have rows with weights, slices or margins.

use std::collections::BTreeMap;

use crate::{
    row::{Layout, Prediction, RowScores},
    sample::Sample,
    score_bins::{self, EXACT_ROWS, Losses, N_BINS, Powers, Score},
    tally::bin_of,
};

/// The words of a cell as bytes.
const WORDS: usize = 8;
/// Stands for a bin in which another one of the calibration curve begins.
const SPLIT: u32 = u32::MAX;
/// The least number of groups from which replicates are drawn, where there are as many cells; of each label.
const GROUPS: u64 = 256;
/// How many times as many rows are above a group as in it.
const ABOVE: u64 = 8;

/// The cells with their rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    positive: usize,
    /// The upper edges of the bins of the calibration curve, after a 0.
    calibration: Vec<f64>,
    /// By predicted class, bins and label; see [`Grid::place`].
    cells: Vec<Cell>,
    /// By the place of their cell, the rows whose score is no probability.
    improper: BTreeMap<usize, u64>,
    /// Per label, the rows without a usable prediction.
    unusable: [u64; 2],
    /// Rows that are not yet in their cells: whoever reads has [settled](Grid::settle) it.
    recent: Option<Recent>,
}

/// Rows by cell in numbers alone, of which so few are that they are exact.
#[derive(Clone, Debug, PartialEq)]
struct Recent {
    /// Per bin of the score twice the segment, or [`SPLIT`].
    places: Vec<u32>,
    /// Per cell, the number of rows and the sums of their powers.
    sums: Vec<[f64; 4]>,
    n: u64,
}

/// Rows whose score is a probability.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cell {
    n: u64,
    powers: Powers,
}

/// What makes the losses of cells vary as much as those of rows.
struct Widening {
    mean: f64,
    factor: f64,
}

impl Grid {
    /// Returns no rows.
    pub(crate) fn new(layout: &Layout) -> Self {
        let n = layout.calibration_bins;
        Self {
            positive: layout.positive.unwrap_or(1),
            calibration: (0..=n).map(|it| it as f64 / n as f64).collect(),
            cells: vec![Cell::default(); 4 * n_segments(n)],
            improper: BTreeMap::new(),
            unusable: [0; 2],
            recent: None,
        }
    }

    /// Adds a prediction of a row `times` times.
    pub(crate) fn add(&mut self, label: usize, prediction: &Prediction<'_>, times: u64) {
        let Prediction::Scores(scores) = prediction else {
            self.unusable[label] += times;
            return;
        };
        let probability = scores.confidence;
        if scores.log_loss.is_nan() {
            let score = Score::of(probability.clamp(0.0, 1.0));
            let place = self.place(label, scores.class, probability, score.place().0);
            *self.improper.entry(place).or_default() += times;
            return;
        }
        // By nothing that the label has a part in, so that rows of one score are ties.
        let (bin, offset) = Score::of(probability).place();
        let place = self.place(label, scores.class, probability, bin);
        let cell = &mut self.cells[place];
        cell.n += times;
        cell.powers.add(score_bins::powers(offset), times);
    }

    /// Adds rows of a single score each, the probability of the positive class, but for those without a label. Returns which ones it did not
    /// add because they take more than a sum: [`Grid::add`] is for them.
    pub(crate) fn add_scores(&mut self, labels: &[Option<u64>], scores: &[f64], threshold: f64) -> Vec<usize> {
        let recent = self.recent.get_or_insert_with(|| Recent::new(self.calibration.len() - 1));
        let n_places = recent.sums.len() / 2;
        let mut others = Vec::new();
        for (row, (label, &score)) in labels.iter().zip(scores).enumerate() {
            let &Some(label) = label else { continue };
            let label = label as usize;
            let of_score = Score::of(score);
            // Also false of a NaN.
            let is_plain = of_score.lesser >= 0.0;
            let (bin, offset) = if is_plain { of_score.place() } else { (0, 0.0) };
            let place = recent.places[bin];
            if !is_plain || place == SPLIT {
                others.push(row);
                continue;
            }
            let class = if score >= threshold { self.positive } else { 1 - self.positive };
            let [first, second, third] = score_bins::powers(offset);
            let sums = &mut recent.sums[class * n_places + place as usize + label];
            *sums = [sums[0] + 1.0, sums[1] + first, sums[2] + second, sums[3] + third];
        }
        recent.n += labels.len() as u64;
        if recent.n >= EXACT_ROWS / 2 {
            self.settle();
        }
        others
    }

    /// Puts all rows into their cells.
    pub(crate) fn settle(&mut self) {
        let Some(recent) = self.recent.as_mut().filter(|it| it.n > 0) else { return };
        recent.n = 0;
        for (cell, sums) in self.cells.iter_mut().zip(&mut recent.sums) {
            let [n, powers @ ..] = std::mem::take(sums);
            if n > 0.0 {
                cell.n += n as u64;
                cell.powers.add(powers, 1);
            }
        }
    }

    /// Returns the place of a cell. As neither the bin of the score nor that of the calibration curve falls while the score rises, no two
    /// pairs of them have the same sum: their segment.
    fn place(&self, label: usize, class: usize, probability: f64, bin: usize) -> usize {
        let segment = bin + bin_of(probability, self.calibration.len() - 1);
        2 * (class * (self.cells.len() / 4) + segment) + label
    }

    /// Adds rows that were kept one by one.
    pub(crate) fn add_rows(&mut self, layout: &Layout, rows: &Sample) {
        for (_, words, count) in rows.iter() {
            self.add(Layout::label_class(words), &layout.prediction(words, 0), count);
        }
    }

    /// Adds what `other` has seen, which is settled.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (left, right) in self.cells.iter_mut().zip(&other.cells) {
            left.n += right.n;
            left.powers.merge(right.powers);
        }
        for (&place, n) in &other.improper {
            *self.improper.entry(place).or_default() += n;
        }
        self.unusable.iter_mut().zip(other.unusable).for_each(|(left, right)| *left += right);
    }

    /// Returns a row for each cell that has some, with how many.
    pub(crate) fn rows(&self, layout: &Layout) -> Sample {
        let each: Vec<usize> = (0..self.cells.len() / 4).collect();
        self.rows_of(layout, &each)
    }

    /// Returns a row for each group of neighboring cells, with how many: what replicates are drawn of.
    ///
    /// A group is of one segment, or has at most
    /// - 1/256 of the rows of each label: of what varies evenly over that share, about 1/256² of the variance is within groups;
    /// - 1/8 of the rows above it: the few of the highest scores make a lift, and much of an average precision;
    /// - 1/256 as many pairs of both labels as the scores order against most others. A group makes ties of its pairs, which must be
    ///   few beside these, of which all variance is where hardly any rows overlap.
    ///
    /// It lies within one bin of the calibration curve.
    pub(crate) fn groups(&self, layout: &Layout) -> Sample {
        let n = self.cells.len() / 4;
        let bins = bins(layout.calibration_bins);
        let of_segment =
            |it: usize| [0, 1].map(|label| self.cells[2 * it + label].n + self.cells[2 * (n + it) + label].n);
        let mut all = [0; 2];
        // The pairs of labels in which either one is above the other.
        let mut pairs = [0_u128; 2];
        for segment in 0..n {
            let [first, second] = of_segment(segment);
            pairs[0] += u128::from(first) * u128::from(all[1]);
            pairs[1] += u128::from(second) * u128::from(all[0]);
            add(&mut all, [first, second]);
        }
        let n_against = pairs[0].min(pairs[1]);
        let (mut heads, mut head, mut held, mut above) = (vec![0; n], n - 1, [0; 2], 0);
        for segment in (0..n).rev() {
            let mut with = held;
            add(&mut with, of_segment(segment));
            let [first, second] = with;
            let is_full = with.iter().zip(all).any(|(it, all)| GROUPS * it > all)
                || ABOVE * (first + second) > above
                || u128::from(GROUPS) * u128::from(first) * u128::from(second) > n_against;
            if is_full || bins[segment].1 != bins[head].1 {
                above += held[0] + held[1];
                (head, with) = (segment, of_segment(segment));
            }
            (heads[segment], held) = (head, with);
        }
        self.rows_of(layout, &heads)
    }

    /// Returns a row for each group of cells, with how many; `heads` gives the highest segment of the group of each segment.
    fn rows_of(&self, layout: &Layout, heads: &[usize]) -> Sample {
        let bins = bins(layout.calibration_bins);
        let least = layout.models[0].least_probability();
        let split = |place: usize| (place / 2 / bins.len(), place / 2 % bins.len(), place % 2);
        let joined = |place: usize| {
            let (class, segment, label) = split(place);
            2 * (class * bins.len() + heads[segment]) + label
        };
        let mut groups: BTreeMap<usize, (u64, Losses)> = BTreeMap::new();
        for (place, it) in self.cells.iter().enumerate().filter(|(_, it)| it.n > 0) {
            let (_, segment, label) = split(place);
            let (n, losses) = groups.entry(joined(place)).or_default();
            *n += it.n;
            *losses += it.powers.losses(bins[segment].0, it.n, label == self.positive, least);
        }
        let log_loss = Widening::of(groups.values(), |it| it.log_loss);
        let brier = Widening::of(groups.values(), |it| it.brier);
        let mut res = Sample::default();
        let mut push = |label: usize, prediction: Prediction<'_>, count: u64| {
            let mut words = vec![label as u64];
            layout.push(&mut words, 0, prediction);
            res.add(&words, count);
        };
        let mut scored = |place: usize, n: u64, losses: Option<&Losses>| {
            let (class, segment, label) = split(place);
            let (bin, calibration) = bins[segment];
            // Division may round a mean out of the bin of all.
            let low = if calibration == 0 { 0.0 } else { self.calibration[calibration].next_up() };
            let mean = |sum: f64| sum / n as f64;
            let scores = RowScores {
                class,
                rank: u64::from(class != label),
                log_loss: losses.map_or(f64::NAN, |it| log_loss.value(mean(it.log_loss[0]))),
                brier: losses.map_or(0.0, |it| brier.value(mean(it.brier[0]))),
                confidence: losses.map_or(0.0, |it| mean(it.confidence).clamp(low, self.calibration[calibration + 1])),
                margin: 0.0,
                kept: &[score_bins::middle(bin).to_bits()],
            };
            push(label, Prediction::Scores(scores), n);
        };
        groups.iter().for_each(|(&place, (n, losses))| scored(place, *n, Some(losses)));
        self.improper.iter().for_each(|(&place, &n)| scored(joined(place), n, None));
        for (label, &n) in self.unusable.iter().enumerate().filter(|it| *it.1 > 0) {
            push(label, Prediction::Unusable, n);
        }
        res.settle();
        res
    }

    /// Returns the words of the cells that have rows, after the numbers of those without a probability.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let improper = self.improper.iter().flat_map(|(&place, &n)| [place as u64, n]);
        let seen = self.cells.iter().enumerate().filter(|(_, it)| it.n > 0);
        let words = seen.flat_map(|(place, it)| {
            let halves = it.powers.0.into_iter().flat_map(|it| [it as u64, (it >> 64) as u64]);
            [place as u64, it.n].into_iter().chain(halves)
        });
        self.unusable.into_iter().chain([self.improper.len() as u64]).chain(improper).chain(words)
    }

    /// Returns the grid of at most `n` rows that [`Grid::words`] are of; none where they are of none.
    pub(crate) fn from_words(layout: &Layout, words: &[u64], n: u64) -> Option<Self> {
        let mut res = Self::new(layout);
        let (&[first, second, n_improper], rest) = words.split_first_chunk::<3>()?;
        res.unusable = [first, second];
        let (improper, cells) = rest.split_at_checked(usize::try_from(n_improper).ok()?.checked_mul(2)?)?;
        let (cells, []) = cells.as_chunks::<WORDS>() else { return None };
        let mut seen = first.checked_add(second)?;
        let mut place_of = |place: u64, count: u64, next: usize| {
            seen = seen.checked_add(count).filter(|it| *it <= n && count > 0)?;
            usize::try_from(place).ok().filter(|it| (next..4 * n_segments(layout.calibration_bins)).contains(it))
        };
        let mut next = 0;
        for &[place, count] in improper.as_chunks::<2>().0 {
            let place = place_of(place, count, next)?;
            res.improper.insert(place, count);
            next = place + 1;
        }
        next = 0;
        for &[place, count, ref halves @ ..] in cells {
            let place = place_of(place, count, next)?;
            let mut powers = Powers::default();
            for (power, &[low, high]) in powers.0.iter_mut().zip(halves.as_chunks::<2>().0) {
                *power = (u128::from(low) | (u128::from(high) << 64)) as i128;
            }
            res.cells[place] = Cell { n: count, powers: Some(powers).filter(|it| it.fits(count))? };
            next = place + 1;
        }
        (seen <= n).then_some(res)
    }
}

impl Recent {
    fn new(calibration_bins: usize) -> Self {
        let place = |bin: usize| match score_bins::edges(bin).map(|it| bin_of(it, calibration_bins)) {
            [low, high] if low == high => 2 * (bin + low) as u32,
            _ => SPLIT,
        };
        let sums = vec![[0.0; 4]; 4 * n_segments(calibration_bins)];
        Self { places: (0..N_BINS).map(place).collect(), sums, n: 0 }
    }
}

impl Widening {
    fn of<'a>(groups: impl Iterator<Item = &'a (u64, Losses)> + Clone, sums: impl Fn(&Losses) -> [f64; 2]) -> Self {
        let mut all = Losses::default();
        groups.clone().for_each(|it| all += it.1);
        let mean = sums(&all)[0] / all.n;
        let between: f64 = groups.map(|(_, it)| it.n * (sums(it)[0] / it.n - mean).powi(2)).sum();
        let factor = ((sums(&all)[1] - all.n * mean * mean) / between).sqrt();
        // Where losses hardly vary there is nothing to widen, and what is left of sums is rounding.
        Self { mean, factor: if factor.is_finite() { factor.max(1.0) } else { 1.0 } }
    }

    fn value(&self, of_cell: f64) -> f64 {
        self.mean + (of_cell - self.mean) * self.factor
    }
}

fn add(sums: &mut [u64; 2], other: [u64; 2]) {
    sums.iter_mut().zip(other).for_each(|(sum, it)| *sum += it);
}

/// Returns how many segments there are: the bins of scores, and another wherever one of the calibration curve begins within one.
fn n_segments(calibration_bins: usize) -> usize {
    N_BINS + calibration_bins - 1
}

/// Returns the bins of score and calibration of each segment.
fn bins(calibration_bins: usize) -> Vec<(usize, usize)> {
    let mut res = vec![(0, 0); n_segments(calibration_bins)];
    for bin in 0..N_BINS {
        let [low, high] = score_bins::edges(bin).map(|it| bin_of(it, calibration_bins));
        (low..=high).for_each(|it| res[bin + it] = (bin, it));
    }
    res
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::{
        Report,
        report::{Interval, MetricRole},
    };
    use modelwatch_stats::hash::mix;
    use serde_json::json;

    use super::*;
    use crate::{
        bootstrap::{Rows, of_curve},
        config::{Config, Settings},
        evaluate::evaluate,
        measure::{Areas, Measure, Of},
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
            models: vec![ModelLayout { output: "p".to_owned(), is_scored: true, n_digits: 52 }],
        }
    }

    /// The `nth` of a sequence of uniform numbers.
    fn uniform(seed: u64, nth: u64) -> f64 {
        (mix(mix(seed) ^ nth) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Words of a row with the probability of the positive class.
    fn words(score: f64, label: u64) -> Vec<u64> {
        let truth = if label == 1 { score } else { 1.0 - score };
        let scores = RowScores {
            class: usize::from(score >= 0.3),
            rank: 0,
            log_loss: -truth.max(f64::EPSILON).ln(),
            brier: (1.0 - truth).powi(2),
            confidence: score,
            margin: 0.0,
            kept: &[score.to_bits()],
        };
        let mut res = vec![label];
        layout().push(&mut res, 0, Prediction::Scores(scores));
        res
    }

    /// Words of rows of uniform scores, each of which is the probability of its label.
    fn rows(n: u64, seed: u64) -> Vec<Vec<u64>> {
        let row = |nth: u64| {
            let score = uniform(seed, 2 * nth);
            words(score, u64::from(uniform(seed, 2 * nth + 1) < score))
        };
        (0..n).map(row).collect()
    }

    /// Counts rows of scores and labels, all that can be in sums.
    fn grid_of(rows: &[(f64, u64)]) -> Grid {
        let (layout, mut res) = (layout(), Grid::new(&layout()));
        let (scores, labels): (Vec<f64>, Vec<Option<u64>>) = rows.iter().map(|&(it, label)| (it, Some(label))).unzip();
        for row in res.add_scores(&labels, &scores, 0.3) {
            let (score, label) = rows[row];
            res.add(label as usize, &layout.prediction(&words(score, label), 0), 1);
        }
        res.settle();
        res
    }

    /// Rows of which a part has the positive label, with scores of a logit of a normal distribution that is moved so far by it.
    fn normal(n: u64, seed: u64, part: f64, moved: f64) -> Vec<(f64, u64)> {
        let row = |nth: u64| {
            let [label, first, second] = [0, 1, 2].map(|it| uniform(seed, 3 * nth + it));
            let label = u64::from(label < part);
            let noise = (-2.0 * first.max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
            (1.0 / (1.0 + (-2.0 * (noise + moved * (label as f64 - 0.5))).exp()), label)
        };
        (0..n).map(row).collect()
    }

    fn grid<'a>(rows: impl IntoIterator<Item = &'a Vec<u64>>) -> Grid {
        let (layout, mut res) = (layout(), Grid::new(&layout()));
        rows.into_iter().for_each(|it| res.add(it[0] as usize, &layout.prediction(it, 0), 1));
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
                at >= 3 && (at - 3) % WORDS == 0,
                "{at}"
            );
            let mut damaged = words.clone();
            damaged[at] ^= 1 << (at % 64);
            drop(Grid::from_words(&layout, &damaged, 5000));
        }
    }

    #[test]
    fn scores_that_are_summed_fall_where_rows_do() {
        let layout = layout();
        let odd = [0.0, -0.0, 0.5, 0.3, 1.0, 1.0 - 1e-12, 1e-300, 1.0 / 15.0, 14.0 / 15.0, 63.0 / 64.0, 1.0 / 64.0];
        let scores: Vec<f64> = rows(3000, 5).iter().map(|it| f64::from_bits(it[7])).chain(odd).collect();
        let labels: Vec<Option<u64>> = (0..scores.len() as u64).map(|it| Some(it % 3).filter(|it| *it < 2)).collect();
        let (mut summed, mut counted) = (Grid::new(&layout), Grid::new(&layout));
        let others = summed.add_scores(&labels, &scores, 0.3);
        assert!(others.len() < 60, "{}", others.len());
        for (row, (&label, &score)) in labels.iter().zip(&scores).enumerate() {
            let Some(label) = label else { continue };
            let words = words(score, label);
            counted.add(label as usize, &layout.prediction(&words, 0), 1);
            if others.contains(&row) {
                summed.add(label as usize, &layout.prediction(&words, 0), 1);
            }
        }
        summed.settle();
        assert!(summed.words().eq(counted.words()));
        assert_eq!(
            Grid::new(&layout).add_scores(&[Some(1); 4], &[f64::NAN, 1.5, -0.1, f64::INFINITY], 0.5),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn groups_of_cells_vary_as_the_cells_do() {
        let (rows, layout) = (rows(20_000, 6), layout());
        let grid = grid(&rows);
        let of = |sample: &Sample| {
            let mut tally = Tally::new(&layout);
            sample.iter().for_each(|(_, words, count)| tally.add(&layout, words, count));
            let classes = tally.models[0].classes.clone();
            (classes.log_loss, classes.brier, Measure::Ece.value(&tally, 0), tally.models[0].classes.hits.clone())
        };
        let (cells, groups) = (grid.rows(&layout), grid.groups(&layout));
        assert!(groups.len() < 1100 && cells.len() > 6000, "{} {}", groups.len(), cells.len());
        let (left, right) = (of(&groups), of(&cells));
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        assert!(close(left.0.mean(), right.0.mean()) && close(left.0.m2(), right.0.m2()));
        assert!(close(left.1.mean(), right.1.mean()) && close(left.1.m2(), right.1.m2()));
        assert!(close(left.2, right.2) && left.3 == right.3);
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
        grid.add(1, &Prediction::Scores(improper), 3);
        grid.add(0, &Prediction::Unusable, 2);
        let mut tally = Tally::new(&layout);
        grid.rows(&layout).iter().for_each(|(_, words, count)| tally.add(&layout, words, count));
        let model = &tally.models[0];
        assert_eq!((tally.all.n, model.unusable, model.classes.improper), (15, 2, 3));
        assert!(Measure::LogLoss.value(&tally, 0).is_nan());
    }

    #[test]
    fn ties_of_both_labels_share_a_cell() {
        // An f32 next to 1 lies on the edge of a bin.
        let scores = (0..20_000).map(|it| 1.0 - f64::from(it) * 2_f64.powi(-24));
        let rows: Vec<(f64, u64)> = scores.chain([1.0 - 1e-12, 0.0]).flat_map(|it| [(it, 0), (it, 1)]).collect();
        let kept: Vec<Vec<u64>> = rows.iter().map(|&(score, label)| words(score, label)).collect();
        for grid in [grid_of(&rows), grid(&kept)] {
            assert!(grid.cells.as_chunks().0.iter().all(|[left, right]| left == right));
        }
    }

    #[test]
    fn ties_beyond_the_budget_are_ties() {
        // Labels by chance, and a third of the scores at 1.
        let row = |nth: u64| {
            let [label, tie, score] = [0, 1, 2].map(|it| uniform(8, 3 * nth + it));
            (if tie < 0.3 { 1.0 } else { 0.9 * score }, u64::from(label < 0.5))
        };
        let mut rows: Vec<(f64, u64)> = (0..20_000).map(row).collect();
        let report = evaluated(grid_of(&rows), 20_000, 1);
        rows.sort_by(|left, right| left.0.total_cmp(&right.0));
        let tied = rows.chunk_by(|left, right| left.0 == right.0);
        let groups: Vec<(f64, f64)> = tied
            .map(|it| {
                let positive = it.iter().map(|it| it.1).sum::<u64>() as f64;
                (positive, it.len() as f64 - positive)
            })
            .collect();
        for measure in [
            Measure::RocAuc(Areas::One),
            Measure::AveragePrecision(Of::Positive(1)),
            Measure::PrAuc,
            Measure::Ks(Of::Positive(1)),
            Measure::Lift(0.1, Of::Positive(1)),
        ] {
            let found = report.metrics.iter().find(|it| it.name == measure.name()).unwrap().value;
            let what = |it: &str| it.starts_with(measure.name()) && it.ends_with(" of the candidate");
            let gap = report.gaps.iter().find(|it| what(&it.what)).unwrap();
            let bound: f64 = gap.why.split("within ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let truth = of_curve(measure, &groups);
            assert!((found - truth).abs() <= 1.01 * bound + 1e-9, "{measure:?}: {found} within {bound} of {truth}");
        }
    }

    #[test]
    fn metrics_of_ranks_vary_in_groups_as_in_cells() {
        let by_chance = normal(100_000, 1, 0.1, 0.0);
        // A few of the positive rows surely, the others by chance.
        let few_surely = by_chance.iter().enumerate().map(|(nth, &(it, label))| match label {
            1 if nth % 300 < 3 => (0.999_999, 1),
            _ => (it * 0.9, label),
        });
        let few_surely: Vec<(f64, u64)> = few_surely.collect();
        let ranks =
            [Measure::AveragePrecision(Of::Positive(1)), Measure::PrAuc, Measure::Ks(Of::Positive(1)), Measure::Gini];
        let top = |share: f64| Measure::Lift(share, Of::Positive(1));
        let layout = layout();
        let settings = json!({"task": "binary", "intervals": {"replicates": 1000}});
        let settings = Settings::new(serde_json::from_value::<Config>(settings).unwrap()).unwrap();
        for (name, rows) in [
            ("by chance", &by_chance),
            ("few surely", &few_surely),
            ("well", &normal(100_000, 2, 0.3, 2.0)),
            ("nearly apart", &normal(100_000, 3, 0.02, 6.0)),
        ] {
            let grid = grid_of(rows);
            let measures: Vec<Measure> = ranks.into_iter().chain([0.1, 0.01, 0.001].map(top)).collect();
            let widths = |sample: &Sample| {
                let n = rows.len() as u64;
                let replicates = Rows::new(&layout, sample).replicates(&measures, n, &settings, &()).unwrap();
                let width = |nth: usize| {
                    let found = replicates.interval(nth, 1.0, |it| it[0], 0.95).unwrap();
                    found.high - found.low
                };
                (0..measures.len()).map(width).collect::<Vec<f64>>()
            };
            let (groups, cells) = (grid.groups(&layout), grid.rows(&layout));
            assert!(5 * groups.len() < 2 * cells.len(), "{name}: {} of {}", groups.len(), cells.len());
            for ((measure, of_groups), of_cells) in measures.iter().zip(widths(&groups)).zip(widths(&cells)) {
                // Of rows that are apart a lift is always as great as it can be.
                let ratio = if of_groups == of_cells { 1.0 } else { of_groups / of_cells };
                assert!((0.88..1.14).contains(&ratio), "{name}, {measure:?}: {of_groups} in place of {of_cells}");
            }
        }
    }

    #[test]
    fn bounds_are_what_values_can_be() {
        let found = |report: &Report, name: &str| {
            let it = report.metrics.iter().find(|it| it.name == name && it.role == MetricRole::Candidate).unwrap();
            (it.value, it.interval)
        };
        let apart: Vec<(f64, u64)> = normal(20_000, 4, 0.3, 6.0)
            .into_iter()
            .map(|(it, label)| (if label == 1 { f64::midpoint(it, 1.0).max(0.6) } else { it.min(0.59) }, label))
            .collect();
        let report = evaluated(grid_of(&apart), 20_000, 1);
        for name in ["ks_statistic", "average_precision", "pr_auc"] {
            assert_eq!(found(&report, name), (1.0, None), "{name}");
        }
        for (seed, moved) in [(5, 7.0), (6, 6.0), (7, 5.0)] {
            let report = evaluated(grid_of(&normal(20_000, seed, 0.1, moved)), 20_000, seed);
            for name in ["ks_statistic", "average_precision", "pr_auc", "gini", "roc_auc"] {
                let (value, interval) = found(&report, name);
                let is_inside = |it: Interval| 0.0 <= it.low && it.low <= value && value <= it.high && it.high <= 1.0;
                assert!(interval.is_none_or(is_inside), "{name} {value}: {interval:?}");
            }
        }
        // All in one bin: what varies is rounding.
        let alike: Vec<(f64, u64)> = (0..3000).map(|it| (1e-310 * it as f64, it % 7 / 6)).collect();
        assert_eq!(found(&evaluated(grid_of(&alike), 3000, 1), "lift").1, None);
    }

    #[test]
    fn a_report_says_what_replicates_are_drawn_of() {
        let (rows, layout) = (rows(20_000, 9), layout());
        let report = report(&rows, 1);
        let gap = report.gaps.iter().find(|it| it.what == "rows beyond the budget").unwrap();
        let n = grid(&rows).groups(&layout).len();
        let expected = format!(
            "intervals of scores are of all rows, drawn as {n} groups of one label, one prediction and neighboring score bins"
        );
        assert_eq!(gap.why, expected);
    }

    fn report(rows: &[Vec<u64>], seed: u64) -> Report {
        evaluated(grid(rows), rows.len() as u64, seed)
    }

    fn evaluated(grid: Grid, n: u64, seed: u64) -> Report {
        let options = json!({"task": "binary", "threshold": 0.3, "intervals": {"replicates": 200, "seed": seed}});
        let settings = Settings::new(serde_json::from_value::<Config>(options).unwrap()).unwrap();
        let mut state = State::default();
        state.head.layout = Some(layout());
        state.head.n_rows = n;
        state.grid = Some(grid);
        evaluate(&state, None, &settings, &()).unwrap()
    }

    #[test]
    fn intervals_of_cells_cover() {
        // Of uniform scores that are the probability of their label: the mean entropy, E[p (1 - p)], and areas by integration.
        let truths =
            [("log_loss", 0.5), ("brier", 1.0 / 6.0), ("roc_auc", 5.0 / 6.0), ("average_precision", 5.0 / 6.0)];
        // Percentiles of the average precision of few rows fall short, of rows as of cells.
        let of = |n: u64| &truths[..if n < 5000 { 3 } else { 4 }];
        for (n, trials) in [(50, 2000), (500, 400), (5000, 400)] {
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
