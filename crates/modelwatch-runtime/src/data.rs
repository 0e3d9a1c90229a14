//! Data files as a stream of partitions.
//!
//! A dataset is one or more files of one format with the same columns, whose types have one in common. It is cut into partitions
//! that depend on the files alone (a row group of a Parquet file, [`PARTITION_ROWS`] rows of any
//! other), so that results do not depend on threads or batch sizes.

mod arrays;
mod common;
mod csv;
mod error;
mod files;
mod guard;
mod ipc;
mod npy;
mod parquet;
mod quotes;
mod rechunk;
mod separator;
mod tensors;

use std::{
    fs,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use modelwatch_config::{DataFormat, Source};
use modelwatch_sdk::rows;

use csv::Csv;
pub use error::DataError;
pub(crate) use error::{CORRECT_PATH, remedy};
use guard::{Guarded, guarded};

/// The most rows of a partition of a file that has no row groups; wide rows make fewer.
pub const PARTITION_ROWS: usize = 65_536;

/// The most bytes, roughly, of such a partition, which is held in memory.
const PARTITION_BYTES: usize = 64 << 20;

/// Batches are cut at multiples of this, so that inference always sees the same micro-batches.
pub const BATCH_UNIT: usize = 256;

/// Files that are read as one table.
#[derive(Clone, Debug)]
pub struct Dataset {
    files: Vec<PathBuf>,
    format: DataFormat,
    /// What separates the values of CSV files, where it is said.
    separator: Option<u8>,
    schema: SchemaRef,
}

/// Batches of a partition, in order.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, DataError>> + Send>;

/// Partitions of a dataset, in order.
pub type Partitions = Box<dyn Iterator<Item = Result<Batches, DataError>> + Send>;

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The columns, all of which the dataset has.
    pub columns: Vec<String>,
    /// The rows of a batch: a multiple of [`BATCH_UNIT`].
    pub batch_rows: usize,
}

/// How much a dataset has.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How many partitions can be worked on at once.
    pub partitions: usize,
    /// The rows, where the files say so; 0 elsewhere.
    pub rows: u64,
}

impl Dataset {
    /// Finds the files behind a path or glob and reads their columns' types.
    ///
    /// # Errors
    /// When nothing matches, the format is unknown, a file cannot be read, or files differ in columns.
    pub fn open(pattern: &str, format: Option<DataFormat>) -> Result<Self, DataError> {
        Self::of(&Source { format, ..Source::at(pattern) })
    }

