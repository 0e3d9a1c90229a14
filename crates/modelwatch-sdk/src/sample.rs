//! A sample of rows for probes that run models: it depends on the rows alone, not on their order or on batches.
//!
//! Of all different rows those stay whose hash is lowest, as many as the limits allow. So samples of parts merge
//! into the sample of the whole. A row that occurs twice is in it once, with how often it came: whether a row stays depends
//! on its hash alone, so that of those that stay none was missed.

mod cells;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    state,
};

use self::cells::{Cells, Collector};

/// How much a sample holds, and which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleLimits {
    /// The most rows.
    pub rows: usize,
    /// The most bytes of all rows together. One row is kept whatever its size.
    pub bytes: usize,
    /// Another seed chooses other rows.
    pub seed: u64,
}

/// A sample of the rows that were added; see the module.
#[derive(Clone, Debug)]
pub struct RowSample {
    limits: SampleLimits,
    schema: Option<SchemaRef>,
    /// The hash and the values of each row, lowest first, and how often it came.
    rows: BTreeMap<(u64, Vec<u8>), u64>,
    bytes: usize,
    /// The lowest row that was dropped: from it on none is kept, also where a later one would fit.
    bound: Option<(u64, Vec<u8>)>,
}

impl RowSample {
    /// Returns an empty sample.
    pub fn new(limits: SampleLimits) -> Self {
        Self { limits, schema: None, rows: BTreeMap::new(), bytes: 0, bound: None }
    }

