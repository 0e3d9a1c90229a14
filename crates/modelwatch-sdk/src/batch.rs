//! Record batches across the Arrow C Data Interface.
#![allow(unsafe_code)]

use std::{
    collections::VecDeque,
    mem, ptr,
    sync::{Mutex, PoisonError},
};

use abi_stable::std_types::RArc;
use arrow_array::{
    Array, RecordBatch, StructArray,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type},
};
use arrow_schema::{DataType, Fields};
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
    let columns = StructArray::from(batch.clone());
    let fields = columns.fields();
    let schema = EXPORTED.get(|it| it.fields == *fields, || Crossed::outward(fields.clone()))?.schema;
    let array = FFI_ArrowArray::new(&columns.to_data());
    // SAFETY: both are the C struct of the Arrow C Data Interface; the sizes were compared above.
    let array = unsafe { mem::transmute::<FFI_ArrowArray, v1::ArrowArray>(array) };
    Ok(v1::Batch { array, schema })
}

/// Returns the batch behind the two C structs. No buffer is copied.
///
/// # Errors
/// When the structs do not describe a valid struct array.
pub fn import(batch: v1::Batch) -> Result<RecordBatch> {
    let v1::Batch { array, schema } = batch;
    // SAFETY: as in `export`; ownership of `release` moves with the value.
    let array = unsafe { mem::transmute::<v1::ArrowArray, FFI_ArrowArray>(array) };
    // One that is kept here cannot have gone, and another have come to its place.
    let fields = IMPORTED
        .get(|it| ptr::eq(&raw const *it.schema, &raw const *schema), || Crossed::inward(schema.clone()))?
        .fields;
    // SAFETY: the peer filled the struct through its own `export`, and gave up ownership.
    let data = unsafe { from_ffi_and_data_type(array, DataType::Struct(fields)) }.map_err(Error::input)?;
    Ok(StructArray::from(data).into())
}

/// A schema in both forms.
#[derive(Clone)]
struct Crossed {
    fields: Fields,
    schema: RArc<v1::ArrowSchema>,
}

impl Crossed {
    fn outward(fields: Fields) -> Result<Self> {
        let schema = FFI_ArrowSchema::try_from(DataType::Struct(fields.clone())).map_err(Error::input)?;
        // SAFETY: as in `super::export`.
        let schema = unsafe { mem::transmute::<FFI_ArrowSchema, v1::ArrowSchema>(schema) };
        Ok(Self { fields, schema: RArc::new(schema) })
    }

    fn inward(schema: RArc<v1::ArrowSchema>) -> Result<Self> {
        // SAFETY: as in `super::export`; it is only read.
        let raw = unsafe { &*(&raw const *schema).cast::<FFI_ArrowSchema>() };
        match DataType::try_from(raw).map_err(Error::input)? {
            DataType::Struct(fields) => Ok(Self { fields, schema }),
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
    use std::{collections::HashMap, sync::Arc};

    use arrow_array::{ArrayRef, DictionaryArray, Float64Array, StringArray, types::Int8Type};
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
