//! Some rows of a batch.

use arrow_array::{Array, RecordBatch, RecordBatchOptions, make_array};
use arrow_data::transform::MutableArrayData;

use crate::error::{Error, Result};

/// Returns the rows at those places, in that order. Nothing is copied where the places follow each other.
///
/// # Errors
/// When a place is outside of the batch, or the texts of the rows are too long for one array.
///
/// ```
/// use std::sync::Arc;
///
/// use modelwatch_sdk::{RecordBatch, arrow::array::{ArrayRef, Int32Array}, rows::pick};
///
/// let column: ArrayRef = Arc::new(Int32Array::from(vec![10, 11, 12, 13]));
/// let batch = RecordBatch::try_from_iter([("x", column)]).map_err(|e| e.to_string())?;
/// let picked = pick(&batch, &[0, 2, 3]).map_err(|e| e.to_string())?;
/// assert_eq!(picked.column(0).as_ref(), &Int32Array::from(vec![10, 12, 13]) as &dyn modelwatch_sdk::arrow::array::Array);
/// # Ok::<(), String>(())
/// ```
pub fn pick(batch: &RecordBatch, places: &[usize]) -> Result<RecordBatch> {
    if let Some(it) = places.iter().find(|it| **it >= batch.num_rows()) {
        return Err(Error::input(format!("there is no row {it} among {}", batch.num_rows())));
    }
    let runs: Vec<&[usize]> = places.chunk_by(|left, right| left + 1 == *right).collect();
    if let [run] = runs[..] {
        return Ok(batch.slice(run[0], run.len()));
    }
    let gathered = |array: &dyn Array| {
        let data = array.to_data();
        let mut res = MutableArrayData::new(vec![&data], false, places.len());
        runs.iter().try_for_each(|run| res.try_extend(0, run[0], run[0] + run.len()))?;
        Ok(make_array(res.freeze()))
    };
    let columns = batch.columns().iter().map(|it| gathered(it.as_ref())).collect::<std::result::Result<_, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    let columns = columns.map_err(|e: arrow_schema::ArrowError| Error::input(e))?;
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(Error::input)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Float64Array, StringArray, StringViewArray,
        cast::AsArray,
        types::{Float64Type, Int8Type},
    };
    use arrow_schema::{DataType, Field};

    use super::*;
    use crate::rows::texts;

    #[test]
    fn rows_of_every_kind_are_picked_also_from_slices() {
        let dictionary: DictionaryArray<Int8Type> =
            [Some("a"), None, Some("b"), Some("a"), Some("c")].into_iter().collect();
        let plain: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(0.0), Some(1.0), None, Some(3.0), Some(4.0)])),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d"), Some("e")])),
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text of some length"), Some("d"), Some("e")])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None])),
            Arc::new(dictionary),
        ];
        for array in plain {
            let all = texts(array.as_ref()).unwrap();
            let batch =
                RecordBatch::try_from_iter_with_nullable([("x", Arc::clone(&array), true)]).unwrap().slice(1, 4);
            for places in [vec![], vec![1, 2], vec![0, 2, 3], vec![3, 0]] {
                let picked = pick(&batch, &places).unwrap();
                let expected: Vec<_> = places.iter().map(|it| all[it + 1].clone()).collect();
                assert_eq!(texts(picked.column(0).as_ref()).unwrap(), expected, "{:?}", array.data_type());
            }
        }
    }

    #[test]
    fn rows_of_lists_and_of_nothing_are_picked() {
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..8).map(f64::from)));
        let lists: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, values, None));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", lists, true)]).unwrap();
        let picked = pick(&batch, &[0, 2]).unwrap();
        let values = picked.column(0).as_fixed_size_list().values();
        assert_eq!(values.as_primitive::<Float64Type>().values().as_ref(), [0.0, 1.0, 4.0, 5.0]);
        let bare = batch.project(&[]).unwrap();
        assert_eq!(pick(&bare, &[0, 2, 3]).unwrap().num_rows(), 3);
        assert_eq!(pick(&bare, &[4]).unwrap_err().message, "there is no row 4 among 4");
    }
}
