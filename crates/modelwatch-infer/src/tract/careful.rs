//! Runs a model so that a NaN stays a NaN.
//!
//! tract's kernels for Relu, Clip, Sigmoid, Tanh and max pooling turn NaN into plausible numbers (onnxruntime and TensorFlow keep it), and
//! whether they do depends on what the optimizer fused.
//! Where a NaN is possible, the graph is therefore run as written, and NaN is put back after each node that may have swallowed it.
//!
//! Integers have no NaN. A quantization is therefore one step with its inverse, unless something computes with the integers: what it
//! makes of a NaN then shows only in the numbers of the nodes.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedModel, tvec},
    tract_core::{
        internal::{EvalContext, OpState},
        model::typed::TypedSimpleState,
        ops::{binary::TypedBinOp, cnn::MaxPool, element_wise::ElementWiseOp, konst::Const},
        plan,
    },
    tract_hir::internal::TypedNode,
};

/// The square of anything smaller is finite in single precision, with room for a sum.
const EXTREME: f64 = 1e18;

/// Returns whether a tensor has NaN, an infinity, or a number that overflows when multiplied.
pub(super) fn is_extreme(tensor: &Tensor) -> bool {
    match tensor.datum_type() {
        DatumType::F32 => tensor.to_plain_array_view::<f32>().is_ok_and(|it| match it.as_slice() {
            Some(values) => any_extreme(values),
            None => it.iter().any(|&it| extreme(it)),
        }),
        DatumType::F64 => {
            let is_extreme = |it: &f64| it.is_nan() || it.abs() > EXTREME;
            tensor.to_plain_array_view::<f64>().is_ok_and(|it| it.iter().any(is_extreme))
        }
        _ => false,
    }
}

/// Looks at every input of every run, so by whole lines: a loop that may end at each number is not vectorized.
fn any_extreme(values: &[f32]) -> bool {
    const LINE: usize = 64;
    let (lines, rest) = values.as_chunks::<LINE>();
    lines.iter().any(|line| line.iter().fold(false, |acc, &it| acc | extreme(it))) || rest.iter().any(|&it| extreme(it))
}

fn extreme(value: f32) -> bool {
    value.is_nan() || value.abs() > EXTREME as f32
}

/// Returns whether some weight can make a NaN from finite inputs.
///
/// Attention masks do not count: tensors of one huge number besides zeros and ones.
pub(super) fn has_extreme_constants(model: &TypedModel) -> bool {
    let is_extreme = |tensor: &Tensor| {
        let Ok(values) = tensor.to_plain_array_view::<f32>() else {
            return false;
        };
        let mut huge = values.iter().copied().filter(|&it| extreme(it));
        let Some(first) = huge.next() else {
            return false;
        };
        first.is_nan() || values.iter().any(|&it| it != first && it != 0.0 && it != 1.0)
    };
    model.nodes().iter().filter_map(|it| it.op_as::<Const>()).any(|it| is_extreme(it.val()))
}

/// Runs `state`, whose plan must be unoptimized, and keeps NaN.
pub(super) fn run(state: &mut TypedSimpleState, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    state.run_plan_with_eval(inputs, eval)
}

pub(super) fn eval(
    context: &EvalContext,
    state: Option<&mut (dyn OpState + 'static)>,
    node: &TypedNode,
    inputs: TVec<TValue>,
) -> TractResult<TVec<TValue>> {
    let may_swallow = node.op_is::<ElementWiseOp>()
        || node.op_is::<MaxPool>()
        || node.op_as::<TypedBinOp>().is_some_and(|it| matches!(it.0.name(), "Max" | "Min"));
    let marks = if may_swallow { inputs.iter().map(|it| marks(it)).collect::<TractResult<_>>()? } else { vec![] };
    let mut outputs = plan::eval(context, state, node, inputs)?;
    if marks.iter().all(Option::is_none) || outputs[0].datum_type() != DatumType::F32 {
        return Ok(outputs);
    }
    let mut output = outputs[0].clone().into_tensor();
    for mark in marks.into_iter().flatten() {
        let mark = if node.op_is::<MaxPool>() {
            // A window with a mark in it has the maximum 1.
            plan::eval(context, None, node, tvec!(mark.into_tvalue()))?.remove(0)
        } else {
            mark.into_tvalue()
        };
        let shape = output.shape().to_vec();
        let mark = mark.to_plain_array_view::<f32>()?;
        let Some(mark) = mark.broadcast(shape) else {
            continue;
        };
        let mut values = output.to_plain_array_view_mut::<f32>()?;
        for (value, &mark) in values.iter_mut().zip(mark.iter()) {
            if mark > 0.5 {
                *value = f32::NAN;
            }
        }
    }
    outputs[0] = output.into_tvalue();
    Ok(outputs)
}

/// Returns 1 where `tensor` is NaN and 0 elsewhere, or nothing if it has no NaN.
fn marks(tensor: &Tensor) -> TractResult<Option<Tensor>> {
    if tensor.datum_type() != DatumType::F32 {
        return Ok(None);
    }
    let values = tensor.to_plain_array_view::<f32>()?;
    if !values.iter().any(|it| it.is_nan()) {
        return Ok(None);
    }
    Ok(Some(values.map(|it| f32::from(u8::from(it.is_nan()))).into()))
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::tensor1;

    use super::*;

    #[test]
    fn an_extreme_number_is_found_wherever_it_is() {
        for n in [1, 63, 64, 65, 200] {
            assert!(!is_extreme(&tensor1(&vec![-1e18_f32; n])), "{n}");
            for at in [0, n / 2, n - 1] {
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1e18, -1.1e18] {
                    let mut values = vec![1.0_f32; n];
                    values[at] = value;
                    assert!(is_extreme(&tensor1(&values)), "{value} at {at} of {n}");
                }
            }
        }
    }
}
