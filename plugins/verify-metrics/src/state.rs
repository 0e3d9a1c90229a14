//! What a probe has seen, as a value and as bytes.
//!
//! Up to a budget of distinct rows the state is these rows with their counts, and everything is
//! computed from them in the order of their hashes: batches and partitions cannot matter. Beyond it
//! counts take over, where they are enough for a report, or else sums, and the kept rows are a sample that serves intervals.

use std::collections::BTreeSet;

use modelwatch_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{
    grid::{Cells, Grid},
    row::Layout,
    sample::{self, Sample},
    slices::Slices,
    tasks::sequences::{self, Texts},
    totals::Totals,
};

const VERSION: u8 = 10;
/// The most rows that a state can have; sums of that many counts do not overflow.
const MAX_N: u64 = 1 << 46;

/// What a probe has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) sample: Sample,
    /// All rows, in place of those that are kept and of sums over them; only where not all are kept.
    pub(crate) grid: Option<Grid>,
}

/// All but the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// None before the first batch.
    pub(crate) layout: Option<Layout>,
    /// Rows, with or without a label.
    pub(crate) n_rows: u64,
    /// Rows that were left out because they have no label.
    pub(crate) n_unlabeled: u64,
    /// Per model, how many rows of scores that the options leave open were taken for probabilities and for logits.
    n_read: [[u64; 2]; 2],
    /// Per model, in how many rows scores that were taken for probabilities do not add up to 1.
    #[serde(default)]
    pub(crate) n_scaled: [u64; 2],
    pub(crate) slices: Slices,
    /// The least key of the queries that were dropped for the budget.
    pub(crate) bound: Option<u64>,
    /// The texts of the candidate and of the labels, where the task is about texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) texts: Option<Texts>,
    /// Whether the bytes of the rows are those of a grid.
    has_grid: bool,
    /// The sums over all rows; only where not all rows are kept.
    pub(crate) totals: Option<Totals>,
}

impl Head {
    /// Adds rows of a model that were taken for probabilities and for logits.
    pub(crate) fn add_readings(&mut self, model: usize, n_read: [u64; 2]) {
        self.n_read[model].iter_mut().zip(n_read).for_each(|(sum, n)| *sum = sum.saturating_add(n));
    }

    /// Adds rows of a model whose scores were scaled to add up to 1.
    pub(crate) fn add_scaled(&mut self, model: usize, n: u64) {
        self.n_scaled[model] = self.n_scaled[model].saturating_add(n);
    }

    /// Adds texts.
    pub(crate) fn add_texts(&mut self, added: Option<Texts>) {
        self.texts = [self.texts, added].into_iter().flatten().reduce(sequences::together);
    }

    /// Refuses scores of which some rows were taken for probabilities and others for logits.
    pub(crate) fn check_readings(&self) -> Result<()> {
        let models = self.layout.iter().flat_map(|it| &it.models);
        for (model, [n_probabilities, n_logits]) in models.zip(self.n_read) {
            if n_probabilities > 0 && n_logits > 0 {
                let (output, n) = (&model.output, n_probabilities.saturating_add(n_logits));
                return Err(Error::config(
                    "/scores",
                    format!("in {n_logits} of {n} rows the scores of `{output}` are not between 0 and 1, in the others they are, so that `auto` cannot tell what they are"),
                )
                .with_help("set `scores` to `probabilities` or to `logits`"));
            }
        }
        Ok(())
    }
}

impl State {
    /// Sets the layout, or compares it with the one that was set.
    pub(crate) fn set_layout(&mut self, layout: &Layout) -> Result<()> {
        match &self.head.layout {
            None => self.head.layout = Some(layout.clone()),
            Some(it) if it == layout => {}
            // No row has a label so far, or none of those that come has.
            Some(it) if it.lacks_classes() && it.is_but_for_classes(layout) => self.head.layout = Some(layout.clone()),
            Some(it) if layout.lacks_classes() && it.is_but_for_classes(layout) => {}
            Some(it) => {
                return Err(Error::input(format!(
                    "batches of different shape: outputs, classes, weights or slice columns changed from {} to {}",
                    describe(it),
                    describe(layout)
                )));
            }
        }
        Ok(())
    }

