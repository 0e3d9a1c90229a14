//! Weights of eight bits among numbers: those of models that were made smaller after training.
//!
//! TFLite multiplies such weights with numbers by their scales, of which there may be one for each channel. tract takes the first for
//! all, and adds integers. So they are numbers before tract sees them.

use std::collections::{BTreeMap, HashSet};

use tract_onnx::{
    prelude::TractResult,
    tract_hir::internal::{TractErrorContext, ensure},
};
use tract_tflite::tflite::{Tensor, TensorType};

use super::{View, surgery::NewTensor};
use crate::tract::memory::MAX_TENSOR_BYTES;

/// Returns the weights that stand for numbers, by their place, as these.
pub(super) fn as_numbers(view: View<'_>) -> TractResult<BTreeMap<usize, NewTensor>> {
    let mut res = BTreeMap::new();
    for idx in among_numbers(view) {
        let tensor = view.tensor(idx).with_context(|| format!("there is no tensor {idx}"))?;
        let named = || format!("the weights `{}`", tensor.name().unwrap_or_default());
        res.insert(usize::try_from(idx)?, numbers(view, tensor).with_context(named)?);
    }
    Ok(res)
}

/// Returns the tensors of scaled integers that nodes compute with whose first input are numbers.
pub(super) fn among_numbers(view: View<'_>) -> HashSet<i32> {
    let mut res = HashSet::new();
    for (_, node) in view.nodes() {
        let mut inputs = node.inputs().into_iter().flatten();
        let first = inputs.next().and_then(|it| view.tensor(it));
        if first.is_none_or(|it| it.type_() != TensorType::FLOAT32) {
            continue;
        }
        let is_scaled = |it: Tensor<'_>| {
            matches!(it.type_(), TensorType::INT8 | TensorType::UINT8)
                && it.quantization().is_some_and(|it| it.scale().is_some_and(|it| !it.is_empty()))
                && view.data(it).is_some()
        };
        res.extend(inputs.filter(|it| view.tensor(*it).is_some_and(is_scaled)));
    }
    res
}

fn numbers(view: View<'_>, tensor: Tensor<'_>) -> TractResult<NewTensor> {
    let shape: Vec<i32> = tensor.shape().into_iter().flatten().collect();
    let quantization = tensor.quantization().context("there is no scale")?;
    let scales: Vec<f32> = quantization.scale().into_iter().flatten().collect();
    let zero_points: Vec<i64> = quantization.zero_point().into_iter().flatten().collect();
    let integers = view.data(tensor).context("there are no integers")?;
    ensure!((integers.len() as u64) <= MAX_TENSOR_BYTES / 4, "there are {} of them", integers.len());
    let axis = if scales.len() == 1 { None } else { Some(usize::try_from(quantization.quantized_dimension())?) };
    let n_channels = axis.map_or(Some(1), |it| usize::try_from(*shape.get(it)?).ok());
    ensure!(
        n_channels == Some(scales.len()) && (zero_points.len() <= 1 || zero_points.len() == scales.len()),
        "there are {} scales and {} zero points for the shape {shape:?}",
        scales.len(),
        zero_points.len()
    );
    // How many integers of a channel lie side by side.
    let n_each: usize = axis
        .map_or(integers.len(), |axis| shape[axis + 1..].iter().map(|it| usize::try_from(*it).unwrap_or(0)).product());
    let is_signed = tensor.type_() == TensorType::INT8;
    let number = |(idx, byte): (usize, &u8)| {
        let channel = idx / n_each.max(1) % scales.len();
        let integer = if is_signed { i64::from(byte.cast_signed()) } else { i64::from(*byte) };
        let zero_point = zero_points.get(channel).or(zero_points.first()).copied().unwrap_or(0);
        integer.saturating_sub(zero_point) as f32 * scales[channel]
    };
    let data = integers.iter().enumerate().flat_map(|it| number(it).to_le_bytes()).collect();
    Ok(NewTensor { shape, data: Some(data), is_of_numbers: true })
}
