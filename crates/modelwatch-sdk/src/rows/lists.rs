//! Lists of numbers whose type does not say how long they are, as tools for data frames write embeddings.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch, cast::AsArray, make_array,
};
use arrow_data::transform::MutableArrayData;
use arrow_schema::{DataType, Field, FieldRef, Schema};

use super::{Numbers, is_numeric, numbers};
use crate::error::{Error, Result};

/// Lists of numbers that may differ in length.
#[derive(Clone, Debug)]
pub enum NumberLists {
    /// All that are there have one length, as if their type said it; those of a missing list are NaN.
    Alike(Numbers<'static>),
    /// They have these lengths; there is no list where there is none.
    Ragged(BTreeSet<usize>),
}

/// Returns whether arrays of that type are lists of numbers, or of such lists, whose lengths the type does not say.
pub fn are_number_lists(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => {
            is_numeric(item.data_type()) || are_number_lists(item.data_type())
        }
        _ => false,
    }
}

/// Reads lists of numbers, or of such lists, whose lengths their type does not say; none for other types.
///
/// # Errors
/// When the array contradicts itself.
///
/// ```
/// use modelwatch_sdk::{arrow::array::{ListArray, types::Float64Type}, rows::{NumberLists, number_lists}};
///
/// let of = |rows: Vec<Option<Vec<Option<f64>>>>| ListArray::from_iter_primitive::<Float64Type, _, _>(rows);
/// let alike = of(vec![Some(vec![Some(1.0), Some(2.0)]), None]);
/// let Some(NumberLists::Alike(it)) = number_lists(&alike).map_err(|e| e.to_string())? else { unreachable!() };
/// assert_eq!((it.width, it.row(0), it.row(1)[0].is_nan()), (2, &[1.0, 2.0][..], true));
/// let ragged = of(vec![Some(vec![Some(1.0)]), Some(vec![])]);
/// assert!(matches!(number_lists(&ragged).map_err(|e| e.to_string())?, Some(NumberLists::Ragged(it)) if it.len() == 2));
/// # Ok::<(), String>(())
/// ```
pub fn number_lists(array: &dyn Array) -> Result<Option<NumberLists>> {
    match array.data_type() {
        it if !are_number_lists(it) => Ok(None),
        DataType::List(_) => read(array.as_list::<i32>()).map(Some),
        _ => read(array.as_list::<i64>()).map(Some),
    }
}

/// Returns lists of numbers, or of such lists, as if their type said the one length that they have.
///
/// # Errors
/// When they have another one, or none, and when the array is of another type.
pub(super) fn fixed(array: &dyn Array) -> Result<FixedSizeListArray> {
    match array.data_type() {
        DataType::List(item) => fix(array.as_list::<i32>(), item),
        DataType::LargeList(item) => fix(array.as_list::<i64>(), item),
        other => Err(Error::input(format!("expected lists of numbers, got {other}"))),
    }
}

/// Returns a batch of which lists of numbers are of a type that says the one length that they have; those of which none is there stay as
/// they are.
///
/// # Errors
/// When those of a column differ in length.
pub(super) fn with_lengths(batch: RecordBatch) -> Result<RecordBatch> {
    with_fixed(batch, |field, array| {
        let named = |e: Error| Error::input(format!("column `{}`: {}", field.name(), e.message)).with_help(e.help);
        fixed(array).map(Some).map_err(named)
    })
}

/// Returns a batch of which lists of numbers are of a type that says their length, where those of a column have one in common; others stay
/// as they are.
///
/// # Errors
/// When an array contradicts itself.
///
/// ```
/// use std::sync::Arc;
/// use modelwatch_sdk::{RecordBatch, arrow::array::{ArrayRef, ListArray, types::Float64Type}, rows::{is_numeric, with_common_lengths}};
///
/// let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(0.1), Some(0.9)]), Some([Some(0.7), Some(0.3)])]);
/// let batch = RecordBatch::try_from_iter([("scores", Arc::new(lists) as ArrayRef)]).map_err(|e| e.to_string())?;
/// assert!(!is_numeric(batch.column(0).data_type()));
/// let batch = with_common_lengths(batch).map_err(|e| e.to_string())?;
/// assert!(is_numeric(batch.column(0).data_type()));
/// # Ok::<(), String>(())
/// ```
pub fn with_common_lengths(batch: RecordBatch) -> Result<RecordBatch> {
    with_fixed(batch, |_, array| Ok(fixed(array).ok()))
}

