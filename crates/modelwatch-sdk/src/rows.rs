//! What is in a batch of rows.
//!
//! A batch has the data's own columns under their own names, and one column per model output under
//! `candidate:<output>` and `baseline:<output>`, and per layer that a probe asks for under `candidate-layer:<tensor>` and
//! `baseline-layer:<tensor>`. What a column is for stands in its field metadata
//! under [`USES_KEY`], as words joined by `,`; [`columns`] finds them. Which inputs of a model it is a part of
//! stands there too, where a probe asks for them; [`only_inputs`] finds those. A value with more than one
//! axis is a fixed-size list with the metadata of `arrow.fixed_shape_tensor`.
//!
//! A probe that says so ([`crate::RowNeeds::profile`]) is given the stored profile of the reference in place of rows that are not there
//! any more: a batch of one row, each cell of which is the state of a whole column ([`profiled_rows`]).

use std::{borrow::Cow, collections::BTreeMap};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, RecordBatch,
    cast::AsArray,
    types::{
        ArrowDictionaryKeyType, ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Field};

use crate::{
    error::{Error, Result},
    host::ModelRole,
};

mod column_type;
mod decimals;
mod finite;
mod lists;
mod number;
mod pattern;
mod pick;
mod selection;
mod spans;
mod texts;
mod weight;

pub use column_type::ColumnType;
pub use decimals::decimals;
pub use finite::mark_non_finite;
pub use lists::{NumberLists, are_number_lists, number_lists, with_common_lengths};
pub use number::{ExactNumbers, Number, are_rounded, exact_numbers};
pub use pattern::name_matches;
pub use pick::pick;
pub use selection::{Mention, Named, SelectedColumns, Selection, TYPE};
pub use spans::spans;
pub use texts::{Texts, excerpt, texts_of_rows};
pub use weight::{WEIGHT_RANGE, WEIGHT_UNIT, is_weight, weigh_too_little, weight_numbers, weight_units, weights};

/// The key of the field metadata that says what a column is for.
pub const USES_KEY: &str = "modelwatch:uses";

/// The key of the field metadata that says which inputs of which model a column is a part of.
pub const INPUTS_KEY: &str = "modelwatch:inputs";

/// The key of the field metadata that says of how many rows a cell is the state, where it is no value.
pub const PROFILE_KEY: &str = "modelwatch:profile";

/// What a column is for. A column can have several uses, as a slice that is also a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// The label: what should have been predicted.
    Label,
    /// The row's name.
    Id,
    /// The row's time.
    Timestamp,
    /// The row's weight.
    Weight,
    /// It cuts the rows into slices.
    Slice,
    /// Data that may drift: every column that is not a label, id, timestamp or weight.
    Feature,
    /// Its numbers are names of categories.
    Categorical,
    /// An output of the candidate.
    Candidate,
    /// An output of the baseline.
    Baseline,
    /// A layer of the candidate: a tensor inside of its graph.
    CandidateLayer,
    /// A layer of the baseline.
    BaselineLayer,
}

impl Use {
    /// Returns that of an output of the model.
    pub fn output_of(model: ModelRole) -> Self {
        match model {
            ModelRole::Candidate => Self::Candidate,
            ModelRole::Baseline => Self::Baseline,
        }
    }

    /// Returns that of a layer of the model.
    pub fn layer_of(model: ModelRole) -> Self {
        match model {
            ModelRole::Candidate => Self::CandidateLayer,
            ModelRole::Baseline => Self::BaselineLayer,
        }
    }

    /// Returns the word for it in the metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Id => "id",
            Self::Timestamp => "timestamp",
            Self::Weight => "weight",
            Self::Slice => "slice",
            Self::Feature => "feature",
            Self::Categorical => "categorical",
            Self::Candidate => "candidate",
            Self::Baseline => "baseline",
            Self::CandidateLayer => "candidate-layer",
            Self::BaselineLayer => "baseline-layer",
        }
    }
}

/// Returns `field` with its uses written into its metadata.
pub fn with_uses(field: Field, uses: &[Use]) -> Field {
    let words: Vec<_> = uses.iter().map(|it| it.as_str()).collect();
    let mut metadata = field.metadata().clone();
    metadata.insert(USES_KEY.to_owned(), words.join(","));
    field.with_metadata(metadata)
}

/// Returns whether the field has that use.
pub fn has_use(field: &Field, wanted: Use) -> bool {
    field.metadata().get(USES_KEY).is_some_and(|it| it.split(',').any(|it| it == wanted.as_str()))
}

