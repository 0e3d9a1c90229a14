//! NumPy arrays: one column of an NPY file, or one column per array of an NPZ archive.
//!
//! The header is parsed by `npyz`; its data readers are not used, because they decode value by value.
//!
//! The first axis is the rows; further axes make a fixed-shape tensor column. Each array of an
//! archive is inflated by a thread of its own, a partition at a time, so that memory is bounded by
//! the partitions in flight and not by the file. One in Fortran order is held whole, as each of its rows is
//! spread over all of it.
//!
//! An array of an archive that is no column is one of nulls, so that the others can be read, and an error where it is read itself.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    types::{ArrowPrimitiveType, Float16Type},
};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_config::DataFormat;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};
use tracing::info;

use super::{
    DataError, Partitions, Scan,
    arrays::{Arrays, damaged},
    partition_rows,
    rechunk::Rechunk,
};

/// More elements in a row than this are taken for a damaged head.
const MAX_ROW: u64 = 1 << 28;

/// The bytes of the texts of an Arrow array.
const MAX_TEXTS: usize = i32::MAX as usize;

/// As many bytes are reserved before any is read.
const MAX_RESERVED: usize = 1 << 24;

/// So many bytes of texts are read at once, since the longest one makes all of them wide.
const TEXTS_AT_ONCE: usize = 1 << 22;

/// The bytes of a code point.
const UTF32: u64 = 4;

/// The bytes of a number of half precision, which is read as one of single precision.
const HALF: usize = 2;

pub(super) fn schema(file: &Path, format: DataFormat) -> Result<Schema, DataError> {
    let mut arrays = Arrays::open(file, format)?;
    let mut first: Option<(String, u64)> = None;
    let mut unreadable = None;
    let mut fields = Vec::new();
    for name in arrays.names()? {
        let Head { rows, field, .. } = match arrays.with(&name, |npy, _| Ok(head(&name, npy)))? {
            Ok(it) => it,
            Err(reason) => {
                info!(file = %file.display(), name, reason, "An array cannot be read.");
                unreadable.get_or_insert_with(|| broken(file, &name, reason));
                fields.push(Field::new(name, DataType::Null, true));
                continue;
            }
        };
        let (array, of_first) = first.get_or_insert_with(|| (name.clone(), rows));
        if *of_first != rows {
            let file = file.display();
            info!(%file, name, rows, %array, of_first, "The arrays differ in length and cannot be read together.");
        }
        fields.push(field);
    }
    match (first, unreadable) {
        (Some(_), _) => Ok(Schema::new(fields)),
        (None, Some(e)) => Err(e),
        (None, None) => Err(DataError::broken(file, "", "the archive has no arrays")),
    }
}

