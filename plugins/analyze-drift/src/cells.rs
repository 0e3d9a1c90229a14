//! The rows of one role, cut into chunks and slices: a profile of each.
//!
//! The bytes follow from the multiset of rows alone, as those of a profile do: there is one profile of each chunk and slice that has
//! rows, in a fixed order, and all else are sums.

use std::{collections::BTreeMap, ops::Range};

use modelwatch_profile::{Key, Profile};
use modelwatch_sdk::{
    Error, RecordBatch, Result, Role, chunks,
    rows::pick,
    slices::{Cut, by_columns},
    state::{Reader, Writer, damaged},
};

use crate::{config::Config, cutting::Cutting, side};

/// Where chunks can begin: from the week in which the year 0 begins to the end of the year 9999.
const CALENDAR: Range<i64> = -62_168_000_000..253_402_300_800;

/// A chunk of a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// The slice, as `column=value`; all rows without it.
    pub(crate) slice: Option<String>,
    /// The first second of the chunk; the whole time without it.
    pub(crate) chunk: Option<i64>,
}

/// The rows of one role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    rows: u64,
    n_untimed: u64,
    n_unsliced: BTreeMap<String, u64>,
    profiles: BTreeMap<Cell, Profile>,
}

impl Cells {
    /// Takes in a batch.
    ///
    /// # Errors
    /// When it lacks what it is to be cut by, or there are too many chunks and slices.
    pub(crate) fn update(&mut self, config: &Config, cutting: &Cutting, role: Role, batch: &RecordBatch) -> Result<()> {
        if let Some(rows) = side::profiled(batch) {
            self.rows = self.rows.saturating_add(rows);
            return side::update(self.profiles.entry(Cell { slice: None, chunk: None }).or_default(), config, batch);
        }
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
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
            *self.n_unsliced.entry(cut.group.clone()).or_default() += n_unsliced;
            places.extend(by_cell(Some(cut), starts.as_deref(), batch.num_rows()));
        }
        // Before any of them is made: a column of ids would be a slice for each row.
        let n_new = places.keys().filter(|it| !self.profiles.contains_key(it)).count();
        check_size(cutting, self.n_columns() + n_new * side::n_columns(config, batch))?;
        for (cell, places) in places {
            side::update(self.profiles.entry(cell).or_default(), config, &pick(batch, &places)?)?;
        }
        check_size(cutting, self.n_columns())
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different options, or there are too many chunks and slices in both.
    pub(crate) fn merge(&mut self, cutting: &Cutting, other: Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        self.n_untimed = self.n_untimed.saturating_add(other.n_untimed);
        for (column, n) in other.n_unsliced {
            let mine = self.n_unsliced.entry(column).or_default();
            *mine = mine.saturating_add(n);
        }
        for (cell, profile) in other.profiles {
            self.profiles.entry(cell).or_default().merge(profile)?;
        }
        check_size(cutting, self.n_columns())
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns how many rows have no time, and are in no chunk.
    pub(crate) fn n_untimed(&self) -> u64 {
        self.n_untimed
    }

    /// Returns how many rows have no value in each slice column, and are in none of its slices.
    pub(crate) fn n_unsliced(&self) -> &BTreeMap<String, u64> {
        &self.n_unsliced
    }

    /// Returns the chunks and slices that have rows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Cell> {
        self.profiles.keys()
    }

    /// Returns the chunks of a slice that have rows, first to last.
    pub(crate) fn chunks_of(&self, slice: Option<&str>) -> impl Iterator<Item = (Option<i64>, &Profile)> {
        let first = Cell { slice: slice.map(str::to_owned), chunk: None };
        let slice = first.slice.clone();
        self.profiles.range(first..).take_while(move |it| it.0.slice == slice).map(|it| (it.0.chunk, it.1))
    }

    /// Returns the columns and outputs of all rows.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Key> {
        self.chunks_of(None).flat_map(|it| it.1.columns().keys())
    }

    /// Appends the state; equal rows give equal bytes.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.rows);
        writer.u64(self.n_untimed);
        writer.u64(self.n_unsliced.len() as u64);
        for (column, n) in &self.n_unsliced {
            writer.bytes(column.as_bytes());
            writer.u64(*n);
        }
        writer.u64(self.profiles.len() as u64);
        for (cell, profile) in &self.profiles {
            writer.u8(u8::from(cell.slice.is_some()));
            cell.slice.iter().for_each(|it| writer.bytes(it.as_bytes()));
            writer.u8(u8::from(cell.chunk.is_some()));
            // The bits are those of the signed number.
            cell.chunk.iter().for_each(|it| writer.u64(*it as u64));
            profile.write(writer);
        }
    }

    /// Takes a state, and leaves what follows.
    ///
    /// # Errors
    /// When the bytes are no state.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self { rows: reader.u64()?, n_untimed: reader.u64()?, ..Self::default() };
        for _ in 0..reader.u64()? {
            let column = reader.text()?.to_owned();
            res.n_unsliced.insert(column, reader.u64()?);
        }
        for _ in 0..reader.u64()? {
            let slice = if reader.flag()? { Some(reader.text()?.to_owned()) } else { None };
            let chunk = if reader.flag()? { Some(reader.u64()? as i64) } else { None };
            if chunk.is_some_and(|it| !CALENDAR.contains(&it)) {
                return Err(damaged("a chunk is outside of the calendar"));
            }
            let cell = Cell { slice, chunk };
            if res.profiles.last_key_value().is_some_and(|it| *it.0 >= cell) {
                return Err(damaged("its chunks and slices are out of order"));
            }
            res.profiles.insert(cell, Profile::read(reader)?);
        }
        Ok(res)
    }

    fn n_columns(&self) -> usize {
        self.profiles.values().map(|it| it.columns().len()).sum()
    }
}

fn check_size(cutting: &Cutting, n_columns: usize) -> Result<()> {
    if n_columns as u64 <= cutting.max_cells {
        return Ok(());
    }
    let most = cutting.max_cells;
    Err(Error::input(format!("the chunks and slices of one role have more than {most} columns, all of which are kept"))
        .with_help("cut by longer periods in `chunk`, name fewer `slices` or `columns`, or raise `max_cells`"))
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
