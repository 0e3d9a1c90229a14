//! Makes what depends on all rows of a batch depend on each row alone.
//!
//! A dynamic quantization takes its scale from all numbers that it sees, so that a row's output would depend on its neighbors. Where
//! nothing but a product with constant weights sees the integers, both become one operator with a scale for each row. It is as if
//! every row were run alone, but takes a fraction of the time.

use std::collections::HashMap;

use tract_onnx::{
    prelude::{DatumType, OutletId, TractResult, TypedModel},
    tract_core::{
        model::TypedModelPatch,
        ops::{binary::TypedBinOp, cast::Cast, change_axes::AxisOp, einsum::EinSum, source::TypedSource},
    },
    tract_hir::internal::{InOut, TypedNode, ensure},
};

use super::{
    dynamic_product::DynamicProduct,
    kernels::{Matrix, matrix, numbers, only_user, rewrite},
};

/// The operator that gives integers, their scale and their zero point.
pub(super) const QUANTIZATION: &str = "DynamicQuantizeLinearU8";

/// Rewrites a graph for `n_rows` rows, the first axis of each input.
///
/// # Errors
/// Where rows may still influence each other by a dynamic quantization.
pub(super) fn separate(model: &mut TypedModel, n_rows: usize) -> TractResult<()> {
    let is_quantization = |it: &TypedNode| it.op.name() == QUANTIZATION;
    if !model.nodes().iter().any(is_quantization) {
        return Ok(());
    }
    // Weights with an axis more are constant as well.
    model.prop_consts()?;
    let rows = Rows { n: n_rows, axes: row_axes(model)? };
    rewrite(model, &|model, node| product(model, node, &rows))?;
    let left = model.nodes().iter().find(|it| is_quantization(it));
    ensure!(n_rows == 1 || left.is_none(), "a quantization takes its scale from all rows");
    Ok(())
}

/// Returns the axes along which the rows of the inputs are, as far as that is known.
fn row_axes(model: &TypedModel) -> TractResult<HashMap<String, usize>> {
    let mut res: HashMap<OutletId, usize> = HashMap::new();
    for id in model.eval_order()? {
        let node = model.node(id);
        if node.op_is::<TypedSource>() {
            res.insert(id.into(), 0);
        } else if node.op.name() == QUANTIZATION {
            let axis = res.get(&node.inputs[0]).copied();
            axis.into_iter().for_each(|it| _ = res.insert(id.into(), it));
        } else {
            let (inputs, outputs) = model.node_facts(id)?;
            let Ok(mapping) = node.op.axes_mapping(&inputs, &outputs) else { continue };
            for slot in 0..outputs.len() {
                let known = node.inputs.iter().enumerate().filter_map(|(idx, it)| Some((idx, *res.get(it)?)));
                let mut axes =
                    known.map(|it| mapping.axis((InOut::In(it.0), it.1)).ok()?.outputs[slot].first().copied());
                if let Some(Some(axis)) = axes.next().filter(|first| axes.all(|it| it == *first)) {
                    res.insert(OutletId::new(id, slot), axis);
                }
            }
        }
    }
    // By name, which stays when nodes are replaced.
    Ok(res.into_iter().filter(|it| it.0.slot == 0).map(|(it, axis)| (model.node(it.node).name.clone(), axis)).collect())
}

/// What is known of the rows of a graph.
struct Rows {
    n: usize,
    /// By name of a node, the axis along which the rows of its value are.
    axes: HashMap<String, usize>,
}

/// A product of integers with constant weights, which are given as numbers in units of both scales.
fn product(model: &TypedModel, node: &TypedNode, rows: &Rows) -> TractResult<Option<TypedModelPatch>> {
    let Some((op, x, replaced)) = replacement(model, node, rows) else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let x = patch.tap_model(model, x)?;
    let output = patch.wire_node(&model.node(replaced.node).name, op, &[x])?[0];
    patch.shunt_outside(model, replaced, output)?;
    Ok(Some(patch))
}

