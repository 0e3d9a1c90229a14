//! Tensors whose values lie along other axes than they are meant: `permutation` in the metadata of `arrow.fixed_shape_tensor`.
//!
//! From here on they lie as they are meant, so that nothing else has to ask.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Array, ArrayRef, FixedSizeListArray, RecordBatch, UInt64Array, cast::AsArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use arrow_select::take::take;
use serde_json::{Value, json};

const METADATA: &str = "ARROW:extension:metadata";

/// The order in which the values of a row are meant to lie.
struct Order {
    /// By place: where the value lies.
    places: Vec<u64>,
    /// The metadata of values that lie so.
    metadata: Value,
}

/// Returns the columns as [`laid_out`] makes them, or says which of them has an order that is none.
pub(super) fn laid_out_schema(schema: Schema) -> Result<Schema, String> {
    let fields =
        schema.fields().iter().map(|it| Ok(order(it)?.map_or_else(|| Arc::clone(it), |order| order.field(it))));
    Ok(Schema::new_with_metadata(fields.collect::<Result<Vec<_>, String>>()?, schema.metadata().clone()))
}

/// Returns the rows with the values of each tensor in the order that is meant.
pub(super) fn laid_out(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.schema_ref().fields().iter().any(|it| is_permuted(it)) {
        return Ok(batch);
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        match order(field).map_err(ArrowError::InvalidArgumentError)? {
            Some(it) => {
                columns.push(it.array(column)?);
                fields.push(it.field(field));
            }
            None => {
                columns.push(Arc::clone(column));
                fields.push(Arc::clone(field));
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, batch.schema_ref().metadata().clone())), columns)
}

impl Order {
    fn field(&self, of: &FieldRef) -> FieldRef {
        let mut metadata: HashMap<_, _> = of.metadata().clone();
        metadata.insert(METADATA.to_owned(), self.metadata.to_string());
        Arc::new(Field::clone(of).with_metadata(metadata))
    }

    fn array(&self, of: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let list = of.as_fixed_size_list();
        let n = self.places.len() as u64;
        let starts = (0..of.len() as u64).map(|row| row * n);
        let places =
            UInt64Array::from_iter_values(starts.flat_map(|start| self.places.iter().map(move |it| start + it)));
        let values = take(list.values(), &places, None)?;
        let DataType::FixedSizeList(item, width) = list.data_type() else { return Ok(Arc::clone(of)) };
        let nulls = list.nulls().cloned();
        Ok(Arc::new(FixedSizeListArray::try_new_with_length(Arc::clone(item), *width, values, nulls, of.len())?))
    }
}

fn is_permuted(field: &Field) -> bool {
    let is_tensor = field.metadata().get("ARROW:extension:name").is_some_and(|it| it == "arrow.fixed_shape_tensor");
    is_tensor && field.metadata().get(METADATA).is_some_and(|it| it.contains("permutation"))
}

