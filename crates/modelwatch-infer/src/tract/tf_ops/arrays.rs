//! Operators that move numbers around, or take their axes from a constant input.
//!
//! tract reads an axis that is counted from the end as a huge one, in `ConcatV2` until memory runs out.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumType, IntoTValue, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedModel, tensor0, tvec},
    tract_core::ops::{
        array::{Gather, MultiBroadcastTo, Pad, PadMode, Slice, Tile, Topk, TypedConcat},
        cast::{cast, wire_cast},
        change_axes::{AxisOp, perm_to_ops},
        downsample::Downsample,
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{Expansion, TDim, ToDim, TractErrorContext, bail, ensure},
        ops::nn::{Reduce, Reducer},
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    tfpb::tensorflow::NodeDef,
};

use super::{data_type, int, text};
use crate::tract::{
    axes::{constant_integers, resolve_axes, resolve_axis},
    limits::MAX_ELEMENTS,
    memory::{MAX_TENSOR_BYTES, check_places},
    preflight::check_order,
    reductions::{Fold, Taken, adds_in_too_few_bits, wire_integers},
    wired::{several, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("ConcatV2", |_, _| Ok(wired("ConcatV2", &[-1], concat)));
    register.insert("GatherV2", |_, _| Ok(wired("GatherV2", &[2], gather)));
    register.insert("Pad", |_, _| Ok(wired("Pad", &[1], pad)));
    register.insert("PadV2", |_, _| Ok(wired("PadV2", &[1, 2], pad)));
    register.insert("MirrorPad", mirror_pad);
    register.insert("ReverseV2", |_, _| Ok(wired("ReverseV2", &[1], reverse)));
    register.insert("TopKV2", top);
    register.insert("Transpose", |_, _| Ok(wired("Transpose", &[1], transpose)));
    register.insert("Tile", |_, _| Ok(wired("Tile", &[1], tile)));
    register.insert("BroadcastTo", |_, _| Ok(wired("BroadcastTo", &[1], broadcast)));
    register.insert("Max", |_, node| reduce(node, Reducer::Max));
    register.insert("Mean", |_, node| reduce(node, Reducer::Mean));
    register.insert("Min", |_, node| reduce(node, Reducer::Min));
    register.insert("Prod", |_, node| reduce(node, Reducer::Prod));
    register.insert("Sum", |_, node| reduce(node, Reducer::Sum));
    register.insert("ArgMax", |_, node| arg(node, Reducer::ArgMax(false)));
    register.insert("ArgMin", |_, node| arg(node, Reducer::ArgMin(false)));
    register.insert("Split", split);
    register.insert("Unpack", unpack);
}

fn concat(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let Some((&last, inputs)) = inputs.split_last().filter(|(_, it)| !it.is_empty()) else {
        bail!("nothing to concatenate");
    };
    let facts = inputs.iter().map(|it| model.outlet_fact(*it)).collect::<TractResult<Vec<_>>>()?;
    let dtype = DatumType::super_type_for(facts.iter().map(|it| it.datum_type)).context("types do not mix")?;
    let rank = facts[0].rank();
    let axis = resolve_axis(one(model, last)?, rank)?;
    let inputs = wire_cast(prefix, model, inputs, dtype)?;
    model.wire_node(prefix, TypedConcat::new(axis), &inputs)
}

fn gather(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 3, "GatherV2 has {} inputs", inputs.len());
    let axis = resolve_axis(one(model, inputs[2])?, model.outlet_fact(inputs[0])?.rank())?;
    let indices = model.wire_node(format!("{prefix}.indices"), cast(DatumType::I64), &inputs[1..2])?;
    // What is constant is evaluated at once.
    let constants = [inputs[0], indices[0]].map(|it| model.outlet_fact(it).ok()?.konst.clone());
    if let [Some(table), Some(indices)] = constants {
        check_places(&[table.into_tvalue(), indices.into_tvalue()], axis)?;
    }
    model.wire_node(prefix, Gather { axis, output_type: None }, &[inputs[0], indices[0]])
}

