//! Operators on conditions, and those that choose by one.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedModel, tvec},
    tract_core::ops::{
        array::{MultiBroadcastTo, OneHot},
        binary::TypedBinOp,
        change_axes::AxisOp,
        logic,
        nn::{Reduce, Reducer},
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{Expansion, TractErrorContext, ensure, expand},
        ops::logic::Iff,
    },
};
use tract_tensorflow::{model::TfOpRegister, tfpb::tensorflow::NodeDef};

use super::{arrays::one, int, numbers::arguments};
use crate::tract::{
    axes::{constant_integers, resolve_axes, resolve_axis},
    places::Hot,
    reductions::without_axes,
    wired::{Chain, alike, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("All", |_, node| reduce(node, Reducer::All));
    register.insert("Any", |_, node| reduce(node, Reducer::Any));
    register.insert("DivNoNan", |_, _| Ok(wired("DivNoNan", &[], divide)));
    register.insert("OneHot", one_hot);
    register.insert("OnesLike", |_, _| Ok(alike("OnesLike", |prefix, model, inputs| full(prefix, model, inputs, 1))));
    register.insert("Select", |_, _| Ok(wired("Select", &[], select)));
    register.insert("SelectV2", |_, _| Ok(expand(Iff)));
    register.insert("ZerosLike", |_, _| Ok(alike("ZerosLike", |prefix, model, inputs| full(prefix, model, inputs, 0))));
}

fn reduce(node: &NodeDef, reducer: Reducer) -> Built {
    let keeps = node.get_attr_opt_bool("keep_dims")?.unwrap_or(false);
    Ok(wired(node.op.clone(), &[1], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a reduction has {} inputs", inputs.len());
        let rank = model.outlet_fact(inputs[0])?.rank();
        let axes = resolve_axes(&constant_integers(model, inputs[1])?, rank)?;
        let op = Reduce { axes: axes.iter().copied().collect(), reducer };
        let wire = model.wire_node(prefix, op, &inputs[..1])?;
        if keeps { Ok(wire) } else { without_axes(prefix, model, wire, axes) }
    }))
}

/// A condition that is a vector chooses rows.
fn select(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [condition, a, b] = arguments(inputs)?;
    let rank = model.outlet_fact(a)?.rank();
    let mut wire = tvec!(condition);
    let given = model.outlet_fact(condition)?.rank();
    ensure!(given < 2 || given == rank, "a condition of rank {given} for rank {rank}");
    for axis in given.max(1)..rank {
        if given == 1 {
            wire = model.wire_node(format!("{prefix}.axis-{axis}"), AxisOp::Add(axis), &wire)?;
        }
    }
    Iff.wire(prefix, model, &[wire[0], a, b])
}

/// The quotient, and 0 where the divisor is 0.
fn divide(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let zero = chain.number(0.0, b)?;
    let is_zero = chain.add(TypedBinOp(logic::comp_eq(), None), &[b, zero])?;
    let quotient = chain.add(tract_onnx::tract_core::ops::math::div(), &[a, b])?;
    Iff.wire(&format!("{prefix}.chosen"), model, &[is_zero, zero, quotient])
}

/// An index that does not exist, a negative one among them, is nowhere.
fn one_hot(_context: &tract_tensorflow::model::ParsingContext, node: &NodeDef) -> Built {
    let along = int(node, "axis").unwrap_or(-1);
    Ok(wired("OneHot", &[1, 2, 3], move |prefix, model, inputs| {
        ensure!(inputs.len() == 4, "OneHot has {} inputs", inputs.len());
        let axis = resolve_axis(along, model.outlet_fact(inputs[0])?.rank() + 1)?;
        let dim = usize::try_from(one(model, inputs[1])?)?;
        let constant = |it: OutletId| model.outlet_fact(it)?.konst.clone().context("a value must be a constant");
        let (on, off) = (constant(inputs[2])?, constant(inputs[3])?);
        let op = Hot { op: OneHot { axis, dim, off, on }, counts_from_end: false };
        model.wire_node(prefix, op, &inputs[..1])
    }))
}

fn full(prefix: &str, model: &mut TypedModel, inputs: &[OutletId], number: u8) -> TractResult<TVec<OutletId>> {
    let fact = model.outlet_fact(inputs[0])?.clone();
    let dtype = if fact.datum_type == DatumType::TDim { DatumType::I64 } else { fact.datum_type };
    let number = Tensor::from(number).cast_to_dt(dtype)?.into_owned().broadcast_into_rank(fact.rank())?;
    let number = model.add_const(format!("{prefix}.number"), number)?;
    model.wire_node(prefix, MultiBroadcastTo { shape: fact.shape.clone() }, &[number])
}
