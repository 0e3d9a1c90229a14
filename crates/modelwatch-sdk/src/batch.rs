//! Record batches across the Arrow C Data Interface.
#![allow(unsafe_code)]

mod inward;
mod outward;

use std::{
    collections::VecDeque,
    mem, ptr,
    sync::{Arc, Mutex, PoisonError},
};

use abi_stable::std_types::RArc;
use arrow_array::{
    RecordBatch,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema},
};
use arrow_schema::{DataType, Schema, SchemaRef};
use modelwatch_abi::v1;

use crate::error::{Error, Result};

const _: () = assert!(size_of::<FFI_ArrowArray>() == size_of::<v1::ArrowArray>());
const _: () = assert!(size_of::<FFI_ArrowSchema>() == size_of::<v1::ArrowSchema>());

static EXPORTED: Recent = Recent(Mutex::new(VecDeque::new()));
static IMPORTED: Recent = Recent(Mutex::new(VecDeque::new()));

/// Returns the batch as the two C structs. No buffer is copied.
///
/// # Errors
/// When a type of the schema has no C form.
pub fn export(batch: &RecordBatch) -> Result<v1::Batch> {
    let schema = batch.schema_ref();
    let schema = EXPORTED.get(|it| it.fields.fields() == schema.fields(), || Crossed::outward(schema))?.raw;
    Ok(v1::Batch { array: outward::columns(batch), schema })
}

/// Returns the batch behind the two C structs. No buffer is copied.
///
/// # Errors
/// When the structs do not describe a valid struct array.
pub fn import(batch: v1::Batch) -> Result<RecordBatch> {
    let v1::Batch { array, schema } = batch;
    // SAFETY: the peer filled the struct through its own `export`, and gave up ownership.
    let columns = unsafe { inward::Columns::new(array) };
    // One that is kept here cannot have gone, and another have come to its place.
    let is_it = |it: &Crossed| ptr::eq(&raw const *it.raw, &raw const *schema);
    let schema = IMPORTED.get(is_it, || Crossed::inward(schema.clone()))?.fields;
    columns.with(schema)
}

/// A schema in both forms.
#[derive(Clone)]
struct Crossed {
    fields: SchemaRef,
    raw: RArc<v1::ArrowSchema>,
}

impl Crossed {
    fn outward(fields: &SchemaRef) -> Result<Self> {
        let raw = FFI_ArrowSchema::try_from(DataType::Struct(fields.fields().clone())).map_err(Error::input)?;
        // SAFETY: both are the C struct of the Arrow C Data Interface; the sizes were compared above.
        let raw = unsafe { mem::transmute::<FFI_ArrowSchema, v1::ArrowSchema>(raw) };
        Ok(Self { fields: fields.clone(), raw: RArc::new(raw) })
    }

    fn inward(raw: RArc<v1::ArrowSchema>) -> Result<Self> {
        // SAFETY: as in `outward`; it is only read.
        let schema = unsafe { &*(&raw const *raw).cast::<FFI_ArrowSchema>() };
        match DataType::try_from(schema).map_err(Error::input)? {
            DataType::Struct(fields) => Ok(Self { fields: Arc::new(Schema::new(fields)), raw }),
            it => Err(Error::input(format!("rows came as {it}, not as a struct"))),
        }
    }
}

/// The schemas that crossed last, each way.
///
/// Nearly every batch has one of a few, and to write and to read it takes as long as all the rest of the way.
struct Recent(Mutex<VecDeque<Crossed>>);

impl Recent {
    const KEPT: usize = 16;

    fn get(&self, is_it: impl Fn(&Crossed) -> bool, make: impl FnOnce() -> Result<Crossed>) -> Result<Crossed> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = kept.iter().find(|it| is_it(it)) {
            return Ok(it.clone());
        }
        let res = make()?;
        if kept.len() == Self::KEPT {
            kept.pop_front();
        }
        kept.push_back(res.clone());
        Ok(res)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_array::{
        Array, ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, NullArray,
        RecordBatchOptions, StringArray, StructArray,
        cast::AsArray,
        types::{Float64Type, Int8Type},
    };
    use arrow_schema::{Field, Schema};

    use super::*;