fn with_fixed(
    batch: RecordBatch,
    fixed: impl Fn(&Field, &dyn Array) -> Result<Option<FixedSizeListArray>>,
) -> Result<RecordBatch> {
    let schema = batch.schema();
    if !schema.fields().iter().any(|it| are_number_lists(it.data_type())) {
        return Ok(batch);
    }
    let column = |(field, array): (&FieldRef, &ArrayRef)| {
        if !are_number_lists(field.data_type()) || array.null_count() == array.len() {
            return Ok((Arc::clone(field), Arc::clone(array)));
        }
        let Some(array) = fixed(field, array.as_ref())? else { return Ok((Arc::clone(field), Arc::clone(array))) };
        Ok((Arc::new(Field::clone(field).with_data_type(array.data_type().clone())), Arc::new(array) as ArrayRef))
    };
    let columns = schema.fields().iter().zip(batch.columns()).map(column).collect::<Result<Vec<_>>>()?;
    let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    RecordBatch::try_new(Arc::new(schema), arrays).map_err(Error::input)
}

fn fix<O: OffsetSizeTrait>(array: &GenericListArray<O>, item: &FieldRef) -> Result<FixedSizeListArray> {
    let lengths = lengths(array);
    let length = match lengths.first() {
        Some(it) if lengths.len() == 1 && *it > 0 => *it,
        _ => return Err(unlike(&lengths)),
    };
    let start = |row: usize| array.value_offsets()[row].as_usize();
    let values = if array.null_count() == 0 {
        array.values().slice(start(0), array.len() * length)
    } else {
        // Behind a missing list there may be nothing.
        let data = array.values().to_data();
        let mut values = MutableArrayData::new(vec![&data], true, array.len() * length);
        for row in 0..array.len() {
            let added = if array.is_valid(row) {
                values.try_extend(0, start(row), start(row) + length)
            } else {
                values.try_extend_nulls(length)
            };
            added.map_err(Error::input)?;
        }
        make_array(values.freeze())
    };
    let values: ArrayRef =
        if are_number_lists(values.data_type()) { Arc::new(fixed(values.as_ref())?) } else { values };
    let item = Field::clone(item).with_data_type(values.data_type().clone()).with_nullable(true);
    let length = i32::try_from(length).map_err(Error::input)?;
    FixedSizeListArray::try_new(Arc::new(item), length, values, array.nulls().cloned()).map_err(Error::input)
}

/// Says why lists have no length in common.
fn unlike(lengths: &BTreeSet<usize>) -> Error {
    const SHOWN: usize = 5;
    let more = lengths.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = lengths.iter().take(SHOWN).map(usize::to_string).collect();
    shown.extend((more > 0).then(|| format!("{more} more")));
    let lists = match shown.split_last() {
        None => "lists none of which is there".to_owned(),
        Some((only, [])) => format!("lists of length {only}"),
        Some((last, first)) => format!("lists of lengths {} and {last}", first.join(", ")),
    };
    Error::input(format!("expected numbers, as many in each row, got {lists}"))
        .with_help("pad or cut them to one length where the data is written, or leave the column out")
}

/// Returns the lengths of the lists that are there.
fn lengths<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> BTreeSet<usize> {
    (0..array.len()).filter(|it| array.is_valid(*it)).map(|it| array.value_length(it).as_usize()).collect()
}