/// Returns the operator, what it takes, and the value that it gives: the sums as numbers, multiplied by the scale or by it and others.
fn replacement(model: &TypedModel, node: &TypedNode, rows: &Rows) -> Option<(DynamicProduct, OutletId, OutletId)> {
    let op = node.op_as::<EinSum>().filter(|it| it.q_params == Some(DatumType::I32))?;
    let &[codes, _, bias, zero, unit, zero_of_weights, unit_of_weights, zero_of_sums, unit_of_sums] = &*node.inputs
    else {
        return None;
    };
    let quantization = model.node(codes.node);
    let is_quantized = codes.slot == 0 && quantization.op.name() == QUANTIZATION;
    let x = *quantization.inputs.first().filter(|_| is_quantized && zero == OutletId::new(codes.node, 2))?;
    let is_row_first = rows.axes.get(&model.node(x.node).name) == Some(&0) && x.slot == 0;
    let is = |outlet, number: f32| numbers(model, outlet).is_some_and(|it| it.iter().all(|it| *it == number));
    let is_plain =
        is(bias, 0.0) && is(zero_of_sums, 0.0) && [unit, unit_of_weights, unit_of_sums].iter().all(|it| is(*it, 1.0));
    let shape = model.outlet_fact(x).ok()?.shape.as_concrete()?.to_vec();
    let is_of_rows = is_row_first && shape.len() > 1 && shape.first() == Some(&rows.n);
    if !is_plain || !(is_of_rows || rows.n == 1) {
        return None;
    }
    let Matrix { numbers: weights, width } = matrix(model, node, &op.axes)?;
    let zeros = numbers(model, zero_of_weights)?;
    let zeros = zeros.as_slice().filter(|it| [1, width].contains(&it.len()))?;
    let weights = weights.iter().enumerate().map(|(idx, it)| (it - zeros[idx % width % zeros.len()]) as i32).collect();

    let cast = only_user(model, node.id.into())?;
    let is_cast = cast.op_as::<Cast>().is_some_and(|it| it.to == DatumType::F32);
    let scaled = only_user(model, cast.id.into()).filter(|it| is_cast && is_product(it))?;
    let scale = scaled.inputs.iter().find(|it| it.node != cast.id)?;
    let scales = scales(model, *scale, OutletId::new(codes.node, 1), width)?;
    let replaced = OutletId::new(scaled.id, 0);
    let wanted = [&shape[..shape.len() - 1], &[width]].concat();
    let is_shape = model.outlet_fact(replaced).ok()?.shape.as_concrete()? == &*wanted;
    // tract's product of integers is faster than one for which there is no kernel, even row by row.
    let op = DynamicProduct::new(rows.n, weights, scales);
    (is_shape && op.is_exact()).then_some((op, x, replaced))
}

/// Returns what a scale is multiplied by on the way to `outlet`: one number for each of the columns.
fn scales(model: &TypedModel, mut outlet: OutletId, scale: OutletId, width: usize) -> Option<Vec<f32>> {
    let mut res = None;
    while outlet != scale {
        let node = model.node(outlet.node);
        if let Some(AxisOp::Add(0)) = node.op_as() {
            outlet = node.inputs[0];
            continue;
        }
        let factors = node.inputs.iter().find_map(|it| numbers(model, *it)).filter(|_| is_product(node))?;
        let is_along = factors.len() == 1 || (factors.len() == width && factors.shape().last() == Some(&width));
        let factors = factors.as_slice().filter(|_| is_along && res.is_none())?;
        res = Some((0..width).map(|it| factors[it % factors.len()]).collect());
        outlet = *node.inputs.iter().find(|it| numbers(model, **it).is_none())?;
    }
    Some(res.unwrap_or_else(|| vec![1.0; width]))
}

fn is_product(node: &TypedNode) -> bool {
    node.op_as::<TypedBinOp>().is_some_and(|it| it.0.name() == "Mul")
}