    /// Returns the number of rows that are held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns how often each row came, in the order of [`RowSample::batch`].
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.rows.values().copied()
    }

    /// Returns whether every row that was added is held.
    pub fn is_complete(&self) -> bool {
        self.bound.is_none()
    }

    /// Returns how many of the first rows lie where neither this sample nor the other one dropped any: of such rows both
    /// hold all that they were given.
    pub fn n_in_common_range(&self, other: &Self) -> usize {
        let bound = self.bound.iter().chain(&other.bound).min();
        bound.map_or(self.rows.len(), |bound| self.rows.range(..bound.clone()).count())
    }

    /// Returns the share of all hashes below which no row was dropped. Of many different rows about that share is held.
    pub fn hash_range(&self) -> f64 {
        self.bound.as_ref().map_or(1.0, |it| it.0 as f64 / 2_f64.powi(64))
    }

    /// Returns the columns of the rows, with their metadata; none if no batch came yet.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    /// Adds rows, whose columns are those of all others.
    ///
    /// # Errors
    /// When a column can be no part of a sample, or the columns are not those of the rows before.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.agree(batch.schema_ref())?;
        let columns = batch.columns().iter().map(|it| Cells::new(it.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::new();
        for row in 0..batch.num_rows() {
            values.clear();
            columns.iter().for_each(|it| it.write(row, &mut values));
            let hash = hash(self.limits.seed, &values);
            // The lowest row that is dropped has to be known, so that equal samples are equal bytes.
            let is_late = self.bound.as_ref().is_some_and(|it| hash > it.0);
            if !is_late {
                self.insert(hash, values.clone(), 1);
            }
        }
        Ok(())
    }

    /// Takes in another sample with the same limits.
    ///
    /// # Errors
    /// When its columns are others.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(it) = &other.schema {
            self.agree(it)?;
        }
        if let Some(it) = other.bound {
            self.bound_by(it);
        }
        other.rows.into_iter().for_each(|((hash, values), count)| self.insert(hash, values, count));
        Ok(())
    }

    /// Returns the rows, in an order that has nothing to do with that of the data; none if no batch came yet.
    ///
    /// # Errors
    /// When the sample was read from damaged bytes.
    pub fn batch(&self) -> Result<Option<RecordBatch>> {
        let Some(schema) = &self.schema else { return Ok(None) };
        let mut columns =
            schema.fields().iter().map(|it| Collector::new(it.data_type())).collect::<Result<Vec<_>>>()?;
        for (_, values) in self.rows.keys() {
            let mut rest = &values[..];
            columns.iter_mut().try_for_each(|it| it.read(&mut rest))?;
            if !rest.is_empty() {
                return Err(cells::damaged());
            }
        }
        let arrays = columns.into_iter().map(Collector::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map(Some).map_err(Error::input)
    }

    /// Returns the sample as bytes, for a part of a probe's state.
    ///
    /// # Errors
    /// When the columns cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let schema = match &self.schema {
            // Field metadata is a hash map; equal samples are to be equal bytes.
            Some(it) => sorted(serde_json::to_value(it.as_ref()).map_err(Error::input)?).to_string(),
            None => String::new(),
        };
        let mut res = Vec::new();
        put(&mut res, schema.as_bytes());
        // Whether something was dropped, and the lowest of it.
        let bound: Vec<_> = self.bound.iter().map(|it| it.1.as_slice()).collect();
        put(&mut res, &[bound.len() as u8]);
        bound.iter().for_each(|it| put(&mut res, it));
        for ((_, values), count) in &self.rows {
            put(&mut res, values);
            res.extend(count.to_le_bytes());
        }
        Ok(res)
    }

    /// Reads what [`RowSample::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn from_bytes(limits: SampleLimits, bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes;
        let mut res = Self::new(limits);
        let schema = pull(&mut rest)?;
        if !schema.is_empty() {
            let schema: Schema = serde_json::from_slice(schema).map_err(|_| cells::damaged())?;
            res.schema = Some(Arc::new(schema));
        }
        match pull(&mut rest)? {
            [0] => {}
            [1] => {
                let values = pull(&mut rest)?.to_vec();
                res.bound = Some((hash(limits.seed, &values), values));
            }
            _ => return Err(cells::damaged()),
        }
        while !rest.is_empty() {
            let values = pull(&mut rest)?.to_vec();
            let (count, after) = rest.split_first_chunk::<8>().ok_or_else(cells::damaged)?;
            rest = after;
            match u64::from_le_bytes(*count) {
                0 => return Err(cells::damaged()),
                count => res.insert(hash(limits.seed, &values), values, count),
            }
        }
        // Damage is told now, not when the rows are wanted.
        if res.batch()?.is_none() && !res.is_empty() {
            return Err(cells::damaged());
        }
        Ok(res)
    }

    /// Returns the sample as the state of a probe that keeps nothing else; see [`crate::state`].
    ///
    /// # Errors
    /// When the columns cannot be written.
    pub fn to_state(&self, version: u8) -> Result<Vec<u8>> {
        Ok([&[version], &*self.to_bytes()?].concat())
    }

    /// Takes in what [`RowSample::to_state`] wrote of a sample with the same limits.
    ///
    /// # Errors
    /// When the bytes are of another version or damaged, or the columns are others.
    pub fn merge_state(&mut self, version: u8, bytes: &[u8]) -> Result<()> {
        self.merge(Self::from_bytes(self.limits, state::content(version, bytes)?)?)
    }

    fn agree(&mut self, schema: &SchemaRef) -> Result<()> {
        match &self.schema {
            Some(it) if it != schema => Err(Error::input("the rows have other columns than those before")),
            Some(_) => Ok(()),
            None => {
                self.schema = Some(Arc::clone(schema));
                Ok(())
            }
        }
    }

    /// Keeps the lowest rows that fit. What is dropped from a part would be dropped from the whole, too.
    fn insert(&mut self, hash: u64, values: Vec<u8>, count: u64) {
        let n_bytes = values.len();
        let row = (hash, values);
        if self.bound.as_ref().is_some_and(|it| row >= *it) {
            return;
        }
        match self.rows.entry(row) {
            Entry::Occupied(mut it) => *it.get_mut() = it.get().saturating_add(count),
            Entry::Vacant(it) => {
                it.insert(count);
                self.bytes += n_bytes;
            }
        }
        while self.rows.len() > self.limits.rows || (self.bytes > self.limits.bytes && self.rows.len() > 1) {
            let Some((row, _)) = self.rows.pop_last() else { return };
            self.bytes -= row.1.len();
            self.bound_by(row);
        }
    }

    /// Drops this row and all above it, for good.
    fn bound_by(&mut self, row: (u64, Vec<u8>)) {
        let dropped = self.rows.split_off(&row);
        self.bytes -= dropped.keys().map(|it| it.1.len()).sum::<usize>();
        if self.bound.as_ref().is_none_or(|it| row < *it) {
            self.bound = Some(row);
        }
    }
}

