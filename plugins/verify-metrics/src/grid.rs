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

mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    row::{Layout, Prediction},
    sample::Sample,
    score_bins::{self, AT_ONCE, EXACT_ROWS, N_BINS, Placed, Powers, Score},
    tally::bin_of,
};

/// The words of a cell as bytes.
const WORDS: usize = 8;
/// Stands for a bin in which another one of the calibration curve begins.
const SPLIT: u32 = u32::MAX;
/// The cells with their rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    positive: usize,
    /// The upper edges of the bins of the calibration curve, after a 0.
    calibration: Vec<f64>,
    /// Per cell, the rows whose score is a probability: by predicted class, bins and label; see [`Grid::place`]. Apart from their powers, so
    /// that cells without rows, which most are, are passed over at once.
    counts: Vec<u64>,
    /// Per cell, what its rows have in sum.
    powers: Vec<Powers>,
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

impl Grid {
    /// Returns no rows.
    pub(crate) fn new(layout: &Layout) -> Self {
        let n = layout.calibration_bins;
        let n_cells = 4 * n_segments(n);
        Self {
            positive: layout.positive.unwrap_or(1),
            calibration: (0..=n).map(|it| it as f64 / n as f64).collect(),
            counts: vec![0; n_cells],
            powers: vec![[0; 3]; n_cells],
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
        self.counts[place] += times;
        score_bins::add(&mut self.powers[place], score_bins::powers(offset), times);
    }

    /// Adds rows of a single score each, the probability of the positive class, but for those without a label. Returns which ones it did not
    /// add because they take more than a sum: [`Grid::add`] is for them.
    pub(crate) fn add_scores(&mut self, labels: &[Option<u64>], scores: &[f64], threshold: f64) -> Vec<usize> {
        let recent = self.recent.get_or_insert_with(|| Recent::new(&self.calibration));
        let n_places = recent.sums.len() / 2;
        let of_class = |it: usize| if it == 1 { n_places } else { 0 };
        // Of scores below the threshold, and of the others.
        let starts = [of_class(1 - self.positive), of_class(self.positive)];
        let (mut others, mut placed) = (Vec::new(), Placed::NONE);
        for (nth, (labels, scores)) in labels.chunks(AT_ONCE).zip(scores.chunks(AT_ONCE)).enumerate() {
            placed.place(scores);
            let Placed { bins, powers: [first, second, third] } = &placed;
            // By its number, of which the compiler sees that it is in all of them.
            for row in 0..labels.len().min(scores.len()).min(AT_ONCE) {
                let Some(label) = labels[row] else { continue };
                let score = scores[row];
                let (place, powers) = match recent.places.get(bins[row] as usize) {
                    Some(&place) => (place, [first[row], second[row], third[row]]),
                    None if Score::of(score).is_plain() => {
                        let (bin, offset) = Score::of(score).place();
                        (recent.places[bin], score_bins::powers(offset))
                    }
                    None => (SPLIT, [0.0; 3]),
                };
                if place == SPLIT {
                    others.push(nth * AT_ONCE + row);
                    continue;
                }
                let sums = &mut recent.sums[starts[usize::from(score >= threshold)] + place as usize + label as usize];
                *sums = [sums[0] + 1.0, sums[1] + powers[0], sums[2] + powers[1], sums[3] + powers[2]];
            }
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
        for (place, sums) in recent.sums.iter_mut().enumerate().filter(|(_, it)| it[0] > 0.0) {
            let [n, powers @ ..] = std::mem::take(sums);
            self.counts[place] += n as u64;
            score_bins::add(&mut self.powers[place], powers, 1);
        }
    }

    /// Returns the place of a cell. As neither the bin of the score nor that of the calibration curve falls while the score rises, no two
    /// pairs of them have the same sum: their segment.
    fn place(&self, label: usize, class: usize, probability: f64, bin: usize) -> usize {
        let segment = bin + bin_of(probability, self.calibration.len() - 1);
        2 * (class * (self.counts.len() / 4) + segment) + label
    }

    /// Adds rows that were kept one by one.
    pub(crate) fn add_rows(&mut self, layout: &Layout, rows: &Sample) {
        for (_, words, count) in rows.iter() {
            self.add(Layout::label_class(words), &layout.prediction(words, 0), count);
        }
    }

    /// Adds what `other` has seen, which is settled.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (place, n) in other.cells() {
            self.counts[place] += n;
            self.powers[place].iter_mut().zip(other.powers[place]).for_each(|(left, right)| *left += right);
        }
        for (&place, n) in &other.improper {
            *self.improper.entry(place).or_default() += n;
        }
        self.unusable.iter_mut().zip(other.unusable).for_each(|(left, right)| *left += right);
    }

    /// Returns the places of the cells that have rows, with how many.
    fn cells(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts.iter().copied().enumerate().filter(|it| it.1 > 0)
    }

    /// Returns the words of the cells that have rows, after the numbers of those without a probability.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let improper = self.improper.iter().flat_map(|(&place, &n)| [place as u64, n]);
        let words = self.cells().flat_map(|(place, n)| -> [u64; WORDS] {
            let [first, second, third] = self.powers[place].map(|it| [it as u64, (it >> 64) as u64]);
            [place as u64, n, first[0], first[1], second[0], second[1], third[0], third[1]]
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
            for (power, &[low, high]) in powers.iter_mut().zip(halves.as_chunks::<2>().0) {
                *power = (u128::from(low) | (u128::from(high) << 64)) as i128;
            }
            res.counts[place] = count;
            res.powers[place] = Some(powers).filter(|it| score_bins::can_be_of(*it, count))?;
            next = place + 1;
        }
        (seen <= n).then_some(res)
    }
}

impl Recent {
    fn new(calibration: &[f64]) -> Self {
        let place = |(bin, [low, high]): (usize, [usize; 2])| if low == high { 2 * (bin + low) as u32 } else { SPLIT };
        let sums = vec![[0.0; 4]; 4 * n_segments(calibration.len() - 1)];
        Self { places: calibration_bins(calibration).enumerate().map(place).collect(), sums, n: 0 }
    }
}

/// Returns, per bin of the score, the bins of the calibration curve in which it begins and ends; `calibration` are the edges of these.
fn calibration_bins(calibration: &[f64]) -> impl Iterator<Item = [usize; 2]> {
    // As neither falls from one bin of the score to the next, that of an edge is looked for from the one before on.
    let (mut at, last) = (0, calibration.len() - 2);
    (0..N_BINS).map(move |bin| {
        let mut res = [0; 2];
        for (found, edge) in res.iter_mut().zip(score_bins::edges(bin)) {
            while at < last && edge > calibration[at + 1] {
                at += 1;
            }
            *found = at;
        }
        res
    })
}

/// Returns how many segments there are: the bins of scores, and another wherever one of the calibration curve begins within one.
fn n_segments(calibration_bins: usize) -> usize {
    N_BINS + calibration_bins - 1
}
