//! CSV files with a head line. What separates the values is told from their first lines, unless it is said, and types are inferred from the
//! files.

use std::{collections::HashMap, fs::File, iter, path::Path, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, cast::AsArray};
use arrow_csv::{ReaderBuilder, reader::Format};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use regex::Regex;

use super::{
    BATCH_UNIT, DataError, Partitions, Scan, partition_rows,
    quotes::{Quoted, unclosed},
    rechunk::Rechunk,
    separator,
};

/// Types are inferred from this many lines: a column whose type changes later is an error that
/// names the line.
const INFER_LINES: usize = 1_000_000;

/// Where a column is no text in so many lines, it is looked whether it is none in all.
const FEW_LINES: usize = 1000;

/// What stands for a missing value in a column of numbers or times, besides nothing. In a column of text these are words.
const NULL_WORDS: &str = "^(NA|N/A|n/a|#N/A|<NA>|NULL|null|None|NaN|nan)?$";

/// The key in the metadata of a column that has such words.
const HAS_NULL_WORDS: &str = "modelwatch:null_words";

/// Longer values are cut.
const MAX_SHOWN: usize = 40;

/// A file of values that are separated by a byte.
#[derive(Clone, Copy)]
pub(super) struct Csv<'a> {
    file: &'a Path,
    delimiter: u8,
}

impl<'a> Csv<'a> {
    /// Finds out what separates the values, unless it is known.
    pub(super) fn new(file: &'a Path, separator: Option<u8>) -> Result<Self, DataError> {
        let guess = || separator::guess(file).map_err(|e| DataError::Io { file: file.to_owned(), source: e });
        Ok(Self { file, delimiter: separator.map_or_else(guess, Ok)? })
    }

    pub(super) fn schema(self) -> Result<Schema, DataError> {
        let inferred = self.format().infer_schema(self.reader()?, Some(INFER_LINES));
        let (schema, lines) = inferred.map_err(|e| malformed(self.file, self.delimiter, e))?;
        if schema.fields().is_empty() {
            return Err(DataError::Empty { file: self.file.to_owned() });
        }
        tracing::debug!(file = %self.file.display(), lines, "Inferred the columns of a CSV file.");
        self.with_null_words(schema)
    }

    /// Returns the columns with the types that they have where words stand for missing values.
    fn with_null_words(self, schema: Schema) -> Result<Schema, DataError> {
        let is_text = |it: &FieldRef| *it.data_type() == DataType::Utf8;
        let infer = |lines| -> Result<Schema, DataError> {
            let inferred = self.format_with_words().infer_schema(self.reader()?, Some(lines));
            Ok(inferred.map_err(|e| malformed(self.file, self.delimiter, e))?.0)
        };
        let is_candidate = |(plain, words): (&FieldRef, &FieldRef)| is_text(plain) && !is_text(words);
        let any = |words: &Schema| schema.fields().iter().zip(words.fields()).any(is_candidate);
        if !schema.fields().iter().any(is_text) || !any(&infer(FEW_LINES)?) {
            return Ok(schema);
        }
        let words = infer(INFER_LINES)?;
        let fields = schema.fields().iter().zip(words.fields()).map(|it| {
            if is_candidate(it) { Arc::new(Field::clone(it.1).with_metadata(null_words())) } else { Arc::clone(it.0) }
        });
        Ok(Schema::new(fields.collect::<Fields>()))
    }