    fn batch(name: &str) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some("ä"), Some("")]));
        let words: ArrayRef = Arc::new(["x", "y", "x"].into_iter().collect::<DictionaryArray<Int8Type>>());
        let unit = HashMap::from([("unit".to_owned(), "m".to_owned())]);
        let columns = [(name, numbers), ("text", texts), ("word", words)];
        let fields = columns
            .iter()
            .map(|(name, it)| Field::new(*name, it.data_type().clone(), it.is_nullable()).with_metadata(unit.clone()));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.map(|(_, it)| it).to_vec()).unwrap()
    }

    fn address(batch: &v1::Batch) -> *const v1::ArrowSchema {
        &raw const *batch.schema
    }

    #[test]
    fn what_crosses_is_the_same() {
        for _ in 0..3 {
            // Equal but for NaN, which is told by its text.
            let rows = batch("x").slice(1, 2);
            let crossed = import(export(&rows).unwrap()).unwrap();
            assert_eq!(crossed.schema(), rows.schema());
            assert_eq!(format!("{crossed:?}"), format!("{rows:?}"));
        }
    }

    #[test]
    fn columns_of_every_kind_cross() {
        let floats = Float64Array::from_iter((0..40).map(|it| (it % 3 != 0).then_some(f64::from(it))));
        let columns: [ArrayRef; 7] = [
            Arc::new(floats),
            Arc::new(Int32Array::from_iter_values(0..40)),
            Arc::new(Decimal128Array::from_iter((0..40).map(|it| (it != 9).then_some(it)))),
            Arc::new(StringArray::from_iter((0..40).map(|it| (it != 9).then(|| it.to_string())))),
            Arc::new((0..40).map(|it| (it % 5 != 0).then_some(it % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(NullArray::new(40)),
            Arc::new(StructArray::from(batch("x").slice(0, 0)).slice(0, 0)),
        ];
        let tuples = columns.iter().take(6).enumerate().map(|(at, it)| (at.to_string(), it.clone()));
        let rows = RecordBatch::try_from_iter(tuples).unwrap();
        // A slice begins within a byte of the missing values; without rows there is nothing to point to.
        for (at, n) in [(0, 40), (8, 16), (3, 30), (1, 1), (40, 0)] {
            let sliced = rows.slice(at, n);
            let crossed = import(export(&sliced).unwrap()).unwrap();
            assert_eq!(crossed, sliced, "{at} {n}");
            // Arrow's own import leaves texts without rows the offset that they had.
            let columns = crossed.columns().iter().filter(|_| n > 0);
            columns.for_each(|it| it.to_data().validate_full().unwrap());
        }
        let empty = RecordBatch::try_from_iter([("0", columns[6].clone())]).unwrap();
        assert_eq!(import(export(&empty).unwrap()).unwrap(), empty);
        let none = RecordBatchOptions::new().with_row_count(Some(7));
        let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &none).unwrap();
        assert_eq!(import(export(&none).unwrap()).unwrap().num_rows(), 7);
    }

    #[test]
    fn a_column_outlives_its_batch_and_its_buffers_are_not_copied() {
        let values = Float64Array::from_iter_values((0..100).map(f64::from));
        let at = values.values().as_ptr();
        let watched = values.values().inner().clone();
        let rows =
            RecordBatch::try_from_iter([("x", Arc::new(values) as ArrayRef), ("y", Arc::new(NullArray::new(100)))]);
        let crossed = import(export(&rows.unwrap()).unwrap()).unwrap();
        let column = crossed.column(0).slice(90, 10);
        drop(crossed);
        assert_eq!(column.as_primitive::<Float64Type>().values()[0], 90.0);
        assert_eq!(column.to_data().buffers()[0].as_ptr(), at.wrapping_add(90).cast());
        assert!(watched.strong_count() > 1);
        drop(column);
        assert_eq!(watched.strong_count(), 1);
    }

    #[test]
    fn rows_that_are_not_as_their_schema_says_are_refused() {
        let (one, other) = (batch("x"), RecordBatch::try_from_iter([("y", batch("x").column(0).clone())]).unwrap());
        let v1::Batch { array, .. } = export(&one).unwrap();
        let v1::Batch { array: fewer, schema } = export(&other).unwrap();
        let error = import(v1::Batch { array, schema: schema.clone() }).unwrap_err().message;
        assert!(error.starts_with("the rows are no 1 columns as their schema says, but 3"), "{error}");
        let mut shifted = fewer;
        shifted.offset = 1;
        assert!(import(v1::Batch { array: shifted, schema }).is_err());
    }

    #[test]
    fn batches_of_one_schema_share_it_and_others_do_not() {
        let [one, other, more] = [batch("x"), batch("y"), batch("x").slice(0, 1)].map(|it| export(&it).unwrap());
        assert_eq!(address(&one), address(&more));
        assert_ne!(address(&one), address(&other));
        let [one, other, more] = [one, other, more].map(|it| import(it).unwrap());
        assert!(one.schema().fields().iter().zip(more.schema().fields()).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(other.schema().field(0).name(), "y");
    }

    #[test]
    fn more_schemas_than_are_kept_cross() {
        for round in 0..2 {
            let held: Vec<_> = (0..3 * Recent::KEPT).map(|at| export(&batch(&format!("x{at}"))).unwrap()).collect();
            for (at, it) in held.into_iter().enumerate() {
                assert_eq!(import(it).unwrap().schema().field(0).name(), &format!("x{at}"), "{round}");
            }
            assert_eq!(IMPORTED.0.lock().unwrap().len(), Recent::KEPT);
        }
    }

    #[test]
    fn what_is_no_struct_is_refused() {
        let v1::Batch { array, .. } = export(&batch("x")).unwrap();
        let schema = FFI_ArrowSchema::try_from(DataType::Int32).unwrap();
        // SAFETY: as in `export`.
        let schema = RArc::new(unsafe { mem::transmute::<FFI_ArrowSchema, v1::ArrowSchema>(schema) });
        let error = import(v1::Batch { array, schema }).unwrap_err();
        assert_eq!(error.message, "rows came as Int32, not as a struct");
    }
}
