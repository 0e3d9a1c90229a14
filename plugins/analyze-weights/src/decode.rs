//! Elements of a tensor as `f64`, chunk by chunk.

use modelwatch_sdk::{DType, Error, Host, Result, TensorView};

/// How many elements are decoded at a time.
const CHUNK: usize = 1 << 16;

/// Refuses a tensor whose bytes do not fit its shape.
pub(crate) fn check_size(tensor: &TensorView<'_>) -> Result<()> {
    let wanted = tensor.shape.iter().try_fold(tensor.dtype.size() as u64, |product, &it| product.checked_mul(it));
    if wanted == Some(tensor.bytes.len() as u64) {
        return Ok(());
    }
    let (name, n, shape) = (tensor.name, tensor.bytes.len(), tensor.shape);
    Err(Error::input(format!("cannot read tensor `{name}`: {n} bytes do not fit its shape {shape:?}")))
}

/// Calls `take` with the index of the first element and the elements of every chunk.
pub(crate) fn chunks(host: &dyn Host, tensor: &TensorView<'_>, mut take: impl FnMut(usize, &[f64])) -> Result<()> {
    let mut values = Vec::with_capacity(tensor.len().min(CHUNK));
    for start in (0..tensor.len()).step_by(CHUNK) {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        decode(tensor, start, &mut values);
        take(start, &values);
    }
    Ok(())
}

/// The same for two tensors of one length, element by element beside each other.
pub(crate) fn chunk_pairs(
    host: &dyn Host,
    old: &TensorView<'_>,
    new: &TensorView<'_>,
    mut take: impl FnMut(usize, &[f64], &[f64]),
) -> Result<()> {
    let mut other = Vec::with_capacity(old.len().min(CHUNK));
    chunks(host, new, |start, values| {
        decode(old, start, &mut other);
        take(start, &other, values);
    })
}

/// Returns the bytes of an element as an integer.
pub(crate) fn bits(tensor: &TensorView<'_>, idx: usize) -> u64 {
    let size = tensor.dtype.size();
    let mut res = [0; 8];
    res[..size].copy_from_slice(&tensor.bytes[idx * size..(idx + 1) * size]);
    u64::from_le_bytes(res)
}

/// Returns how an element of a type is read that `f64` may round, from what [`bits`] returns.
pub(crate) fn wide(dtype: DType) -> Option<fn(u64) -> i128> {
    match dtype {
        DType::I64 => Some(|bits| i128::from(bits.cast_signed())),
        DType::U64 => Some(i128::from),
        _ => None,
    }
}

fn decode(tensor: &TensorView<'_>, start: usize, out: &mut Vec<f64>) {
    let size = tensor.dtype.size();
    let end = (start + CHUNK).min(tensor.len());
    let bytes = &tensor.bytes[start * size..end * size];
    out.clear();
    match tensor.dtype {
        DType::F32 => out.extend(bytes.as_chunks().0.iter().map(|&it| f64::from(f32::from_le_bytes(it)))),
        DType::F64 => out.extend(bytes.as_chunks().0.iter().map(|&it| f64::from_le_bytes(it))),
        _ => out.extend(TensorView { bytes, ..*tensor }.values()),
    }
}
