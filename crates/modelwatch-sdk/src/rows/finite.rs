//! Which rows have numbers that are missing or not finite.

use arrow_array::{Array, cast::AsArray, types::Float32Type};
use arrow_schema::DataType;

use super::numbers;
use crate::error::Result;

/// So many numbers are looked at together: a loop over them does not end early, and takes several at once.
const AT_ONCE: usize = 1024;

/// Marks the rows of which a number is missing or not finite; of a column of anything but floats, or of lists of them, the rows that are null.
///
/// `marks` has a place for each row, or none as long as no row is marked: nothing is written where all are finite, as in most batches.
///
/// # Errors
/// When the column cannot be read.
///
/// ```
/// use modelwatch_sdk::{arrow::array::Float64Array, rows::mark_non_finite};
///
/// let mut marks = Vec::new();
/// mark_non_finite(&Float64Array::from(vec![1.0, 2.0, 3.0]), &mut marks)?;
/// assert!(marks.is_empty());
/// mark_non_finite(&Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]), &mut marks)?;
/// assert_eq!(marks, [false, true, true]);
/// # Ok::<(), modelwatch_sdk::Error>(())
/// ```
pub fn mark_non_finite(array: &dyn Array, marks: &mut Vec<bool>) -> Result<()> {
    let is_floating = match array.data_type() {
        DataType::FixedSizeList(item, _) => item.data_type().is_floating(),
        it => it.is_floating(),
    };
    if !is_floating {
        if array.null_count() > 0 {
            mark(marks, (0..array.len()).map(|row| array.is_null(row)));
        }
        return Ok(());
    }
    // `numbers` would copy them as doubles.
    let (items, width) = match array.as_fixed_size_list_opt() {
        Some(it) if it.null_count() == 0 => (it.values().as_ref(), it.value_length() as usize),
        _ => (array, 1),
    };
    if let Some(floats) = items.as_primitive_opt::<Float32Type>().filter(|it| it.null_count() == 0) {
        mark_in(floats.values(), width, |it| it.is_finite(), marks);
        return Ok(());
    }
    let numbers = numbers(array)?;
    mark_in(&numbers.values, numbers.width, |it| it.is_finite(), marks);
    Ok(())
}

/// Marks the rows, of `width` values each, with one that is not finite.
fn mark_in<T: Copy>(values: &[T], width: usize, is_finite: impl Fn(T) -> bool, marks: &mut Vec<bool>) {
    let are_finite = |it: &[T]| it.iter().fold(true, |res, it| res & is_finite(*it));
    if !values.chunks(AT_ONCE).all(are_finite) {
        mark(marks, values.chunks(width.max(1)).map(|row| !are_finite(row)));
    }
}

/// Marks rows beside those that are marked already.
fn mark(marks: &mut Vec<bool>, rows: impl ExactSizeIterator<Item = bool>) {
    if marks.is_empty() {
        marks.resize(rows.len(), false);
    }
    marks.iter_mut().zip(rows).for_each(|(mark, is_marked)| *mark |= is_marked);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array};
    use arrow_schema::Field;

    use super::*;

    fn marked(array: &dyn Array, marks: &[bool]) -> Vec<bool> {
        let mut res = marks.to_vec();
        mark_non_finite(array, &mut res).unwrap();
        res
    }

    #[test]
    fn rows_without_a_finite_number_are_marked() {
        let numbers = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX];
        for (last, is_bad) in [(Some(0.0), false), (None, true)] {
            let singles: Float32Array = numbers.into_iter().map(Some).chain([last]).collect();
            let doubles: Float64Array = singles.iter().map(|it| it.map(f64::from)).collect();
            for array in [&singles as &dyn Array, &doubles] {
                assert_eq!(marked(array, &[]), [false, true, true, true, false, is_bad], "{array:?}");
                // What another column has marked stays so.
                let marks = [false, false, false, false, true, false];
                assert_eq!(marked(array, &marks), [false, true, true, true, true, is_bad], "{array:?}");
            }
        }
    }

    #[test]
    fn rows_of_lists_without_a_finite_number_are_marked() {
        let numbers =
            Float32Array::from_iter_values([9.0, 9.0, 1.0, 2.0, f32::NAN, 1.0, 1.0, f32::INFINITY, 0.0, -0.0]);
        let doubles: Float64Array = numbers.iter().map(|it| it.map(f64::from)).collect();
        for values in [Arc::new(numbers) as ArrayRef, Arc::new(doubles)] {
            let item = Arc::new(Field::new("item", values.data_type().clone(), true));
            let list = FixedSizeListArray::try_new(item, 2, values, None).unwrap();
            // Those in front of the slice are of no row.
            let array = list.slice(1, 4);
            assert_eq!(marked(&array, &[]), [false, true, true, false], "{array:?}");
        }
    }

    #[test]
    fn one_number_among_many_is_found_and_none_leaves_no_mark() {
        for (at, number) in [(0, f32::NAN), (AT_ONCE - 1, f32::INFINITY), (AT_ONCE, f32::NAN), (3 * AT_ONCE, f32::NAN)]
        {
            let mut numbers = vec![0.5; 3 * AT_ONCE + 1];
            assert!(marked(&Float32Array::from(numbers.clone()), &[]).is_empty());
            numbers[at] = number;
            let found = marked(&Float32Array::from(numbers), &[]);
            assert!(found.iter().enumerate().all(|(row, it)| *it == (row == at)), "{at}");
        }
    }

    #[test]
    fn of_other_columns_the_nulls_are_marked() {
        assert_eq!(marked(&Int64Array::from(vec![Some(1), None]), &[]), [false, true]);
        assert!(marked(&Int64Array::from(vec![1, 2]), &[]).is_empty());
    }
}
