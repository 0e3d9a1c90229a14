//! What a report is made of: the rows of cells, and of groups of them for replicates.

use super::{Cell, Grid, calibration_bins};
use crate::{
    row::{Layout, Prediction, RowScores},
    sample::Sample,
    score_bins::{self, Losses},
};

/// The least number of groups from which replicates are drawn, where there are as many cells; of each label.
const GROUPS: u64 = 128;
/// How many times as many pairs of both labels are in the wrong order as a group makes ties of.
const PAIRS: u128 = 256;
/// How many times as many rows are above a group as in it.
const ABOVE: u64 = 8;

/// What makes the losses of cells vary as much as those of rows.
struct Widening {
    mean: f64,
    factor: f64,
}

impl Grid {
    /// Returns a row for each cell that has some, with how many.
    pub(crate) fn rows(&self, layout: &Layout) -> Sample {
        let each: Vec<usize> = (0..self.n_segments()).collect();
        self.rows_of(layout, &each)
    }

    /// Returns a row for each group of neighboring cells, with how many: what replicates are drawn of.
    ///
    /// A group is of one segment, or has at most
    /// - 1/128 of the rows of each label: of what varies evenly over that share, about 1/128² of the variance is within groups;
    /// - 1/8 of the rows above it: the few of the highest scores make a lift, and much of an average precision;
    /// - 1/256 as many pairs of both labels as the scores order against most others. A group makes ties of its pairs, which must be
    ///   few beside these, of which all variance is where hardly any rows overlap.
    ///
    /// It lies within one bin of the calibration curve.
    pub(crate) fn groups(&self, layout: &Layout) -> Sample {
        let n = self.n_segments();
        let bins = self.bins();
        let mut segments = vec![[0; 2]; n];
        self.cells().iter().for_each(|it| segments[it.0 / 2 % n][it.0 % 2] += it.1);
        let of_segment = |it: usize| segments[it];
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
                || PAIRS * u128::from(first) * u128::from(second) > n_against;
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
        let bins = self.bins();
        let least = layout.models[0].least_probability();
        let split = |place: usize| (place / 2 / bins.len(), place / 2 % bins.len(), place % 2);
        let joined = |place: usize| {
            let (class, segment, label) = split(place);
            2 * (class * bins.len() + heads[segment]) + label
        };
        let group = |(place, n, powers): Cell| {
            let (_, segment, label) = split(place);
            (joined(place), n, score_bins::losses(powers, bins[segment].0, n, label == self.positive, least))
        };
        let mut groups: Vec<(usize, u64, Losses)> = self.cells().into_iter().map(group).collect();
        groups.sort_by_key(|it| it.0);
        groups.dedup_by(|next, group| {
            let is_same = next.0 == group.0;
            if is_same {
                group.1 += next.1;
                group.2 += next.2;
            }
            is_same
        });
        let log_loss = Widening::of(&groups, |it| it.log_loss);
        let brier = Widening::of(&groups, |it| it.brier);
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
        groups.iter().for_each(|(place, n, losses)| scored(*place, *n, Some(losses)));
        self.improper.iter().for_each(|(&place, &n)| scored(joined(place), n, None));
        for (label, &n) in self.unusable.iter().enumerate().filter(|it| *it.1 > 0) {
            push(label, Prediction::Unusable, n);
        }
        res.settle();
        res
    }

    /// Returns the bins of score and calibration of each segment.
    fn bins(&self) -> Vec<(usize, usize)> {
        let mut res = vec![(0, 0); self.n_segments()];
        for (bin, [low, high]) in calibration_bins(&self.calibration).enumerate() {
            (low..=high).for_each(|it| res[bin + it] = (bin, it));
        }
        res
    }
}

impl Widening {
    fn of(groups: &[(usize, u64, Losses)], sums: impl Fn(&Losses) -> [f64; 2]) -> Self {
        let mut all = Losses::default();
        groups.iter().for_each(|it| all += it.2);
        let mean = sums(&all)[0] / all.n;
        let between: f64 = groups.iter().map(|(.., it)| it.n * (sums(it)[0] / it.n - mean).powi(2)).sum();
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
