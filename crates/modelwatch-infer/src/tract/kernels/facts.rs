//! What is known of the values of a graph.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumType, OutletId, Tensor, TypedModel, tract_ndarray::ArrayD},
    tract_core::axes::{AxesMapping, Axis},
    tract_hir::internal::TypedNode,
};

/// Returns the shape of a value where it is known.
pub(super) fn shape(model: &TypedModel, outlet: OutletId) -> Option<Vec<usize>> {
    Some(model.outlet_fact(outlet).ok()?.shape.as_concrete()?.to_vec())
}

/// Returns whether the elements of a value are of single precision.
pub(super) fn is_single(model: &TypedModel, outlet: OutletId) -> bool {
    model.outlet_fact(outlet).is_ok_and(|it| it.datum_type == DatumType::F32 && it.is_plain())
}

/// Returns the elements of a constant of single precision.
pub(super) fn constant(model: &TypedModel, outlet: OutletId) -> Option<Vec<f32>> {
    let tensor: Arc<Tensor> = model.outlet_fact(outlet).ok()?.konst.clone()?;
    Some(tensor.to_plain_array_view::<f32>().ok()?.iter().copied().collect())
}

/// Returns the numbers of a constant, in single precision.
pub(in crate::tract) fn numbers(model: &TypedModel, outlet: OutletId) -> Option<ArrayD<f32>> {
    let tensor = model.outlet_fact(outlet).ok()?.konst.clone()?;
    tensor.cast_to::<f32>().ok()?.into_owned().into_plain_array::<f32>().ok()
}

/// Weights that rows are multiplied by.
pub(in crate::tract) struct Matrix {
    /// By number of a row and column.
    pub numbers: Vec<f32>,
    pub width: usize,
}

/// Returns the constant weights of a product of which the rows are along the last axis.
pub(in crate::tract) fn matrix(model: &TypedModel, node: &TypedNode, axes: &AxesMapping) -> Option<Matrix> {
    let (&x, &weights) = (node.inputs.first()?, node.inputs.get(1)?);
    let (x_shape, shape) = (shape(model, x)?, shape(model, node.id.into())?);
    let weights = numbers(model, weights).filter(|it| !it.is_empty())?;
    let last = shape.len().checked_sub(1)?;
    if x_shape.len() != shape.len() || x_shape[..last] != shape[..last] {
        return None;
    }
    let (mut depth, mut width) = (None, None);
    for Axis { inputs, outputs, .. } in axes.iter_all_axes() {
        match (&*inputs[0], &*inputs[1], &*outputs[0]) {
            (&[at], &[of_weights], []) if at == last => depth = Some(of_weights),
            ([], &[of_weights], &[at]) if at == last => width = Some(of_weights),
            (&[at], [], &[to]) if at == to && at < last => (),
            (&[at], &[of_weights], &[to]) if at == to && at < last && weights.shape()[of_weights] == 1 => (),
            _ => return None,
        }
    }
    let (depth, width) = (depth?, width?);
    let mut order: Vec<usize> = (0..weights.ndim()).filter(|it| ![depth, width].contains(it)).collect();
    order.extend([depth, width]);
    let width = weights.shape()[width];
    let weights = weights.permuted_axes(order);
    let numbers = if weights.is_standard_layout() {
        weights.into_raw_vec_and_offset().0
    } else {
        weights.iter().copied().collect()
    };
    Some(Matrix { numbers, width })
}

/// Returns the node that alone uses a value, once.
pub(in crate::tract) fn only_user(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    match model.outlet_successors(outlet) {
        [it] if !model.outputs.contains(&outlet) => Some(model.node(it.node)),
        _ => None,
    }
}