    /// Takes in the name of a slice of the `nth` column or cross, and returns its key.
    pub(crate) fn see_slice(&mut self, layout: &Layout, nth: usize, name: &str, expected: &BTreeSet<String>) -> u64 {
        let (key, dropped) = self.head.slices.see(&layout.slice_columns[nth], name, expected);
        if let Some(totals) = &mut self.head.totals {
            totals.drop_slices(layout, nth, &dropped);
        }
        key
    }

    /// Adds a row `times` times.
    pub(crate) fn add(&mut self, layout: &Layout, words: &[u64], times: u64, kept: &BTreeSet<u64>) {
        if layout.is_of_documents() {
            self.add_document(layout, words, times);
            return;
        }
        if let Some(grid) = &mut self.grid {
            grid.add(Layout::label_class(words), &layout.prediction(words, 0), times);
            return;
        }
        self.keep(layout, words, times);
        if let Some(totals) = &mut self.head.totals {
            totals.add(layout, words, times, |key| kept.contains(&key));
        }
        if self.sample.is_due(limit(layout)) {
            self.shrink(layout, kept);
        }
    }

    /// Adds what the state that [`State::to_bytes`] wrote has seen.
    pub(crate) fn merge(&mut self, bytes: &[u8], expected: &BTreeSet<String>) -> Result<()> {
        let (mut other, cells) = Self::read(bytes)?;
        let Some(layout) = other.head.layout.take() else { return Ok(()) };
        self.settle();
        self.set_layout(&layout)?;
        let layout = self.head.layout.clone().unwrap_or(layout);
        self.head.n_rows += other.head.n_rows;
        self.head.n_unlabeled += other.head.n_unlabeled;
        for (model, n_read) in other.head.n_read.into_iter().enumerate() {
            self.head.add_readings(model, n_read);
            self.head.add_scaled(model, other.head.n_scaled[model]);
        }
        self.head.add_texts(other.head.texts);
        let dropped = self.head.slices.merge(other.head.slices, expected);
        for totals in [&mut self.head.totals, &mut other.head.totals].into_iter().flatten() {
            for (group, keys) in &dropped {
                let nth = layout.slice_columns.iter().position(|it| it == group);
                totals.drop_slices(&layout, nth.ok_or_else(|| damaged("a slice is of no column"))?, keys);
            }
        }
        if layout.is_of_documents() {
            self.lower_bound(other.head.bound);
            other.sample.iter().for_each(|(_, words, count)| self.add_document(&layout, words, count));
            self.settle();
            return Ok(());
        }
        if self.grid.is_some() || cells.is_some() {
            let grid = self.fill_grid(&layout);
            match &cells {
                Some(it) => grid.merge(it),
                None => grid.add_rows(&layout, &other.sample),
            }
            return Ok(());
        }
        let kept = self.kept();
        match (&mut self.head.totals, other.head.totals) {
            (Some(left), Some(right)) => left.merge(&layout, right),
            (Some(left), None) => add_sample(left, &layout, &other.sample, &kept),
            (None, Some(right)) => {
                let mut totals = Totals::new(&layout, true);
                add_sample(&mut totals, &layout, &self.sample, &kept);
                totals.merge(&layout, right);
                self.head.totals = Some(totals);
            }
            (None, None) => {}
        }
        for (_, words, count) in other.sample.iter() {
            self.keep(&layout, words, count);
        }
        self.shrink(&layout, &kept);
        Ok(())
    }

    /// Adds a row to those that are kept. Once there are sums, the sample is full and only takes what it will keep.
    fn keep(&mut self, layout: &Layout, words: &[u64], count: u64) {
        if self.head.totals.is_some() {
            self.sample.add_to_full(words, count, sample::limit(layout.width()));
        } else {
            self.sample.add(words, count);
        }
    }

    /// Adds a document, unless its query was dropped.
    fn add_document(&mut self, layout: &Layout, words: &[u64], count: u64) {
        if self.head.bound.is_none_or(|it| words[0] < it) {
            self.sample.add_under(words[0], words, count);
            if self.sample.is_due(limit(layout)) {
                self.drop_documents(layout);
            }
        }
    }

