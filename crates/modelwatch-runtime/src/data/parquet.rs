//! Parquet files: a row group is a partition.

use std::{fs::File, path::Path, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use super::{Batches, DataError, Partitions, Scan};

pub(super) fn schema(file: &Path) -> Result<Schema, DataError> {
    Ok(metadata(&open(file)?, file)?.schema().as_ref().clone())
}

/// The numbers of row groups and of rows; nothing where the file cannot be read.
pub(super) fn extent(file: &Path) -> Option<(usize, u64)> {
    let metadata = metadata(&open(file).ok()?, file).ok()?;
    let metadata = metadata.metadata();
    Some((metadata.num_row_groups(), u64::try_from(metadata.file_metadata().num_rows()).ok()?))
}

pub(super) fn partitions(file: &Path, scan: &Scan) -> Result<Partitions, DataError> {
    let handle = open(file)?;
    let metadata = metadata(&handle, file)?;
    let (file, scan) = (file.to_owned(), scan.clone());
    let groups = 0..metadata.metadata().num_row_groups();
    let non_empty = {
        let metadata = Arc::clone(metadata.metadata());
        move |it: &usize| metadata.row_group(*it).num_rows() > 0
    };
    Ok(Box::new(groups.filter(non_empty).map(move |group| {
        let broken = |e: &dyn std::fmt::Display| unread(&file, group, e);
        // Opened anew: a cloned handle shares its position, and row groups are read in parallel.
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open(&file)?, metadata.clone());
        // By position: a name with a dot in it would be taken for a path.
        let roots = builder.schema().fields().iter().enumerate().filter(|(_, it)| scan.columns.contains(it.name()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.map(|(at, _)| at).collect::<Vec<_>>());
        let reader = builder.with_row_groups(vec![group]).with_projection(mask).with_batch_size(scan.batch_rows);
        let reader = reader.build().map_err(|e| broken(&e))?;
        let place = file.clone();
        Ok(Box::new(reader.map(move |it| it.map_err(|e| unread(&place, group, &e)))) as Batches)
    })))
}

/// Returns the error of a row group that is damaged, or compressed by what this program is built without.
fn unread(file: &Path, group: usize, error: &dyn std::fmt::Display) -> DataError {
    let place = format!("row group {group}");
    let said = error.to_string();
    let after = |text| {
        said.split_once(text).and_then(|(_, it)| it.split(|it: char| !it.is_alphanumeric()).find(|it| !it.is_empty()))
    };
    match after("Disabled feature at compile time: ").or_else(|| after("The codec type ")) {
        Some(codec) => {
            let codec = codec.to_lowercase();
            DataError::broken(
                file,
                place,
                format!("its compression, {codec}, is not supported; save it with another, as zstd"),
            )
        }
        None => DataError::damaged(file, place, said),
    }
}

fn open(file: &Path) -> Result<File, DataError> {
    File::open(file).map_err(|e| DataError::Io { file: file.to_owned(), source: e })
}

fn metadata(handle: &File, file: &Path) -> Result<ArrowReaderMetadata, DataError> {
    let damaged = |e| DataError::damaged(file, "the footer", e);
    let written = ArrowReaderMetadata::load(handle, ArrowReaderOptions::new()).map_err(damaged)?;
    let fields = readable(written.schema().fields());
    if fields == *written.schema().fields() {
        return Ok(written);
    }
    let schema = Schema::new_with_metadata(fields, written.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(written.metadata()), options).map_err(damaged)
}

/// Returns the columns without those dictionaries that the reader cannot make, as of booleans, or that nothing looks at: their values
/// are read as they are.
fn readable(fields: &Fields) -> Fields {
    fields.iter().map(readable_field).collect()
}

fn readable_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) if !is_in_dictionaries(values) => values.as_ref().clone(),
        DataType::List(it) => DataType::List(readable_field(it)),
        DataType::LargeList(it) => DataType::LargeList(readable_field(it)),
        DataType::FixedSizeList(it, n) => DataType::FixedSizeList(readable_field(it), *n),
        DataType::Struct(it) => DataType::Struct(readable(it)),
        DataType::Map(it, is_sorted) => DataType::Map(readable_field(it), *is_sorted),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn is_in_dictionaries(values: &DataType) -> bool {
    let is_text = matches!(values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary);
    is_text || values.is_integer() || matches!(values, DataType::Float32 | DataType::Float64)
}