/// Returns whether a model computes the column, as an output or a layer, and no data has it.
pub fn is_computed(field: &Field) -> bool {
    [Use::Candidate, Use::Baseline, Use::CandidateLayer, Use::BaselineLayer].iter().any(|it| has_use(field, *it))
}

/// Returns `field` as that of a column whose only cell is the state of a column of so many rows.
pub fn with_profile(field: Field, rows: u64) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(PROFILE_KEY.to_owned(), rows.to_string());
    field.with_metadata(metadata)
}

/// Returns of how many rows the column's only cell is the state; `None` for a column of values.
pub fn profiled_rows(field: &Field) -> Option<u64> {
    field.metadata().get(PROFILE_KEY)?.parse().ok()
}

/// Returns `field` as a part of that input of the model.
pub fn with_input(field: Field, model: ModelRole, input: &str) -> Field {
    let mut all: BTreeMap<String, Vec<String>> = inputs_in(&field);
    all.entry(model.as_str().to_owned()).or_default().push(input.to_owned());
    let mut metadata = field.metadata().clone();
    metadata.insert(INPUTS_KEY.to_owned(), serde_json::json!(all).to_string());
    field.with_metadata(metadata)
}

/// Returns the names of the model's inputs that the field is a part of.
pub fn inputs_of(field: &Field, model: ModelRole) -> Vec<String> {
    inputs_in(field).remove(model.as_str()).unwrap_or_default()
}

fn inputs_in(field: &Field) -> BTreeMap<String, Vec<String>> {
    field.metadata().get(INPUTS_KEY).and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default()
}

/// Returns the rows with those columns alone that the inputs of some of these models are made of. Lists of numbers are of a type that says
/// the one length that they have.
///
/// # Errors
/// When the batch contradicts itself, and when the lists of a column differ in length.
pub fn only_inputs(batch: &RecordBatch, models: &[ModelRole]) -> Result<RecordBatch> {
    let fields = batch.schema_ref().fields().iter().enumerate();
    let is_input = |it: &Field| models.iter().any(|model| !inputs_of(it, *model).is_empty());
    let places: Vec<_> = fields.filter(|(_, it)| is_input(it)).map(|(place, _)| place).collect();
    lists::with_lengths(batch.project(&places).map_err(Error::input)?)
}

/// Returns the columns with that use, in the order of the batch.
pub fn columns(batch: &RecordBatch, wanted: Use) -> impl Iterator<Item = (&str, &ArrayRef)> {
    let fields = batch.schema_ref().fields().iter();
    fields
        .zip(batch.columns())
        .filter(move |(it, _)| has_use(it, wanted))
        .map(|(it, array)| (it.name().as_str(), array))
}

/// Returns the outputs of a model by their own names (without `candidate:` or `baseline:`).
pub fn outputs(batch: &RecordBatch, model: ModelRole) -> impl Iterator<Item = (&str, &ArrayRef)> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    fields.filter_map(move |(it, array)| Some((output_name(it, model)?, array)))
}

/// Returns the own name of the column's output, where it is one of that model's.
pub fn output_name(field: &Field, model: ModelRole) -> Option<&str> {
    own_name(field, Use::output_of(model))
}

/// Returns the layers of a model that the probe asked for, by the names of their tensors (without `candidate-layer:` or
/// `baseline-layer:`). [`PENULTIMATE`](crate::PENULTIMATE) stands under the name of the tensor that it is.
pub fn layers(batch: &RecordBatch, model: ModelRole) -> impl Iterator<Item = (&str, &ArrayRef)> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    fields.filter_map(move |(it, array)| Some((layer_name(it, model)?, array)))
}

/// Returns the name of the column's tensor, where it is a layer of that model.
pub fn layer_name(field: &Field, model: ModelRole) -> Option<&str> {
    own_name(field, Use::layer_of(model))
}

fn own_name(field: &Field, wanted: Use) -> Option<&str> {
    let name = field.name();
    has_use(field, wanted).then(|| name.split_once(':').map_or(name.as_str(), |(_, it)| it))
}

/// Returns the extents of a row's value, as of an image's height, width and channels; empty for a plain value.
///
/// Those of `arrow.fixed_shape_tensor`, else the lengths of nested fixed-size lists.
pub fn row_shape(field: &Field) -> Vec<usize> {
    let metadata = field.metadata().get("ARROW:extension:metadata");
    let declared = metadata.and_then(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    let declared = declared.and_then(|it| serde_json::from_value::<Vec<usize>>(it.get("shape")?.clone()).ok());
    let mut lengths = Vec::new();
    let mut data_type = field.data_type();
    while let DataType::FixedSizeList(item, length) = data_type {
        lengths.push(*length as usize);
        data_type = item.data_type();
    }
    let size = |it: &[usize]| it.iter().try_fold(1_usize, |size, it| size.checked_mul(*it));
    declared.filter(|it| size(it) == size(&lengths)).unwrap_or(lengths)
}

/// Numbers of a column, a row having `width` of them.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    /// `rows * width` numbers, row by row; NaN where a value is missing.
    pub values: Cow<'a, [f64]>,
    /// How many numbers a row has: 1 for a plain column.
    pub width: usize,
    /// How many rows are null.
    pub nulls: usize,
}