/// Returns the order of a column that does not lie in it, or says what is wrong with it.
///
/// Axis `i` of a tensor as it is meant is axis `permutation[i]` of what lies there, which has the extents `shape` (Arrow's canonical
/// extension types).
fn order(field: &Field) -> Result<Option<Order>, String> {
    if !is_permuted(field) {
        return Ok(None);
    }
    let wrong = |what: &str| format!("the tensors of column `{}` {what}; write the column again", field.name());
    let metadata = field.metadata().get(METADATA).and_then(|it| serde_json::from_str::<Value>(it).ok());
    let Some(mut metadata) = metadata else { return Err(wrong("have metadata that is not JSON")) };
    let numbers = |key: &str| serde_json::from_value::<Vec<usize>>(metadata.get(key)?.clone()).ok();
    let permutation = match metadata.get("permutation") {
        None | Some(Value::Null) => return Ok(None),
        Some(_) => numbers("permutation").unwrap_or_default(),
    };
    let (DataType::FixedSizeList(_, width), Some(shape)) = (field.data_type(), numbers("shape")) else {
        return Err(wrong("have a `permutation` and no `shape`"));
    };
    let mut axes = permutation.clone();
    axes.sort_unstable();
    if axes.len() != shape.len() || !axes.iter().copied().eq(0..axes.len()) {
        return Err(wrong(&format!("have {} axes, and a `permutation` that is no order of them", shape.len())));
    }
    let n = shape.iter().try_fold(1_usize, |acc, it| acc.checked_mul(*it));
    let Some(n) = n.filter(|it| i32::try_from(*it) == Ok(*width)) else {
        return Err(wrong(&format!("have the shape {shape:?}, and {width} values")));
    };
    if axes == permutation {
        return Ok(None);
    }
    let meant: Vec<usize> = permutation.iter().map(|&it| shape[it]).collect();
    let place = |at: usize| {
        // The last axis is the one along which neighbors lie, in both.
        let (mut rest, mut index) = (at, vec![0; shape.len()]);
        for (&axis, &extent) in permutation.iter().zip(&meant).rev() {
            (rest, index[axis]) = (rest / extent, rest % extent);
        }
        shape.iter().zip(index).fold(0, |place, (extent, it)| place * extent + it) as u64
    };
    let places = (0..n).map(place).collect();
    if let Some(names) = metadata.get("dim_names").and_then(Value::as_array).filter(|it| it.len() == shape.len()) {
        metadata["dim_names"] = permutation.iter().map(|&it| names[it].clone()).collect();
    }
    metadata["shape"] = json!(meant);
    metadata.as_object_mut().map(|it| it.remove("permutation"));
    Ok(Some(Order { places, metadata }))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, types::Int32Type};

    use super::*;

    fn column(metadata: &str, width: i32) -> Field {
        let item = Arc::new(Field::new("item", DataType::Int32, false));
        let metadata = [
            ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
            (METADATA.to_owned(), metadata.to_owned()),
        ];
        Field::new("x", DataType::FixedSizeList(item, width), false).with_metadata(metadata.into())
    }

    #[test]
    fn values_lie_as_they_are_meant() {
        let field = column(r#"{"shape":[2,3],"dim_names":["a","b"],"permutation":[1,0]}"#, 6);
        let DataType::FixedSizeList(item, _) = field.data_type() else { panic!() };
        let values: ArrayRef = Arc::new(Int32Array::from_iter_values(0..18));
        let list: ArrayRef = Arc::new(FixedSizeListArray::new(Arc::clone(item), 6, values, None));
        let schema = Schema::new(vec![field]);
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![list]).unwrap().slice(1, 2);
        let res = laid_out(batch).unwrap();
        let values = res.column(0).as_fixed_size_list().values().as_primitive::<Int32Type>().values().to_vec();
        assert_eq!(values, [6, 9, 7, 10, 8, 11, 12, 15, 13, 16, 14, 17]);
        assert_eq!(res.schema_ref().field(0).metadata()[METADATA], r#"{"dim_names":["b","a"],"shape":[3,2]}"#);
        assert_eq!(**res.schema_ref(), laid_out_schema(schema).unwrap());
        assert_eq!(laid_out(res.clone()).unwrap(), res);
    }

    #[test]
    fn axes_are_told_apart() {
        let field = column(r#"{"shape":[2,3,4],"permutation":[2,0,1]}"#, 24);
        let order = order(&field).unwrap().unwrap();
        assert_eq!(order.metadata, json!({"shape": [4, 2, 3]}));
        // [1, 1, 2] as it is meant is [1, 2, 1] of what lies there.
        assert_eq!(order.places[11], 21);
    }

    #[test]
    fn an_order_that_is_none_is_told() {
        for (metadata, message) in [
            (r#"{"shape":[2,3],"permutation":[1]}"#, "have 2 axes, and a `permutation` that is no order of them"),
            (r#"{"shape":[2,3],"permutation":[1,1]}"#, "have 2 axes, and a `permutation` that is no order of them"),
            (r#"{"shape":[2,3],"permutation":"ab"}"#, "have 2 axes, and a `permutation` that is no order of them"),
            (r#"{"shape":[2,4],"permutation":[1,0]}"#, "have the shape [2, 4], and 6 values"),
            (r#"{"permutation":[1,0]}"#, "have a `permutation` and no `shape`"),
            (r#"{"permutation"#, "have metadata that is not JSON"),
        ] {
            let said = laid_out_schema(Schema::new(vec![column(metadata, 6)])).unwrap_err();
            assert_eq!(said, format!("the tensors of column `x` {message}; write the column again"));
        }
        for metadata in
            [r#"{"shape":[2,3]}"#, r#"{"shape":[2,3],"permutation":[0,1]}"#, r#"{"shape":[6],"permutation":null}"#]
        {
            assert!(order(&column(metadata, 6)).unwrap().is_none(), "{metadata}");
        }
    }
}
