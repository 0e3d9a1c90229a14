//! NumPy arrays: one column of an NPY file, or one column per array of an NPZ archive.
//!
//! The first axis is the rows; further axes make a fixed-shape tensor column. Each array of an
//! archive is inflated by a thread of its own, a partition at a time, so that memory is bounded by
//! the partitions in flight and not by the file. One in Fortran order is held whole, as each of its rows is
//! spread over all of it.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_config::DataFormat;
use npyz::{DType, NpyFile, NpyHeader, Order, TypeChar};
use tracing::info;
use zip::ZipArchive;

use super::{DataError, Partitions, Scan, partition_rows, rechunk::Rechunk};

/// The name of the one column of an NPY file.
const NPY_COLUMN: &str = "x";

/// More elements in a row than this are taken for a damaged head.
const MAX_ROW: u64 = 1 << 28;

/// The bytes of the texts of an Arrow array.
const MAX_TEXTS: usize = i32::MAX as usize;

/// An archive with more arrays than this is refused.
const MAX_ARRAYS: usize = 4096;

pub(super) fn schema(file: &Path, format: DataFormat) -> Result<Schema, DataError> {
    let mut first: Option<(String, u64)> = None;
    let mut fields = Vec::new();
    for name in names(file, format)? {
        let Head { rows, field, .. } = head_of(file, format, &name)?;
        let (array, of_first) = first.get_or_insert_with(|| (name.clone(), rows));
        if *of_first != rows {
            let file = file.display();
            info!(%file, name, rows, %array, of_first, "The arrays differ in length and cannot be read together.");
        }
        fields.push(field);
    }
    if fields.is_empty() {
        return Err(DataError::broken(file, "", "the archive has no arrays"));
    }
    Ok(Schema::new(fields))
}

pub(super) fn partitions(
    file: &Path,
    format: DataFormat,
    whole: &Schema,
    scan: &Scan,
) -> Result<Partitions, DataError> {
    let rows = partition_rows(whole);
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (name, head) in heads(file, format, &scan.columns)? {
        fields.push(head.field);
        columns.push((name.clone(), spawn(file.to_owned(), format, name, rows)));
    }
    let schema = Arc::new(Schema::new(fields));
    let place = file.to_owned();
    let batches = std::iter::from_fn(move || {
        let mut parts = Vec::new();
        for (name, part) in &columns {
            match received(&place, name, part) {
                Ok(it) => parts.extend(it),
                Err(e) => return Some(Err(e)),
            }
        }
        // All arrays have as many rows, so that all of them end here, or none.
        (!parts.is_empty())
            .then(|| RecordBatch::try_new(Arc::clone(&schema), parts).map_err(|e| DataError::broken(&place, "", e)))
    });
    Ok(Box::new(Rechunk::new(batches, rows, scan.batch_rows)))
}

/// Looks whether the arrays of these names can be read together.
pub(super) fn check(file: &Path, format: DataFormat, columns: &[String]) -> Result<(), DataError> {
    heads(file, format, columns).map(drop)
}

/// Returns the heads of the arrays of these names, which are of one length, in the order of the file, as any other format
/// gives its columns.
fn heads(file: &Path, format: DataFormat, columns: &[String]) -> Result<Vec<(String, Head)>, DataError> {
    let mut res: Vec<(String, Head)> = Vec::new();
    for name in names(file, format)?.into_iter().filter(|it| columns.contains(it)) {
        let head = head_of(file, format, &name)?;
        if let Some((first, Head { rows, .. })) = res.first().filter(|it| it.1.rows != head.rows) {
            let rest = "name those that are not to be read in `[data.columns] ignore`";
            let reason = format!("it has {} rows, `{first}` has {rows}; {rest}", head.rows);
            return Err(DataError::broken(file, format!("array `{name}`"), reason));
        }
        res.push((name, head));
    }
    Ok(res)
}

/// A partition of an array, or nothing at its end.
type Part = Result<Option<ArrayRef>, DataError>;

/// Returns the next partition of an array. A thread that is gone without a word has not come to the end.
fn received(file: &Path, name: &str, part: &Receiver<Part>) -> Part {
    part.recv().unwrap_or_else(|_| Err(broken(file, name, "what reads it ended before the array did")))
}

