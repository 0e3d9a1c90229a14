//! Columns that came in, in as few allocations as there can be where they are plain numbers.

use std::{mem, ptr::NonNull, sync::Arc};

use arrow_array::{
    ArrayRef, RecordBatch, RecordBatchOptions,
    ffi::{FFI_ArrowArray, from_ffi_and_data_type},
    make_array,
};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, SchemaRef};
use modelwatch_abi::v1::ArrowArray;

use crate::error::{Error, Result};

/// A struct array, and its children until they are taken.
pub(super) struct Columns {
    array: Arc<FFI_ArrowArray>,
    children: *mut *mut FFI_ArrowArray,
}

impl Columns {
    /// # Safety
    /// The array is as the Arrow C Data Interface says, and the caller's own.
    pub(super) unsafe fn new(array: ArrowArray) -> Self {
        let children = array.children.cast();
        // SAFETY: both are the C struct of the Arrow C Data Interface; the sizes were compared in `super`.
        let array = unsafe { mem::transmute::<ArrowArray, FFI_ArrowArray>(array) };
        Self { array: Arc::new(array), children }
    }

    /// Returns them as a batch.
    pub(super) fn with(self, schema: SchemaRef) -> Result<RecordBatch> {
        let (n, wanted) = (self.array.num_children(), schema.fields().len());
        if n != wanted || self.array.offset() != 0 || self.array.null_count() != 0 {
            let what =
                format!("the rows are no {wanted} columns as their schema says, but {n}, or some rows are missing");
            return Err(Error::input(what));
        }
        let types = schema.fields().iter().map(|it| it.data_type());
        let columns = types.enumerate().map(|(at, it)| self.column(at, it)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.array.len()));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(Error::input)
    }

    fn column(&self, at: usize, data_type: &DataType) -> Result<ArrayRef> {
        if let Some(it) = self.numbers(at, data_type) {
            return Ok(it);
        }
        // SAFETY: there are as many children, each is taken once, and the interface lets them go their own way.
        let data =
            unsafe { from_ffi_and_data_type(FFI_ArrowArray::from_raw(*self.children.add(at)), data_type.clone()) };
        Ok(make_array(data.map_err(Error::input)?))
    }

    /// Returns a column of numbers, if it is one that can be taken as it is.
    fn numbers(&self, at: usize, data_type: &DataType) -> Option<ArrayRef> {
        let child = self.array.child(at);
        let width = data_type.primitive_width()?;
        let (len, offset) = (child.len(), child.offset());
        if child.num_buffers() != 2 || len == 0 || offset != 0 {
            return None;
        }
        // No type asks for more than 16.
        let values =
            NonNull::new(child.buffer(1).cast_mut()).filter(|it| it.addr().get().is_multiple_of(width.min(16)))?;
        // SAFETY: the array is alive as long as the buffers are, and as long as its length says.
        let buffer = |at, n_bytes| unsafe { Buffer::from_custom_allocation(at, n_bytes, self.array.clone()) };
        let nulls = match child.null_count_opt() {
            Some(0) => None,
            _ => Some(buffer(NonNull::new(child.buffer(0).cast_mut())?, len.div_ceil(8))),
        };
        let values = vec![buffer(values, len.checked_mul(width)?)];
        // SAFETY: any bits are a number of such a type, and the buffer has as many as the length says.
        let data = unsafe {
            ArrayData::new_unchecked(data_type.clone(), len, child.null_count_opt(), nulls, 0, values, vec![])
        };
        Some(make_array(data))
    }
}
