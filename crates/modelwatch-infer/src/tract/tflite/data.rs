//! Holds the data of constants against their shapes, and what nodes name against what is there, before tract reads it.

use tract_tflite::tflite::{Tensor, TensorType};

use super::View;
use crate::tract::memory::{MAX_TENSOR_BYTES, widest};

/// Fails with the first tensor whose data is not that of its shape, or whose shape is that of no tensor.
pub(super) fn check(view: View<'_>) -> Result<(), String> {
    check_indices(view)?;
    for tensor in view.graph.tensors().into_iter().flatten() {
        let fault = |what: String| Err(format!("tensor `{}` {what}", tensor.name().unwrap_or_default()));
        let dims: Vec<i32> = tensor.shape().into_iter().flatten().collect();
        let Some(n_bits) = n_bits(&dims, tensor) else {
            return fault(format!("has the shape {dims:?}, which no tensor has"));
        };
        let n_bytes = n_bits.div_ceil(8);
        match view.data(tensor) {
            // Text and sparse tensors say themselves how long they are.
            Some(data) if n_bits > 0 && tensor.sparsity().is_none() && data.len() as u64 != n_bytes => {
                return fault(format!("has {} bytes of data, not the {n_bytes} of {dims:?}", data.len()));
            }
            None if n_bytes > MAX_TENSOR_BYTES => {
                return fault(format!("of shape {dims:?} has {n_bytes} bytes, more than {MAX_TENSOR_BYTES}"));
            }
            _ => (),
        }
    }
    Ok(())
}

fn check_indices(view: View<'_>) -> Result<(), String> {
    /// An input that is left out.
    const NONE: i32 = -1;
    let n_buffers = view.model.buffers().map_or(0, |it| it.len());
    for tensor in view.graph.tensors().into_iter().flatten() {
        if tensor.buffer() as usize >= n_buffers.max(1) {
            let name = tensor.name().unwrap_or_default();
            return Err(format!("tensor `{name}` is in buffer {}, and there are {n_buffers}", tensor.buffer()));
        }
    }
    for (position, (operator, node)) in view.nodes().enumerate() {
        if operator.is_none() {
            return Err(format!("node {position} has operator {}, which does not exist", node.opcode_index()));
        }
        let inputs = node.inputs().into_iter().flatten().filter(|it| *it != NONE);
        let mut named = inputs.chain(node.outputs().into_iter().flatten());
        if let Some(it) = named.find(|it| view.tensor(*it).is_none()) {
            return Err(format!("node {position} names tensor {it}, which does not exist"));
        }
    }
    Ok(())
}

/// Returns the bits of all elements, 0 where that is not known of the type, or nothing if no tensor has the shape.
fn n_bits(dims: &[i32], tensor: Tensor<'_>) -> Option<u64> {
    let of_element = match tensor.type_() {
        TensorType::FLOAT64 | TensorType::INT64 | TensorType::UINT64 => 64,
        TensorType::FLOAT32 | TensorType::INT32 | TensorType::UINT32 => 32,
        TensorType::FLOAT16 | TensorType::INT16 | TensorType::UINT16 => 16,
        TensorType::INT8 | TensorType::UINT8 | TensorType::BOOL => 8,
        TensorType::INT4 => 4,
        _ => 0,
    };
    let n_bits = widest(dims)?.checked_mul(of_element)?;
    Some(if dims.contains(&0) { 0 } else { n_bits })
}
