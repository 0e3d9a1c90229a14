//! Which columns are kept of a batch, and as what: numbers, names, or short lists of numbers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef, FixedSizeListArray, Float64Array, RecordBatchOptions, StringArray},
        schema::{DataType, Field, Schema},
    },
    rows::{
        NumberLists, Numbers, Use, are_number_lists, are_rounded, decimals, has_use, is_computed, is_numeric,
        number_lists, numbers, pick, spans, texts, weights, with_uses,
    },
};
use modelwatch_stats::multivariate::Projection;

use crate::config::Config;

/// Before the name of a column that is not compared, in the metadata of the schema; behind it stands why.
const UNUSED: &str = "unused:";

/// In the metadata of columns of lists whose type does not say how long they are: before what is kept of a list stands its length, and
/// nothing but NaN behind it.
const PADDED: &str = "padded";

/// Why lists of lists are not compared, the lengths of which differ within a row.
const UNEVEN: &str = "a row has lists of several lengths; give all rows lists of one length";

/// The name of the column with the weights, which is no name of the data's.
const WEIGHTS: &str = "\0weights";

/// Returns the rows that weigh anything: the others are not there.
///
/// # Errors
/// When a weight is none.
pub(crate) fn weighty(config: &Config, batch: &RecordBatch) -> Result<RecordBatch> {
    let weights = if config.weights { weights(batch)? } else { None };
    let Some(weights) = weights else { return Ok(batch.clone()) };
    let there: Vec<usize> = (0..weights.len()).filter(|it| weights[*it] > 0.0).collect();
    pick(batch, &there)
}

/// Returns the batch with the columns that are compared and the weights of the rows, in the form in which they are kept.
///
/// What it does to a row depends on the row and the schema alone.
///
/// # Errors
/// When an array is not what its type says, or a weight none.
pub(crate) fn prepared(config: &Config, batch: &RecordBatch) -> Result<RecordBatch> {
    let weights = if config.weights { weights(batch)? } else { None };
    let (mut fields, mut columns, mut unused) = (Vec::new(), Vec::new(), HashMap::new());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(what_for) = purpose(config, field) else { continue };
        match kept(config, field, what_for, array.as_ref())? {
            Ok(kept) => {
                let mut metadata = HashMap::new();
                if are_number_lists(array.data_type()) {
                    metadata.insert(PADDED.to_owned(), String::new());
                }
                let kept_field = Field::new(field.name(), kept.data_type().clone(), true).with_metadata(metadata);
                fields.push(with_uses(kept_field, &[what_for]));
                columns.push(kept);
            }
            Err(why) => {
                unused.insert(format!("{UNUSED}{}", field.name()), why);
            }
        }
    }
    if let Some(weights) = weights {
        fields.push(with_uses(Field::new(WEIGHTS, DataType::Float64, true), &[Use::Weight]));
        columns.push(Arc::new(Float64Array::from(weights)));
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, unused));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(Error::input)
}

/// A column of lists as it is compared, and how long these are, where their type did not say it.
pub(crate) type Lists = (ArrayRef, Option<usize>);

/// Returns a column as it is compared: lists whose type did not say how long they are, and that all have one length, as those that do.
///
/// # Errors
/// Why there is nothing to compare.
pub(crate) fn compared(field: &Field, array: &ArrayRef) -> std::result::Result<Lists, String> {
    if !field.metadata().contains_key(PADDED) {
        return Ok((Arc::clone(array), None));
    }
    let rows = numbers(array.as_ref()).map_err(|e| e.message)?;
    let lengths: BTreeSet<i64> =
        (0..rows.rows()).map(|it| rows.row(it)[0]).filter(|it| !it.is_nan()).map(|it| it as i64).collect();
    let length = match lengths.first() {
        None => return Err("it has no list".to_owned()),
        Some(0) if lengths.len() == 1 => return Err("its lists are empty".to_owned()),
        Some(it) if lengths.len() == 1 => usize::try_from(*it).map_err(|_| UNEVEN.to_owned())?,
        Some(it) if *it < 0 => return Err(UNEVEN.to_owned()),
        Some(it) => {
            let other = lengths.last().unwrap_or(it);
            return Err(format!("its lists have from {it} to {other} numbers; give all rows lists of one length"));
        }
    };
    let width = length.min(rows.width - 1);
    let values = (0..rows.rows()).flat_map(|it| rows.row(it)[1..=width].iter().copied()).collect();
    Ok((fixed(width, values)?, Some(length)))
}

/// Returns the columns of lists whose whole numbers are rounded in the form in which they are kept.
///
/// # Errors
/// When an array is not what its type says.
pub(crate) fn rounded_lists(config: &Config, batch: &RecordBatch) -> Result<Vec<String>> {
    let mut res = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let is_list = matches!(field.data_type(), DataType::FixedSizeList(..));
        if is_list && purpose(config, field).is_some() && are_rounded(array.as_ref())? {
            res.push(field.name().clone());
        }
    }
    Ok(res)
}

