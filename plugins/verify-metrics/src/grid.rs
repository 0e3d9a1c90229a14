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

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    read::UNLABELED,
    row::{Layout, Prediction},
    sample::Sample,
    score_bins::{self, AT_ONCE, EXACT_ROWS, N_BINS, Placed, Powers, Score},
    tally::bin_of,
};

/// The words of a cell as bytes.
const WORDS: usize = 8;
/// Stands for a bin in which another one of the calibration curve begins, or the other predicted class.
const SPLIT: u32 = u32::MAX;
/// How many cells are held one by one.
const FEW: usize = 512;

/// The cells with their rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    positive: usize,
    /// The upper edges of the bins of the calibration curve, after a 0.
    calibration: Vec<f64>,
    /// The rows whose score is a probability, where they are of many cells.
    many: Option<Many>,
    /// Those of few cells, by the place of each; see [`Grid::place`].
    few: BTreeMap<usize, (u64, Powers)>,
    /// By the place of their cell, the rows whose score is no probability.
    improper: BTreeMap<usize, u64>,
    /// Per label, the rows without a usable prediction.
    unusable: [u64; 2],
    /// Rows that are not yet in their cells: whoever reads has [settled](Grid::settle) it.
    recent: Option<Recent>,
}

/// All cells, of which most have no rows: they take megabytes, which are zeros at first.
#[derive(Clone, Debug, PartialEq)]
struct Many {
    /// Apart from their powers, so that cells without rows are passed over at once.
    counts: Vec<u64>,
    /// Per cell, what its rows have in sum.
    powers: Vec<Powers>,
}

/// A cell that has rows: its place, how many they are, and what they have in sum.
type Cell = (usize, u64, Powers);

/// The cells that have rows, as they come from the state of another grid: by place, with how many rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cells {
    proper: Vec<Cell>,
    improper: Vec<(usize, u64)>,
    unusable: [u64; 2],
}

/// Rows by bin of the score and label in numbers alone, of which so few are that they are exact.
#[derive(Clone, Debug, PartialEq)]
struct Recent {
    places: Arc<Places>,
    /// Per bin and label.
    sums: Vec<[Sums; 2]>,
    n: u64,
}

/// Where the rows of a bin are.
#[derive(Debug, PartialEq)]
struct Places {
    of: Of,
    /// Per bin the place of its cell of the first label, or [`SPLIT`].
    first: Vec<u32>,
    /// Whether the bin is not split. Apart from the places, which are looked at once for all rows.
    is_whole: Vec<bool>,
}

/// What places depend on: the number of bins of the calibration curve, the positive class and the bits of the threshold.
type Of = (usize, usize, u64);

/// The number of rows and the sums of their powers, in one line of the processor's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(align(32))]
struct Sums([f64; 4]);

