//! Axes, and the integers that give them, as all formats write them.

use tract_onnx::{
    prelude::{DatumType, OutletId, Tensor, TractResult, TypedFact, TypedModel},
    tract_hir::internal::{ToDim, TractErrorContext, bail},
};

use super::limits::MAX_ELEMENTS;

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

/// Returns over how many numbers of an axis a kernel reaches.
pub(super) fn reach(size: usize, dilation: usize) -> TractResult<usize> {
    let reach = size.checked_sub(1).and_then(|it| it.checked_mul(dilation)?.checked_add(1));
    let reach = reach.filter(|it| *it as u64 <= MAX_ELEMENTS);
    reach.with_context(|| format!("a kernel of {size} with the dilation {dilation} reaches over no axis"))
}

/// Returns how many numbers of an axis a transposed convolution makes of some.
pub(super) fn made_of(len: usize, stride: usize, reach: usize) -> TractResult<usize> {
    let made = len.checked_sub(1).and_then(|it| it.checked_mul(stride)?.checked_add(reach));
    let made = made.filter(|it| *it as u64 <= MAX_ELEMENTS);
    made.with_context(|| format!("{len} numbers of an axis, {stride} apart, are no axis"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_reach_over_what_an_axis_may_have() {
        assert_eq!((reach(3, 2).unwrap(), made_of(4, 2, 5).unwrap()), (5, 11));
        assert!(reach(0, 1).is_err() && reach(3, usize::MAX).is_err() && reach(3, usize::MAX / 2 + 1).is_err());
        assert!(made_of(0, 1, 1).is_err() && made_of(3, usize::MAX, 1).is_err() && made_of(2, 1, usize::MAX).is_err());
    }
}
