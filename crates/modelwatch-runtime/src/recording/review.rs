//! What was recorded before against what is to be recorded now.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use modelwatch_sdk::rows;

use super::{BATCH_ROWS, RecordError};
use crate::data::{Batches, Dataset, Scan};

/// The worst rows that are kept.
const WORST: usize = 5;

/// What changes in a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Review {
    /// By output.
    pub outputs: BTreeMap<String, OutputReview>,
}

impl Review {
    /// Returns whether anything changes.
    pub fn has_changes(&self) -> bool {
        self.outputs.values().any(|it| it.is_new || it.changed_rows > 0)
    }
}

/// What changes in the recording of an output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputReview {
    /// Whether it was not recorded before.
    pub is_new: bool,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows in which any element is another number.
    pub changed_rows: u64,
    /// The greatest |now − before|; infinite where one alone is finite, or the widths differ.
    pub max_absolute: f64,
    /// The greatest |now − before| / |before|.
    pub max_relative: f64,
    /// The rows that change most, worst first.
    pub worst: Vec<WorstRow>,
}

/// A row that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct WorstRow {
    /// The id, or the number of the row where the data has none.
    pub row: String,
    /// Which element of the output changes most.
    pub element: usize,
    /// What was recorded.
    pub before: f64,
    /// What is recorded now.
    pub now: f64,
    /// By how much they differ.
    pub difference: f64,
}

/// Reads what was recorded, row by row beside what is now.
pub(super) struct Reviewer<'a> {
    path: PathBuf,
    columns: &'a BTreeMap<String, String>,
    id: Option<String>,
    batches: Batches,
    /// What was read and not compared yet.
    rest: Option<RecordBatch>,
    n_rows: u64,
    review: Review,
}

impl<'a> Reviewer<'a> {
    pub(super) fn open(
        path: &Path,
        columns: &'a BTreeMap<String, String>,
        id: Option<&str>,
    ) -> Result<Self, RecordError> {
        let pattern = path.to_string_lossy();
        let dataset = Dataset::open(&pattern, None)?;
        let has = |name: &str| dataset.schema().index_of(name).is_ok();
        let mut review = Review::default();
        for (output, column) in columns {
            let is_new = !has(column);
            review.outputs.insert(output.clone(), OutputReview { is_new, ..OutputReview::default() });
        }
        let id = id.filter(|it| has(it)).map(str::to_owned);
        let mut wanted: Vec<String> = columns.values().filter(|it| has(it)).chain(&id).cloned().collect();
        // Rows are counted by reading at least one column.
        if wanted.is_empty() {
            wanted.extend(dataset.schema().fields().first().map(|it| it.name().clone()));
        }
        let batches = dataset.batches(&Scan { columns: wanted, batch_rows: BATCH_ROWS })?;
        Ok(Self { path: path.to_owned(), columns, id, batches, rest: None, n_rows: 0, review })
    }