fn pad(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() > 1, "a pad has {} inputs", inputs.len());
    let fact = model.outlet_fact(inputs[0])?.clone();
    let value = match inputs.get(2) {
        Some(it) => model.outlet_fact(*it)?.konst.clone().context("the padding must be a constant")?,
        None => Arc::new(Tensor::zero_scalar_dt(fact.datum_type)?),
    };
    let amounts = constant_integers(model, inputs[1])?;
    ensure!(amounts.len() == 2 * fact.rank(), "a pad has {} amounts for rank {}", amounts.len(), fact.rank());
    let pair = |it: &[i64; 2]| Ok((usize::try_from(it[0])?, usize::try_from(it[1])?));
    let pads: Vec<(usize, usize)> = amounts.as_chunks::<2>().0.iter().map(pair).collect::<TractResult<_>>()?;
    let padded = |(dim, (before, after)): (&TDim, &(usize, usize))| dim.clone() + before.to_dim() + after.to_dim();
    check_size(prefix, model, inputs[0], fact.shape.iter().zip(&pads).map(padded))?;
    model.wire_node(prefix, Pad { pads, mode: PadMode::Constant(value) }, &inputs[..1])
}

/// Puts around a tensor what lies behind its edges, as a mirror shows it: with the edges themselves, or without.
fn mirror_pad(_context: &ParsingContext, node: &NodeDef) -> Built {
    let first = match text(node, "mode") {
        Some("REFLECT") => 1,
        Some("SYMMETRIC") => 0,
        other => bail!("node `{}` (MirrorPad) has the unknown mode {other:?}", node.name),
    };
    Ok(wired("MirrorPad", &[1], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a pad has {} inputs", inputs.len());
        let fact = model.outlet_fact(inputs[0])?.clone();
        let amounts = constant_integers(model, inputs[1])?;
        ensure!(amounts.len() == 2 * fact.rank(), "a pad has {} amounts for rank {}", amounts.len(), fact.rank());
        let mut wire = inputs[0];
        let mut shape = fact.shape.to_tvec();
        for (axis, &amounts) in amounts.as_chunks::<2>().0.iter().enumerate().filter(|it| *it.1 != [0, 0]) {
            let len = fact.shape[axis].to_i64().context("the length of an axis is not known")?;
            let [before, after] = amounts;
            ensure!(
                amounts.iter().all(|it| (0..=len - first).contains(it)),
                "{before} and {after} numbers are mirrored around {len}"
            );
            shape[axis] = len.saturating_add(before).saturating_add(after).to_dim();
            check_size(prefix, model, inputs[0], shape.clone())?;
            let sides = [(before, first..first + before), (after, len - first - after..len - first)];
            let mut parts = tvec!(wire);
            for (idx, (_, range)) in sides.into_iter().enumerate().filter(|it| it.1.0 > 0) {
                let name = format!("{prefix}.{axis}.{idx}");
                let op = Slice { axis, start: range.start.into(), end: range.end.into() };
                let side = model.wire_node(format!("{name}.part"), op, &[wire])?;
                let side = model.wire_node(name, Downsample::new(axis, -1, 0), &side)?[0];
                parts.insert(if idx == 0 { 0 } else { parts.len() }, side);
            }
            wire = model.wire_node(format!("{prefix}.{axis}"), TypedConcat::new(axis), &parts)?[0];
        }
        Ok(tvec!(wire))
    }))
}

/// Turns axes around.
fn reverse(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "ReverseV2 has {} inputs", inputs.len());
    let axes = resolve_axes(&constant_integers(model, inputs[1])?, model.outlet_fact(inputs[0])?.rank())?;
    let mut wire = tvec!(inputs[0]);
    for axis in axes {
        wire = model.wire_node(format!("{prefix}.{axis}"), Downsample::new(axis, -1, 0), &wire)?;
    }
    Ok(wire)
}

