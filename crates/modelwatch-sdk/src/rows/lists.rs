//! Lists of numbers whose type does not say how long they are, as tools for data frames write embeddings.

use std::{borrow::Cow, collections::BTreeSet};

use arrow_array::{Array, GenericListArray, OffsetSizeTrait, cast::AsArray};
use arrow_schema::DataType;

use super::{Numbers, is_numeric, numbers};
use crate::error::Result;

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

fn read<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Result<NumberLists> {
    let lengths: BTreeSet<usize> =
        (0..array.len()).filter(|it| array.is_valid(*it)).map(|it| array.value_length(it).as_usize()).collect();
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

    use super::*;

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
