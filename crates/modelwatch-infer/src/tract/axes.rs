//! Axes, and the integers that give them, as all formats write them.

use tract_onnx::{
    prelude::{DatumType, OutletId, Tensor, TractResult, TypedFact, TypedModel},
    tract_hir::internal::{ToDim, TractErrorContext, bail},
};

/// Returns `axis` counted from the front.
pub(super) fn resolve_axis(axis: i64, rank: usize) -> TractResult<usize> {
    let signed_rank = i64::try_from(rank)?;
    let res = if axis < 0 { axis.checked_add(signed_rank).unwrap_or(-1) } else { axis };
    match usize::try_from(res) {
        Ok(it) if it < rank => Ok(it),
        _ => bail!("axis {axis} does not exist in a tensor of rank {rank}"),
    }
}

/// Returns axes counted from the front, in order and each once.
pub(super) fn resolve_axes(axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
    let mut res: Vec<usize> = axes.iter().map(|it| resolve_axis(*it, rank)).collect::<TractResult<_>>()?;
    res.sort_unstable();
    res.dedup();
    Ok(res)
}

/// Returns the order in which these axes come last.
pub(super) fn put_last(axes: &[usize], rank: usize) -> Vec<usize> {
    (0..rank).filter(|it| !axes.contains(it)).chain(axes.iter().copied()).collect()
}

/// Returns what remains of a tensor of which these axes keep length 1.
pub(super) fn reduced(input: &TypedFact, axes: &[usize], dtype: DatumType) -> TypedFact {
    let mut shape = input.shape.to_tvec();
    for &axis in axes {
        shape[axis] = 1.to_dim();
    }
    TypedFact::dt_shape(dtype, shape)
}

/// Returns the elements as integers.
pub(super) fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    Ok(tensor.cast_to::<i64>()?.to_plain_array_view::<i64>()?.iter().copied().collect())
}

/// Returns a constant of a graph as integers.
pub(super) fn constant_integers(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<i64>> {
    let constant = model.outlet_fact(outlet)?.konst.clone().context("an input must be a constant")?;
    integers(&constant)
}