/// Sends the array's rows, a partition at a time, and its end, until the receiver is gone.
fn spawn(file: PathBuf, format: DataFormat, name: String, rows: usize) -> Receiver<Part> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let res = with_array(&file, format, &name, |reader| {
            let mut array = Column::new(&file, &name, opened(&file, &name, &mut *reader)?)?;
            while let Some(part) = array.next(rows)? {
                if sender.send(Ok(Some(part))).is_err() {
                    return Ok(());
                }
            }
            drop(array);
            // The archive's checksum is compared where its entry ends.
            io::copy(reader, &mut io::sink()).map(drop).map_err(|e| damaged(&file, &name, e))
        });
        // A receiver that is gone has seen an error already, or wants no more.
        let _ = sender.send(res.map(|()| None));
    });
    receiver
}

fn names(file: &Path, format: DataFormat) -> Result<Vec<String>, DataError> {
    if format == DataFormat::Npy {
        return Ok(vec![NPY_COLUMN.to_owned()]);
    }
    let archive = archive(file)?;
    if archive.len() > MAX_ARRAYS {
        return Err(DataError::broken(file, "", format!("it has more than {MAX_ARRAYS} arrays")));
    }
    let names = archive.file_names().collect::<Result<Vec<_>, _>>().map_err(|e| DataError::damaged(file, "", e))?;
    Ok(names.iter().filter_map(|it| it.strip_suffix(".npy")).map(str::to_owned).collect())
}

fn archive(file: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    ZipArchive::new(open(file)?).map_err(|e| DataError::damaged(file, "", e))
}

fn open(file: &Path) -> Result<BufReader<File>, DataError> {
    File::open(file).map(BufReader::new).map_err(|e| DataError::Io { file: file.to_owned(), source: e })
}

/// Calls with what the bytes of an array are read from.
fn with_array<T>(
    file: &Path,
    format: DataFormat,
    name: &str,
    use_it: impl FnOnce(&mut dyn Read) -> Result<T, DataError>,
) -> Result<T, DataError> {
    if format == DataFormat::Npy {
        return use_it(&mut open(file)?);
    }
    let mut archive = self::archive(file)?;
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| damaged(file, name, e))?;
    use_it(&mut entry)
}

fn opened<'r>(
    file: &Path,
    name: &str,
    reader: &'r mut (dyn Read + 'r),
) -> Result<NpyFile<&'r mut (dyn Read + 'r)>, DataError> {
    NpyFile::new(reader).map_err(|e| damaged(file, name, e))
}

fn damaged(file: &Path, name: &str, reason: impl ToString) -> DataError {
    DataError::damaged(file, format!("array `{name}`"), reason)
}

fn broken(file: &Path, name: &str, reason: impl ToString) -> DataError {
    DataError::broken(file, format!("array `{name}`"), reason)
}

fn head_of(file: &Path, format: DataFormat, name: &str) -> Result<Head, DataError> {
    with_array(file, format, name, |reader| head(file, name, opened(file, name, reader)?.header()))
}

struct Head {
    rows: u64,
    width: Option<usize>,
    field: Field,
    /// Where the elements are not row by row.
    order: Option<ColumnMajor>,
}

fn head(file: &Path, name: &str, npy: &NpyHeader) -> Result<Head, DataError> {
    let broken = |reason: String| DataError::broken(file, format!("array `{name}`"), reason);
    let item = item_type(&npy.dtype()).map_err(broken)?;
    let (rows, axes) = npy.shape().split_first().ok_or_else(|| broken("it is a single number, not rows".to_owned()))?;
    if axes.is_empty() {
        return Ok(Head { rows: *rows, width: None, field: Field::new(name, item, true), order: None });
    }
    let width = axes.iter().try_fold(1_u64, |product, &it| product.checked_mul(it)).filter(|&it| it <= MAX_ROW);
    let width = width.ok_or_else(|| broken(format!("a row of shape {axes:?} is too large")))?;
    let data_type = DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), width as i32);
    let metadata = [
        ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
        ("ARROW:extension:metadata".to_owned(), serde_json::json!({ "shape": axes }).to_string()),
    ];
    let field = Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect());
    let is_column_major = npy.order() == Order::Fortran;
    let order = is_column_major.then(|| ColumnMajor { rows: *rows as usize, axes: axes.to_vec() });
    Ok(Head { rows: *rows, width: Some(width as usize), field, order })
}