    pub(super) fn partitions(self, schema: &SchemaRef, scan: &Scan) -> Result<Partitions, DataError> {
        let Self { file, delimiter } = self;
        let indices = scan.columns.iter().map(|it| schema.index_of(it)).collect::<Result<Vec<_>, _>>();
        let mut indices = indices.map_err(|e| DataError::broken(file, "the head line", e))?;
        indices.sort_unstable();
        let read = |format: Format, indices: Vec<usize>| {
            let reader = ReaderBuilder::new(Arc::clone(schema)).with_format(format).with_projection(indices);
            reader.with_batch_size(8192).build(self.reader()?).map_err(|e| DataError::broken(file, "", e))
        };
        let (words, plain): (Vec<usize>, Vec<usize>) =
            indices.iter().partition(|it| has_null_words(schema.field(**it)));
        let batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send> = if words.is_empty() {
            Box::new(read(self.format(), plain)?)
        } else if plain.is_empty() {
            Box::new(read(self.format_with_words(), words)?)
        } else {
            // Both give the same rows in each batch.
            let whole = Arc::new(schema.project(&indices).map_err(|e| DataError::broken(file, "", e))?);
            let (mut plain, mut words) = (read(self.format(), plain)?, read(self.format_with_words(), words)?);
            Box::new(iter::from_fn(move || Some(plain.next()?.and_then(|it| together(&whole, &it, words.next())))))
        };
        let (place, fields) = (file.to_owned(), schema.fields().clone());
        let wrong = move |e| bad_value(&place, &fields, &e).unwrap_or_else(|| malformed(&place, delimiter, e));
        let batches = batches.map(move |it| it.map_err(&wrong));
        Ok(Box::new(Rechunk::new(batches, partition_rows(schema), scan.batch_rows)))
    }

    fn format(self) -> Format {
        Format::default().with_header(true).with_delimiter(self.delimiter)
    }

    fn format_with_words(self) -> Format {
        // The pattern is a constant, and one.
        Regex::new(NULL_WORDS).map_or_else(|_| self.format(), |it| self.format().with_null_regex(it))
    }

    fn reader(self) -> Result<Quoted<File>, DataError> {
        let opened = File::open(self.file).map_err(|e| DataError::Io { file: self.file.to_owned(), source: e });
        Ok(Quoted::new(opened?, self.delimiter))
    }
}

/// Returns the first value of these columns, which are text, that is no number.
pub(super) fn no_number(
    file: &Path,
    separator: Option<u8>,
    schema: &SchemaRef,
    columns: &[String],
) -> Option<DataError> {
    let scan = Scan { columns: columns.to_vec(), batch_rows: BATCH_UNIT };
    let mut before = 0;
    for batch in Csv::new(file, separator).ok()?.partitions(schema, &scan).ok()?.flatten().flatten() {
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
    let field = |(a, b): (&FieldRef, &FieldRef)| {
        let both = Field::new(a.name(), both_types(a.data_type(), b.data_type()), true);
        // Where one file has text, they are words in the other, too.
        let has_words = *both.data_type() != DataType::Utf8 && [a, b].into_iter().any(|it| has_null_words(it));
        if has_words { both.with_metadata(null_words()) } else { both }
    };
    let fields: Fields = both.map(field).collect();
    (*first, *other) = (Schema::new(fields.clone()), Schema::new(fields));
}

fn null_words() -> HashMap<String, String> {
    HashMap::from([(HAS_NULL_WORDS.to_owned(), String::new())])
}

fn has_null_words(field: &Field) -> bool {
    field.metadata().contains_key(HAS_NULL_WORDS)
}

/// Returns the columns of two batches of the same rows in the order of a schema.
fn together(
    whole: &SchemaRef,
    left: &RecordBatch,
    right: Option<Result<RecordBatch, ArrowError>>,
) -> Result<RecordBatch, ArrowError> {
    let right =
        right.transpose()?.ok_or_else(|| ArrowError::CsvError("the file ended while it was read".to_owned()))?;
    let column = |it: &FieldRef| {
        let found = left.column_by_name(it.name()).or_else(|| right.column_by_name(it.name()));
        found.cloned().ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{}`", it.name())))
    };
    let columns = whole.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(whole), columns)
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

/// Returns the error of lines that do not go together, which a quote that is not closed also makes of them.
fn malformed(file: &Path, delimiter: u8, error: ArrowError) -> DataError {
    if let Ok(Some(line)) = unclosed(file, delimiter) {
        let why = "a quote opens a value there, and the file ends before it is closed; close it, or quote the value and write each quote in \
                   it twice";
        return DataError::broken(file, format!("line {line}"), why);
    }
    let remedy = match &error {
        ArrowError::CsvError(it) if it.contains("expected ") || it.contains("Expected ") => {
            "; give every line the fields of the head line, quote those that have what separates them, close each quote, and name in `separator` what separates them if it was not found out"
        }
        _ => "",
    };
    DataError::broken(file, "", format!("{error}{remedy}"))
}