/// Returns the columns that are not compared, in the order of their names, with why.
pub(crate) fn unused(schema: &Schema) -> Vec<(String, String)> {
    let entries = schema.metadata().iter();
    let mut res: Vec<_> =
        entries.filter_map(|(key, why)| Some((key.strip_prefix(UNUSED)?.to_owned(), why.clone()))).collect();
    res.sort();
    res
}

/// Returns what a column is compared as.
fn purpose(config: &Config, field: &Field) -> Option<Use> {
    if has_use(field, Use::Candidate) || config.score.as_ref() == Some(field.name()) {
        return (config.predictions || config.calibration).then_some(Use::Candidate);
    }
    if has_use(field, Use::CandidateLayer) {
        return Some(Use::CandidateLayer);
    }
    if is_computed(field) {
        return None;
    }
    if has_use(field, Use::Label) {
        return (config.label || config.calibration).then_some(Use::Label);
    }
    config.selection().selects(field).then_some(Use::Feature)
}

/// Returns the values as numbers, names or lists of numbers, or why they are not compared.
fn kept(
    config: &Config,
    field: &Field,
    what_for: Use,
    array: &dyn Array,
) -> Result<std::result::Result<ArrayRef, String>> {
    let data_type = array.data_type();
    let is_declared = config.selection().is_declared_categorical(field);
    if matches!(data_type, DataType::FixedSizeList(..)) && is_numeric(data_type) {
        return Ok(list(config, &numbers(array)?));
    }
    if are_number_lists(data_type) {
        return padded(config, array);
    }
    if let Some(floats) = decimals(array).map(|it| it.0).or_else(|| spans(array)) {
        return Ok(Ok(Arc::new(floats)));
    }
    let is_plain = is_numeric(data_type);
    // A label of integers names classes, one of fractions is a quantity.
    let is_name = data_type == &DataType::Boolean || (what_for == Use::Label && data_type.is_integer()) || is_declared;
    if is_plain && !is_name {
        if matches!(data_type, DataType::Int64 | DataType::UInt64) {
            return Ok(Ok(array.slice(0, array.len())));
        }
        return Ok(Ok(Arc::new(Float64Array::from(numbers(array)?.values.into_owned()))));
    }
    match texts(array) {
        Ok(it) => Ok(Ok(Arc::new(it.iter().map(Option::as_deref).collect::<StringArray>()))),
        Err(_) if data_type.is_temporal() => {
            Ok(Err("it holds times, which move on by themselves; give what should not a column of its own".to_owned()))
        }
        Err(_) => Ok(Err(format!(
            "values of type {data_type} are not compared; convert them to numbers, text, or lists of numbers"
        ))),
    }
}

fn list(config: &Config, numbers: &Numbers<'_>) -> std::result::Result<ArrayRef, String> {
    match numbers.width {
        0 => Err("its lists are empty".to_owned()),
        width if width <= config.dimensions => fixed(width, numbers.values.to_vec()),
        _ => {
            let projection = Projection::new(config.dimensions, config.seed);
            let rows = (0..numbers.rows()).flat_map(|it| projection.apply(numbers.row(it)));
            fixed(config.dimensions, rows.collect())
        }
    }
}

/// Returns lists whose type does not say how long they are in lists of one length, row by row, whatever other rows have.
fn padded(config: &Config, array: &dyn Array) -> Result<std::result::Result<ArrayRef, String>> {
    let width = config.dimensions + 1;
    let projection = Projection::new(config.dimensions, config.seed);
    let mut res = vec![f64::NAN; array.len() * width];
    let fill = |kept: &mut [f64], row: &[f64]| {
        kept[0] = row.len() as f64;
        match kept.get_mut(1..=row.len()) {
            Some(it) => it.copy_from_slice(row),
            None => kept[1..].copy_from_slice(&projection.apply(row)),
        }
    };
    let all = number_lists(array)?;
    for (row, kept) in res.chunks_mut(width).enumerate().filter(|it| array.is_valid(it.0)) {
        match &all {
            Some(NumberLists::Alike(it)) => fill(kept, it.row(row)),
            _ => match number_lists(array.slice(row, 1).as_ref())? {
                Some(NumberLists::Alike(it)) => fill(kept, it.row(0)),
                _ => kept[0] = -1.0,
            },
        }
    }
    Ok(fixed(width, res))
}

fn fixed(width: usize, values: Vec<f64>) -> std::result::Result<ArrayRef, String> {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let size = i32::try_from(width).map_err(|e| e.to_string())?;
    let list = FixedSizeListArray::try_new(item, size, Arc::new(Float64Array::from(values)), None);
    list.map(|it| Arc::new(it) as ArrayRef).map_err(|e| e.to_string())
}
