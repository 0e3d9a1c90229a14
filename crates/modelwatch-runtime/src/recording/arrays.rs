//! Rows as the arrays of an NPZ archive.
//!
//! An archive has its arrays one after the other, each with its shape before it, and rows come with all columns beside each
//! other. So each column goes into a file without a name first, and memory stays what a batch takes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types};
use arrow_schema::{DataType, Field};
use modelwatch_sdk::rows;
use modelwatch_tensors::NpzWriter;

/// NumPy keeps texts as code points of this many bytes, all as long as the longest.
const CODE_POINT: usize = 4;

/// The columns so far.
pub(super) struct Arrays {
    columns: Vec<Column>,
    n_rows: u64,
}

struct Column {
    name: String,
    data_type: DataType,
    /// The shape of a row.
    shape: Vec<u64>,
    spool: BufWriter<File>,
    /// The code points of the longest text.
    longest: usize,
}

impl Arrays {
    /// Returns columns without rows; their files are in `folder`.
    pub(super) fn new(batch: &RecordBatch, folder: &Path) -> io::Result<Self> {
        let column = |field: &Field| {
            let (data_type, shape) = elements(field)?;
            let spool = BufWriter::new(tempfile::tempfile_in(folder)?);
            Ok(Column { name: field.name().clone(), data_type, shape, spool, longest: 1 })
        };
        let columns = batch.schema_ref().fields().iter().map(|it| column(it)).collect::<io::Result<_>>()?;
        Ok(Self { columns, n_rows: 0 })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.add(array, self.n_rows)?;
        }
        self.n_rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the archive.
    pub(super) fn finish(self, to: File) -> io::Result<()> {
        let mut archive = NpzWriter::new(BufWriter::new(to));
        for it in self.columns {
            let descr = it.descr();
            let shape = [&[self.n_rows], &*it.shape].concat();
            let n_bytes = shape.iter().product::<u64>() * it.element_bytes() as u64;
            let mut spool = it.spool.into_inner().map_err(io::IntoInnerError::into_error)?;
            spool.rewind()?;
            let mut data: Box<dyn Read> = match it.data_type {
                DataType::Utf8 => {
                    Box::new(Texts { lines: BufReader::new(spool), longest: it.longest, rest: Vec::new() })
                }
                _ => Box::new(spool),
            };
            archive.array(&it.name, &descr, &shape, n_bytes, |to| io::copy(&mut data, to).map(drop))?;
        }
        archive.finish().map(drop)
    }
}

impl Column {
    fn add(&mut self, array: &ArrayRef, before: u64) -> io::Result<()> {
        let mut array = array.clone();
        let n_rows = array.len();
        loop {
            if array.null_count() > 0 {
                let at = (0..array.len()).find(|&it| array.is_null(it)).unwrap_or(0);
                let row = before + (at * n_rows / array.len().max(1)) as u64;
                return Err(unfit(&self.name, &format!("has a null in row {row}")));
            }
            match array.as_fixed_size_list_opt() {
                Some(it) => array = it.values().clone(),
                None => break,
            }
        }
        macro_rules! write {
            ($type:ty) => {
                array.as_primitive::<$type>().values().iter().try_for_each(|it| self.spool.write_all(&it.to_le_bytes()))
            };
        }
        match array.data_type() {
            DataType::Boolean => {
                array.as_boolean().values().iter().try_for_each(|it| self.spool.write_all(&[u8::from(it)]))
            }
            DataType::Int8 => write!(types::Int8Type),
            DataType::Int16 => write!(types::Int16Type),
            DataType::Int32 => write!(types::Int32Type),
            DataType::Int64 => write!(types::Int64Type),
            DataType::UInt8 => write!(types::UInt8Type),
            DataType::UInt16 => write!(types::UInt16Type),
            DataType::UInt32 => write!(types::UInt32Type),
            DataType::UInt64 => write!(types::UInt64Type),
            DataType::Float32 => write!(types::Float32Type),
            DataType::Float64 => write!(types::Float64Type),
            DataType::Utf8 => self.add_texts(&array, before, array.len() / n_rows.max(1)),
            other => Err(unfit(&self.name, &format!("is of type {other}"))),
        }
    }

    /// Keeps texts as lines, which end with the character that no text may have: NumPy takes it for the end, too.
    fn add_texts(&mut self, array: &ArrayRef, before: u64, per_row: usize) -> io::Result<()> {
        for (at, text) in array.as_string::<i32>().iter().flatten().enumerate() {
            if text.contains('\0') {
                let row = before + (at / per_row) as u64;
                return Err(unfit(&self.name, &format!("has a text with the character 0 in row {row}")));
            }
            self.longest = self.longest.max(text.chars().count());
            self.spool.write_all(text.as_bytes())?;
            self.spool.write_all(b"\0")?;
        }
        Ok(())
    }

    /// Returns the bytes of an element.
    fn element_bytes(&self) -> usize {
        match self.data_type {
            DataType::Utf8 => self.longest * CODE_POINT,
            ref it => it.primitive_width().unwrap_or(1),
        }
    }

