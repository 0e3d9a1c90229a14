//! Batches derived from a case's: the same rows cut differently, and rows that nobody wished for.

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, RecordBatchOptions,
    cast::AsArray,
    make_array,
    types::{Float32Type, Float64Type},
};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

use crate::rows::{Use, with_uses};

/// Returns a batch of columns that may have nulls, each with what it is for.
///
/// # Panics
/// When the columns are not of one length.
pub fn batch<N: Into<String>, U: AsRef<[Use]>>(columns: impl IntoIterator<Item = (N, U, ArrayRef)>) -> RecordBatch {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, uses, array) in columns {
        fields.push(with_uses(Field::new(name, array.data_type().clone(), true), uses.as_ref()));
        arrays.push(array);
    }
    // Without columns there is nothing that says how many rows there are.
    let n_rows = arrays.first().map_or(0, |it| it.len());
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    let res = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    res.unwrap_or_else(|e| panic!("the columns make no batch: {e}"))
}

/// Returns the batch in pieces of `size` rows, which share its buffers at an offset.
pub(super) fn cut(batch: &RecordBatch, size: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(size.max(1));
    starts.map(|it| batch.slice(it, size.min(batch.num_rows() - it))).collect()
}

/// Returns the third of that number (0, 1 or 2) of the rows.
pub(super) fn third(batch: &RecordBatch, idx: usize) -> RecordBatch {
    let bound = |it: usize| batch.num_rows() * it / 3;
    batch.slice(bound(idx), bound(idx + 1) - bound(idx))
}

/// Returns batches with NaN for numbers, and nulls where a column may have them.
pub(super) fn nasty(batch: &RecordBatch) -> Vec<RecordBatch> {
    let odd = |row: usize| row % 2 == 1;
    let all = |_: usize| true;
    let mut res = Vec::new();
    for spoiled in [&odd as &dyn Fn(usize) -> bool, &all] {
        res.extend(with_columns(batch, |_, it| with_nan(it, spoiled)));
        res.extend(with_columns(batch, |nullable, it| if nullable { with_nulls(it, spoiled) } else { Arc::clone(it) }));
    }
    res
}

fn with_columns(batch: &RecordBatch, edit: impl Fn(bool, &ArrayRef) -> ArrayRef) -> Option<RecordBatch> {
    let fields = batch.schema_ref().fields().iter();
    let columns = fields.zip(batch.columns()).map(|(field, it)| edit(field.is_nullable(), it)).collect();
    RecordBatch::try_new(batch.schema(), columns).ok()
}

fn with_nan(array: &ArrayRef, spoiled: &dyn Fn(usize) -> bool) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().iter().enumerate();
            Arc::new(values.map(|(row, it)| if spoiled(row) { Some(f32::NAN) } else { it }).collect::<Float32Array>())
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().iter().enumerate();
            Arc::new(values.map(|(row, it)| if spoiled(row) { Some(f64::NAN) } else { it }).collect::<Float64Array>())
        }
        DataType::FixedSizeList(item, width) => {
            let list = array.as_fixed_size_list();
            let width_rows = (*width).max(1) as usize;
            let start = list.value_offset(0) as usize;
            let items = list.values().slice(start, list.len() * *width as usize);
            let items = with_nan(&items, &|it| spoiled(it / width_rows));
            FixedSizeListArray::try_new(Arc::clone(item), *width, items, list.nulls().cloned())
                .map_or_else(|_| Arc::clone(array), |it| Arc::new(it))
        }
        _ => Arc::clone(array),
    }
}

fn with_nulls(array: &ArrayRef, spoiled: &dyn Fn(usize) -> bool) -> ArrayRef {
    let kept: BooleanArray = (0..array.len()).map(|row| Some(array.is_valid(row) && !spoiled(row))).collect();
    let data = array.to_data().into_builder().nulls(Some(kept.values().clone().into())).build();
    data.map_or_else(|_| Arc::clone(array), make_array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nasty_rows_have_nan_and_nulls_also_in_slices() {
        let column: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0]));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap().slice(1, 2);
        let nulls: Vec<_> = nasty(&batch).iter().map(|it| it.column(0).null_count()).collect();
        assert_eq!(nulls, [0, 1, 0, 2]);
        let nan = |it: &RecordBatch| {
            it.column(0).as_primitive::<Float32Type>().values().iter().filter(|it| it.is_nan()).count()
        };
        assert_eq!(nasty(&batch).iter().map(nan).collect::<Vec<_>>(), [1, 0, 2, 0]);
        assert_eq!((0..3).map(|it| third(&batch, it).num_rows()).sum::<usize>(), 2);
        assert_eq!(cut(&batch, 1).len(), 2);
    }
}
