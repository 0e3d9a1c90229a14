//! Columns on their way out, in as few allocations as there can be where they are plain numbers.

use std::{ffi::c_void, mem, ptr, sync::Arc};

use arrow_array::{Array, RecordBatch, ffi::FFI_ArrowArray};
use arrow_data::ArrayData;
use modelwatch_abi::v1::ArrowArray;

/// Returns the columns as a struct array that owns them.
pub(super) fn columns(batch: &RecordBatch) -> ArrowArray {
    let data: Vec<ArrayData> = batch.columns().iter().map(|it| it.to_data()).collect();
    let buffers = data.iter().map(buffers).collect();
    let numbers = Arc::new(Numbers { data, buffers });
    let column = |(data, buffers): (&ArrayData, &[*const c_void; 2])| {
        if buffers[1].is_null() {
            // SAFETY: both are the C struct of the Arrow C Data Interface; the sizes were compared in `super`.
            return unsafe { mem::transmute::<FFI_ArrowArray, ArrowArray>(FFI_ArrowArray::new(data)) };
        }
        ArrowArray {
            length: data.len() as i64,
            null_count: data.null_count() as i64,
            offset: data.offset() as i64,
            n_buffers: 2,
            n_children: 0,
            buffers: buffers.as_ptr().cast_mut(),
            children: ptr::null_mut(),
            dictionary: ptr::null_mut(),
            release: Some(release_numbers),
            private_data: Arc::into_raw(numbers.clone()).cast_mut().cast(),
        }
    };
    let mut children: Vec<ArrowArray> = numbers.data.iter().zip(&numbers.buffers).map(column).collect();
    let pointers = children.iter_mut().map(|it| ptr::from_mut(it).cast()).collect();
    // A pointer into it from now on, so that none of those below is into a box that moves.
    let table = Box::into_raw(Box::new(Table { children, pointers, nulls: ptr::null() }));
    // SAFETY: it was just made, and nobody else has it.
    let Table { children, pointers, nulls } = unsafe { &mut *table };
    ArrowArray {
        length: batch.num_rows() as i64,
        null_count: 0,
        offset: 0,
        n_buffers: 1,
        n_children: children.len() as i64,
        buffers: nulls,
        children: pointers.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(release_table),
        private_data: table.cast(),
    }
}

/// What the columns of numbers point to. Each of them holds it, since it may go its own way.
struct Numbers {
    data: Vec<ArrayData>,
    /// Missing values and values.
    buffers: Vec<[*const c_void; 2]>,
}

// SAFETY: they point into `data`, and nobody writes there.
unsafe impl Send for Numbers {}
// SAFETY: as above.
unsafe impl Sync for Numbers {}

/// Returns where the buffers of a column of numbers are. The second is null where it is none.
fn buffers(data: &ArrayData) -> [*const c_void; 2] {
    let is_aligned = data.nulls().is_none_or(|it| it.offset() == data.offset());
    match data.buffers() {
        [values] if is_aligned && data.data_type().primitive_width().is_some() => {
            let nulls = data.nulls().map_or(ptr::null(), |it| it.validity().as_ptr().cast());
            [nulls, values.as_ptr().cast()]
        }
        _ => [ptr::null(); 2],
    }
}

struct Table {
    children: Vec<ArrowArray>,
    /// To the children.
    pointers: Vec<*mut c_void>,
    /// The only buffer of a struct array: no row is missing.
    nulls: *const c_void,
}

unsafe extern "C" fn release_numbers(array: *mut c_void) {
    // SAFETY: the interface gives it an array that was not released, and its private data is what `columns` put there.
    unsafe {
        let array = &mut *array.cast::<ArrowArray>();
        drop(Arc::from_raw(array.private_data.cast::<Numbers>()));
        array.release = None;
    }
}

unsafe extern "C" fn release_table(array: *mut c_void) {
    // SAFETY: as above. A child that went its own way has no callback here any more.
    unsafe {
        let array = &mut *array.cast::<ArrowArray>();
        let mut table = Box::from_raw(array.private_data.cast::<Table>());
        for child in &mut table.children {
            if let Some(release) = child.release {
                release(ptr::from_mut(child).cast());
            }
        }
        array.release = None;
    }
}