/// Fortran order: the elements of a row lie as far from each other as there are rows.
struct ColumnMajor {
    rows: usize,
    axes: Vec<u64>,
}

impl ColumnMajor {
    /// Returns the elements row by row. All of them are held, since each row needs all of the file.
    fn by_rows<T: Clone, I: Iterator<Item = io::Result<T>>>(
        &self,
        elements: I,
    ) -> io::Result<impl Iterator<Item = io::Result<T>> + use<T, I>> {
        let rows = self.rows;
        let axes: Vec<_> = self.axes.iter().map(|&it| it as usize).collect();
        let width = axes.iter().product::<usize>();
        let mut all = Vec::new();
        all.try_reserve_exact(rows.saturating_mul(width)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        for it in elements {
            all.push(it?);
        }
        if all.len() != rows.saturating_mul(width) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // How many columns are before an element of a row, whose last axis runs fastest.
        let columns_before = move |mut at: usize| {
            let (mut step, mut columns) = (width, 0);
            for axis in axes.iter().rev() {
                step /= axis;
                columns += at % axis * step;
                at /= axis;
            }
            columns
        };
        let places = (0..all.len()).map(move |at| columns_before(at % width) * rows + at / width);
        Ok(places.map(move |it| Ok(all[it].clone())))
    }
}

fn item_type(dtype: &DType) -> Result<DataType, String> {
    let DType::Plain(it) = dtype else { return Err("records with named fields are not supported".to_owned()) };
    Ok(match (it.type_char(), it.size_field()) {
        (TypeChar::Float, 4) => DataType::Float32,
        (TypeChar::Float, 8) => DataType::Float64,
        (TypeChar::Int, 1) => DataType::Int8,
        (TypeChar::Int, 2) => DataType::Int16,
        (TypeChar::Int, 4) => DataType::Int32,
        (TypeChar::Int, 8) => DataType::Int64,
        (TypeChar::Uint, 1) => DataType::UInt8,
        (TypeChar::Uint, 2) => DataType::UInt16,
        (TypeChar::Uint, 4) => DataType::UInt32,
        (TypeChar::Uint, 8) => DataType::UInt64,
        (TypeChar::Bool, _) => DataType::Boolean,
        (TypeChar::UnicodeStr, _) => DataType::Utf8,
        _ => return Err(format!("elements of type {} are not supported; save them as float, int, bool or text", it)),
    })
}

/// An array that is read a partition at a time.
struct Column<'f, 'r> {
    elements: Elements<'r>,
    rows_left: u64,
    width: Option<usize>,
    item: Arc<Field>,
    file: &'f Path,
    name: &'f str,
}

type Take<'r> = Box<dyn FnMut(usize) -> io::Result<ArrayRef> + 'r>;

struct Elements<'r>(Take<'r>);

impl<'f, 'r> Column<'f, 'r> {
    fn new(file: &'f Path, name: &'f str, npy: NpyFile<&'r mut (dyn Read + 'r)>) -> Result<Self, DataError> {
        let head = head(file, name, npy.header())?;
        let item = match head.field.data_type() {
            DataType::FixedSizeList(it, _) => Arc::clone(it),
            other => Arc::new(Field::new("item", other.clone(), true)),
        };
        let elements = elements(npy, item.data_type(), head.order.as_ref())
            .map_err(|e| DataError::broken(file, format!("array `{name}`"), e))?;
        Ok(Self { elements, rows_left: head.rows, width: head.width, item, file, name })
    }

    fn next(&mut self, rows: usize) -> Result<Option<ArrayRef>, DataError> {
        if self.rows_left == 0 {
            return Ok(None);
        }
        let rows = self.rows_left.min(rows as u64);
        self.rows_left -= rows;
        let broken =
            |e: &dyn std::fmt::Display| damaged(self.file, self.name, format!("it ends early or is damaged: {e}"));
        let width = self.width.unwrap_or(1);
        let values = (self.elements.0)(rows as usize * width).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => self::broken(self.file, self.name, e),
            _ => broken(&e),
        })?;
        let Some(width) = self.width else { return Ok(Some(values)) };
        let list = FixedSizeListArray::try_new(Arc::clone(&self.item), width as i32, values, None);
        list.map(|it| Some(Arc::new(it) as ArrayRef)).map_err(|e| broken(&e))
    }
}