/// The largest numbers along the last axis, and their places.
fn top(_context: &ParsingContext, node: &NodeDef) -> Built {
    let dtype = data_type(node, "index_type").and_then(|it| DatumType::try_from(it).ok()).unwrap_or(DatumType::I32);
    Ok(several("TopKV2", 2, &[1], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "TopKV2 has {} inputs", inputs.len());
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axis = fact.rank().checked_sub(1).context("a number alone has no axis")?;
        let k = one(model, inputs[1])?;
        let len = fact.shape[axis].to_i64().context("the length of an axis is not known")?;
        ensure!((0..=len).contains(&k), "{k} of {len} numbers are wanted");
        let n = model.add_const(format!("{prefix}.k"), tensor0(k))?;
        let op = Topk { axis, largest: true, fallback_k: k.to_dim() };
        let found = model.wire_node(format!("{prefix}.found"), op, &[inputs[0], n])?;
        let places = model.wire_node(prefix, cast(dtype), &found[1..2])?;
        Ok(tvec!(found[0], places[0]))
    }))
}

fn transpose(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "Transpose has {} inputs", inputs.len());
    let order = check_order(&constant_integers(model, inputs[1])?, model.outlet_fact(inputs[0])?.rank())?;
    let mut wire = tvec!(inputs[0]);
    for (idx, it) in perm_to_ops(&order).into_iter().enumerate() {
        wire = model.wire_node(format!("{prefix}.{idx}"), it, &wire)?;
    }
    Ok(wire)
}

fn tile(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "Tile has {} inputs", inputs.len());
    let fact = model.outlet_fact(inputs[0])?.clone();
    let times = constant_integers(model, inputs[1])?;
    ensure!(times.len() == fact.rank(), "Tile has {} numbers for rank {}", times.len(), fact.rank());
    let times: Vec<usize> = times.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    check_size(prefix, model, inputs[0], fact.shape.iter().zip(&times).map(|(dim, it)| dim.clone() * it.to_dim()))?;
    model.wire_node(prefix, Tile { multipliers: times.iter().map(|it| it.to_dim()).collect() }, &inputs[..1])
}

/// Fails if a tensor of this shape is more than is made of `input`. What comes of constants is made at once.
pub(in crate::tract) fn check_size(
    prefix: &str,
    model: &TypedModel,
    input: OutletId,
    shape: impl IntoIterator<Item = TDim>,
) -> TractResult<()> {
    let fact = model.outlet_fact(input)?;
    let element = fact.datum_type.size_of() as u64;
    let limit = if fact.konst.is_some() { element * MAX_ELEMENTS } else { MAX_TENSOR_BYTES };
    // What is still a symbol counts as 1.
    let dims = shape.into_iter().map(|it| it.to_i64().map_or(1, |it| u64::try_from(it).unwrap_or(u64::MAX)));
    let n_bytes = dims.fold(element, u64::saturating_mul);
    ensure!(n_bytes <= limit, "node `{prefix}` makes a tensor of {n_bytes} bytes, more than the {limit} that are made");
    Ok(())
}

fn broadcast(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "BroadcastTo has {} inputs", inputs.len());
    let shape = constant_integers(model, inputs[1])?;
    let mut wire = tvec!(inputs[0]);
    for idx in model.outlet_fact(inputs[0])?.rank()..shape.len() {
        wire = model.wire_node(format!("{prefix}.axis-{idx}"), AxisOp::Add(0), &wire)?;
    }
    check_size(prefix, model, inputs[0], shape.iter().map(|it| it.to_dim()))?;
    let shape = shape.iter().map(|it| it.to_dim()).collect();
    model.wire_node(prefix, MultiBroadcastTo { shape }, &wire)
}

fn reduce(node: &NodeDef, reducer: Reducer) -> Built {
    let keeps = node.get_attr_opt_bool("keep_dims")?.unwrap_or(false);
    Ok(wired(node.op.clone(), &[1], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a reduction has {} inputs", inputs.len());
        let axes = constant_integers(model, inputs[1])?;
        let mut input = inputs[0];
        let fact = model.outlet_fact(input)?.clone();
        let taken = match reducer {
            Reducer::Mean => Some(Taken::Mean),
            Reducer::Sum => Some(Taken::Sum),
            _ => None,
        };
        let overflows = matches!(fact.datum_type, DatumType::TDim | DatumType::F16);
        if let Some(taken) = taken.filter(|_| overflows || adds_in_too_few_bits(fact.datum_type)) {
            let axes = resolve_axes(&axes, fact.rank())?;
            return wire_integers(prefix, model, input, Fold { axes, taken }, keeps);
        }
        // Shapes are numbers here.
        if model.outlet_fact(input)?.datum_type == DatumType::TDim {
            input = model.wire_node(format!("{prefix}.numbers"), cast(DatumType::I64), &[input])?[0];
        }
        if axes.is_empty() {
            return Ok(tvec!(input));
        }
        Reduce::new(Some(axes), keeps, reducer).wire(prefix, model, &[input])
    }))
}

