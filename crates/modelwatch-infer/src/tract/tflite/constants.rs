//! Constants of a file; integers that stand for numbers are read as these.
//!
//! TFLite multiplies weights of eight bits by their scales, of which there may be one for each channel. tract takes the first for all,
//! and adds integers. So they are numbers before tract sees them, as are the biases of 32 and 64 bits that come with them.

use tract_onnx::{
    prelude::{DatumType, Tensor, TractResult},
    tract_hir::internal::{TractErrorContext, bail, ensure, f16},
};
use tract_tflite::tflite::{self, TensorType};

use super::{View, scales::are_scaled};
use crate::tract::memory::MAX_TENSOR_BYTES;

/// Returns the value of a tensor, if the file has it.
pub(super) fn read(view: View<'_>, tensor: tflite::Tensor<'_>) -> TractResult<Option<Tensor>> {
    let shape: Vec<i32> = tensor.shape().into_iter().flatten().collect();
    let bytes = match view.data(tensor) {
        Some(it) => it,
        None if shape.contains(&0) => &[],
        None => return Ok(None),
    };
    ensure!(tensor.sparsity().is_none(), "it is sparse");
    let dims: Vec<usize> = shape.iter().map(|it| usize::try_from(*it)).collect::<Result<_, _>>()?;
    if are_scaled(tensor) {
        return Ok(Some(Tensor::from_shape(&dims, &numbers(tensor, &dims, bytes)?)?));
    }
    macro_rules! of {
        ($ty:ty) => {
            Tensor::from_shape(&dims, &items(bytes, <$ty>::from_le_bytes))
        };
    }
    Ok(Some(match tensor.type_() {
        TensorType::BOOL => Tensor::from_shape(&dims, &bytes.iter().map(|it| *it != 0).collect::<Vec<_>>()),
        TensorType::FLOAT16 => of!(f16),
        TensorType::FLOAT32 => of!(f32),
        TensorType::FLOAT64 => of!(f64),
        TensorType::INT8 => of!(i8),
        TensorType::INT16 => of!(i16),
        TensorType::INT32 => of!(i32),
        TensorType::INT64 => of!(i64),
        TensorType::UINT8 => of!(u8),
        TensorType::UINT16 => of!(u16),
        TensorType::UINT32 => of!(u32),
        TensorType::UINT64 => of!(u64),
        other => bail!("it has the unsupported element type {}", other.variant_name().unwrap_or("unknown")),
    }?))
}

fn items<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|it| of(*it)).collect()
}

/// Returns the type of what a tensor has when it is computed, or nothing for types that are none here.
pub(super) fn datum_type(tensor: tflite::Tensor<'_>) -> Option<DatumType> {
    if are_scaled(tensor) {
        return Some(DatumType::F32);
    }
    DatumType::try_from(tensor.type_()).ok()
}

fn numbers(tensor: tflite::Tensor<'_>, shape: &[usize], bytes: &[u8]) -> TractResult<Vec<f32>> {
    let quantization = tensor.quantization().context("there is no scale")?;
    let scales: Vec<f32> = quantization.scale().into_iter().flatten().collect();
    let zero_points: Vec<i64> = quantization.zero_point().into_iter().flatten().collect();
    let integers: Vec<i64> = match tensor.type_() {
        TensorType::INT8 => bytes.iter().map(|it| it.cast_signed().into()).collect(),
        TensorType::UINT8 => bytes.iter().map(|it| (*it).into()).collect(),
        TensorType::INT16 => items(bytes, i16::from_le_bytes).into_iter().map(i64::from).collect(),
        TensorType::INT32 => items(bytes, i32::from_le_bytes).into_iter().map(i64::from).collect(),
        TensorType::INT64 => items(bytes, i64::from_le_bytes),
        other => bail!("it has scaled integers of type {}", other.variant_name().unwrap_or("unknown")),
    };
    ensure!((integers.len() as u64) <= MAX_TENSOR_BYTES / 4, "there are {} of them", integers.len());
    let axis = if scales.len() == 1 { None } else { Some(usize::try_from(quantization.quantized_dimension())?) };
    let n_channels = axis.map_or(Some(1), |it| shape.get(it).copied());
    ensure!(
        n_channels == Some(scales.len()) && (zero_points.len() <= 1 || zero_points.len() == scales.len()),
        "there are {} scales and {} zero points for the shape {shape:?}",
        scales.len(),
        zero_points.len()
    );
    ensure!(scales.iter().all(|it| it.is_finite()), "a scale is no number");
    // How many integers of a channel lie side by side.
    let n_each: usize = axis.map_or(integers.len(), |axis| shape[axis + 1..].iter().product());
    let number = |(idx, integer): (usize, &i64)| {
        let channel = idx / n_each.max(1) % scales.len();
        let zero_point = zero_points.get(channel).or(zero_points.first()).copied().unwrap_or(0);
        (integer.saturating_sub(zero_point) as f64 * f64::from(scales[channel])) as f32
    };
    Ok(integers.iter().enumerate().map(number).collect())
}