    /// Compares the next rows.
    pub(super) fn add(&mut self, now: &RecordBatch) -> Result<(), RecordError> {
        let mut done = 0;
        while done < now.num_rows() {
            let Some(before) = self.read()? else {
                return Err(self.other(format!("only {} rows were recorded", self.n_rows)));
            };
            let n = before.num_rows().min(now.num_rows() - done);
            self.compare(&before.slice(0, n), &now.slice(done, n))?;
            self.rest = (n < before.num_rows()).then(|| before.slice(n, before.num_rows() - n));
            self.n_rows += n as u64;
            done += n;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Review, RecordError> {
        match self.read()? {
            Some(_) => Err(self.other(format!("more than {} rows were recorded", self.n_rows))),
            None => Ok(self.review),
        }
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, RecordError> {
        loop {
            let next = match self.rest.take() {
                Some(it) => Some(it),
                None => self.batches.next().transpose()?,
            };
            // A file may have batches without rows.
            if next.as_ref().is_none_or(|it| it.num_rows() > 0) {
                return Ok(next);
            }
        }
    }

    fn compare(&mut self, before: &RecordBatch, now: &RecordBatch) -> Result<(), RecordError> {
        let (names, recorded) = (self.names(now)?, self.names(before)?);
        if let Some(at) = (0..names.len()).find(|&it| self.id.is_some() && names[it] != recorded[it]) {
            let row = self.n_rows + at as u64;
            return Err(self.other(format!("row {row} has the id `{}`, recorded is `{}`", names[at], recorded[at])));
        }
        for (output, column) in self.columns {
            let Some(review) = self.review.outputs.get_mut(output).filter(|it| !it.is_new) else { continue };
            let unreadable =
                |e: modelwatch_sdk::Error| RecordError::Output { output: output.clone(), reason: e.message };
            let [old, new] = [before, now].map(|it| it.column_by_name(column));
            let (Some(old), Some(new)) = (old, new) else { continue };
            let (old, new) = (rows::numbers(old).map_err(unreadable)?, rows::numbers(new).map_err(unreadable)?);
            for (row, name) in names.iter().enumerate() {
                review.add(name, old.row(row), new.row(row));
            }
        }
        Ok(())
    }

    /// Returns what each row is called.
    fn names(&self, batch: &RecordBatch) -> Result<Vec<String>, RecordError> {
        let Some(column) = self.id.as_ref().and_then(|it| batch.column_by_name(it)) else {
            return Ok((0..batch.num_rows() as u64).map(|it| (self.n_rows + it).to_string()).collect());
        };
        let texts = rows::texts(column)?;
        Ok(texts.into_iter().map(|it| it.map_or_else(|| "null".to_owned(), |it| it.into_owned())).collect())
    }

    fn other(&self, reason: String) -> RecordError {
        RecordError::OtherRows { path: self.path.clone(), reason }
    }
}

impl OutputReview {
    fn add(&mut self, row: &str, before: &[f64], now: &[f64]) {
        self.rows += 1;
        let mut worst: Option<WorstRow> = None;
        let at = |values: &[f64], it: usize| values.get(it).copied().unwrap_or(f64::NAN);
        for element in 0..before.len().max(now.len()) {
            let (old, new) = (at(before, element), at(now, element));
            let is_there = element < before.len() && element < now.len();
            if is_there && (old == new || (old.is_nan() && new.is_nan())) {
                continue;
            }
            let plain = (new - old).abs();
            let difference = if plain.is_finite() { plain } else { f64::INFINITY };
            self.max_absolute = self.max_absolute.max(difference);
            self.max_relative = self.max_relative.max(difference / old.abs());
            if worst.as_ref().is_none_or(|it| difference > it.difference) {
                worst = Some(WorstRow { row: row.to_owned(), element, before: old, now: new, difference });
            }
        }
        if let Some(it) = worst {
            self.changed_rows += 1;
            let place = self.worst.partition_point(|other| other.difference >= it.difference);
            self.worst.insert(place, it);
            self.worst.truncate(WORST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_change_are_counted_and_the_worst_named() {
        let mut review = OutputReview::default();
        review.add("a", &[1.0, 2.0], &[1.0, 2.0]);
        review.add("b", &[1.0, 2.0], &[1.5, 2.25]);
        review.add("c", &[4.0, f64::NAN], &[4.0, f64::NAN]);
        review.add("d", &[0.25, 1.0], &[1.0, 1.0]);
        assert_eq!((review.rows, review.changed_rows), (4, 2));
        assert_eq!((review.max_absolute, review.max_relative), (0.75, 3.0));
        let worst: Vec<_> = review.worst.iter().map(|it| (it.row.as_str(), it.element, it.difference)).collect();
        assert_eq!(worst, [("d", 0, 0.75), ("b", 0, 0.5)]);
    }

    #[test]
    fn what_is_not_finite_or_of_another_width_is_infinitely_far() {
        for (before, now) in
            [(&[1.0][..], &[f64::NAN][..]), (&[f64::INFINITY], &[1.0]), (&[1.0], &[1.0, 1.0]), (&[1.0, 1.0], &[1.0])]
        {
            let mut review = OutputReview::default();
            review.add("a", before, now);
            assert_eq!((review.changed_rows, review.max_absolute), (1, f64::INFINITY), "{before:?} {now:?}");
        }
    }

    #[test]
    fn only_the_worst_rows_are_kept() {
        let mut review = OutputReview::default();
        (0..50).for_each(|it| review.add(&it.to_string(), &[0.0], &[f64::from(it % 13)]));
        let rows: Vec<_> = review.worst.iter().map(|it| it.row.as_str()).collect();
        assert_eq!(rows, ["12", "25", "38", "11", "24"]);
        assert_eq!(review.max_relative, f64::INFINITY);
    }
}
