//! The rows of one role, cut into chunks of time and slices: a state of each, whatever a probe keeps.
//!
//! A probe says what it keeps of some rows by [`Fold`], and has chunks, slices and reference windows by [`Cells`] and [`series()`].
//! The bytes follow from the multiset of rows alone where those of a state do: there is one state of each chunk and slice that has
//! rows, in a fixed order, and all else are sums.
//!
//! There are no chunks by size or count: these follow the order of the rows.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
};

use arrow_array::RecordBatch;

use crate::{
    chunks::{self, Period},
    error::{Error, Result},
    probe::Role,
    rows::{pick, profiled_rows},
    slices::{Cut, by_columns},
    state::{Reader, Writer, damaged},
};

mod cutting;
mod report;
mod series;
mod windows;

pub use self::{
    cutting::{Cutting, CuttingOptions, ReferenceWindow, Window},
    report::{
        Across, Along, Found, across, coverage, gaps, known, listed, report, row_gaps, together, unjudged, without_year,
    },
    series::{Compared, Series, Unit, series},
    windows::Windows,
};

/// What a probe keeps of rows: a state that grows by batches, and merges.
pub trait Fold {
    /// What is kept.
    type State: Clone;

    /// Returns the state of no rows.
    fn empty(&self) -> Self::State;

    /// Takes in a batch.
    ///
    /// # Errors
    /// When the batch is not as it should be.
    fn update(&self, state: &mut Self::State, batch: &RecordBatch) -> Result<()>;

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different options.
    fn merge(&self, state: &mut Self::State, other: Self::State) -> Result<()>;

    /// Appends the state.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, state: &Self::State, writer: &mut Writer) -> Result<()>;

    /// Takes a state, and leaves what follows.
    ///
    /// # Errors
    /// When the bytes are no state.
    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::State>;

    /// Returns how many rows the state has seen.
    fn rows(&self, state: &Self::State) -> u64;

    /// Returns how many columns the state keeps.
    fn n_columns(&self, state: &Self::State) -> usize;

    /// Returns how many columns are kept of a batch, as [`Fold::n_columns`] counts them.
    ///
    /// # Errors
    /// When the batch is not as it should be.
    fn n_columns_of(&self, batch: &RecordBatch) -> Result<usize>;
}

/// Where chunks can begin: from the week in which the year 0 begins to the end of the year 9999.
const CALENDAR: Range<i64> = -62_168_000_000..253_402_300_800;

/// A chunk of a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The slice, as `column=value`; all rows without it.
    pub slice: Option<String>,
    /// The first second of the chunk; the whole time without it.
    pub chunk: Option<i64>,
}

/// The rows of one role.
#[derive(Clone, Debug)]
pub struct Cells<S> {
    rows: u64,
    n_untimed: u64,
    n_unsliced: BTreeMap<String, u64>,
    states: BTreeMap<Cell, S>,
}

impl<S> Default for Cells<S> {
    fn default() -> Self {
        Self { rows: 0, n_untimed: 0, n_unsliced: BTreeMap::new(), states: BTreeMap::new() }
    }
}

