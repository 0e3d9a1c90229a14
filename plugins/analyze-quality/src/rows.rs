//! A sample of whole rows, for what is between columns and for how far rows are from each other.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    rows::{decimals, numbers},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::weights::Mass;

use crate::{
    kind::{Family, Kind},
    weighed::{Footing, Weights},
};

/// The most values of all rows together.
const MAX_CELLS: u64 = 1_000_000;

/// The rows with the least hashes, each with its number of occurrences; a row is one number per column.
///
/// Which rows are kept depends on the set of different rows alone, as in `KeyTallies`.
#[derive(Clone, Debug)]
pub(crate) struct RowSample {
    max_rows: u64,
    n: u64,
    columns: Option<Vec<String>>,
    /// Batches with other columns came, so that no row is kept.
    is_mismatched: bool,
    is_overflowed: bool,
    rows: BTreeMap<u64, Occurrences>,
}

/// A row and how often it occurs.
#[derive(Clone, Debug)]
pub(crate) struct Occurrences {
    pub(crate) count: u64,
    /// What these weigh, in whole units; 0 where they have no weights.
    mass: u64,
    /// The identifier, where one is kept.
    pub(crate) id: Option<String>,
    /// The bits of a float for numbers (NaN where one is missing), an identity for all else.
    pub(crate) cells: Vec<u64>,
}

impl RowSample {
    pub(crate) fn new(max_rows: u64) -> Self {
        Self { max_rows, n: 0, columns: None, is_mismatched: false, is_overflowed: false, rows: BTreeMap::new() }
    }

    /// Adds rows with their hashes and weights: one list of cells per column, in the order of the names, and the identifiers of those that are kept.
    ///
    /// The identifier is part of the hash, so that it is the same for all occurrences of a row.
    pub(crate) fn update(
        &mut self,
        hashes: &[u64],
        weights: Option<&Weights>,
        columns: &[(&str, Vec<u64>)],
        id: impl Fn(usize) -> Option<String>,
    ) {
        if hashes.is_empty() {
            return;
        }
        self.n = self.n.saturating_add(hashes.len() as u64);
        if !self.agree(columns.iter().map(|it| it.0.to_owned()).collect()) {
            return;
        }
        for (at, hash) in hashes.iter().enumerate() {
            let mass = weights.map_or(0, |it| it.units[at]);
            self.insert(*hash, (1, mass), || id(at), || columns.iter().map(|it| it.1[at]).collect());
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.is_mismatched |= other.is_mismatched;
        if let Some(columns) = &other.columns {
            self.agree(columns.clone());
        }
        if self.is_mismatched {
            self.clear();
            return;
        }
        for (hash, row) in &other.rows {
            self.insert(*hash, (row.count, row.mass), || row.id.clone(), || row.cells.clone());
        }
        // Only now: while this side still knows all its rows, none of the other's may be turned away.
        self.is_overflowed |= other.is_overflowed;
    }

    /// Returns how many rows there were.
    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    /// Returns whether not all of them are here.
    pub(crate) fn is_partial(&self) -> bool {
        self.is_overflowed
    }

    /// Returns the place of a column among the cells.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.as_ref()?.binary_search_by(|it| it.as_str().cmp(column)).ok()
    }