fn read<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Result<NumberLists> {
    let lengths = lengths(array);
    let length = match lengths.first() {
        Some(it) if lengths.len() == 1 => *it,
        _ => return Ok(NumberLists::Ragged(lengths)),
    };
    // Of a slice no more than it has.
    let offsets = array.value_offsets();
    let start = offsets[0].as_usize();
    let items = array.values().slice(start, offsets[array.len()].as_usize() - start);
    let inner = match number_lists(items.as_ref())? {
        Some(NumberLists::Alike(it)) => it,
        Some(ragged) => return Ok(ragged),
        None => numbers(items.as_ref())?,
    };
    let width = length * inner.width;
    let mut values = Vec::with_capacity(array.len() * width);
    for (row, offset) in offsets.iter().enumerate().take(array.len()) {
        if array.is_valid(row) {
            let first = (offset.as_usize() - start) * inner.width;
            values.extend_from_slice(&inner.values[first..first + width]);
        } else {
            values.resize(values.len() + width, f64::NAN);
        }
    }
    Ok(NumberLists::Alike(Numbers { values: Cow::Owned(values), width, nulls: array.null_count() }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, LargeListArray, ListArray, StringArray, types::Int64Type};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::Field;

    use super::{
        super::{Number, are_rounded, exact_numbers, inputs_of, only_inputs, with_input},
        *,
    };
    use crate::host::ModelRole;

    #[test]
    fn lists_of_one_length_are_read_as_numbers() {
        let large = (1_i64 << 53) + 1;
        let rows = [Some(vec![Some(1), Some(large)]), None, Some(vec![None, Some(3)])];
        let of = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
        let (found, exact) = (numbers(&of).unwrap(), exact_numbers(&of).unwrap());
        assert_eq!((found.width, found.rows(), found.nulls, exact.width), (2, 3, 1, 2));
        assert!(found.row(1).iter().all(|it| it.is_nan()) && found.row(2)[0].is_nan());
        assert_eq!((found.row(0)[0], found.row(2)[1]), (1.0, 3.0));
        assert_eq!(exact.row(0).collect::<Vec<_>>(), [Number::Integer(1), Number::Integer(large.into())]);
        assert!(exact.row(1).all(|it| !it.is_finite()));
        assert!(are_rounded(&of).unwrap() && !are_rounded(&of.slice(2, 1)).unwrap());
        assert_eq!(numbers(&of.slice(2, 1)).unwrap().row(0)[1], 3.0);
        let nested = ListArray::new(
            Arc::new(Field::new("item", of.data_type().clone(), true)),
            OffsetBuffer::from_lengths([1, 1]),
            Arc::new(of.slice(1, 2)),
            None,
        );
        let found = numbers(&nested).unwrap();
        assert_eq!((found.width, found.row(1)[1]), (2, 3.0));
    }

    #[test]
    fn inputs_of_models_have_a_length() {
        let of = |rows: Vec<Option<Vec<Option<i64>>>>| {
            let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
            let field = Field::new("pixels", lists.data_type().clone(), true);
            let field = with_input(field, ModelRole::Candidate, "x");
            let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(lists)]).unwrap();
            only_inputs(&batch, &[ModelRole::Candidate])
        };
        let list = |n: usize| Some(vec![Some(7); n]);
        let alike = of(vec![list(2), None, list(2)]).unwrap();
        assert!(matches!(alike.schema().field(0).data_type(), DataType::FixedSizeList(_, 2)));
        assert_eq!(inputs_of(alike.schema().field(0), ModelRole::Candidate), ["x"]);
        assert_eq!(of(vec![None]).unwrap().num_rows(), 1);
        let error = of(vec![list(2), list(3)]).unwrap_err();
        assert!(
            error.message.starts_with("column `pixels`: ") && error.message.ends_with("lengths 2 and 3"),
            "{error}"
        );
    }

    #[test]
    fn lists_of_several_lengths_are_named() {
        let message = |lengths: &[usize]| {
            let rows = lengths.iter().map(|it| Some(vec![Some(1); *it]));
            let of = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
            let error = numbers(&of).unwrap_err();
            assert_eq!(exact_numbers(&of).unwrap_err().message, error.message);
            assert!(error.help.contains("one length"), "{error}");
            error.message
        };
        assert_eq!(message(&[3, 2, 3]), "expected numbers, as many in each row, got lists of lengths 2 and 3");
        assert_eq!(message(&[0, 0]), "expected numbers, as many in each row, got lists of length 0");
        assert!(message(&[1, 2, 3, 4, 5, 6, 7]).ends_with("lists of lengths 1, 2, 3, 4, 5 and 2 more"));
        assert!(message(&[]).ends_with("got lists none of which is there"));
    }

    #[test]
    fn slices_and_nested_lists_are_read_row_by_row() {
        let flat = LargeListArray::from_iter_primitive::<Int64Type, _, _>(
            [Some([1, 2]), None, Some([3, 4]), Some([5, 6])].map(|it| it.map(|it| it.map(Some))),
        );
        let part = flat.slice(1, 2);
        let Some(NumberLists::Alike(it)) = number_lists(&part).unwrap() else { panic!("they are alike") };
        assert_eq!((it.rows(), it.width, it.nulls, it.row(1)), (2, 2, 1, &[3.0, 4.0][..]));
        assert!(it.row(0).iter().all(|it| it.is_nan()));

        let images = |of: ArrayRef, offsets: Vec<usize>| {
            let item = Arc::new(Field::new("item", of.data_type().clone(), true));
            ListArray::new(item, OffsetBuffer::from_lengths(offsets), of, None)
        };
        let rows: ArrayRef = Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..4).map(|it| Some([Some(it), Some(it * 10)])),
        ));
        let nested = images(rows, vec![2, 2]);
        let Some(NumberLists::Alike(it)) = number_lists(&nested).unwrap() else { panic!("they are alike") };
        assert_eq!((it.width, it.row(1)), (4, &[2.0, 20.0, 3.0, 30.0][..]));
        let words = images(Arc::new(StringArray::from(vec!["a", "b"])), vec![1, 1]);
        assert!(number_lists(&words).unwrap().is_none());
        assert!(number_lists(&StringArray::from(vec!["a"])).unwrap().is_none());
        let nothing = flat.slice(1, 1);
        assert!(matches!(number_lists(&nothing).unwrap(), Some(NumberLists::Ragged(it)) if it.is_empty()));
    }
}