fn elements<'r>(
    npy: NpyFile<&'r mut (dyn Read + 'r)>,
    item: &DataType,
    order: Option<&ColumnMajor>,
) -> Result<Elements<'r>, String> {
    macro_rules! take {
        ($type:ty, $array:expr) => {{
            let data = npy.data::<$type>().map_err(|e| e.to_string())?;
            match order {
                None => in_order(data, $array),
                Some(it) => in_order(it.by_rows(data).map_err(|e| e.to_string())?, $array),
            }
        }};
    }
    Ok(match item {
        DataType::Float32 => take!(f32, array::<_, Float32Array>),
        DataType::Float64 => take!(f64, array::<_, Float64Array>),
        DataType::Int8 => take!(i8, array::<_, Int8Array>),
        DataType::Int16 => take!(i16, array::<_, Int16Array>),
        DataType::Int32 => take!(i32, array::<_, Int32Array>),
        DataType::Int64 => take!(i64, array::<_, Int64Array>),
        DataType::UInt8 => take!(u8, array::<_, UInt8Array>),
        DataType::UInt16 => take!(u16, array::<_, UInt16Array>),
        DataType::UInt32 => take!(u32, array::<_, UInt32Array>),
        DataType::UInt64 => take!(u64, array::<_, UInt64Array>),
        DataType::Boolean => take!(bool, array::<_, BooleanArray>),
        DataType::Utf8 => take!(String, |it| texts(it, MAX_TEXTS)),
        other => return Err(format!("elements of type {other} are not supported")),
    })
}

fn in_order<'r, T: 'r>(
    mut data: impl Iterator<Item = io::Result<T>> + 'r,
    to_array: impl Fn(Vec<T>) -> io::Result<ArrayRef> + 'r,
) -> Elements<'r> {
    Elements(Box::new(move |n| {
        let mut values = Vec::with_capacity(n.min(1 << 20));
        for it in data.by_ref().take(n) {
            values.push(it?);
        }
        if values.len() < n {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to_array(values)
    }))
}

fn array<T, A: Array + From<Vec<T>> + 'static>(values: Vec<T>) -> io::Result<ArrayRef> {
    Ok(Arc::new(A::from(values)))
}

/// Returns texts as an array, if they have no more bytes than `limit`: from the end of its offsets on, making one panics.
fn texts(texts: Vec<String>, limit: usize) -> io::Result<ArrayRef> {
    let bytes = texts.iter().fold(0, |sum: usize, it| sum.saturating_add(it.len()));
    if bytes > limit {
        let n = texts.len();
        let why = format!("{n} texts come to {bytes} bytes, of which {limit} can be held at once; shorten them");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    array::<_, StringArray>(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_not_the_end() {
        let (sender, receiver) = sync_channel(1);
        sender.send(Ok(None)).unwrap();
        let file = Path::new("t.npz");
        assert!(received(file, "x", &receiver).unwrap().is_none());
        drop(sender);
        let why = received(file, "x", &receiver).unwrap_err().to_string();
        assert!(why.contains("array `x`") && why.contains("ended before the array did"), "{why}");
    }

    #[test]
    fn texts_that_no_array_holds_are_an_error() {
        let all = || vec!["ab".to_owned(), "cde".to_owned()];
        assert_eq!(texts(all(), 5).unwrap().len(), 2);
        let why = texts(all(), 4).unwrap_err().to_string();
        assert_eq!(why, "2 texts come to 5 bytes, of which 4 can be held at once; shorten them");
    }
}