impl Grid {
    /// Returns no rows.
    pub(crate) fn new(layout: &Layout) -> Self {
        let n = layout.calibration_bins;
        Self {
            positive: layout.positive.unwrap_or(1),
            calibration: (0..=n).map(|it| it as f64 / n as f64).collect(),
            many: None,
            few: BTreeMap::new(),
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
        self.add_to(place, times, score_bins::powers(offset), times);
    }

    /// Adds so many rows to a cell, with these powers so many times.
    fn add_to(&mut self, place: usize, n: u64, powers: [f64; 3], times: u64) {
        let (count, sums) = if let Some(Many { counts, powers }) = &mut self.many {
            (&mut counts[place], &mut powers[place])
        } else {
            let (count, sums) = self.few.entry(place).or_default();
            (count, sums)
        };
        *count += n;
        score_bins::add(sums, powers, times);
        if self.few.len() > FEW {
            self.many();
        }
    }

    /// Returns all cells, from now on for all rows.
    fn many(&mut self) -> &mut Many {
        let n_cells = 4 * self.n_segments();
        let few = std::mem::take(&mut self.few);
        let res = self.many.get_or_insert_with(|| Many { counts: vec![0; n_cells], powers: vec![[0; 3]; n_cells] });
        few.into_iter().for_each(|(place, (n, powers))| res.add(&(place, n, powers)));
        res
    }

    fn n_segments(&self) -> usize {
        n_segments(self.calibration.len() - 1)
    }

    /// Adds rows of a single score each, the probability of the positive class, but for those [without a label](UNLABELED). The threshold is
    /// the same each time. Returns which rows it did not add because their scores are no probabilities: [`Grid::add`] is for them.
    pub(crate) fn add_scores<S: Copy + Into<f64>>(
        &mut self,
        labels: &[u8],
        scores: &[S],
        threshold: f64,
    ) -> Vec<usize> {
        let positive = self.positive;
        let class_of = |score: f64| if score >= threshold { positive } else { 1 - positive };
        let places = || Places::of(&self.calibration, positive, threshold);
        let recent = self.recent.get_or_insert_with(|| Recent::new(places()));
        let mut others = recent.add(labels, scores);
        recent.n += labels.len() as u64;
        others.retain(|&row| {
            let (label, score) = (usize::from(labels[row]), scores[row].into());
            let is_plain = Score::of(score).is_plain();
            if is_plain {
                let (bin, offset) = Score::of(score).place();
                let place = self.place(label, class_of(score), score, bin);
                self.add_to(place, 1, score_bins::powers(offset), 1);
            }
            !is_plain
        });
        if self.recent.as_ref().is_some_and(|it| it.n >= EXACT_ROWS / 2) {
            self.settle();
        }
        others
    }

    /// Puts all rows into their cells.
    pub(crate) fn settle(&mut self) {
        let Some(mut recent) = self.recent.take() else { return };
        if recent.n > 0 {
            let mut cells = Vec::new();
            recent.append_cells(&mut cells);
            let many = self.many();
            cells.iter().for_each(|it| many.add(it));
            recent.forget();
        }
        self.recent = Some(recent);
    }

    /// Returns the place of a cell. As neither the bin of the score nor that of the calibration curve falls while the score rises, no two
    /// pairs of them have the same sum: their segment.
    fn place(&self, label: usize, class: usize, probability: f64, bin: usize) -> usize {
        let segment = bin + bin_of(probability, self.calibration.len() - 1);
        2 * (class * self.n_segments() + segment) + label
    }

    /// Adds rows that were kept one by one.
    pub(crate) fn add_rows(&mut self, layout: &Layout, rows: &Sample) {
        for (_, words, count) in rows.iter() {
            self.add(Layout::label_class(words), &layout.prediction(words, 0), count);
        }
    }

    /// Adds the rows of cells that another one has written.
    pub(crate) fn merge(&mut self, other: &Cells) {
        let many = self.many();
        other.proper.iter().for_each(|it| many.add(it));
        for &(place, n) in &other.improper {
            *self.improper.entry(place).or_default() += n;
        }
        self.unusable.iter_mut().zip(other.unusable).for_each(|(left, right)| *left += right);
    }

    /// Returns the cells that have rows, by their places.
    fn cells(&self) -> Vec<Cell> {
        let mut res: Vec<Cell> = self.few.iter().map(|(&place, &(n, powers))| (place, n, powers)).collect();
        res.extend(self.many.iter().flat_map(Many::cells));
        self.recent.iter().filter(|it| it.n > 0).for_each(|it| it.append_cells(&mut res));
        res.sort_by_key(|it| it.0);
        res.dedup_by(|next, it| {
            let is_same = next.0 == it.0;
            if is_same {
                it.1 += next.1;
                it.2.iter_mut().zip(next.2).for_each(|(sum, it)| *sum += it);
            }
            is_same
        });
        res
    }

    /// Returns the words of the cells that have rows, after the numbers of those without a probability.
    pub(crate) fn words(&self) -> Vec<u64> {
        let improper = self.improper.iter().flat_map(|(&place, &n)| [place as u64, n]);
        let mut res: Vec<u64> = self.unusable.into_iter().chain([self.improper.len() as u64]).chain(improper).collect();
        let cells = self.cells();
        res.reserve(WORDS * cells.len());
        for (place, n, [first, second, third]) in cells {
            let high = |it: i128| (it >> 64) as u64;
            let words: [u64; WORDS] =
                [place as u64, n, first as u64, high(first), second as u64, high(second), third as u64, high(third)];
            res.extend_from_slice(&words);
        }
        res
    }
}

impl Cells {
    /// Returns those of at most `n` rows that [`Grid::words`] are of; none where they are of none.
    pub(crate) fn from_words(layout: &Layout, words: &[u64], n: u64) -> Option<Self> {
        let (&[first, second, n_improper], rest) = words.split_first_chunk::<3>()?;
        let mut res = Self { unusable: [first, second], ..Self::default() };
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
            res.improper.push((place, count));
            next = place + 1;
        }
        next = 0;
        res.proper.reserve_exact(cells.len());
        for &[place, count, ref halves @ ..] in cells {
            let place = place_of(place, count, next)?;
            let mut powers = Powers::default();
            for (power, &[low, high]) in powers.iter_mut().zip(halves.as_chunks::<2>().0) {
                *power = (u128::from(low) | (u128::from(high) << 64)) as i128;
            }
            res.proper.push((place, count, Some(powers).filter(|it| score_bins::can_be_of(*it, count))?));
            next = place + 1;
        }
        (seen <= n).then_some(res)
    }
}