    /// Finds the files that a pipeline names and reads their columns' types.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn of(source: &Source) -> Result<Self, DataError> {
        let files = files::expand(&source.root, &source.pattern)?;
        let first = &files[0];
        let format_of = |file: &Path| source.format.map_or_else(|| detect(file), Ok);
        let format = format_of(first)?;
        if source.separator.is_some() && format != DataFormat::Csv {
            let reason = format!("it is {}, in which nothing separates values; remove `separator`", name(format));
            return Err(DataError::broken(first, "", reason));
        }
        let read_schema = |file: &Path| read_schema(file, format, source.separator);
        let mut schema = read_schema(first)?;
        let mut names: Vec<_> = schema.fields().iter().map(|it| it.name()).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|it| it[0] == it[1]) {
            return Err(DataError::DuplicateColumn { file: first.clone(), column: twice[0].clone() });
        }
        // Names cross to plugins as C strings.
        if let Some(it) = schema.flattened_fields().iter().find(|it| it.name().contains('\0')) {
            let reason = format!("the name of its column `{}` has a NUL; rename the column", it.name().escape_debug());
            return Err(DataError::broken(first, "", reason));
        }
        for file in &files[1..] {
            let other = format_of(file)?;
            if other != format {
                let (first, format, first_format) = (first.clone(), name(other), name(format));
                return Err(DataError::FormatsDiffer { file: file.clone(), format, first, first_format });
            }
            let mut other = read_schema(file)?;
            if format == DataFormat::Csv {
                csv::widen(&mut schema, &mut other);
            } else {
                common::widen(&mut schema, &mut other);
            }
            if let Some(difference) = difference(&schema, &other) {
                return Err(DataError::ColumnsDiffer { file: file.clone(), first: first.clone(), difference });
            }
        }
        Ok(Self { files, format, separator: source.separator, schema: schema.into() })
    }

    /// Returns the columns, in the order of the files.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the files, sorted.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns how much there is, as far as can be told without reading.
    pub fn extent(&self) -> Extent {
        let of_file = |it: &PathBuf| match self.format {
            // What cannot be read the scan will say.
            DataFormat::Parquet => parquet::extent(it).map_or((1, None), |(groups, rows)| (groups, Some(rows))),
            // Rows of a few hundred bytes; a wrong guess costs time, never a result.
            _ => (fs::metadata(it).map_or(1, |it| 1 + it.len() / (1 << 24)) as usize, None),
        };
        let (partitions, rows): (Vec<usize>, Vec<Option<u64>>) = self.files.iter().map(of_file).unzip();
        Extent { partitions: partitions.iter().sum(), rows: rows.into_iter().sum::<Option<_>>().unwrap_or(0) }
    }

    /// Returns the first value that makes one of these columns, which are to be of numbers, one of text. A file of another format says
    /// itself what its columns are, so that there is no one value to blame.
    pub(crate) fn no_number(&self, columns: &[String]) -> Option<DataError> {
        let is_text = |it: &&String| self.schema.field_with_name(it).is_ok_and(|it| *it.data_type() == DataType::Utf8);
        let columns: Vec<_> = columns.iter().filter(is_text).cloned().collect();
        if self.format != DataFormat::Csv || columns.is_empty() {
            return None;
        }
        self.files.iter().find_map(|it| csv::no_number(it, self.separator, &self.schema, &columns))
    }

    /// Returns the file and the row of the first such number of a column; the first row has the number 1.
    pub(crate) fn find(&self, column: &str, number: f64) -> Option<(&Path, usize)> {
        let scan = Scan { columns: vec![column.to_owned()], batch_rows: PARTITION_ROWS };
        self.files.iter().find_map(|file| {
            let mut before = 0;
            for batch in (Self { files: vec![file.clone()], ..self.clone() }).batches(&scan).ok()? {
                let batch = batch.ok()?;
                let numbers = rows::numbers(batch.column(0)).ok()?;
                if let Some(at) = numbers.values.iter().position(|it| *it == number) {
                    return Some((file.as_path(), before + at / numbers.width + 1));
                }
                before += batch.num_rows();
            }
            None
        })
    }

    /// Looks whether these columns can be read together, as far as that can be told without reading rows.
    ///
    /// # Errors
    /// When arrays of an NPZ archive differ in length.
    pub fn check(&self, columns: &[String]) -> Result<(), DataError> {
        let is_of_arrays = self.format == DataFormat::Npz;
        self.files.iter().filter(|_| is_of_arrays).try_for_each(|it| npy::check(it, self.format, columns))
    }

    /// Returns the rows of all partitions, in order.
    ///
    /// # Errors
    /// As [`Dataset::scan`]; what is wrong with a partition comes in its place.
    pub fn batches(&self, scan: &Scan) -> Result<Batches, DataError> {
        let partitions = self.scan(scan)?;
        Ok(Box::new(partitions.flat_map(|it| it.unwrap_or_else(|e| Box::new(std::iter::once(Err(e)))))))
    }

    /// Returns the partitions, opened one after the other as they are asked for.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn scan(&self, scan: &Scan) -> Result<Partitions, DataError> {
        let (schema, format, separator) = (SchemaRef::clone(&self.schema), self.format, self.separator);
        let scan = scan.clone();
        let files = self.files.clone().into_iter();
        let parts = files.map(move |file| {
            let partitions = guarded(&file, || match format {
                DataFormat::Parquet => parquet::partitions(&file, &scan),
                DataFormat::Csv => Csv::new(&file, separator)?.partitions(&schema, &scan),
                DataFormat::Arrow => ipc::partitions(&file, &schema, &scan),
                DataFormat::Npz | DataFormat::Npy => npy::partitions(&file, format, &schema, &scan),
                _ => Err(DataError::UnknownFormat { file: file.clone() }),
            })?;
            let partitions = Guarded::new(file.clone(), partitions);
            let schema = SchemaRef::clone(&schema);
            let batches = move |it: Batches| {
                let (file, schema) = (file.clone(), SchemaRef::clone(&schema));
                let of_dataset = move |it: RecordBatch| tensors::laid_out(it).and_then(|it| common::cast(it, &schema));
                let place = file.clone();
                let batches = Guarded::new(file, it);
                let one = move |it: RecordBatch| of_dataset(it).map_err(|e| DataError::broken(&place, "", e));
                Box::new(batches.map(move |it| it.and_then(&one))) as Batches
            };
            Ok::<_, DataError>(Box::new(partitions.map(move |it| it.map(&batches))) as Partitions)
        });
        Ok(Box::new(parts.flat_map(|it| match it {
            Ok(it) => it,
            Err(e) => Box::new(std::iter::once(Err(e))) as Partitions,
        })))
    }
}

