//! Writes arithmetic on integers of eight bits as the same arithmetic in single precision, for which there are kernels.
//!
//! Products are exact up to [`MOST_EXACT`] of them. Convolutions of any depth are written so: beyond 2^24, their sums are as near as
//! single precision comes before they are rounded to eight bits.

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTensor, OutletId, Tensor, TractResult, TypedModel, tensor0, tract_ndarray::ArrayD,
    },
    tract_core::{
        model::TypedModelPatch,
        ops::{
            cast::cast,
            change_axes::AxisOp,
            cnn::{Conv, KernelFormat, MaxPool},
            einsum::EinSum,
            identity::Identity,
            konst::Const,
            math::{mul, sub},
            nn::DataFormat,
        },
    },
    tract_hir::internal::{SpecialOps, TypedNode},
};

use super::{
    facts::{numbers, only_user},
    replace::rewrite,
};
use crate::tract::{ops::quantization, repair::Dequantize};

/// The most products of two numbers of eight bits whose sum is exact for any of them.
const MOST_EXACT: usize = (1 << 24) / (255 * 255);
/// The most nodes that a dequantization is moved in front of, each of which may have to be there twice then.
const MOST_PICKS: usize = 16;

pub(super) fn lower(model: &mut TypedModel) -> TractResult<()> {
    rewrite(model, &convolution)?;
    rewrite(model, &product)?;
    dequantize_where_quantized(model)
}

/// Has dequantizations follow quantizations where they can, and of those that are alike only one.
pub(super) fn dequantize_where_quantized(model: &mut TypedModel) -> TractResult<()> {
    rewrite(model, &dequantize_once)?;
    rewrite(model, &dequantize_earlier)?;
    Ok(())
}

