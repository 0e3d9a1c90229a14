//! Takes in the rows of one binary model that a [`Grid`](crate::grid::Grid) can hold: of many of them a row costs a few nanoseconds.
//!
//! A batch is read in pieces that stay in the processor's cache. As long as rows are kept one by one, equal ones of a batch are
//! counted first; where there are more distinct ones in it than are kept, none of them is.

use std::{borrow::Cow, collections::BTreeSet, iter};

use modelwatch_sdk::{RecordBatch, Result, rows::Numbers};
use modelwatch_stats::hash::mix;

use crate::{
    config::Settings,
    outputs::{Output, Values},
    read::{Reader, UNLABELED, binary_labels},
    row::{Layout, Prediction},
    sample,
    state::State,
};

/// The rows of a piece.
const PIECE: usize = 2048;
/// The bits in which distinct scores are counted: so many that few of as many as are kept share one.
const BITS: usize = 1 << 20;
/// No score from 0 on with a label has these bits.
const VACANT: u64 = u64::MAX;

/// At least how many distinct scores there are, at a fraction of the price of [`Counts`]: as many as bits are set, one by each score.
struct Distinct {
    bits: Vec<u64>,
    n: usize,
}

/// How often each score came with each label.
struct Counts {
    /// The bits of a score with the label in place of its sign, or [`VACANT`], and how often it came; found by hashing.
    places: Vec<(u64, u64)>,
    n: usize,
}

/// Takes a batch into the state.
pub(crate) fn read(
    batch: &RecordBatch,
    settings: &Settings,
    layout: &Layout,
    output: &Output,
    state: &mut State,
) -> Result<()> {
    let (labels, limit) = (binary_labels(batch, layout)?, sample::limit(layout.width()));
    // Where a batch has more rows than are kept, their scores are nearly always as many: they are counted in a grid until it is known, and
    // once more one by one where they are not.
    if state.grid.is_none() && labels.len() > limit && output.n_scores().is_none() {
        let (mut trial, mut distinct) = (State::default(), Distinct { bits: vec![0; BITS / 64], n: 0 });
        trial.fill_grid(layout);
        take(&labels, settings, layout, output, &mut trial, Some(&mut distinct))?;
        if distinct.n > limit {
            state.take_over(trial, layout);
            return Ok(());
        }
    }
    take(&labels, settings, layout, output, state, None)
}

/// Takes rows into the state, and their scores into the distinct ones until these are more than are kept, or cannot become so.
fn take(
    labels: &[u8],
    settings: &Settings,
    layout: &Layout,
    output: &Output,
    state: &mut State,
    mut distinct: Option<&mut Distinct>,
) -> Result<()> {
    let limit = sample::limit(layout.width());
    let mut counts = state.grid.is_none().then(|| Counts::new(labels.len().min(limit + PIECE)));
    let mut words = Vec::with_capacity(layout.width());
    for (nth, piece) in labels.chunks(PIECE).enumerate() {
        let start = nth * PIECE;
        // No rows that are left could make them more than are kept.
        if distinct.as_ref().is_some_and(|it| it.n + labels.len() - start <= limit) {
            break;
        }
        if piece.contains(&UNLABELED) {
            state.head.n_unlabeled += piece.iter().filter(|it| **it == UNLABELED).count() as u64;
        }
        let output = output.slice(start, piece.len());
        let distinct = distinct.as_deref_mut().filter(|it| it.n <= limit);
        let read = || output.values(settings, layout.classes.len());
        let (floats, values) = match output.floats() {
            Some(it) => (Some(it), None),
            None => (None, Some(read()?)),
        };
        let others = match (floats, &values) {
            (Some(floats), _) => count(piece, floats, settings, &mut counts, distinct, state),
            (None, Some(Values::Scores(Numbers { values, width: 1, .. }))) => {
                count(piece, values, settings, &mut counts, distinct, state)
            }
            _ => (0..piece.len()).filter(|&row| piece[row] != UNLABELED).collect(),
        };
        if !others.is_empty() {
            let values = values.map_or_else(read, Ok)?;
            let mut reader = Reader::new(&values, settings, layout, 0);
            for row in others {
                let label = piece[row].into();
                add(state, layout, &mut words, label, reader.prediction(layout, row, label)?, 1);
            }
            state.head.add_readings(0, reader.n_read);
            state.head.add_scaled(0, reader.n_scaled);
        }
        if let Some(it) = counts.take_if(|it| it.n > limit) {
            state.fill_grid(layout);
            it.give(settings, layout, state)?;
        }
    }
    counts.map_or(Ok(()), |it| it.give(settings, layout, state))
}