/// Returns the rows of a partition of a file without row groups: a function of the file's columns, not of
/// those that are read, so that results do not depend on what else is looked at.
fn partition_rows(schema: &Schema) -> usize {
    let row: usize = schema.fields().iter().map(|it| width(it.data_type())).fold(0, usize::saturating_add);
    let rows = (PARTITION_BYTES / row.max(1)).clamp(BATCH_UNIT, PARTITION_ROWS);
    rows / BATCH_UNIT * BATCH_UNIT
}

/// Returns the bytes of a value, guessed where they differ.
pub(crate) fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, n) => width(item.data_type()).saturating_mul(usize::try_from(*n).unwrap_or(1)),
        it => it.primitive_width().unwrap_or(32),
    }
}

/// Says how the columns of a file are others than those of the first one.
fn difference(first: &Schema, other: &Schema) -> Option<String> {
    let (first, other) = (first.fields(), other.fields());
    let columns = first.iter().zip(other).enumerate().map(|(i, (a, b))| (i + 1, a, b));
    let differ = |(place, a, b): (usize, &FieldRef, &FieldRef)| {
        let (name, other_name) = (a.name(), b.name());
        if name != other_name {
            return Some(format!("column {place} is `{other_name}`, not `{name}`"));
        }
        let (of_first, of_other) = (a.data_type(), b.data_type());
        (of_first != of_other).then(|| format!("column `{name}` is of type {of_other}, not {of_first}"))
    };
    let number = || format!("it has {} columns, not {}", other.len(), first.len());
    columns.filter_map(differ).next().or_else(|| (first.len() != other.len()).then(number))
}

/// The content decides; the name only where the content says nothing (CSV).
fn detect(file: &Path) -> Result<DataFormat, DataError> {
    let head = head(file)?;
    let extension = file.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
    match &head[..] {
        [b'P', b'A', b'R', b'1', ..] => Ok(DataFormat::Parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Ok(DataFormat::Arrow),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Ok(DataFormat::Npy),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(DataFormat::Npz),
        [] => Err(DataError::Empty { file: file.to_owned() }),
        _ => match extension.as_str() {
            "csv" | "tsv" | "txt" => Ok(DataFormat::Csv),
            "arrows" | "arrow" | "feather" | "ipc" => Ok(DataFormat::Arrow),
            _ => Err(DataError::UnknownFormat { file: file.to_owned() }),
        },
    }
}

fn name(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Parquet => "Parquet",
        DataFormat::Csv => "CSV",
        DataFormat::Arrow => "Arrow",
        DataFormat::Npz => "NPZ",
        DataFormat::Npy => "NPY",
        _ => "of another format",
    }
}

fn head(file: &Path) -> Result<Vec<u8>, DataError> {
    use std::io::Read;
    let mut res = Vec::new();
    let opened = fs::File::open(file).and_then(|it| it.take(8).read_to_end(&mut res));
    opened.map(|_| res).map_err(|e| DataError::Io { file: file.to_owned(), source: e })
}

fn read_schema(file: &Path, format: DataFormat, separator: Option<u8>) -> Result<Schema, DataError> {
    let written = guarded(file, || match format {
        DataFormat::Parquet => parquet::schema(file),
        DataFormat::Csv => Csv::new(file, separator)?.schema(),
        DataFormat::Arrow => ipc::schema(file),
        DataFormat::Npz | DataFormat::Npy => npy::schema(file, format),
        _ => Err(DataError::UnknownFormat { file: file.to_owned() }),
    })?;
    tensors::laid_out_schema(written).map_err(|e| DataError::broken(file, "", e))
}