impl<S: Clone> Cells<S> {
    /// Takes in a batch.
    ///
    /// # Errors
    /// When it lacks what it is to be cut by, or there are too many chunks and slices.
    pub fn update<F: Fold<State = S>>(
        &mut self,
        fold: &F,
        cutting: &Cutting,
        role: Role,
        batch: &RecordBatch,
    ) -> Result<()> {
        let profiled = batch.schema_ref().fields().iter().find_map(|it| profiled_rows(it));
        self.rows = self.rows.saturating_add(profiled.unwrap_or(batch.num_rows() as u64));
        if profiled.is_some() || (cutting.slices.is_empty() && cutting.period_of(role).is_none()) {
            let all = Cell { slice: None, chunk: None };
            return fold.update(self.states.entry(all).or_insert_with(|| fold.empty()), batch);
        }
        let starts = cutting.period_of(role).map(|period| -> Result<Vec<Option<i64>>> {
            Ok(chunks::seconds(batch)?.into_iter().map(|it| period.start(it)).collect())
        });
        let starts = starts.transpose()?;
        let n_untimed = starts.iter().flatten().filter(|it| it.is_none()).count();
        self.n_untimed = self.n_untimed.saturating_add(n_untimed as u64);
        let cuts = by_columns(&cutting.slices, batch)?;
        let mut places = by_cell(None, starts.as_deref(), batch.num_rows());
        for cut in &cuts {
            let n_unsliced = cut.rows.iter().filter(|it| it.is_none()).count() as u64;
            let mine = self.n_unsliced.entry(cut.group.clone()).or_default();
            *mine = mine.saturating_add(n_unsliced);
            places.extend(by_cell(Some(cut), starts.as_deref(), batch.num_rows()));
        }
        // Before any of them is made: a column of ids would be a slice for each row.
        self.check_size(fold, cutting, places.keys(), fold.n_columns_of(batch)?)?;
        for (cell, places) in places {
            fold.update(self.states.entry(cell).or_insert_with(|| fold.empty()), &pick(batch, &places)?)?;
        }
        self.check_size(fold, cutting, [], 0)
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different options, or there are too many chunks and slices in both.
    pub fn merge<F: Fold<State = S>>(&mut self, fold: &F, cutting: &Cutting, other: Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        self.n_untimed = self.n_untimed.saturating_add(other.n_untimed);
        for (column, n) in other.n_unsliced {
            let mine = self.n_unsliced.entry(column).or_default();
            *mine = mine.saturating_add(n);
        }
        for (cell, state) in other.states {
            match self.states.entry(cell) {
                Entry::Vacant(it) => drop(it.insert(state)),
                Entry::Occupied(mut it) => fold.merge(it.get_mut(), state)?,
            }
        }
        self.check_size(fold, cutting, [], 0)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns how many rows have no time, and are in no chunk.
    pub fn n_untimed(&self) -> u64 {
        self.n_untimed
    }

    /// Returns how many rows have no value in each slice column, and are in none of its slices.
    pub fn n_unsliced(&self) -> &BTreeMap<String, u64> {
        &self.n_unsliced
    }

    /// Returns the column that makes a slice.
    pub fn column_of(&self, slice: &str) -> Option<&str> {
        let makes = |it: &&String| slice.strip_prefix(it.as_str()).is_some_and(|rest| rest.starts_with('='));
        self.n_unsliced.keys().find(makes).map(String::as_str)
    }

    /// Returns the chunks and slices that have rows.
    pub fn keys(&self) -> impl Iterator<Item = &Cell> {
        self.states.keys()
    }

    /// Returns the chunks of a slice that have rows, first to last.
    pub fn chunks_of(&self, slice: Option<&str>) -> impl Iterator<Item = (Option<i64>, &S)> {
        let first = Cell { slice: slice.map(str::to_owned), chunk: None };
        let slice = first.slice.clone();
        self.states.range(first..).take_while(move |it| it.0.slice == slice).map(|it| (it.0.chunk, it.1))
    }

    /// Appends the state; equal rows give equal bytes.
    ///
    /// # Errors
    /// When a state cannot be written.
    pub fn write<F: Fold<State = S>>(&self, fold: &F, writer: &mut Writer) -> Result<()> {
        writer.u64(self.rows);
        writer.u64(self.n_untimed);
        writer.u64(self.n_unsliced.len() as u64);
        for (column, n) in &self.n_unsliced {
            writer.bytes(column.as_bytes());
            writer.u64(*n);
        }
        writer.u64(self.states.len() as u64);
        for (cell, state) in &self.states {
            writer.u8(u8::from(cell.slice.is_some()));
            cell.slice.iter().for_each(|it| writer.bytes(it.as_bytes()));
            writer.u8(u8::from(cell.chunk.is_some()));
            // The bits are those of the signed number.
            cell.chunk.iter().for_each(|it| writer.u64(*it as u64));
            fold.write(state, writer)?;
        }
        Ok(())
    }

    /// Takes a state of the rows of a role, and leaves what follows.
    ///
    /// # Errors
    /// When the bytes are no state, or rows that are cut so do not have it.
    pub fn read<F: Fold<State = S>>(fold: &F, cutting: &Cutting, role: Role, reader: &mut Reader<'_>) -> Result<Self> {
        let period = cutting.period_of(role);
        let mut res = Self { rows: reader.u64()?, n_untimed: reader.u64()?, ..Self::default() };
        for _ in 0..reader.u64()? {
            let column = reader.text()?.to_owned();
            if res.n_unsliced.last_key_value().is_some_and(|it| *it.0 >= column) {
                return Err(damaged("its slice columns are out of order"));
            }
            res.n_unsliced.insert(column, reader.u64()?);
        }
        for _ in 0..reader.u64()? {
            let slice = if reader.flag()? { Some(reader.text()?.to_owned()) } else { None };
            let chunk = if reader.flag()? { Some(reader.u64()? as i64) } else { None };
            if chunk.is_some_and(|it| !CALENDAR.contains(&it)) {
                return Err(damaged("a chunk is outside of the calendar"));
            }
            if slice.as_ref().is_some_and(|it| res.column_of(it).is_none()) {
                return Err(damaged("no column makes one of its slices"));
            }
            if chunk.is_some() != period.is_some() || chunk.is_some_and(|it| !is_start(period, it)) {
                return Err(damaged("a chunk is none of the options"));
            }
            let cell = Cell { slice, chunk };
            if res.states.last_key_value().is_some_and(|it| *it.0 >= cell) {
                return Err(damaged("its chunks and slices are out of order"));
            }
            let state = fold.read(reader)?;
            res.states.insert(cell, state);
        }
        Ok(res)
    }

    /// Checks that what is kept is within its bound once there are these cells, too, each of so many columns.
    ///
    /// A cell without columns counts as one: its rows are counted. Rows that nothing cuts have no bound.
    fn check_size<'a, F: Fold<State = S>>(
        &self,
        fold: &F,
        cutting: &Cutting,
        cells: impl IntoIterator<Item = &'a Cell>,
        n_columns_of_each: usize,
    ) -> Result<()> {
        let added: Vec<&Cell> = cells.into_iter().filter(|it| !self.states.contains_key(it)).collect();
        let is_cut = |it: &Cell| it.slice.is_some() || it.chunk.is_some();
        if !self.states.keys().chain(added.iter().copied()).any(is_cut) {
            return Ok(());
        }
        let kept: usize = self.states.values().map(|it| fold.n_columns(it).max(1)).sum();
        let n_columns = kept.saturating_add(added.len().saturating_mul(n_columns_of_each.max(1)));
        let most = cutting.max_cells;
        if n_columns as u64 <= most {
            return Ok(());
        }
        let message = format!("the chunks and slices of one role have more than {most} columns, all of which are kept");
        Err(Error::input(message)
            .with_help("cut by longer periods in `chunk`, name fewer `slices` or `columns`, or raise `max_cells`"))
    }
}

/// Returns whether a period begins in that second.
fn is_start(period: Option<Period>, second: i64) -> bool {
    period.and_then(|it| it.start(second as f64)) == Some(second)
}

/// Returns the places of the rows of each cell; rows without a time or a value are in none.
fn by_cell(cut: Option<&Cut>, starts: Option<&[Option<i64>]>, n_rows: usize) -> BTreeMap<Cell, Vec<usize>> {
    let mut places: BTreeMap<(usize, Option<i64>), Vec<usize>> = BTreeMap::new();
    for row in 0..n_rows {
        let Some(slice) = cut.map_or(Some(0), |it| it.rows[row]) else { continue };
        let chunk = starts.and_then(|it| it[row]);
        if starts.is_some() && chunk.is_none() {
            continue;
        }
        places.entry((slice, chunk)).or_default().push(row);
    }
    let cell = |(slice, chunk): (usize, Option<i64>)| Cell { slice: cut.map(|it| it.names[slice].clone()), chunk };
    places.into_iter().map(|(key, places)| (cell(key), places)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray, TimestampSecondArray};

    use super::*;
    use crate::{
        report::{Finding, Metric, Report, Severity},
        rows::Use,
        testing,
    };

    /// Keeps how many rows there are, which counts as so many columns.
    struct Count(usize);

    impl Fold for Count {
        type State = u64;

        fn empty(&self) -> u64 {
            0
        }

        fn update(&self, state: &mut u64, batch: &RecordBatch) -> Result<()> {
            *state += batch.num_rows() as u64;
            Ok(())
        }

        fn merge(&self, state: &mut u64, other: u64) -> Result<()> {
            *state += other;
            Ok(())
        }

        fn write(&self, state: &u64, writer: &mut Writer) -> Result<()> {
            writer.u64(*state);
            Ok(())
        }

        fn read(&self, reader: &mut Reader<'_>) -> Result<u64> {
            reader.u64()
        }

        fn rows(&self, state: &u64) -> u64 {
            *state
        }

        fn n_columns(&self, _: &u64) -> usize {
            self.0
        }

        fn n_columns_of(&self, _: &RecordBatch) -> Result<usize> {
            Ok(self.0)
        }
    }

    fn options(slices: &[String], max_cells: u64) -> CuttingOptions<'_> {
        CuttingOptions {
            chunk: Some(chunks::Chunks::Period(Period::Day)),
            reference_window: ReferenceWindow::Rolling,
            rolling_chunks: Some(1),
            season: None,
            slices,
            min_chunk_rows: 2,
            min_slice_size: 2,
            max_cells,
        }
    }