impl Numbers<'_> {
    /// Returns the numbers of a row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
}

/// Returns whether [`numbers`] can read arrays of that type.
pub fn is_numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(item, _) => is_numeric(item.data_type()),
        DataType::Boolean => true,
        it => it.is_integer() || it.is_floating(),
    }
}

/// Reads integers, floats, booleans (0 and 1), dictionaries of them, and lists of numbers, nested or not, that all have one length.
/// Integers above 2^53 are rounded, as they are not by [`exact_numbers`]. A null row is NaN.
///
/// # Errors
/// When the array is of another type, or its lists differ in length.
pub fn numbers(array: &dyn Array) -> Result<Numbers<'_>> {
    fn cast<T: ArrowPrimitiveType>(array: &dyn Array, to: impl Fn(T::Native) -> f64) -> Cow<'_, [f64]> {
        let array = array.as_primitive::<T>();
        if array.null_count() == 0 {
            return array.values().iter().map(|&it| to(it)).collect();
        }
        array.iter().map(|it| it.map_or(f64::NAN, &to)).collect()
    }
    let plain = |values| Numbers { values, width: 1, nulls: array.null_count() };
    Ok(plain(match array.data_type() {
        DataType::Float64 if array.null_count() == 0 => Cow::Borrowed(array.as_primitive::<Float64Type>().values()),
        DataType::Float64 => cast::<Float64Type>(array, |it| it),
        DataType::Float32 => cast::<Float32Type>(array, f64::from),
        DataType::Float16 => cast::<Float16Type>(array, f64::from),
        DataType::Int8 => cast::<Int8Type>(array, f64::from),
        DataType::Int16 => cast::<Int16Type>(array, f64::from),
        DataType::Int32 => cast::<Int32Type>(array, f64::from),
        DataType::Int64 => cast::<Int64Type>(array, |it| it as f64),
        DataType::UInt8 => cast::<UInt8Type>(array, f64::from),
        DataType::UInt16 => cast::<UInt16Type>(array, f64::from),
        DataType::UInt32 => cast::<UInt32Type>(array, f64::from),
        DataType::UInt64 => cast::<UInt64Type>(array, |it| it as f64),
        DataType::Boolean => booleans(array.as_boolean()),
        DataType::FixedSizeList(_, width) => return list(array.as_fixed_size_list(), *width as usize),
        it if are_number_lists(it) => {
            let lists = lists::fixed(array)?;
            let Numbers { values, width, nulls } = list(&lists, lists.value_length() as usize)?;
            return Ok(Numbers { values: Cow::Owned(values.into_owned()), width, nulls });
        }
        DataType::Dictionary(_, values) if is_numeric(values) => dictionary(array)?,
        DataType::Null => vec![f64::NAN; array.len()].into(),
        other => return Err(Error::input(format!("expected numbers, got {}", what(other, array)))),
    }))
}

/// Returns what an array holds in place of numbers: text shows the first value that is the reason.
fn what(data_type: &DataType, array: &dyn Array) -> String {
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let texts = if is_text { texts(array).unwrap_or_default() } else { Vec::new() };
    match texts.iter().flatten().find(|it| it.trim().parse::<f64>().is_err()) {
        Some(it) => format!("text such as `{}`", it.chars().take(40).collect::<String>()),
        None if is_text => "text".to_owned(),
        None => data_type.to_string(),
    }
}

fn booleans(array: &BooleanArray) -> Cow<'_, [f64]> {
    array.iter().map(|it| it.map_or(f64::NAN, |it| f64::from(u8::from(it)))).collect()
}

fn dictionary(array: &dyn Array) -> Result<Cow<'_, [f64]>> {
    let array = array.as_any_dictionary();
    let values = numbers(array.values().as_ref())?;
    if values.width != 1 {
        return Err(Error::input("expected numbers, got a dictionary of lists"));
    }
    if values.values.is_empty() {
        return Ok(vec![f64::NAN; array.len()].into());
    }
    let keys = array.normalized_keys().into_iter().enumerate();
    Ok(keys.map(|(row, key)| if array.keys().is_null(row) { f64::NAN } else { values.values[key] }).collect())
}