fn arg(node: &NodeDef, reducer: Reducer) -> Built {
    let dtype = data_type(node, "output_type").and_then(|it| DatumType::try_from(it).ok()).unwrap_or(DatumType::I64);
    Ok(wired(node.op.clone(), &[1], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a reduction has {} inputs", inputs.len());
        let axes = constant_integers(model, inputs[1])?;
        let found = Reduce::new(Some(axes), false, reducer).wire(&format!("{prefix}.found"), model, &inputs[..1])?;
        model.wire_node(prefix, cast(dtype), &found)
    }))
}

/// Returns how many tensors a node gives; what nobody asks for is no tensor.
pub(super) fn count(context: &ParsingContext, node: &NodeDef, attribute: &str) -> TractResult<usize> {
    const MAX: i64 = 1 << 16;
    let n = int(node, attribute).unwrap_or(0);
    ensure!((1..=MAX).contains(&n), "node `{}` ({}) gives {n} tensors", node.name, node.op);
    let asked = context.node_output_arities.get(&node.name).copied().unwrap_or(1);
    let n = usize::try_from(n)?;
    ensure!(asked <= n, "output {asked} of node `{}` ({}) is used, but it has {n}", node.name, node.op);
    Ok(n)
}

fn split(context: &ParsingContext, node: &NodeDef) -> Built {
    let n = count(context, node, "num_split")?;
    Ok(several("Split", n, &[0], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "Split has {} inputs", inputs.len());
        let fact = model.outlet_fact(inputs[1])?.clone();
        let axis = resolve_axis(one(model, inputs[0])?, fact.rank())?;
        let len = fact.shape[axis].clone() / n as u64;
        slices(prefix, model, inputs[1], axis, n, &len)
    }))
}

fn unpack(context: &ParsingContext, node: &NodeDef) -> Built {
    let n = count(context, node, "num")?;
    let along = int(node, "axis").unwrap_or(0);
    Ok(several("Unpack", n, &[], move |prefix, model, inputs| {
        ensure!(inputs.len() == 1, "Unpack has {} inputs", inputs.len());
        let axis = resolve_axis(along, model.outlet_fact(inputs[0])?.rank())?;
        let parts = slices(prefix, model, inputs[0], axis, n, &1.to_dim())?;
        let remove = |(idx, part): (usize, OutletId)| {
            Ok(model.wire_node(format!("{prefix}.{idx}.flat"), AxisOp::Rm(axis), &[part])?[0])
        };
        parts.into_iter().enumerate().map(remove).collect()
    }))
}

fn slices(
    prefix: &str,
    model: &mut TypedModel,
    input: OutletId,
    axis: usize,
    n: usize,
    len: &tract_onnx::prelude::TDim,
) -> TractResult<TVec<OutletId>> {
    let total = model.outlet_fact(input)?.shape[axis].clone();
    ensure!(len.clone() * n == total, "an axis of {total} does not split into {n} parts");
    let mut slice = |idx: usize| {
        let op = Slice { axis, start: len.clone() * idx, end: len.clone() * (idx + 1) };
        Ok(model.wire_node(format!("{prefix}.{idx}"), op, &[input])?[0])
    };
    (0..n).map(&mut slice).collect()
}

pub(super) fn one(model: &TypedModel, outlet: OutletId) -> TractResult<i64> {
    match &*constant_integers(model, outlet)? {
        [it] => Ok(*it),
        other => bail!("an axis is given by {} numbers", other.len()),
    }
}
