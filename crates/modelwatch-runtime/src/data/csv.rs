//! CSV files with a head line, which tells what separates the values. Types are inferred from the files.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    path::Path,
    sync::Arc,
};

use arrow_array::{ArrayRef, cast::AsArray};
use arrow_csv::{ReaderBuilder, reader::Format};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use super::{BATCH_UNIT, DataError, Partitions, Scan, partition_rows, rechunk::Rechunk};

/// Types are inferred from this many lines: a column whose type changes later is an error that
/// names the line.
const INFER_LINES: usize = 1_000_000;

/// Longer values are cut.
const MAX_SHOWN: usize = 40;

/// What separates the values is looked for in this much of the head line.
const HEAD_BYTES: u64 = 1 << 20;

pub(super) fn schema(file: &Path) -> Result<Schema, DataError> {
    let (schema, lines) =
        format(file)?.infer_schema(BufReader::new(open(file)?), Some(INFER_LINES)).map_err(|e| malformed(file, e))?;
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
        .with_format(format(file)?)
        .with_projection(indices)
        .with_batch_size(8192)
        .build(reader)
        .map_err(|e| DataError::broken(file, "", e))?;
    let (place, fields) = (file.to_owned(), schema.fields().clone());
    Ok(Box::new(Rechunk::new(
        batches.map(move |it| it.map_err(|e| bad_value(&place, &fields, &e).unwrap_or_else(|| malformed(&place, e)))),
        partition_rows(schema),
        scan.batch_rows,
    )))
}

/// Returns the first value of these columns, which are text, that is no number.
pub(super) fn no_number(file: &Path, schema: &SchemaRef, columns: &[String]) -> Option<DataError> {
    let scan = Scan { columns: columns.to_vec(), batch_rows: BATCH_UNIT };
    let mut before = 0;
    for batch in partitions(file, schema, &scan).ok()?.flatten().flatten() {
        let batch = batch.ok()?;
        let of_column = |(field, array): (&FieldRef, &ArrayRef)| {
            let texts = array.as_string::<i32>();
            let at = texts.iter().position(|it| it.is_some_and(|it| it.trim().parse::<f64>().is_err()))?;
            Some((at, field.name().clone(), texts.value(at).to_owned()))
        };
        let found = batch.schema_ref().fields().iter().zip(batch.columns()).filter_map(of_column);
        if let Some((at, column, value)) = found.min_by_key(|it| it.0) {
            let why = "is no number; correct it, or leave it empty where it is missing";
            return Some(of_value(file, before + at + 1, &column, &value, why));
        }
        before += batch.num_rows();
    }
    None
}

/// Returns the error of a value; the first row below the head line has the number 1.
fn of_value(file: &Path, row: usize, column: &str, value: &str, why: &str) -> DataError {
    let value: String = value.chars().take(MAX_SHOWN).collect();
    DataError::broken(file, format!("row {row}, column `{column}`"), format!("`{value}` {why}"))
}

/// Returns the error of a value that has not the type of its column, which `arrow_csv` tells by the column's number.
fn bad_value(file: &Path, fields: &Fields, error: &ArrowError) -> Option<DataError> {
    let ArrowError::ParseError(said) = error else { return None };
    let (value, rest) = said.strip_prefix("Error while parsing value '")?.split_once("' as type '")?;
    let (data_type, rest) = rest.split_once("' for column ")?;
    let (column, rest) = rest.split_once(" at line ")?;
    let row = rest.split_once('.')?.0.parse().ok()?;
    let field = fields.get(column.parse::<usize>().ok()?)?;
    let kind = match data_type {
        "Int64" => "whole number",
        "Float64" => "number",
        "Date32" => "date",
        other => other,
    };
    let why = format!("is no {kind}, as the column's first values are; correct it");
    Some(of_value(file, row, field.name(), value, &why))
}

/// Gives both files the types that would be inferred if their lines were in one, as far as their columns go together.
pub(super) fn widen(first: &mut Schema, other: &mut Schema) {
    let names = |it: &Schema| it.fields().iter().map(|it| it.name().clone()).collect::<Vec<_>>();
    if names(first) != names(other) {
        return;
    }
    let both = first.fields().iter().zip(other.fields());
    let fields: Fields =
        both.map(|(a, b)| Field::new(a.name(), both_types(a.data_type(), b.data_type()), true)).collect();
    (*first, *other) = (Schema::new(fields.clone()), Schema::new(fields));
}

/// As `arrow_csv` puts together the types of a column's values.
fn both_types(a: &DataType, b: &DataType) -> DataType {
    use DataType::{Date32, Float64, Int64, Null, Timestamp, Utf8};
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, it) | (it, Null) => it.clone(),
        (Int64, Float64) | (Float64, Int64) => Float64,
        (Date32, it @ Timestamp(..)) | (it @ Timestamp(..), Date32) => it.clone(),
        (Timestamp(a, None), Timestamp(b, None)) => Timestamp(*a.max(b), None),
        _ => Utf8,
    }
}

/// Returns the error of lines that do not go together, which a quote that is not closed also looks like.
fn malformed(file: &Path, error: ArrowError) -> DataError {
    let remedy = match &error {
        ArrowError::CsvError(it) if it.contains("expected ") || it.contains("Expected ") => {
            "; give every line the fields of the head line, quote those that have what separates them, and close each quote"
        }
        _ => "",
    };
    DataError::broken(file, "", format!("{error}{remedy}"))
}

fn format(file: &Path) -> Result<Format, DataError> {
    Ok(Format::default().with_header(true).with_delimiter(delimiter(file)?))
}

/// Returns what separates the values: the tab in a `.tsv`; elsewhere the comma, or what the head line has in its place.
fn delimiter(file: &Path) -> Result<u8, DataError> {
    if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("tsv")) {
        return Ok(b'\t');
    }
    let mut head = Vec::new();
    let read = BufReader::new(open(file)?.take(HEAD_BYTES)).read_until(b'\n', &mut head);
    read.map_err(|e| DataError::Io { file: file.to_owned(), source: e })?;
    let mut quoted = false;
    head.retain(|it| {
        quoted ^= *it == b'"';
        !quoted
    });
    let candidates = [b',', b';', b'\t', b'|'];
    Ok(candidates.into_iter().find(|it| head.contains(it)).unwrap_or(b','))
}

fn open(file: &Path) -> Result<File, DataError> {
    File::open(file).map_err(|e| DataError::Io { file: file.to_owned(), source: e })
}
