//! Puts kernels in the place of what they compute, with what follows it.

use tract_onnx::{
    prelude::{OutletId, TractResult, TypedModel},
    tract_core::{
        model::TypedModelPatch,
        ops::{
            binary::TypedBinOp,
            change_axes::AxisOp,
            cnn::{Conv, MaxPool, PoolSpec},
            einsum::EinSum,
            nn::{Softmax as TractSoftmax, SoftmaxKind},
        },
    },
    tract_hir::internal::TypedNode,
};

use super::{
    chain::{self, Chain, Replacement, rounding_before},
    convolution::Convolution,
    dense::Dense,
    facts::{Matrix, constant, is_single, matrix, shape},
    finish::{Finish, Round, Rounding},
    lower::{dequantize_where_quantized, lower},
    normalization::Normalization,
    op::{Kernel, KernelOp},
    pairs::PairProduct,
    planes::{Depthwise, Largest},
    softmax::Softmax,
    spread::Spread,
    window::Window,
};
use crate::tract::dynamic_product::DynamicProduct;

#[cfg(test)]
mod tests;

/// Replaces what kernels compute in a graph whose shapes are known, before it is optimized.
pub(in crate::tract) fn replace(model: &mut TypedModel) -> TractResult<()> {
    model.prop_consts()?;
    lower(model)?;
    rewrite(model, &patch)?;
    rewrite(model, &stay)?;
    rewrite(model, &round)?;
    rewrite(model, &spread)?;
    Ok(())
}

/// Makes a quantization and its inverse one step, which keeps NaN, as integers cannot.
pub(in crate::tract) fn join_rounding(model: &mut TypedModel) -> TractResult<()> {
    dequantize_where_quantized(model)?;
    rewrite(model, &round)?;
    Ok(())
}

/// Applies a rule to each node, in the order in which they run, and returns whether it changed anything.
pub(in crate::tract) fn rewrite(
    model: &mut TypedModel,
    rule: &dyn Fn(&TypedModel, &TypedNode) -> TractResult<Option<TypedModelPatch>>,
) -> TractResult<bool> {
    let mut res = false;
    for id in model.eval_order()? {
        if let Some(patch) = rule(model, model.node(id))? {
            patch.apply(model)?;
            res = true;
        }
    }
    // What was replaced is no longer a user of what it took.
    model.compact()?;
    Ok(res)
}

fn patch(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let found = if let Some(op) = node.op_as::<Conv>() {
        convolution(model, node, op)
    } else if let Some(op) = node.op_as::<EinSum>() {
        dense(model, node, op).or_else(|| PairProduct::replacing(model, node, op))
    } else if let Some(op) = node.op_as::<TypedBinOp>() {
        Normalization::replacing(model, node).or_else(|| bounded(model, node, op))
    } else if let Some(op) = node.op_as::<DynamicProduct>() {
        dynamic(model, node, op)
    } else if let Some(op) = node.op_as::<MaxPool>() {
        largest(model, node, op)
    } else if let Some(op) = node.op_as::<TractSoftmax>() {
        softmax(model, node, op)
    } else {
        None
    };
    let Some(Replacement { op, inputs, replaced, channels_are_last }) = found else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let mut inputs = patch.taps(model, &inputs)?;
    let name = &model.node(replaced.node).name;
    let last = model.outlet_fact(replaced)?.rank().saturating_sub(1);
    let output = if channels_are_last {
        for (idx, it) in inputs.iter_mut().enumerate() {
            *it = patch.wire_node(format!("{name}.planes.{idx}"), AxisOp::Move(last, 1), &[*it])?[0];
        }
        let planes = patch.wire_node(format!("{name}.planes"), op, &inputs)?;
        patch.wire_node(name, AxisOp::Move(1, last), &planes)?[0]
    } else {
        patch.wire_node(name, op, &inputs)?[0]
    };
    patch.shunt_outside(model, replaced, output)?;
    Ok(Some(patch))
}