impl Many {
    fn add(&mut self, &(place, n, powers): &Cell) {
        self.counts[place] += n;
        self.powers[place].iter_mut().zip(powers).for_each(|(sum, it)| *sum += it);
    }

    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let counts = self.counts.iter().enumerate().filter(|it| *it.1 > 0);
        counts.map(|(place, &n)| (place, n, self.powers[place]))
    }
}

impl Recent {
    /// Appends the cells that have rows.
    fn append_cells(&self, res: &mut Vec<Cell>) {
        for (&first, of_labels) in self.places.first.iter().zip(&self.sums) {
            for (label, &Sums([n, first_power, second, third])) in of_labels.iter().enumerate() {
                if n > 0.0 {
                    let mut sums = Powers::default();
                    score_bins::add(&mut sums, [first_power, second, third], 1);
                    res.push((first as usize + label, n as u64, sums));
                }
            }
        }
    }

    /// Drops all rows.
    fn forget(&mut self) {
        self.sums.fill_with(Default::default);
        self.n = 0;
    }

    /// Returns no rows.
    fn new(places: Arc<Places>) -> Self {
        Self { sums: vec![Default::default(); places.first.len()], places, n: 0 }
    }

    /// Adds rows but for those without a label, and returns which others it did not add: in bins that are split, or in none.
    fn add<S: Copy + Into<f64>>(&mut self, labels: &[u8], scores: &[S]) -> Vec<usize> {
        let Self { places, sums, .. } = self;
        let is_whole = &places.is_whole[..];
        let (mut others, mut placed) = (Vec::new(), Placed::NONE);
        for (nth, (labels, scores)) in labels.chunks(AT_ONCE).zip(scores.chunks(AT_ONCE)).enumerate() {
            placed.place(scores);
            let Placed { bins, powers: [first, second, third] } = &placed;
            // By its number, of which the compiler sees that it is in all of them.
            for row in 0..labels.len().min(scores.len()).min(AT_ONCE) {
                let (bin, label) = (bins[row] as usize, labels[row]);
                if is_whole.get(bin) == Some(&true) && label < 2 {
                    sums[bin][usize::from(label)].add([first[row], second[row], third[row]]);
                } else if label != UNLABELED && !add_apart(is_whole, sums, label, scores[row].into()) {
                    others.push(nth * AT_ONCE + row);
                }
            }
        }
        others
    }
}

impl Places {
    /// Returns those of a threshold. All partitions of a run have the same, so that the last ones are kept.
    fn of(calibration: &[f64], positive: usize, threshold: f64) -> Arc<Self> {
        static LAST: Mutex<Option<Arc<Places>>> = Mutex::new(None);
        let of = (calibration.len(), positive, threshold.to_bits());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = last.as_ref().filter(|it| it.of == of) {
            return Arc::clone(it);
        }
        let n_segments = n_segments(calibration.len() - 1);
        let class_of = |score: f64| if score >= threshold { positive } else { 1 - positive };
        let place = |(bin, [low, high]): (usize, [usize; 2])| {
            let [class, of_end] = score_bins::edges(bin).map(class_of);
            if low == high && class == of_end { 2 * (class * n_segments + bin + low) as u32 } else { SPLIT }
        };
        let first: Vec<u32> = calibration_bins(calibration).enumerate().map(place).collect();
        let is_whole = first.iter().map(|it| *it != SPLIT).collect();
        let res = Arc::new(Self { of, first, is_whole });
        *last = Some(Arc::clone(&res));
        res
    }
}

/// Adds a row whose bin may be of another width than most; returns false where it has none, or that is split.
fn add_apart(is_whole: &[bool], sums: &mut [[Sums; 2]], label: u8, score: f64) -> bool {
    let score = Score::of(score);
    if !score.is_plain() {
        return false;
    }
    let (bin, offset) = score.place();
    if is_whole[bin] {
        sums[bin][usize::from(label)].add(score_bins::powers(offset));
    }
    is_whole[bin]
}

impl Sums {
    #[inline]
    fn add(&mut self, powers: [f64; 3]) {
        let Self([n, first, second, third]) = *self;
        *self = Self([n + 1.0, first + powers[0], second + powers[1], third + powers[2]]);
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