/// Returns these rows of a batch, in this order. A row may come more than once.
///
/// # Errors
/// When a column can be no part of a sample, or there is no such row.
pub fn take(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    if let Some(row) = rows.iter().find(|&&it| it >= batch.num_rows()) {
        return Err(Error::input(format!("there is no row {row} among {}", batch.num_rows())));
    }
    let mut values = Vec::new();
    let columns = batch.columns().iter().map(|array| {
        let (cells, mut res) = (Cells::new(array.as_ref())?, Collector::new(array.data_type())?);
        for &row in rows {
            values.clear();
            cells.write(row, &mut values);
            res.read(&mut &values[..])?;
        }
        res.finish()
    });
    let columns = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(Error::input)
}

/// FNV-1a over the bytes, then the finalizer of MurmurHash3, so that similar rows get far from each other.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = bytes.iter().fold(start, |it, &byte| (it ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u64).to_le_bytes());
    to.extend(bytes);
}

fn pull<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<8>().ok_or_else(cells::damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| cells::damaged())?;
    let (bytes, after) = after.split_at_checked(len).ok_or_else(cells::damaged)?;
    *rest = after;
    Ok(bytes)
}

/// Sorts the keys of objects, which keep their order if some crate wants it so.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(it) => {
            let mut entries: Vec<_> = it.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(it) => it.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, StringArray,
        builder::FixedSizeListBuilder, builder::Float32Builder,
    };
    use arrow_schema::{DataType, Field};

    use super::*;
    use crate::rows::{Use, with_uses};

    const LIMITS: SampleLimits = SampleLimits { rows: 7, bytes: 1 << 20, seed: 3 };

    fn rows() -> RecordBatch {
        let mut image = FixedSizeListBuilder::new(Float32Builder::new(), 2);
        for row in 0..40 {
            image.values().append_slice(&[row as f32, -0.5]);
            image.append(row % 9 != 0);
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("image", Arc::new(image.finish())),
            ("n", Arc::new((0..40).map(|it| (it % 5 != 0).then_some(it)).collect::<Int64Array>())),
            ("word", Arc::new(StringArray::from_iter((0..40).map(|it| (it % 3 != 0).then(|| format!("w{it}")))))),
            ("flag", Arc::new((0..40).map(|it| Some(it % 2 == 0)).collect::<BooleanArray>())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(a, b)| (a, b, true))).unwrap();
        let schema = batch.schema();
        let fields: Vec<_> = schema.fields().iter().map(|it| with_uses(it.as_ref().clone(), &[Use::Feature])).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec()).unwrap()
    }

    fn of(batches: &[RecordBatch]) -> RowSample {
        let mut res = RowSample::new(LIMITS);
        batches.iter().for_each(|it| res.add(it).unwrap());
        res
    }

    #[test]
    fn neither_batches_nor_order_nor_merging_show() {
        let all = rows();
        let whole = of(std::slice::from_ref(&all));
        assert_eq!(whole.len(), 7);
        let pieces: Vec<_> = (0..40).rev().map(|it| all.slice(it, 1)).collect();
        assert_eq!(of(&pieces).to_bytes().unwrap(), whole.to_bytes().unwrap());
        let mut merged = of(&pieces[..13]);
        merged.merge(of(&pieces[13..])).unwrap();
        assert_eq!(merged.to_bytes().unwrap(), whole.to_bytes().unwrap());
        assert_eq!(merged.bytes, whole.bytes);
    }

    #[test]
    fn rows_that_come_again_are_counted() {
        let all = rows();
        let mut sample = of(&[all.clone(), all.slice(0, 20)]);
        sample.merge(of(&[all.slice(20, 20)])).unwrap();
        assert_eq!(sample.counts().collect::<Vec<_>>(), [2; 7]);
        assert_eq!(sample.batch().unwrap(), of(std::slice::from_ref(&all)).batch().unwrap());
        let back = RowSample::from_bytes(LIMITS, &sample.to_bytes().unwrap()).unwrap();
        assert_eq!(back.counts().sum::<u64>(), 14);
    }

    #[test]
    fn the_common_range_is_where_nothing_was_dropped() {
        let all = rows();
        let (few, many) = (of(&[all.slice(0, 5)]), of(&[all]));
        assert!(few.is_complete() && !many.is_complete());
        assert_eq!(few.hash_range(), 1.0);
        // Seven of forty are held.
        assert!((0.05..0.4).contains(&many.hash_range()), "{}", many.hash_range());
        assert_eq!((few.n_in_common_range(&few), many.n_in_common_range(&few)), (5, 7));
        let common = few.n_in_common_range(&many);
        let of_many: Vec<_> = many.rows.keys().collect();
        assert!(few.rows.keys().enumerate().all(|(idx, it)| of_many.contains(&it) == (idx < common)));
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let all = rows();
        let sample = RowSample::from_bytes(LIMITS, &of(&[all.slice(9, 3)]).to_bytes().unwrap()).unwrap();
        let got = sample.batch().unwrap().unwrap();
        assert_eq!((got.schema(), got.num_rows()), (all.schema(), 3));
        for row in 0..3 {
            let same = |at: usize| {
                (0..4).all(|it| got.column(it).slice(row, 1).as_ref() == all.column(it).slice(at, 1).as_ref())
            };
            assert!((9..12).any(same), "{row}");
        }
        assert!(RowSample::new(LIMITS).batch().unwrap().is_none());
    }

    #[test]
    fn rows_are_taken_in_any_order() {
        let all = rows();
        let taken = take(&all, &[9, 3, 9]).unwrap();
        for (row, at) in [9, 3, 9].into_iter().enumerate() {
            assert_eq!(taken.slice(row, 1), all.slice(at, 1));
        }
        assert_eq!(take(&all, &[]).unwrap().num_rows(), 0);
        assert!(take(&all, &[40]).is_err());
    }

    #[test]
    fn rows_of_different_sizes_are_the_same_in_any_order() {
        let batch = |order: &[usize]| {
            let texts = order.iter().map(|it| format!("{it} {}", "x".repeat(it * 7 % 40)));
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
            RecordBatch::try_from_iter([("t", texts)]).unwrap()
        };
        let limits = SampleLimits { rows: 20, bytes: 200, seed: 3 };
        let bytes = |parts: &[Vec<usize>]| {
            let mut all = RowSample::new(limits);
            for part in parts {
                let mut sample = RowSample::new(limits);
                sample.add(&batch(part)).unwrap();
                all.merge(RowSample::from_bytes(limits, &sample.to_bytes().unwrap()).unwrap()).unwrap();
            }
            all.to_bytes().unwrap()
        };
        let up: Vec<usize> = (0..60).collect();
        let down: Vec<usize> = (0..60).rev().collect();
        let mixed: Vec<usize> = (0..60).map(|it| it * 37 % 60).collect();
        let expected = bytes(std::slice::from_ref(&up));
        assert_eq!(bytes(&[down]), expected);
        assert_eq!(bytes(&[up[30..].to_vec(), up[..30].to_vec()]), expected);
        assert_eq!(bytes(&mixed.chunks(7).map(<[usize]>::to_vec).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn bytes_limit_a_sample_too() {
        let mut sample = RowSample::new(SampleLimits { bytes: 100, ..LIMITS });
        sample.add(&rows()).unwrap();
        assert!(sample.len() < 5 && sample.bytes <= 100, "{} rows", sample.len());
        let mut sample = RowSample::new(SampleLimits { bytes: 1, ..LIMITS });
        sample.add(&rows()).unwrap();
        assert_eq!(sample.len(), 1);
    }

    #[test]
    fn other_columns_and_damaged_bytes_are_refused() {
        let mut sample = of(&[rows()]);
        let other: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
        assert!(sample.add(&RecordBatch::try_from_iter([("x", other)]).unwrap()).is_err());
        let item = Arc::new(Field::new("item", DataType::Date32, true));
        let empty: ArrayRef = Arc::new(FixedSizeListArray::new_null(item, 0, 2));
        assert!(of(&[RecordBatch::try_from_iter([("none", empty)]).unwrap()]).batch().is_ok());
        let bytes = sample.to_bytes().unwrap();
        for at in 0..bytes.len() {
            drop(RowSample::from_bytes(LIMITS, &bytes[..at]));
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            drop(RowSample::from_bytes(LIMITS, &flipped));
        }
        assert!(RowSample::from_bytes(LIMITS, &bytes[..bytes.len() - 1]).is_err());
        assert!(RowSample::from_bytes(LIMITS, b"").is_err());
    }
}
