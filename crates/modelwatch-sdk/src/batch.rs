//! Record batches across the Arrow C Data Interface.
#![allow(unsafe_code)]

use arrow_array::{
    Array, RecordBatch, StructArray,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi},
};
use modelwatch_abi::v1;

use crate::error::{Error, Result};

const _: () = assert!(size_of::<FFI_ArrowArray>() == size_of::<v1::ArrowArray>());
const _: () = assert!(size_of::<FFI_ArrowSchema>() == size_of::<v1::ArrowSchema>());

/// Returns the batch as the two C structs. No buffer is copied.
///
/// # Errors
/// When a type of the schema has no C form.
pub fn export(batch: &RecordBatch) -> Result<v1::Batch> {
    let data = StructArray::from(batch.clone()).to_data();
    let (array, schema) = to_ffi(&data).map_err(Error::input)?;
    // SAFETY: both sides are the C structs of the Arrow C Data Interface; the sizes were compared above.
    Ok(unsafe {
        v1::Batch {
            array: std::mem::transmute::<FFI_ArrowArray, v1::ArrowArray>(array),
            schema: std::mem::transmute::<FFI_ArrowSchema, v1::ArrowSchema>(schema),
        }
    })
}

/// Returns the batch behind the two C structs. No buffer is copied.
///
/// # Errors
/// When the structs do not describe a valid struct array.
pub fn import(batch: v1::Batch) -> Result<RecordBatch> {
    // SAFETY: as in `export`; ownership of `release` moves with the values.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<v1::ArrowArray, FFI_ArrowArray>(batch.array),
            std::mem::transmute::<v1::ArrowSchema, FFI_ArrowSchema>(batch.schema),
        )
    };
    // SAFETY: the peer filled the structs through its own `to_ffi`, and gave up ownership.
    let data = unsafe { from_ffi(array, &schema) }.map_err(Error::input)?;
    Ok(StructArray::from(data).into())
}