/// Counts rows of a single score each, in the grid or before there is one, and returns those with a label that are not counted so.
fn count<S: Copy + Into<f64>>(
    labels: &[u8],
    scores: &[S],
    settings: &Settings,
    counts: &mut Option<Counts>,
    distinct: Option<&mut Distinct>,
    state: &mut State,
) -> Vec<usize> {
    if let Some(it) = distinct {
        it.see(labels, scores);
    }
    let labeled = || (0..labels.len()).filter(|&row| labels[row] != UNLABELED);
    match (counts, &mut state.grid) {
        (Some(counts), _) => labeled().filter(|&row| !counts.add(labels[row].into(), scores[row].into())).collect(),
        (None, Some(grid)) => grid.add_scores(labels, scores, settings.threshold),
        (None, None) => labeled().collect(),
    }
}

fn add(state: &mut State, layout: &Layout, words: &mut Vec<u64>, label: u64, prediction: Prediction<'_>, times: u64) {
    if let Some(grid) = &mut state.grid {
        grid.add(label as usize, &prediction, times);
        return;
    }
    words.clear();
    words.push(label);
    layout.push(words, 0, prediction);
    state.add(layout, words, times, &BTreeSet::new());
}

impl Distinct {
    fn see<S: Copy + Into<f64>>(&mut self, labels: &[u8], scores: &[S]) {
        // Without adapters, which are not always inlined.
        for (score, label) in scores.iter().zip(labels) {
            let score: f64 = (*score).into();
            if *label == UNLABELED || !score.is_finite() {
                continue;
            }
            // One multiplication is enough: scores that share a bit only make it take longer to see that there are many.
            let product = (score + 0.0).to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = (product >> (u64::BITS - BITS.ilog2())) as usize;
            self.n += usize::from(self.bits[at / 64] >> (at % 64) & 1 == 0);
            self.bits[at / 64] |= 1 << (at % 64);
        }
    }
}

impl Counts {
    /// Returns no rows, with places for so many distinct ones.
    fn new(n: usize) -> Self {
        Self { places: vec![(VACANT, 0); (2 * n).next_power_of_two()], n: 0 }
    }

    /// Counts a row; returns false for one whose score is missing or negative.
    #[inline]
    fn add(&mut self, label: u64, score: f64) -> bool {
        if !(0.0..f64::INFINITY).contains(&score) {
            return false;
        }
        // Adding 0 turns -0 into 0.
        let key = (score + 0.0).to_bits() | (label << 63);
        let mut at = mix(key) as usize;
        loop {
            at &= self.places.len() - 1;
            let (found, count) = &mut self.places[at];
            if *found == VACANT {
                (*found, self.n) = (key, self.n + 1);
            }
            if *found == key {
                *count += 1;
                return true;
            }
            at += 1;
        }
    }

    /// Gives the rows to the state.
    fn give(self, settings: &Settings, layout: &Layout, state: &mut State) -> Result<()> {
        let seen = self.places.into_iter().filter(|it| it.0 != VACANT);
        // A grid takes a row as often as it came, unless that is very often; the words of one are made once.
        let has_grid = state.grid.is_some();
        let is_repeated = |times: u64| has_grid && times <= PIECE as u64;
        let mut repeated = seen.flat_map(|(key, times)| match is_repeated(times) {
            true => iter::repeat_n((key, 1), times as usize),
            false => iter::repeat_n((key, times), 1),
        });
        let mut words = Vec::with_capacity(layout.width());
        loop {
            let rows: Vec<(u64, u64)> = repeated.by_ref().take(PIECE).collect();
            if rows.is_empty() {
                return Ok(());
            }
            let label = |(key, times): &(u64, u64)| if *times == 1 { (key >> 63) as u8 } else { UNLABELED };
            let labels: Vec<u8> = rows.iter().map(label).collect();
            let scores: Vec<f64> = rows.iter().map(|(key, _)| f64::from_bits(key & !(1 << 63))).collect();
            let mut others: Vec<usize> = (0..rows.len()).collect();
            if let Some(grid) = &mut state.grid {
                others.retain(|&it| rows[it].1 > 1);
                others.extend(grid.add_scores(&labels, &scores, settings.threshold));
            }
            let values = Values::Scores(Numbers { values: Cow::Borrowed(&scores), width: 1, nulls: 0 });
            let mut reader = Reader::new(&values, settings, layout, 0);
            for row in others {
                let (key, times) = rows[row];
                add(state, layout, &mut words, key >> 63, reader.prediction(layout, row, key >> 63)?, times);
            }
        }
    }
}