pub(super) fn partitions(
    file: &Path,
    format: DataFormat,
    whole: &Schema,
    scan: &Scan,
) -> Result<Partitions, DataError> {
    let rows = partition_rows(whole);
    let mut arrays = Arrays::open(file, format)?;
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (name, head) in heads(file, &mut arrays, &scan.columns)? {
        fields.push(head.field);
        columns.push((name.clone(), spawn(file.to_owned(), arrays.clone(), name, rows)));
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
    heads(file, &mut Arrays::open(file, format)?, columns).map(drop)
}

/// Returns the heads of the arrays of these names, which are of one length, in the order of the file, as any other format
/// gives its columns.
fn heads(file: &Path, arrays: &mut Arrays, columns: &[String]) -> Result<Vec<(String, Head)>, DataError> {
    let columns: BTreeSet<&String> = columns.iter().collect();
    let mut res: Vec<(String, Head)> = Vec::new();
    for name in arrays.names()?.into_iter().filter(|it| columns.contains(it)) {
        let remedy = if arrays.is_archive() { ", or name it in `[data.columns] ignore`" } else { "" };
        let head = arrays.with(&name, |npy, _| Ok(head(&name, npy)))?;
        let head = head.map_err(|reason| broken(file, &name, format!("{reason}{remedy}")))?;
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
fn spawn(file: PathBuf, mut arrays: Arrays, name: String, rows: usize) -> Receiver<Part> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let res = arrays.with(&name, |header, reader| {
            let mut array = Column::new(&file, &name, header, &mut *reader)?;
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

fn broken(file: &Path, name: &str, reason: impl ToString) -> DataError {
    DataError::broken(file, format!("array `{name}`"), reason)
}

struct Head {
    rows: u64,
    width: Option<usize>,
    field: Field,
    element: Element,
    /// Where the elements are not row by row.
    order: Option<ColumnMajor>,
}

/// Returns what an array is as a column, or why it is none.
fn head(name: &str, npy: &NpyHeader) -> Result<Head, String> {
    let item = item_type(&npy.dtype())?;
    let element = element(&npy.dtype())?;
    let (rows, axes) =
        npy.shape().split_first().ok_or("it is a single value, not rows; save one for each row".to_owned())?;
    if axes.is_empty() {
        return Ok(Head { rows: *rows, width: None, field: Field::new(name, item, true), element, order: None });
    }
    let width = axes.iter().try_fold(1_u64, |product, &it| product.checked_mul(it)).filter(|&it| it <= MAX_ROW);
    let width = width.ok_or_else(|| format!("a row of shape {axes:?} is too large; save less in a row"))?;
    if width == 0 {
        return Err(format!("a row of shape {axes:?} has no elements; leave it out"));
    }
    let data_type = DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), width as i32);
    let metadata = [
        ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
        ("ARROW:extension:metadata".to_owned(), serde_json::json!({ "shape": axes }).to_string()),
    ];
    let field = Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect());
    let is_column_major = npy.order() == Order::Fortran;
    let order = is_column_major
        .then(|| ColumnMajor { rows: *rows as usize, axes: axes.iter().map(|&it| it as usize).collect() });
    Ok(Head { rows: *rows, width: Some(width as usize), field, element, order })
}

/// Fortran order: the elements of a row lie as far from each other as there are rows.
struct ColumnMajor {
    rows: usize,
    axes: Vec<usize>,
}

impl ColumnMajor {
    fn width(&self) -> usize {
        self.axes.iter().product()
    }

    /// Returns the place in the file of an element, counted row by row.
    fn place(&self, at: usize) -> usize {
        // How many columns are before an element of a row, whose last axis runs fastest.
        let width = self.width();
        let (mut step, mut columns, mut rest) = (width, 0, at % width);
        for axis in self.axes.iter().rev() {
            step /= axis;
            columns += rest % axis * step;
            rest /= axis;
        }
        columns * self.rows + at / width
    }
}

fn plain(dtype: &DType) -> Result<&TypeStr, String> {
    let DType::Plain(it) = dtype else {
        return Err("records with named fields are not supported; save each field as an array".to_owned());
    };
    Ok(it)
}

fn item_type(dtype: &DType) -> Result<DataType, String> {
    let it = plain(dtype)?;
    Ok(match (it.type_char(), it.size_field()) {
        (TypeChar::Float, 2 | 4) => DataType::Float32,
        (TypeChar::Float, 8) => DataType::Float64,
        (TypeChar::Int, 1) => DataType::Int8,
        (TypeChar::Int, 2) => DataType::Int16,
        (TypeChar::Int, 4) => DataType::Int32,
        (TypeChar::Int, 8) => DataType::Int64,
        (TypeChar::Uint, 1) => DataType::UInt8,
        (TypeChar::Uint, 2) => DataType::UInt16,
        (TypeChar::Uint, 4) => DataType::UInt32,
        (TypeChar::Uint, 8) => DataType::UInt64,
        (TypeChar::Bool, 1) => DataType::Boolean,
        (TypeChar::UnicodeStr, _) => DataType::Utf8,
        _ => return Err(format!("elements of type {} are not supported; save them as float, int, bool or text", it)),
    })
}

/// An array that is read a partition at a time.
struct Column<'f, 'r> {
    bytes: Bytes<'r>,
    element: Element,
    rows_left: u64,
    width: Option<usize>,
    item: Arc<Field>,
    file: &'f Path,
    name: &'f str,
}

/// What the elements of an array are read from.
enum Bytes<'r> {
    /// Row by row.
    ByRows(&'r mut dyn Read),
    /// Column by column, all of them, from which so many elements were taken already.
    ByColumns { all: Vec<u8>, order: ColumnMajor, taken: usize },
}

/// How an element is written.
#[derive(Clone, Copy)]
struct Element {
    size: usize,
    is_big_endian: bool,
}

impl<'f, 'r> Column<'f, 'r> {
    fn new(
        file: &'f Path,
        name: &'f str,
        header: &NpyHeader,
        reader: &'r mut (dyn Read + 'r),
    ) -> Result<Self, DataError> {
        let head = head(name, header).map_err(|reason| broken(file, name, reason))?;
        let item = match head.field.data_type() {
            DataType::FixedSizeList(it, _) => Arc::clone(it),
            other => Arc::new(Field::new("item", other.clone(), true)),
        };
        let damaged = |e: io::Error| damaged(file, name, format!("it ends early or is damaged: {e}"));
        let element = head.element;
        let bytes = match head.order {
            None => Bytes::ByRows(reader),
            Some(order) => {
                let n = order.rows.saturating_mul(order.width());
                Bytes::ByColumns { all: read(reader, n, element.size).map_err(damaged)?, order, taken: 0 }
            }
        };
        Ok(Self { bytes, element, rows_left: head.rows, width: head.width, item, file, name })
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
        let values = self.values(rows as usize * width).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => self::broken(self.file, self.name, e),
            _ => broken(&e),
        })?;
        let Some(width) = self.width else { return Ok(Some(values)) };
        let list = FixedSizeListArray::try_new(Arc::clone(&self.item), width as i32, values, None);
        list.map(|it| Some(Arc::new(it) as ArrayRef)).map_err(|e| broken(&e))
    }
}