    /// Returns NumPy's name of the type.
    fn descr(&self) -> String {
        match self.data_type {
            DataType::Boolean => "|b1".to_owned(),
            DataType::Utf8 => format!("<U{}", self.longest),
            ref it => {
                let size = self.element_bytes();
                let sign = if it.is_floating() {
                    'f'
                } else if it.is_signed_integer() {
                    'i'
                } else {
                    'u'
                };
                format!("{}{sign}{size}", if size == 1 { '|' } else { '<' })
            }
        }
    }
}

/// Returns the type of the numbers or texts of a column, and the shape of its rows.
fn elements(field: &Field) -> io::Result<(DataType, Vec<u64>)> {
    let mut data_type = field.data_type();
    while let DataType::FixedSizeList(item, _) = data_type {
        data_type = item.data_type();
    }
    let is_number = data_type.is_integer() || matches!(data_type, DataType::Float32 | DataType::Float64);
    if !(is_number || matches!(data_type, DataType::Boolean | DataType::Utf8)) {
        return Err(unfit(field.name(), &format!("is of type {}", field.data_type())));
    }
    Ok((data_type.clone(), rows::row_shape(field).into_iter().map(|it| it as u64).collect()))
}

fn unfit(column: &str, what: &str) -> io::Error {
    io::Error::other(format!("column `{column}` {what}, which NPZ does not hold; record into a `.parquet` file"))
}

/// Texts as NumPy has them, from lines.
struct Texts {
    lines: BufReader<File>,
    longest: usize,
    rest: Vec<u8>,
}

impl Read for Texts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let mut line = Vec::new();
            if self.lines.read_until(0, &mut line)? > 0 {
                line.pop();
                let text = String::from_utf8(line).map_err(io::Error::other)?;
                self.rest = text.chars().flat_map(|it| u32::from(it).to_le_bytes()).collect();
                self.rest.resize(self.longest * CODE_POINT, 0);
            }
        }
        let n = out.len().min(self.rest.len());
        out[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, FixedSizeListArray, Float32Array, Int64Array, StringArray};

    use super::*;
    use crate::data::{Dataset, Scan};

    fn texts<const N: usize>(texts: [&str; N], per_row: i32) -> ArrayRef {
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        Arc::new(FixedSizeListArray::new(item, per_row, Arc::new(StringArray::from(texts.to_vec())), None))
    }

    fn rows() -> RecordBatch {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let numbers = Arc::new(Float32Array::from_iter_values((0..9).map(|it| it as f32 / 7.0)));
        let list: ArrayRef = Arc::new(FixedSizeListArray::new(item, 3, numbers, None));
        let columns: [(&str, ArrayRef); 5] = [
            ("x", list),
            ("words", texts(["a", "", "bc", "Größe 🙂", "d", "e"], 2)),
            ("y", Arc::new(Int64Array::from(vec![i64::MIN, 0, 7]))),
            ("is it", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("name", Arc::new(StringArray::from(vec!["a", "", "Größe 🙂"]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn written(batches: &[RecordBatch]) -> io::Result<tempfile::TempDir> {
        let dir = tempfile::tempdir()?;
        let mut arrays = Arrays::new(&batches[0], dir.path())?;
        batches.iter().try_for_each(|it| arrays.add(it))?;
        arrays.finish(File::create(dir.path().join("rows.npz"))?)?;
        Ok(dir)
    }

    #[test]
    fn what_was_written_is_read_as_it_was() {
        let all = rows();
        // In parts, of which some begin in the middle.
        let dir = written(&[all.slice(0, 1), all.slice(1, 2)]).unwrap();
        let dataset = Dataset::open(&dir.path().join("rows.npz").to_string_lossy(), None).unwrap();
        let columns = all.schema_ref().fields().iter().map(|it| it.name().clone()).collect();
        let read: Vec<_> = dataset.batches(&Scan { columns, batch_rows: 256 }).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 1);
        for (name, array) in all.schema_ref().fields().iter().map(|it| it.name()).zip(all.columns()) {
            assert_eq!(read[0].column_by_name(name).unwrap().to_data(), array.to_data(), "{name}");
        }
    }

    #[test]
    fn what_numpy_does_not_hold_is_named() {
        let refusal =
            |array: ArrayRef| written(&[RecordBatch::try_from_iter([("z", array)]).unwrap()]).unwrap_err().to_string();
        let null = refusal(Arc::new(Int64Array::from(vec![Some(1), None])));
        assert!(null.starts_with("column `z` has a null in row 1, which NPZ does not hold"), "{null}");
        let zero = refusal(Arc::new(StringArray::from(vec!["a\0"])));
        assert!(zero.contains("the character 0 in row 0"), "{zero}");
        let second = refusal(texts(["a", "b", "c", "d\0", "e", "f"], 3));
        assert!(second.contains("the character 0 in row 1"), "{second}");
        let date = refusal(Arc::new(arrow_array::Date32Array::from(vec![1])));
        assert!(date.contains("is of type Date32"), "{date}");
    }
}