    fn fixed(slices: &[String]) -> CuttingOptions<'_> {
        CuttingOptions { reference_window: ReferenceWindow::Fixed, rolling_chunks: None, ..options(slices, 5) }
    }

    fn cutting(slices: &[String], max_cells: u64) -> Cutting {
        Cutting::new(options(slices, max_cells)).unwrap()
    }

    /// Rows of three days: two, three without a time in one of them, and one.
    fn rows() -> RecordBatch {
        let days: ArrayRef = Arc::new(TimestampSecondArray::from(
            [Some(0), Some(1), Some(1), Some(1), None, Some(2)].map(|it| it.map(|it| it * 86_400)).to_vec(),
        ));
        let regions: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("b"), None, Some("b"), Some("b")]));
        testing::batch(vec![("at", &[Use::Timestamp], days), ("region", &[Use::Slice], regions)])
    }

    fn names() -> Vec<String> {
        vec!["region".to_owned()]
    }

    #[test]
    fn parts_in_any_order_are_the_same_bytes_as_the_whole() {
        let names = names();
        let (cutting, rows) = (cutting(&names, 100), rows());
        let of = |batches: &[RecordBatch]| {
            let mut res = Cells::default();
            batches.iter().for_each(|it| res.update(&Count(1), &cutting, Role::Current, it).unwrap());
            res
        };
        let bytes = |cells: &Cells<u64>| {
            let mut writer = Writer::default();
            cells.write(&Count(1), &mut writer).unwrap();
            writer.0
        };
        let whole = of(std::slice::from_ref(&rows));
        let found: Vec<_> = whole.keys().map(|it| (it.slice.as_deref(), it.chunk.map(|it| it / 86_400))).collect();
        let (a, b) = (Some("region=a"), Some("region=b"));
        assert_eq!(
            found,
            [(None, Some(0)), (None, Some(1)), (None, Some(2)), (a, Some(0)), (b, Some(1)), (b, Some(2))]
        );
        assert_eq!((whole.rows(), whole.n_untimed(), whole.n_unsliced()["region"]), (6, 1, 1));
        let mut merged = of(&[rows.slice(3, 3)]);
        merged.merge(&Count(1), &cutting, of(&[rows.slice(2, 1), rows.slice(0, 2)])).unwrap();
        assert_eq!(bytes(&merged), bytes(&whole));
        let bytes = bytes(&whole);
        let mut reader = Reader(&bytes);
        let read = Cells::read(&Count(1), &cutting, Role::Current, &mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(read.chunks_of(b).map(|it| *it.1).collect::<Vec<_>>(), [2, 1]);
        let is_read = |cutting: &Cutting, bytes: &[u8]| {
            Cells::read(&Count(1), cutting, Role::Current, &mut Reader(bytes)).is_ok()
        };
        assert!((0..bytes.len()).all(|it| !is_read(&cutting, &bytes[..it])));
        // No chunk of these is a week, and none of a whole has a chunk.
        let of = |chunk| Cutting::new(CuttingOptions { chunk, ..fixed(&names) }).unwrap();
        let week = of(Some(chunks::Chunks::Period(Period::Week)));
        assert!(is_read(&cutting, &bytes) && !is_read(&week, &bytes) && !is_read(&of(None), &bytes));
        // Nor are there slices without a column.
        let place = bytes.windows(6).position(|it| it == b"region").unwrap();
        let mut other = bytes.clone();
        other[place] = b'x';
        assert!(!is_read(&cutting, &other));
    }

    #[test]
    fn every_chunk_is_compared_with_its_window_or_says_why_not() {
        let cutting = cutting(&names(), 100);
        let (reference, mut current) = (Cells::default(), Cells::default());
        current.update(&Count(1), &cutting, Role::Current, &rows()).unwrap();
        let found = series(&Count(1), &cutting, &(), [&reference, &current], |window, rows| {
            Ok(window.map(|window| format!("{rows} with {window}")))
        })
        .unwrap();
        let said: Vec<Vec<_>> = found
            .iter()
            .map(|it| it.units.iter().map(|it| it.outcome.clone().unwrap_or_else(|why| why)).collect())
            .collect();
        let few = |n: u64| format!("{n} rows, fewer than `min_chunk_rows`, 2");
        assert_eq!(said[0], [few(1), format!("it is compared with {}", few(1)), few(1)]);
        assert_eq!(found[1].why_not.as_deref(), Some("it has 1 current rows, fewer than `min_slice_size`, 2"));
        assert_eq!(said[2], [few(0), "there is no day before it".to_owned(), few(1)]);
        let judged = Series { units: Vec::new(), ..found[0].clone() };
        let of = |series: &[Series<String>]| {
            let numbers = coverage(&cutting, series, |_| true);
            let unjudged: Vec<_> = unjudged(&numbers).into_iter().map(|it| it.metric).collect();
            (numbers.into_iter().map(|it| (it.name, it.value, it.n)).collect::<Vec<_>>(), unjudged)
        };
        let (numbers, none) = of(&[judged, found[1].clone()]);
        let number = |name: &str, value| (name.to_owned(), value, 0);
        let of_all =
            [number("slices", 1.0), number("judged_slices", 0.0), number("chunks", 0.0), number("judged_chunks", 0.0)];
        assert_eq!(
            (numbers[..4].to_vec(), none),
            (of_all.to_vec(), vec!["judged_slices".to_owned(), "judged_chunks".to_owned()])
        );
    }

    #[test]
    fn only_the_last_chunks_are_drawn() {
        let days: Vec<String> = (1..32).map(|it| format!("2026-03-{it:02}")).collect();
        let of = |day: &String| Metric::new("share", 0.5).label("column", "x").label("chunk", day.as_str());
        let report = Report { metrics: days.iter().map(of).collect(), ..Report::default() };
        let found = across(&report, "share", "column", Along::Chunks);
        // The year stands above all of them.
        assert_eq!((found.label.as_str(), found.columns[0].as_str(), found.columns.len()), ("2026", "03-02", 30));
        assert_eq!((found.rows[0].1.len(), found.left_out.as_str()), (30, " 1 earlier chunks are left out."));
        assert_eq!(across(&report, "share", "column", Along::Slices).rows, []);
    }

    #[test]
    fn the_foremost_chunk_is_the_one_with_the_largest_finding() {
        let cutting = cutting(&[], 100);
        let unit = |name: &str, share: f64| {
            let finding = Finding::new("T-1", Severity::Warning, "x", format!("{share}")).evidence("share", share);
            let outcome = Ok(Report { findings: vec![finding], ..Report::default() });
            Unit { name: Some(name.to_owned()), n_current: 10, n_reference: 10, outcome }
        };
        let units = vec![unit("monday", 0.4), unit("tuesday", 1.0), unit("wednesday", 0.5)];
        let series = [Series { slice: None, units, why_not: None }];
        let none: Cells<u64> = Cells::default();
        let share = |it: &Finding| it.evidence["share"].as_f64().unwrap_or_default();
        let report = report(&cutting, [&none, &none], &series, |_| true, share);
        assert!(report.findings[0].message.ends_with("foremost in tuesday, 1"), "{}", report.findings[0].message);
    }

    #[test]
    fn a_slice_for_each_row_is_refused_before_it_is_kept() {
        let mut cells: Cells<u64> = Cells::default();
        let error = cells.update(&Count(1), &cutting(&names(), 5), Role::Current, &rows()).unwrap_err();
        assert!(error.message.contains("more than 5 columns") && cells.keys().next().is_none(), "{error}");
    }

    fn of(fold: &Count, cutting: &Cutting, role: Role, batch: &RecordBatch) -> Result<Cells<u64>> {
        let mut res = Cells::default();
        res.update(fold, cutting, role, batch)?;
        Ok(res)
    }

    #[test]
    fn as_many_as_are_allowed_are_kept_in_one_batch_and_in_several() {
        // Of all rows three chunks, of `a` one, and of `b` two.
        let (rows, fold) = (rows(), Count(3));
        for (most, is_enough) in [(18, true), (17, false)] {
            let cutting = cutting(&names(), most);
            assert_eq!(of(&fold, &cutting, Role::Current, &rows).is_ok(), is_enough);
            let mut merged = of(&fold, &cutting, Role::Current, &rows.slice(0, 2)).unwrap();
            let rest = of(&fold, &cutting, Role::Current, &rows.slice(2, 4)).unwrap();
            assert_eq!(merged.merge(&fold, &cutting, rest).is_ok(), is_enough);
        }
    }

    #[test]
    fn cells_of_no_column_count_as_well() {
        assert!(of(&Count(0), &cutting(&names(), 5), Role::Current, &rows()).is_err());
        assert!(of(&Count(0), &cutting(&names(), 6), Role::Current, &rows()).is_ok());
    }

    #[test]
    fn rows_that_are_not_cut_may_have_any_number_of_columns() {
        let fixed = fixed(&[]);
        let whole = CuttingOptions { chunk: None, ..fixed };
        // The reference of a fixed window is not cut.
        for (options, role) in [(whole, Role::Current), (fixed, Role::Reference)] {
            let cutting = Cutting::new(options).unwrap();
            let mut cells = of(&Count(6), &cutting, role, &rows()).unwrap();
            cells.merge(&Count(6), &cutting, cells.clone()).unwrap();
            assert_eq!(cells.rows(), 12);
        }
    }
}