/// An axis that is moved where it was.
fn stay(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(&AxisOp::Move(from, to)) = node.op_as() else {
        return Ok(None);
    };
    let before = model.node(node.inputs[0].node);
    if before.op_as::<AxisOp>() != Some(&AxisOp::Move(to, from)) {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let output = patch.tap_model(model, before.inputs[0])?;
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// A quantization and its inverse that follow no kernel, or what was rounded so before. Others may use the integers.
fn round(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(rounding) = rounding_before(model, node) else {
        return Ok(None);
    };
    let numbers = model.node(node.inputs[0].node).inputs[0];
    let Some(shape) = shape(model, node.id.into()).filter(|_| is_single(model, numbers)) else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let mut output = patch.tap_model(model, numbers)?;
    if !is_rounded(model, numbers, rounding) {
        let kernel = Round(Finish { rounding: Some(rounding), ..Finish::NOTHING });
        output = patch.wire_node(&node.name, KernelOp::new(kernel, &shape), &[output])?[0];
    }
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// What no kernel took along, of a table with a row or a column.
fn spread(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let found = Spread::of(model, node).zip(shape(model, node.id.into()));
    let Some((kernel, shape)) = found else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let inputs = patch.taps(model, &node.inputs)?;
    let output = patch.wire_node(&node.name, KernelOp::new(kernel, &shape), &inputs)?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// Returns whether numbers were rounded, and no more than picked and moved since.
fn is_rounded(model: &TypedModel, mut outlet: OutletId, rounding: Rounding) -> bool {
    loop {
        let node = model.node(outlet.node);
        let op = node.op_as::<KernelOp>();
        if let Some(it) = op.and_then(|it| it.rounding()) {
            return it == rounding;
        }
        if !node.op_is::<AxisOp>() && !op.is_some_and(|it| it.picks()) {
            return false;
        }
        outlet = node.inputs[0];
    }
}

fn convolution(model: &TypedModel, node: &TypedNode, op: &Conv) -> Option<Replacement> {
    let spec = &op.pool_spec;
    let window = window(model, node, spec)?;
    let kernel = model.outlet_fact(node.inputs[1]).ok()?.konst.clone().filter(|_| op.q_params.is_none())?;
    let kernel = op.kernel_fmt.kernel_as_group_o_ihw(&kernel, op.group).ok()?;
    let weights = kernel.try_as_plain_ram().ok()?;
    let weights = weights.as_slice::<f32>().ok().filter(|it| !it.is_empty())?;
    let n = spec.output_channels;
    let channels_are_last = spec.data_format.c_is_last();
    let axis = if channels_are_last { spec.rank() + 1 } else { 1 };
    let mut chain = Chain::new(model, node, axis, n)?;
    chain.add(&constant(model, node.inputs[2])?)?;
    chain.follow();
    let n_each = weights.len() / n.max(1);
    let weights: Vec<f32> = weights.iter().enumerate().map(|(idx, it)| it * chain.scale[idx / n_each.max(1)]).collect();
    let is_depthwise = op.group == n && n == window.channels && n > 1 && chain.added.is_none();
    if is_depthwise {
        let op = Depthwise::new(&window, weights, chain.bias.clone(), chain.finish);
        return chain.replacement(op).map(|it| it.of_planes(channels_are_last));
    }
    let op = Convolution::new(window, op.group, &weights, &chain.bias, chain.finish);
    chain.replacement(op).map(|it| it.of_planes(channels_are_last))
}

fn dense(model: &TypedModel, node: &TypedNode, op: &EinSum) -> Option<Replacement> {
    let is_usual = op.q_params.is_none() && node.inputs.len() == 2;
    let Matrix { mut numbers, width } = matrix(model, node, &op.axes).filter(|_| is_usual)?;
    let last = shape(model, node.id.into())?.len() - 1;
    let mut chain = Chain::new(model, node, last, width)?;
    chain.follow();
    numbers.iter_mut().enumerate().for_each(|(idx, it)| *it *= chain.scale[idx % width]);
    let op = Dense::new(&numbers, &chain.bias, chain.finish);
    chain.replacement(op)
}

fn dynamic(model: &TypedModel, node: &TypedNode, op: &DynamicProduct) -> Option<Replacement> {
    let width = op.scales.len();
    let last = shape(model, node.id.into()).filter(|_| op.is_exact())?.len() - 1;
    let mut chain = Chain::new(model, node, last, width)?;
    chain.follow();
    if chain.scale.iter().any(|it| *it != 1.0) {
        // Weights stay the integers that they are.
        chain = Chain::new(model, node, last, width)?;
    }
    let weights: Vec<f32> = op.weights.iter().map(|it| *it as f32).collect();
    let op = Dense::dynamic(op.n_rows, &weights, &op.scales, &chain.bias, chain.finish);
    chain.replacement(op)
}

fn largest(model: &TypedModel, node: &TypedNode, op: &MaxPool) -> Option<Replacement> {
    let is_usual = op.with_index_outputs.is_none() && is_single(model, node.inputs[0]);
    let window = window(model, node, &op.pool_spec).filter(|_| is_usual)?;
    alone(model, node, Largest::new(&window)).map(|it| it.of_planes(op.pool_spec.data_format.c_is_last()))
}

fn softmax(model: &TypedModel, node: &TypedNode, op: &TractSoftmax) -> Option<Replacement> {
    let shape = shape(model, node.inputs[0]).filter(|_| is_single(model, node.inputs[0]))?;
    let is_usual = op.kind == SoftmaxKind::Softmax && *op.axes == [shape.len().checked_sub(1)?];
    let width = shape.last().copied().filter(|_| is_usual)?;
    alone(model, node, Softmax { width })
}

/// A bound on numbers that follow no kernel, and what can be done with it at once.
fn bounded(model: &TypedModel, node: &TypedNode, op: &TypedBinOp) -> Option<Replacement> {
    let is_least = match op.0.name() {
        "Max" => true,
        "Min" => false,
        _ => return None,
    };
    let bound = |it: &OutletId| constant(model, *it).and_then(|it| chain::bound(&it));
    let (at, bound) = node.inputs.iter().map(bound).enumerate().find_map(|(at, it)| Some((at, it?)))?;
    let numbers = *node.inputs.get(1 - at)?;
    if shape(model, numbers)? != shape(model, node.id.into())? {
        return None;
    }
    let mut chain = Chain::new(model, node, 0, 1)?;
    chain.input = numbers;
    *(if is_least { &mut chain.finish.least } else { &mut chain.finish.most }) = bound;
    chain.follow();
    let op = Round(chain.finish);
    chain.replacement(op)
}

/// Returns the replacement of a single node.
fn alone(model: &TypedModel, node: &TypedNode, kernel: impl Kernel) -> Option<Replacement> {
    let replaced = OutletId::new(node.id, 0);
    let op = KernelOp::new(kernel, &shape(model, replaced)?);
    Some(Replacement { op, inputs: vec![node.inputs[0]], replaced, channels_are_last: false })
}

/// Returns how a window moves over images.
fn window(model: &TypedModel, node: &TypedNode, spec: &PoolSpec) -> Option<Window> {
    let shape = shape(model, node.inputs[0]).filter(|_| spec.data_format.has_n())?;
    let first = spec.data_format.h_axis();
    let sizes = shape.get(first..first + spec.rank())?;
    let padding = spec.computed_padding(sizes);
    // A row of pixels is an image of one row.
    let two = |of: &dyn Fn(usize) -> usize, missing: usize| match sizes.len() {
        1 => Some([missing, of(0)]),
        2 => Some([of(0), of(1)]),
        _ => None,
    };
    let is_empty =
        shape.iter().chain(&spec.kernel_shape).any(|it| *it == 0) || padding.iter().any(|it| it.convoluted == 0);
    (!is_empty).then_some(())?;
    let window = Window {
        channels: spec.input_channels,
        image: two(&|it| sizes[it], 1)?,
        size: two(&|it| spec.kernel_shape[it], 1)?,
        stride: two(&|it| spec.stride(it), 1)?,
        dilation: two(&|it| spec.dilation(it), 1)?,
        before: two(&|it| padding[it].pad_before, 0)?,
        out: two(&|it| padding[it].convoluted, 1)?,
    };
    window.is_moderate().then_some(window)
}
