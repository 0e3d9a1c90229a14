//! What was recorded before against what is to be recorded now.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use modelwatch_sdk::rows::{self, Number};

use super::{BATCH_ROWS, RecordError};
use crate::data::{Batches, DataError, Dataset, Scan};

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
    /// Whether it is text, of which nothing is near.
    pub is_text: bool,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows in which any element is another number or text.
    pub changed_rows: u64,
    /// The greatest |now − before|; infinite where one alone is finite, the widths or texts differ.
    pub max_absolute: f64,
    /// The greatest |now − before| / |before| of numbers.
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
    /// What was recorded: a number to all its digits, or an excerpt of a text.
    pub before: String,
    /// What is recorded now.
    pub now: String,
    /// By how much they differ; infinitely where there is no number for it.
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
        let dataset = Dataset::open(&pattern, None).map_err(|e| match e {
            DataError::UnknownFormat { .. } | DataError::Empty { .. } => RecordError::Foreign { path: path.to_owned() },
            e => e.into(),
        })?;
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
            if rows::is_numeric(old.data_type()) && rows::is_numeric(new.data_type()) {
                let [old, new] = [rows::exact_numbers(old), rows::exact_numbers(new)];
                let (old, new) = (old.map_err(unreadable)?, new.map_err(unreadable)?);
                for (row, name) in names.iter().enumerate() {
                    review.add(name, old.row(row).map(Element::Number), new.row(row).map(Element::Number));
                }
                continue;
            }
            review.is_text = true;
            let [old, new] = [rows::texts_of_rows(old), rows::texts_of_rows(new)];
            let (old, new) = (old.map_err(unreadable)?, new.map_err(unreadable)?);
            for (row, name) in names.iter().enumerate() {
                let [old, new] = [&old, &new].map(|it| it.row(row).iter().map(|it| Element::Text(it.as_deref())));
                review.add(name, old, new);
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

/// An element of a row.
#[derive(Clone, Copy)]
enum Element<'a> {
    Number(Number),
    Text(Option<&'a str>),
    /// There is none: the rows are of another width.
    Nothing,
}

impl Element<'_> {
    /// Returns how far it is from what was recorded, infinitely where there is no number for it; nothing where it is the same.
    fn distance(self, before: Self) -> Option<f64> {
        let plain = match (self, before) {
            (Self::Number(new), Self::Number(old)) => {
                let are_nan = new.to_f64().is_nan() && old.to_f64().is_nan();
                (new != old && !are_nan).then(|| (new - old).abs())
            }
            (Self::Text(new), Self::Text(old)) => (new != old).then_some(f64::INFINITY),
            _ => Some(f64::INFINITY),
        };
        plain.map(|it| if it.is_finite() { it } else { f64::INFINITY })
    }

    /// Returns its size, NaN of what is no number.
    fn size(self) -> f64 {
        match self {
            Self::Number(it) => it.to_f64().abs(),
            _ => f64::NAN,
        }
    }

    /// Returns it as it is shown beside another.
    fn shown(self, beside: Self) -> String {
        match (self, beside) {
            (Self::Number(it), _) => it.to_string(),
            (Self::Text(it), Self::Text(beside)) => rows::excerpt(it, beside),
            (Self::Text(it), _) => rows::excerpt(it, None),
            (Self::Nothing, _) => "nothing".to_owned(),
        }
    }
}

impl OutputReview {
    fn add<'e>(
        &mut self,
        row: &str,
        mut before: impl ExactSizeIterator<Item = Element<'e>>,
        mut now: impl ExactSizeIterator<Item = Element<'e>>,
    ) {
        self.rows += 1;
        let mut worst: Option<WorstRow> = None;
        for element in 0..before.len().max(now.len()) {
            let [old, new] = [before.next(), now.next()].map(|it| it.unwrap_or(Element::Nothing));
            let Some(difference) = new.distance(old) else { continue };
            self.max_absolute = self.max_absolute.max(difference);
            self.max_relative = self.max_relative.max(difference / old.size());
            if worst.as_ref().is_none_or(|it| difference > it.difference) {
                let (row, before, now) = (row.to_owned(), old.shown(new), new.shown(old));
                worst = Some(WorstRow { row, element, before, now, difference });
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

    fn add(review: &mut OutputReview, row: &str, before: &[f64], now: &[f64]) {
        let [before, now] = [before, now].map(|it| it.iter().map(|&it| Element::Number(Number::Float(it))));
        review.add(row, before, now);
    }

    #[test]
    fn integers_and_texts_are_the_same_or_not() {
        let mut review = OutputReview::default();
        let big = |it: i128| [Element::Number(Number::Integer((1 << 53) + it))].into_iter();
        review.add("a", big(0), big(0));
        review.add("b", big(0), big(1));
        assert_eq!((review.changed_rows, review.max_absolute), (1, 1.0));
        assert_eq!((&*review.worst[0].before, &*review.worst[0].now), ("9007199254740992", "9007199254740993"));
        let mut review = OutputReview::default();
        let text = |it: Option<&'static str>| [Element::Text(it)].into_iter();
        for (before, now) in
            [(Some("cat"), Some("cat")), (None, None), (None, Some("null")), (Some("cat"), Some("dog"))]
        {
            review.add("a", text(before), text(now));
        }
        assert_eq!((review.changed_rows, review.max_absolute, review.max_relative), (2, f64::INFINITY, 0.0));
        let shown: Vec<_> = review.worst.iter().map(|it| format!("{} {}", it.before, it.now)).collect();
        assert_eq!(shown, ["null `null`", "`cat` `dog`"]);
    }

    #[test]
    fn rows_that_change_are_counted_and_the_worst_named() {
        let mut review = OutputReview::default();
        add(&mut review, "a", &[1.0, 2.0], &[1.0, 2.0]);
        add(&mut review, "b", &[1.0, 2.0], &[1.5, 2.25]);
        add(&mut review, "c", &[4.0, f64::NAN], &[4.0, f64::NAN]);
        add(&mut review, "d", &[0.25, 1.0], &[1.0, 1.0]);
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
            add(&mut review, "a", before, now);
            assert_eq!((review.changed_rows, review.max_absolute), (1, f64::INFINITY), "{before:?} {now:?}");
        }
    }

    #[test]
    fn only_the_worst_rows_are_kept() {
        let mut review = OutputReview::default();
        (0..50).for_each(|it| add(&mut review, &it.to_string(), &[0.0], &[f64::from(it % 13)]));
        let rows: Vec<_> = review.worst.iter().map(|it| it.row.as_str()).collect();
        assert_eq!(rows, ["12", "25", "38", "11", "24"]);
        assert_eq!(review.max_relative, f64::INFINITY);
    }
}