    /// Drops the queries of the greatest keys beyond the budget.
    fn drop_documents(&mut self, layout: &Layout) {
        let bound = self.sample.shrink_keys(limit(layout));
        self.lower_bound(bound);
    }

    /// Settles what was only appended; whoever reads the state has done so.
    pub(crate) fn settle(&mut self) {
        let Some(layout) = self.head.layout.clone() else { return };
        if let Some(grid) = &mut self.grid {
            grid.settle();
        } else if layout.is_of_documents() {
            self.drop_documents(&layout);
        } else {
            let kept = self.kept();
            self.shrink(&layout, &kept);
        }
    }

    fn lower_bound(&mut self, bound: Option<u64>) {
        if let Some(bound) = bound {
            let bound = self.head.bound.map_or(bound, |it| it.min(bound));
            self.head.bound = Some(bound);
            self.sample.evict_from(bound);
        }
    }

    /// Returns the keys of the slices that are kept.
    pub(crate) fn kept(&self) -> BTreeSet<u64> {
        self.head.slices.iter().map(|it| it.0).collect()
    }

    /// Returns what to evaluate in place of a state with a grid: the rows of its cells, and the sums over them.
    pub(crate) fn of_cells(&self, layout: &Layout) -> Option<Self> {
        let sample = self.grid.as_ref()?.rows(layout);
        let mut totals = Totals::new(layout, false);
        add_sample(&mut totals, layout, &sample, &BTreeSet::new());
        Some(Self { head: Head { totals: Some(totals), ..self.head.clone() }, sample, grid: None })
    }

    /// Returns the sums over all rows.
    pub(crate) fn totals(&self, layout: &Layout) -> Totals {
        self.head.totals.clone().unwrap_or_else(|| {
            let mut res = Totals::new(layout, false);
            add_sample(&mut res, layout, &self.sample, &self.kept());
            res
        })
    }

