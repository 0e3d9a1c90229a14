//! What is known of the values of a graph.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumType, OutletId, Tensor, TypedModel},
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

/// Returns the node that alone uses a value, once.
pub(super) fn only_user(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    match model.outlet_successors(outlet) {
        [it] if !model.outputs.contains(&outlet) => Some(model.node(it.node)),
        _ => None,
    }
}
