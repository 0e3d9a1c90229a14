//! CSV files with a head line. Types are inferred from the whole file.

use std::{
    fs::File,
    io::{BufReader, Seek},
    path::Path,
    sync::Arc,
};

use arrow_csv::{ReaderBuilder, reader::Format};
use arrow_schema::{Schema, SchemaRef};

use super::{DataError, Partitions, Scan, partition_rows, rechunk::Rechunk};

/// Types are inferred from this many lines: a column whose type changes later is an error that
/// names the line.
const INFER_LINES: usize = 1_000_000;

pub(super) fn schema(file: &Path) -> Result<Schema, DataError> {
    let (schema, lines) = format(file)
        .infer_schema(BufReader::new(open(file)?), Some(INFER_LINES))
        .map_err(|e| DataError::broken(file, "", e))?;
    if schema.fields().is_empty() {
        return Err(DataError::Empty { file: file.to_owned() });
    }
    tracing::debug!(file = %file.display(), lines, "Inferred the columns of a CSV file.");
    Ok(schema)
}

pub(super) fn partitions(file: &Path, schema: &SchemaRef, scan: &Scan) -> Result<Partitions, DataError> {
    let mut reader = open(file)?;
    reader.rewind().map_err(|e| DataError::Io { file: file.to_owned(), source: e })?;
    let indices = scan.columns.iter().map(|it| schema.index_of(it)).collect::<Result<Vec<_>, _>>();
    let mut indices = indices.map_err(|e| DataError::broken(file, "the head line", e))?;
    indices.sort_unstable();
    let batches = ReaderBuilder::new(Arc::clone(schema))
        .with_format(format(file))
        .with_projection(indices)
        .with_batch_size(8192)
        .build(reader)
        .map_err(|e| DataError::broken(file, "", e))?;
    let place = file.to_owned();
    Ok(Box::new(Rechunk::new(
        batches.map(move |it| it.map_err(|e| DataError::broken(&place, "", e))),
        partition_rows(schema),
        scan.batch_rows,
    )))
}

fn format(file: &Path) -> Format {
    let tab = file.extension().is_some_and(|it| it.eq_ignore_ascii_case("tsv"));
    Format::default().with_header(true).with_delimiter(if tab { b'\t' } else { b',' })
}

fn open(file: &Path) -> Result<File, DataError> {
    File::open(file).map_err(|e| DataError::Io { file: file.to_owned(), source: e })
}