    /// Returns the state as bytes: a version, the length of the head, the head as JSON, and the rows
    /// as words in little-endian order, each followed by its count, or else the words of the grid.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |e| Error::input(format!("cannot write the state: {e}"));
        let head = serde_json::to_vec(&self.head).map_err(failed)?;
        let mut res = vec![VERSION];
        res.extend((head.len() as u64).to_le_bytes());
        res.extend(head);
        if let Some(grid) = &self.grid {
            let words = grid.words();
            let start = res.len();
            res.resize(start + 8 * words.len(), 0);
            let bytes = res[start..].as_chunks_mut().0;
            bytes.iter_mut().zip(words).for_each(|(bytes, it)| *bytes = it.to_le_bytes());
        }
        for (_, words, count) in self.sample.iter() {
            res.extend(words.iter().chain([&count]).flat_map(|it| it.to_le_bytes()));
        }
        Ok(res)
    }

    /// Returns what [`State::to_bytes`] wrote, the cells of a grid apart: most of a grid is empty, and another one takes these alone.
    fn read(bytes: &[u8]) -> Result<(Self, Option<Cells>)> {
        let rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((version, _)) => return Err(damaged(&format!("it has version {version}, expected {VERSION}"))),
            None => return Err(damaged("it is empty")),
        };
        let (length, rest) = rest.split_first_chunk().ok_or_else(|| damaged("it is cut short"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged("it is cut short"))?;
        let (head, body) = rest.split_at_checked(length).ok_or_else(|| damaged("it is cut short"))?;
        let head: Head = serde_json::from_slice(head).map_err(|e| damaged(&e.to_string()))?;
        if head.n_rows > MAX_N || head.n_unlabeled > head.n_rows {
            return Err(damaged("it counts more rows than there can be"));
        }
        let mut sample = Sample::default();
        let words_of =
            |bytes: &[u8]| -> Vec<u64> { bytes.as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it)).collect() };
        if head.has_grid {
            let layout = head.layout.as_ref().filter(|it| it.is_valid() && it.is_of_grid());
            let is_whole = body.len() % 8 == 0 && head.totals.is_none();
            let cells = layout.filter(|_| is_whole).and_then(|it| Cells::from_words(it, &words_of(body), head.n_rows));
            let cells = Some(cells.ok_or_else(|| damaged("the counts of its score bins are not those of rows"))?);
            return Ok((Self { head, sample, grid: None }, cells));
        }
        if let Some(layout) = &head.layout {
            if !layout.is_valid() {
                return Err(damaged("its layout is not one"));
            }
            if layout.lacks_classes() && (!body.is_empty() || head.totals.is_some()) {
                return Err(damaged("it has rows without classes"));
            }
            if layout.is_of_grid() && head.totals.is_some() {
                return Err(damaged("it has sums in place of counts"));
            }
            let mut n_left = head.n_rows;
            let row_bytes = (layout.width() + 1) * 8;
            if body.len() % row_bytes != 0 || body.len() / row_bytes > limit(layout) {
                return Err(damaged("its rows are cut short or too many"));
            }
            for row in body.chunks_exact(row_bytes) {
                let words = words_of(row);
                match words.split_last() {
                    Some((&count, words)) if (1..=n_left).contains(&count) && layout.accepts(words) => {
                        n_left -= count;
                        if layout.is_of_documents() {
                            sample.add_under(words[0], words, count);
                        } else {
                            sample.add(words, count);
                        }
                    }
                    _ => return Err(damaged("a row is not of its layout")),
                }
            }
            sample.settle();
            if head.totals.as_ref().is_some_and(|it| !it.fits(layout)) {
                return Err(damaged("its sums are not of its layout"));
            }
        } else if !body.is_empty() || head.totals.is_some() {
            return Err(damaged("it has rows without a layout"));
        }
        Ok((Self { head, sample, grid: None }, None))
    }

    /// Evicts rows beyond the budget, and has sums of all from there on.
    fn shrink(&mut self, layout: &Layout, kept: &BTreeSet<u64>) {
        let limit = limit(layout);
        self.sample.settle();
        if self.sample.len() <= limit {
            return;
        }
        if layout.is_of_grid() {
            self.fill_grid(layout);
            return;
        }
        if self.head.totals.is_none() {
            let mut totals = Totals::new(layout, true);
            add_sample(&mut totals, layout, &self.sample, kept);
            self.head.totals = Some(totals);
        }
        self.sample.shrink(limit);
    }

    /// Adds rows that are in a grid, and have no layout and no number yet.
    pub(crate) fn take_over(&mut self, other: Self, layout: &Layout) {
        self.head.n_unlabeled += other.head.n_unlabeled;
        self.head.add_readings(0, other.head.n_read[0]);
        self.head.add_scaled(0, other.head.n_scaled[0]);
        self.grid = other.grid;
        self.fill_grid(layout);
    }

    /// Puts the kept rows into the grid, now that they will not be all.
    pub(crate) fn fill_grid(&mut self, layout: &Layout) -> &mut Grid {
        let mut rows = std::mem::take(&mut self.sample);
        rows.settle();
        let grid = self.grid.get_or_insert_with(|| Grid::new(layout));
        grid.add_rows(layout, &rows);
        self.head.has_grid = true;
        grid
    }
}

/// Returns two states as the bytes of one: a version, the length of the first, and both.
pub(crate) fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&[VERSION], &(first.len() as u64).to_le_bytes()[..], first, second].concat()
}

/// Returns the two states that [`pair`] joined.
pub(crate) fn unpair(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let split = || {
        let (length, both) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
        both.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    };
    split().ok_or_else(|| damaged("it is not one of two kinds of rows"))
}

fn damaged(why: &str) -> Error {
    Error::input(format!("cannot read the state of `metrics`: {why}"))
        .with_help("compute it again with this version of the plugin")
}

fn limit(layout: &Layout) -> usize {
    if layout.is_of_documents() { sample::wide_limit(layout.width()) } else { sample::limit(layout.width()) }
}

fn add_sample(totals: &mut Totals, layout: &Layout, sample: &Sample, kept: &BTreeSet<u64>) {
    for (_, words, count) in sample.iter() {
        totals.add(layout, words, count, |key| kept.contains(&key));
    }
}

fn describe(layout: &Layout) -> String {
    let outputs: Vec<_> = layout.models.iter().map(|it| it.output.as_str()).collect();
    let weights = if layout.has_weights { "with" } else { "without" };
    format!(
        "outputs {outputs:?}, {} classes, {weights} weights, slice columns {:?}",
        layout.classes.len(),
        layout.slice_columns
    )
}