    /// Returns the rows and their hashes, lowest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, &Occurrences)> {
        self.rows.iter().map(|it| (*it.0, it.1))
    }

    /// Returns how much each of the rows counts: what all of its occurrences weigh, or how many these are.
    pub(crate) fn weights(&self, footing: Footing) -> Vec<f64> {
        let weight = |it: &Occurrences| match footing {
            Footing::Count => it.count,
            Footing::Weight => it.mass,
        };
        self.rows.values().map(|it| weight(it) as f64).collect()
    }

    /// Returns how many different rows count at all.
    pub(crate) fn n_counted(&self, footing: Footing) -> usize {
        self.weights(footing).into_iter().filter(|it| *it > 0.0).count()
    }

    /// Returns how many different rows that count alike these are worth: as many as there are, and by weight as many less as Kish has it of
    /// all occurrences, of which those of one row weigh the same.
    pub(crate) fn size(&self, footing: Footing) -> f64 {
        match footing {
            Footing::Count => self.len() as f64,
            Footing::Weight => {
                let sum = |of: fn(&Occurrences) -> f64| self.rows.values().map(of).sum::<f64>();
                let mass = Mass {
                    weight: sum(|it| it.mass as f64),
                    square: sum(|it| (it.mass as f64).powi(2) / it.count as f64),
                };
                self.len() as f64 * mass.size() / sum(|it| it.count as f64)
            }
        }
    }

    /// Returns the number of different rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.n);
        writer.u8(u8::from(self.is_mismatched));
        writer.u8(u8::from(self.is_overflowed));
        writer.u8(u8::from(self.columns.is_some()));
        let columns = self.columns.as_deref().unwrap_or_default();
        writer.u64(columns.len() as u64);
        columns.iter().for_each(|it| writer.bytes(it.as_bytes()));
        writer.u64(self.rows.len() as u64);
        for (hash, row) in &self.rows {
            writer.u64(*hash);
            writer.u64(row.count);
            writer.u64(row.mass);
            writer.u8(u8::from(row.id.is_some()));
            row.id.iter().for_each(|it| writer.bytes(it.as_bytes()));
            row.cells.iter().for_each(|it| writer.u64(*it));
        }
    }

    pub(crate) fn read(max_rows: u64, reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::new(max_rows);
        res.n = reader.u64()?;
        (res.is_mismatched, res.is_overflowed) = (reader.flag()?, reader.flag()?);
        let has_columns = reader.flag()?;
        let columns = (0..reader.u64()?).map(|_| reader.text().map(str::to_owned)).collect::<Result<Vec<_>>>()?;
        if !columns.is_sorted() {
            return Err(damaged("columns are out of order"));
        }
        let n_columns = columns.len();
        res.columns = has_columns.then_some(columns);
        for _ in 0..reader.u64()? {
            let (hash, count, mass) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let id = if reader.flag()? { Some(reader.text()?.to_owned()) } else { None };
            let cells = (0..n_columns).map(|_| reader.u64()).collect::<Result<_>>()?;
            res.rows.insert(hash, Occurrences { count, mass, id, cells });
            if res.rows.len() as u64 > res.cap() {
                return Err(damaged("there are too many rows"));
            }
        }
        Ok(res)
    }

    fn cap(&self) -> u64 {
        let n_columns = self.columns.as_ref().map_or(0, Vec::len).max(1);
        self.max_rows.min(MAX_CELLS / n_columns as u64).max(1)
    }

    /// Takes note of the columns, and returns whether rows are kept.
    fn agree(&mut self, columns: Vec<String>) -> bool {
        match &self.columns {
            Some(it) if *it != columns => self.is_mismatched = true,
            Some(_) => {}
            None => self.columns = Some(columns),
        }
        if self.is_mismatched {
            self.clear();
        }
        !self.is_mismatched
    }

    /// Keeps nothing, so that it does not matter which columns came first.
    fn clear(&mut self) {
        self.columns = Some(Vec::new());
        self.is_overflowed = false;
        self.rows.clear();
    }

    fn insert(
        &mut self,
        hash: u64,
        (count, mass): (u64, u64),
        id: impl FnOnce() -> Option<String>,
        cells: impl FnOnce() -> Vec<u64>,
    ) {
        let is_beyond = self.rows.last_key_value().is_none_or(|last| hash > *last.0);
        if self.is_overflowed && is_beyond {
            return;
        }
        let row = self.rows.entry(hash).or_insert_with(|| Occurrences { count: 0, mass: 0, id: None, cells: cells() });
        row.count = row.count.saturating_add(count);
        row.mass = row.mass.saturating_add(mass);
        // A type that is not written as text may have come first.
        row.id = row.id.take().or_else(id);
        if self.rows.len() as u64 > self.cap() {
            self.rows.pop_last();
            self.is_overflowed = true;
        }
    }
}

/// Returns the cells of a column: see [`Occurrences::cells`].
///
/// # Errors
/// When an array is not what its type says.
pub(crate) fn cells(array: &dyn Array, identities: &[u64]) -> Result<Vec<u64>> {
    if Kind::of(array.data_type()).family() != Some(Family::Numbers) {
        return Ok(identities.to_vec());
    }
    // Adding 0 makes one number of 0 and -0.
    let bits = |it: &f64| (it + 0.0).to_bits();
    Ok(match decimals(array) {
        Some((floats, _)) => numbers(&floats)?.values.iter().map(bits).collect(),
        None => numbers(array)?.values.iter().map(bits).collect(),
    })
}
