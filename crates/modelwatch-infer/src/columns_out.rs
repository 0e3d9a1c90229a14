//! Model outputs into columns of a record batch.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, Field, Schema};

use crate::{
    error::InferError,
    tensor::{HostTensor, Values},
};

/// Returns a batch with one column per output.
///
/// `[N]` becomes a primitive column; `[N, …]` a flat fixed-size list with the row shape in `arrow.fixed_shape_tensor` metadata.
pub(crate) fn batch_of(n_rows: usize, outputs: Vec<(String, HostTensor)>) -> Result<RecordBatch, InferError> {
    let columns = outputs.into_iter().map(|(name, tensor)| column_of(name, tensor)).collect::<Result<Vec<_>, _>>();
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.map_err(InferError::Outputs)?.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(InferError::Outputs)
}

fn column_of(name: String, tensor: HostTensor) -> Result<(Field, ArrayRef), ArrowError> {
    let row_len = tensor.row_len();
    let values = array_of(tensor.values);
    let Some(row_shape) = tensor.shape.get(1..).filter(|it| !it.is_empty()) else {
        return Ok((Field::new(name, values.data_type().clone(), false), values));
    };
    let width = i32::try_from(row_len)
        .map_err(|_| ArrowError::InvalidArgumentError(format!("output `{name}` has {row_len} elements a row")))?;
    let item = Arc::new(Field::new("item", values.data_type().clone(), false));
    let n_rows = tensor.shape.first().copied().unwrap_or(0);
    let list = FixedSizeListArray::try_new_with_length(item, width, values, None, n_rows)?;
    let metadata = HashMap::from([
        ("ARROW:extension:name".to_string(), "arrow.fixed_shape_tensor".to_string()),
        ("ARROW:extension:metadata".to_string(), serde_json::json!({ "shape": row_shape }).to_string()),
    ]);
    Ok((Field::new(name, list.data_type().clone(), false).with_metadata(metadata), Arc::new(list)))
}

fn array_of(values: Values) -> ArrayRef {
    match values {
        Values::Bool(it) => Arc::new(BooleanArray::from(it)),
        Values::I8(it) => Arc::new(Int8Array::new(it, None)),
        Values::I16(it) => Arc::new(Int16Array::new(it, None)),
        Values::I32(it) => Arc::new(Int32Array::new(it, None)),
        Values::I64(it) => Arc::new(Int64Array::new(it, None)),
        Values::U8(it) => Arc::new(UInt8Array::new(it, None)),
        Values::U16(it) => Arc::new(UInt16Array::new(it, None)),
        Values::U32(it) => Arc::new(UInt32Array::new(it, None)),
        Values::U64(it) => Arc::new(UInt64Array::new(it, None)),
        Values::F32(it) => Arc::new(Float32Array::new(it, None)),
        Values::F64(it) => Arc::new(Float64Array::new(it, None)),
        Values::Utf8(it) => Arc::new(StringArray::from(it)),
    }
}