fn list(array: &FixedSizeListArray, width: usize) -> Result<Numbers<'_>> {
    let start = array.value_offset(0) as usize;
    let inner = numbers(array.values().as_ref())?;
    let per_row = width * inner.width;
    let end = start * inner.width + array.len() * per_row;
    let mut values = match inner.values {
        Cow::Borrowed(it) => Cow::Borrowed(&it[start * inner.width..end]),
        Cow::Owned(it) => Cow::Owned(it[start * inner.width..end].to_vec()),
    };
    if array.null_count() > 0 {
        let values = values.to_mut();
        for row in (0..array.len()).filter(|&it| array.is_null(it)) {
            values[row * per_row..(row + 1) * per_row].fill(f64::NAN);
        }
    }
    Ok(Numbers { values, width: per_row, nulls: array.null_count() })
}

/// Reads any plain column as text: strings, dictionaries of strings, integers, floats that are
/// whole (`3` for 3.0), booleans. `None` where a value is missing or NaN.
///
/// # Errors
/// When the array is of another type.
pub fn texts(array: &dyn Array) -> Result<Vec<Option<Cow<'_, str>>>> {
    fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<Option<Cow<'_, str>>>
    where
        T::Native: std::fmt::Display,
    {
        array.as_primitive::<T>().iter().map(|it| it.map(|it| Cow::Owned(it.to_string()))).collect()
    }
    fn dictionary<K: ArrowDictionaryKeyType>(array: &dyn Array) -> Result<Vec<Option<Cow<'_, str>>>> {
        let array = array.as_dictionary::<K>();
        let words = texts(array.values().as_ref())?;
        Ok(array.keys_iter().map(|it| it.and_then(|it| words[it].clone())).collect())
    }
    let borrowed = |it: Option<&'_ str>| it.map(|it| Cow::Owned(it.to_owned()));
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|it| it.map(Cow::Borrowed)).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(|it| it.map(Cow::Borrowed)).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(borrowed).collect(),
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Boolean => array.as_boolean().iter().map(|it| it.map(|it| Cow::Owned(it.to_string()))).collect(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let text = |it: &f64| (!it.is_nan()).then(|| Cow::Owned(it.to_string()));
            numbers(array)?.values.iter().map(text).collect()
        }
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => dictionary::<Int8Type>(array)?,
            DataType::Int16 => dictionary::<Int16Type>(array)?,
            DataType::Int32 => dictionary::<Int32Type>(array)?,
            DataType::Int64 => dictionary::<Int64Type>(array)?,
            DataType::UInt8 => dictionary::<UInt8Type>(array)?,
            DataType::UInt16 => dictionary::<UInt16Type>(array)?,
            DataType::UInt32 => dictionary::<UInt32Type>(array)?,
            DataType::UInt64 => dictionary::<UInt64Type>(array)?,
            other => return Err(Error::input(format!("expected a dictionary with integer keys, got {other}"))),
        },
        DataType::Null => vec![None; array.len()],
        other => return Err(Error::input(format!("expected text or plain values, got {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        DictionaryArray, Float32Array, Int8Array, Int64Array, StringArray,
        builder::{FixedSizeListBuilder, Float32Builder},
    };

    use super::*;

    #[test]
    fn slices_of_lists_start_at_their_own_offset() {
        let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), 2);
        for row in 0..4 {
            builder.values().append_slice(&[row as f32, row as f32 + 0.5]);
            builder.append(row != 2);
        }
        let array = builder.finish().slice(1, 2);
        let numbers = numbers(&array).unwrap();
        assert_eq!((numbers.rows(), numbers.width, numbers.nulls), (2, 2, 1));
        assert_eq!(numbers.row(0), [1.0, 1.5]);
        assert!(numbers.row(1).iter().all(|it| it.is_nan()));
    }

    #[test]
    fn numbers_of_dictionaries_are_read_by_their_keys() {
        let keys = Int8Array::from(vec![Some(1), None, Some(0), Some(1)]);
        let array = DictionaryArray::new(keys, Arc::new(Int64Array::from(vec![Some(30), Some(10)])));
        let read = numbers(&array).unwrap();
        assert_eq!((read.values[0], read.values[2], read.values[3], read.nulls), (10.0, 30.0, 10.0, 1));
        assert!(read.values[1].is_nan());
        let nothing = DictionaryArray::new(Int8Array::new_null(2), Arc::new(Int64Array::new_null(0)));
        assert!(numbers(&nothing).unwrap().values.iter().all(|it| it.is_nan()));
        let words: DictionaryArray<Int8Type> = [Some("a")].into_iter().collect();
        assert!(numbers(&words).is_err());
    }

    #[test]
    fn what_is_no_number_is_shown() {
        let text = StringArray::from(vec![Some("1.5"), None, Some("n/a")]);
        assert_eq!(numbers(&text).err().unwrap().message, "expected numbers, got text such as `n/a`");
        let digits = StringArray::from(vec!["1"]);
        assert_eq!(numbers(&digits).err().unwrap().message, "expected numbers, got text");
    }

    #[test]
    fn a_column_without_any_value_has_missing_ones() {
        let nothing = arrow_array::NullArray::new(2);
        assert_eq!(texts(&nothing).unwrap(), [None, None]);
        assert!(numbers(&nothing).unwrap().values.iter().all(|it| it.is_nan()));
    }

    #[test]
    fn shapes_are_declared_or_nested() {
        let list = |item: DataType, n| DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), n);
        let flat = Field::new("x", list(DataType::Float32, 6), true);
        let declared = |shape: &str| {
            let metadata = [("ARROW:extension:metadata".to_owned(), format!("{{\"shape\":{shape}}}"))];
            row_shape(&flat.clone().with_metadata(metadata.into()))
        };
        assert_eq!(row_shape(&flat), [6]);
        assert_eq!((declared("[2,3]"), declared("[2,2]"), declared("7")), (vec![2, 3], vec![6], vec![6]));
        assert_eq!(row_shape(&Field::new("x", list(list(DataType::Int8, 3), 2), true)), [2, 3]);
        assert_eq!(row_shape(&Field::new("x", DataType::Utf8, true)), [0; 0]);
    }

    #[test]
    fn plain_values_are_read_as_text() {
        let check = |array: &dyn Array, expected: &[Option<&str>]| {
            let got = texts(array).unwrap();
            assert_eq!(got.iter().map(|it| it.as_deref()).collect::<Vec<_>>(), expected);
        };
        check(&Int64Array::from(vec![Some(3), None]), &[Some("3"), None]);
        check(&Float32Array::from(vec![3.0, f32::NAN, 2.5]), &[Some("3"), None, Some("2.5")]);
        check(&BooleanArray::from(vec![true]), &[Some("true")]);
        let dictionary: DictionaryArray<Int8Type> = [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
        check(&dictionary, &[Some("a"), None, Some("b"), Some("a")]);
        assert!(
            texts(&FixedSizeListArray::new_null(Arc::new(Field::new("item", DataType::Int8, true)), 1, 1)).is_err()
        );
    }

    #[test]
    fn a_column_can_be_a_part_of_several_inputs() {
        let field = Field::new("pixels", DataType::Float64, true);
        let field = with_input(with_uses(field, &[Use::Feature]), ModelRole::Candidate, "x,y");
        let field = with_input(with_input(field, ModelRole::Candidate, "mask"), ModelRole::Baseline, "X");
        assert_eq!(inputs_of(&field, ModelRole::Candidate), ["x,y", "mask"]);
        assert_eq!(inputs_of(&field, ModelRole::Baseline), ["X"]);
        assert!(has_use(&field, Use::Feature));
        let schema = Arc::new(arrow_schema::Schema::new(vec![Field::new("id", DataType::Int64, true), field]));
        let batch = RecordBatch::new_empty(schema);
        for role in [ModelRole::Candidate, ModelRole::Baseline] {
            let inputs = only_inputs(&batch, &[role]).unwrap();
            assert_eq!(inputs.schema().fields().iter().map(|it| it.name().as_str()).collect::<Vec<_>>(), ["pixels"]);
        }
        assert_eq!(only_inputs(&batch, &[]).unwrap().num_columns(), 0);
    }

    #[test]
    fn uses_are_words_in_the_metadata() {
        let field = with_uses(Field::new("writer", DataType::Utf8, true), &[Use::Feature, Use::Slice]);
        let output = with_uses(Field::new("candidate:probs:0", DataType::Utf8, true), &[Use::Candidate]);
        let array: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let schema = Arc::new(arrow_schema::Schema::new(vec![field, output]));
        let batch = RecordBatch::try_new(schema, vec![Arc::clone(&array), array]).unwrap();
        assert_eq!(columns(&batch, Use::Slice).map(|it| it.0).collect::<Vec<_>>(), ["writer"]);
        assert_eq!(columns(&batch, Use::Label).count(), 0);
        assert_eq!(outputs(&batch, ModelRole::Candidate).map(|it| it.0).collect::<Vec<_>>(), ["probs:0"]);
    }
}