impl Column<'_, '_> {
    fn values(&mut self, n: usize) -> io::Result<ArrayRef> {
        let Self { bytes, element, item, .. } = self;
        if *item.data_type() != DataType::Utf8 {
            return decode(&bytes.take(n, element.size)?, *element, item.data_type());
        }
        let at_once = (TEXTS_AT_ONCE / element.size).max(1);
        let mut res = Vec::new();
        while res.len() < n {
            let part = bytes.take(at_once.min(n - res.len()), element.size)?;
            for it in part.chunks_exact(element.size) {
                res.push(text(it, *element)?);
            }
        }
        texts(res, MAX_TEXTS)
    }
}

impl Bytes<'_> {
    /// Returns the bytes of the next so many elements, each of the size, row by row.
    fn take(&mut self, n: usize, size: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::ByRows(reader) => read(reader, n, size),
            Self::ByColumns { all, order, taken } => {
                let places = (*taken..*taken + n).map(|at| order.place(at) * size);
                *taken += n;
                let mut res = Vec::with_capacity(n * size);
                places.for_each(|at| res.extend_from_slice(&all[at..at + size]));
                Ok(res)
            }
        }
    }
}

/// Reads so many elements of a size. What it takes grows with the bytes that there are, whatever the header says.
fn read(reader: &mut dyn Read, n: usize, size: usize) -> io::Result<Vec<u8>> {
    let len = n.checked_mul(size).ok_or(io::ErrorKind::OutOfMemory)?;
    let mut res = Vec::new();
    res.try_reserve(len.min(MAX_RESERVED)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if reader.take(len as u64).read_to_end(&mut res)? < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(res)
}

fn element(dtype: &DType) -> Result<Element, String> {
    let it = plain(dtype)?;
    let size = match it.type_char() {
        TypeChar::UnicodeStr => it.size_field().checked_mul(UTF32),
        _ => Some(it.size_field()),
    };
    let size = size.and_then(|it| usize::try_from(it).ok()).ok_or("its elements are too large; save smaller ones")?;
    if size == 0 {
        return Err("its texts have no length; save them with one".to_owned());
    }
    Ok(Element { size, is_big_endian: it.endianness() == Endianness::Big })
}

fn decode(bytes: &[u8], element: Element, item: &DataType) -> io::Result<ArrayRef> {
    macro_rules! numbers {
        ($type:ty, $array:ty) => {{
            let (elements, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            let values: Vec<$type> = match element.is_big_endian {
                true => elements.iter().map(|it| <$type>::from_be_bytes(*it)).collect(),
                false => elements.iter().map(|it| <$type>::from_le_bytes(*it)).collect(),
            };
            Arc::new(<$array>::from(values))
        }};
    }
    type Half = <Float16Type as ArrowPrimitiveType>::Native;
    Ok(match item {
        DataType::Float32 if element.size == HALF => {
            let halves: Vec<u16> = match element.is_big_endian {
                true => bytes.as_chunks().0.iter().map(|it| u16::from_be_bytes(*it)).collect(),
                false => bytes.as_chunks().0.iter().map(|it| u16::from_le_bytes(*it)).collect(),
            };
            Arc::new(Float32Array::from_iter_values(halves.into_iter().map(|it| Half::from_bits(it).to_f32())))
        }
        DataType::Float32 => numbers!(f32, Float32Array),
        DataType::Float64 => numbers!(f64, Float64Array),
        DataType::Int8 => numbers!(i8, Int8Array),
        DataType::Int16 => numbers!(i16, Int16Array),
        DataType::Int32 => numbers!(i32, Int32Array),
        DataType::Int64 => numbers!(i64, Int64Array),
        DataType::UInt8 => numbers!(u8, UInt8Array),
        DataType::UInt16 => numbers!(u16, UInt16Array),
        DataType::UInt32 => numbers!(u32, UInt32Array),
        DataType::UInt64 => numbers!(u64, UInt64Array),
        DataType::Boolean => Arc::new(BooleanArray::from(bytes.iter().map(|it| *it != 0).collect::<Vec<_>>())),
        other => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other} is not read in blocks"))),
    })
}

/// Returns a text of NumPy: code points of four bytes each, up to the zeros that fill it.
fn text(bytes: &[u8], element: Element) -> io::Result<String> {
    let (points, _) = bytes.as_chunks::<{ UTF32 as usize }>();
    let points =
        points.iter().map(|it| if element.is_big_endian { u32::from_be_bytes(*it) } else { u32::from_le_bytes(*it) });
    let mut res = String::new();
    let mut zeros = 0;
    for it in points {
        if it == 0 {
            zeros += 1;
            continue;
        }
        // A zero within a text is a part of it.
        res.extend(std::iter::repeat_n('\0', zeros));
        zeros = 0;
        let what = || io::Error::new(io::ErrorKind::InvalidData, format!("{it:#x} is no code point of a text"));
        res.push(char::from_u32(it).ok_or_else(what)?);
    }
    Ok(res)
}

/// Returns texts as an array, if they have no more bytes than `limit`: from the end of its offsets on, making one panics.
fn texts(texts: Vec<String>, limit: usize) -> io::Result<ArrayRef> {
    let bytes = texts.iter().fold(0, |sum: usize, it| sum.saturating_add(it.len()));
    if bytes > limit {
        let n = texts.len();
        let why = format!("{n} texts come to {bytes} bytes, of which {limit} can be held at once; shorten them");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(Arc::new(StringArray::from(texts)))
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

    #[test]
    fn elements_are_read_in_either_order_of_their_bytes() {
        let bytes: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|it| it.to_be_bytes()).collect();
        let element = Element { size: 8, is_big_endian: true };
        let found = decode(&bytes, element, &DataType::Float64).unwrap();
        assert_eq!(&found, &(Arc::new(Float64Array::from(vec![1.5, -2.0])) as ArrayRef));
        let bytes: Vec<u8> = "a\0b\0\0".chars().flat_map(|it| u32::from(it).to_be_bytes()).collect();
        assert_eq!(text(&bytes, element).unwrap(), "a\0b", "zeros at the end fill it");
        let found = decode(&[0, 1, 2], Element { size: 1, ..element }, &DataType::Boolean).unwrap();
        assert_eq!(&found, &(Arc::new(BooleanArray::from(vec![false, true, true])) as ArrayRef));
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let why = text(&0xd800u32.to_le_bytes(), Element { size: 4, is_big_endian: false }).unwrap_err().to_string();
        assert_eq!(why, "0xd800 is no code point of a text");
    }

    /// Returns a file of version 1 with such a header, and what is said of it.
    fn refused(header: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.npy");
        let length = (header.len() as u16).to_le_bytes();
        std::fs::write(&file, [&b"\x93NUMPY\x01\0"[..], &length, header.as_bytes(), &[0; 64]].concat()).unwrap();
        schema(&file, DataFormat::Npy).unwrap_err().to_string()
    }

    #[test]
    fn hostile_headers_are_refused() {
        let of =
            |descr: &str, shape: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        for (header, expected) in [
            (of("<f8", "(1152921504606846976, 0)"), "a row of shape [0] has no elements"),
            (of("<U0", "(3,)"), "its texts have no length"),
            ("[".repeat(60), "its header has 60 brackets"),
            (" ".repeat(20_000), "its header has 20000 bytes"),
        ] {
            let why = refused(&header);
            assert!(why.contains(expected) && why.contains("t.npy") && why.contains("array `x`"), "{why}");
        }
    }

    #[test]
    fn rows_of_columns_are_put_together() {
        // Two rows of shape [2, 3] in the order of columns: the element of row r at [i, j] is r + 2 (i + 2 j).
        let order = ColumnMajor { rows: 2, axes: vec![2, 3] };
        let mut bytes = Bytes::ByColumns { all: (0..12).collect(), order, taken: 0 };
        assert_eq!(bytes.take(6, 1).unwrap(), [0, 4, 8, 2, 6, 10]);
        assert_eq!(bytes.take(6, 1).unwrap(), [1, 5, 9, 3, 7, 11]);
    }
}
