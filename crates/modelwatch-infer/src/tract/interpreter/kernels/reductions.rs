//! What reductions give of no elements at all, on which tract panics.

use tract_onnx::{
    prelude::{Tensor, TractResult, tensor0},
    tract_hir::internal::bail,
};

use crate::tract::{
    axes::resolve_axis,
    interpreter::{call::Call, value::Value},
};

/// Those that have no operator of this project in their place.
const REDUCTIONS: [&str; 8] = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
];

/// Returns whether a node reduces a tensor in which there is nothing.
pub(in crate::tract::interpreter) fn is_of_nothing(call: &Call<'_>) -> bool {
    REDUCTIONS.contains(&&*call.proto().op_type)
        && matches!(&*call.proto().domain, "" | "ai.onnx")
        && call.maybe_tensor(0).is_ok_and(|it| it.is_some_and(|it| it.len() == 0))
}

/// Gives what ONNX says that a reduction begins with.
pub(in crate::tract::interpreter) fn of_nothing(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let axes = match call.maybe_ints(1)? {
        Some(it) => it,
        None => call.int_list("axes").unwrap_or_default().to_vec(),
    };
    if axes.is_empty() && call.flag("noop_with_empty_axes") {
        return Ok(vec![call.value(0)?.clone()]);
    }
    let rank = input.rank();
    let axes = axes.iter().map(|it| resolve_axis(*it, rank)).collect::<TractResult<Vec<_>>>()?;
    let axes = if axes.is_empty() { (0..rank).collect() } else { axes };
    let keeps = call.int("keepdims", 1) != 0;
    let kept = |(axis, size): (usize, &usize)| match (axes.contains(&axis), keeps) {
        (false, _) => Some(*size),
        (true, true) => Some(1),
        (true, false) => None,
    };
    let shape: Vec<usize> = input.shape().iter().enumerate().filter_map(kept).collect();
    let value = match &*call.proto().op_type {
        "ReduceSum" | "ReduceSumSquare" | "ReduceL1" | "ReduceL2" => 0.0,
        "ReduceProd" => 1.0,
        "ReduceLogSum" | "ReduceLogSumExp" if input.datum_type().is_float() => f64::NEG_INFINITY,
        "ReduceMean" if input.datum_type().is_float() => f64::NAN,
        other => bail!("{other} has no answer for no elements"),
    };
    let value = tensor0(value).cast_to_dt(input.datum_type())?.into_owned();
    let res: Tensor = value.broadcast_to_shape(&shape)?;
    Ok(vec![res.into()])
}