/// A convolution whose input, weights and output are quantized: inputs are the image, the weights, the bias, and the zero points and
/// scales of image, weights and output.
fn convolution(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(op) = node.op_as::<Conv>().filter(|it| it.q_params.is_some_and(|it| it != DatumType::I32)) else {
        return Ok(None);
    };
    let is_usual = op.kernel_fmt == KernelFormat::OIHW && op.pool_spec.data_format == DataFormat::NCHW;
    let constants: Option<Vec<_>> =
        node.inputs.get(1..9).and_then(|it| it.iter().map(|it| numbers(model, *it)).collect());
    let Some(constants) = constants.filter(|_| is_usual) else {
        return Ok(None);
    };
    let [weights, bias, zero_of_x, scale_of_x, zeros, scales, zero_of_y, scale_of_y] = &*constants else {
        return Ok(None);
    };
    let n = op.pool_spec.output_channels;
    let (Some(&zero_of_x), Some(&scale_of_x), Some(&zero_of_y), Some(&scale_of_y)) =
        (single(zero_of_x), single(scale_of_x), single(zero_of_y), single(scale_of_y))
    else {
        return Ok(None);
    };
    let of = |numbers: &ArrayD<f32>, channel: usize| match numbers.len() {
        1 => numbers.first().copied(),
        len => numbers.as_slice().filter(|_| len == n)?.get(channel).copied(),
    };
    let each = |numbers: &ArrayD<f32>| (0..n).map(|it| of(numbers, it)).collect::<Option<Vec<f32>>>();
    let (Some(zeros), Some(scales)) = (each(zeros), each(scales)) else {
        return Ok(None);
    };
    let mut weights = weights.clone();
    weights.outer_iter_mut().zip(&zeros).for_each(|(mut it, zero)| it -= *zero);
    let factors: Vec<f32> = scales.iter().map(|it| scale_of_x * it / scale_of_y).collect();
    let is_even = factors.iter().all(|it| *it == factors[0]);
    let Some(datum_type) = op.q_params else { return Ok(None) };

    let name = &node.name;
    let mut patch = TypedModelPatch::default();
    let image = patch.tap_model(model, node.inputs[0])?;
    let image =
        patch.wire_node(format!("{name}.image"), Dequantize { scale: 1.0, zero_point: zero_of_x as i32 }, &[image])?[0];
    let weights = patch.add_const(format!("{name}.weights"), weights.into_tensor())?;
    let bias = patch.add_const(format!("{name}.bias"), bias.clone().into_tensor())?;
    let mut wire =
        patch.wire_node(format!("{name}.sums"), Conv { q_params: None, ..op.clone() }, &[image, weights, bias])?;
    if !is_even {
        let rank = patch.outlet_fact(wire[0])?.rank();
        let mut shape = vec![1; rank];
        shape[1] = n;
        let factors = patch.add_const(format!("{name}.factors"), Tensor::from_shape(&shape, &factors)?)?;
        wire = patch.wire_node(format!("{name}.scaled"), mul(), &[wire[0], factors])?;
    }
    let zero_point = tensor0(zero_of_y as i32).cast_to_dt(datum_type.unquantized())?.into_owned();
    let factor = if is_even { factors.first().copied().unwrap_or(1.0) } else { 1.0 };
    let output = patch.wire_node(name, quantization(factor, &zero_point)?, &wire)?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// A product with constant weights whose sums are given as integers; the zero point of what varies may vary as well.
fn product(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(op) = node.op_as::<EinSum>().filter(|it| it.q_params == Some(DatumType::I32)) else {
        return Ok(None);
    };
    let &[x, weights, bias, zero_of_x, _, zero, ..] = &*node.inputs else {
        return Ok(None);
    };
    let (Some(weights), Some(bias), Some(zero)) = (numbers(model, weights), numbers(model, bias), numbers(model, zero))
    else {
        return Ok(None);
    };
    let axes = op.axes.iter_all_axes();
    let depth = axes.filter(|it| it.outputs[0].is_empty() && !it.inputs[0].is_empty() && !it.inputs[1].is_empty());
    let depth: usize = depth.map(|it| weights.shape()[it.inputs[1][0]]).product();
    let is_exact = depth <= MOST_EXACT && zero.len() == 1 && bias.iter().all(|it| *it == 0.0);
    let is_scalar =
        model.outlet_fact(zero_of_x)?.shape.as_concrete().is_some_and(|it| it.iter().product::<usize>() == 1);
    if !is_exact || !is_scalar {
        return Ok(None);
    }
    let weights = weights - zero.first().copied().unwrap_or(0.0);
    let name = &node.name;
    let mut patch = TypedModelPatch::default();
    let taps = patch.taps(model, &[x, zero_of_x])?;
    let single = |patch: &mut TypedModelPatch, what: &str, outlet: OutletId| {
        patch.wire_node(format!("{name}.{what}"), cast(f32::datum_type()), &[outlet]).map(|it| it[0])
    };
    let x = single(&mut patch, "x", taps[0])?;
    let mut zero = single(&mut patch, "zero", taps[1])?;
    while patch.outlet_fact(zero)?.rank() > 0 {
        zero = patch.wire_node(format!("{name}.scalar"), AxisOp::Rm(0), &[zero])?[0];
    }
    for _ in 0..patch.outlet_fact(x)?.rank() {
        zero = patch.wire_node(format!("{name}.wide"), AxisOp::Add(0), &[zero])?[0];
    }
    let x = patch.wire_node(format!("{name}.centered"), sub(), &[x, zero])?[0];
    let weights = patch.add_const(format!("{name}.weights"), weights.into_tensor())?;
    let mut axes = op.axes.clone();
    for slot in (2..axes.input_count()).rev() {
        axes = axes.remove_slot(tract_onnx::tract_hir::internal::InOut::In(slot))?;
    }
    let sums = patch.wire_node(format!("{name}.sums"), EinSum::new(axes, DatumType::F32), &[x, weights])?;
    let output = patch.wire_node(name, cast(i32::datum_type()), &sums)?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// Takes the first of the dequantizations of a value that are alike for all of them.
fn dequantize_once(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    if !node.op_is::<Dequantize>() {
        return Ok(None);
    }
    let Some(first) = user_alike(model, node.inputs[0], node).filter(|it| it.id != node.id) else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let output = patch.tap_model(model, first.id.into())?;
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// Moves a dequantization in front of all that only picks or moves numbers, next to the quantization. What is there already of both is
/// taken, lest each of many along a chain have its own.
fn dequantize_earlier(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(op) = node.op_as::<Dequantize>() else {
        return Ok(None);
    };
    let (mut at, mut steps, mut is_alone) = (node.inputs[0], Vec::new(), true);
    while let Some(pick) = pick(model, at, op) {
        if steps.len() == MOST_PICKS {
            return Ok(None);
        }
        is_alone &= only_user(model, at).is_some();
        // Its name stays with it where others use the integers.
        let name = if is_alone { pick.name.clone() } else { format!("{}.{}", node.name, pick.name) };
        steps.push((pick, name));
        at = pick.inputs[0];
    }
    steps.push((node, node.name.clone()));
    while let Some((step, _)) = steps.last()
        && let Some(it) = user_alike(model, at, step)
    {
        at = it.id.into();
        steps.pop();
    }
    if at.node == node.id {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let mut wire = patch.tap_model(model, at)?;
    for (step, name) in steps.into_iter().rev() {
        wire = patch.wire_node(name, step.op.clone(), &[wire])?[0];
    }
    patch.shunt_outside(model, node.id.into(), wire)?;
    Ok(Some(patch))
}

/// Returns the node that gives a value by picking or moving numbers, no matter whether they are dequantized so before or after it.
fn pick<'a>(model: &'a TypedModel, outlet: OutletId, op: &Dequantize) -> Option<&'a TypedNode> {
    let node = model.node(outlet.node);
    // The largest integer stands for the largest number where steps go up.
    let goes_up = op.scale.is_finite() && op.scale > 0.0;
    let is_pool = node.op_as::<MaxPool>().is_some_and(|it| it.with_index_outputs.is_none());
    let picks = node.op_is::<AxisOp>() || node.op_is::<Identity>() || (is_pool && goes_up);
    (picks && !model.node(node.inputs[0].node).op_is::<Const>()).then_some(node)
}

/// Returns the first node that does the same to a value as another node.
fn user_alike<'a>(model: &'a TypedModel, outlet: OutletId, other: &TypedNode) -> Option<&'a TypedNode> {
    model.outlet_successors(outlet).iter().map(|it| model.node(it.node)).find(|it| *it.op == *other.op)
}

fn single(numbers: &ArrayD<f32>) -> Option<&f32> {
    numbers.first().filter(|_| numbers.len() == 1)
}
