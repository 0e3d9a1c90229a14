//! Functions that overflow, or are another function, in the form that tract gives them.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{DatumType, OutletId, SpecialOps, TractResult, TypedModel},
    tract_hir::{
        infer::InferenceOp,
        internal::{Expansion, ensure, format_err},
        ops::nn::GlobalAvgPool,
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, int, label},
    axes::resolve_axis,
    double::Double,
    log_softmax::LogSoftmax,
    reductions::{Fold, Taken},
    wired::{alike, wired},
};

/// Returns the operator for a function of single numbers.
pub(in crate::tract) fn of_numbers(function: Double, name: &'static str) -> Box<dyn InferenceOp> {
    alike(name, move |prefix, model, inputs| model.wire_node(prefix, function, inputs))
}

pub(super) fn softplus() -> Box<dyn InferenceOp> {
    of_numbers(Double::Softplus, "Softplus")
}

pub(super) fn mish() -> Box<dyn InferenceOp> {
    of_numbers(Double::Mish, "Mish")
}

/// Before version 13, all axes from one on are taken together.
pub(super) fn log_softmax(context: &ParsingContext, node: &NodeProto) -> Built {
    let are_together = context.onnx_operator_set_version < 13;
    let axis = int(node, "axis").unwrap_or(if are_together { 1 } else { -1 });
    Ok((log_softmax_along(axis, are_together), vec![]))
}

/// Returns the operator along an axis, or along all from that one on.
pub(in crate::tract) fn log_softmax_along(axis: i64, are_together: bool) -> Box<dyn InferenceOp> {
    alike("LogSoftmax", move |prefix, model, inputs| {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let first = resolve_axis(axis, rank)?;
        let axes = if are_together { (first..rank).collect() } else { vec![first] };
        model.wire_node(prefix, LogSoftmax { axes }, inputs)
    })
}

/// tract adds in the precision of the numbers, in which the sum of those of half precision may be an infinity.
pub(super) fn global_mean() -> Box<dyn InferenceOp> {
    wired("GlobalAveragePool", &[], |prefix, model, inputs| {
        let fact = model.outlet_fact(inputs[0])?.clone();
        ensure!(fact.rank() > 2, "images of rank {}", fact.rank());
        if fact.datum_type != DatumType::F16 {
            return GlobalAvgPool.wire(prefix, model, inputs);
        }
        model.wire_node(prefix, Fold { axes: (2..fact.rank()).collect(), taken: Taken::Mean }, inputs)
    })
}

/// tract divides by the number of elements, as for a mean.
pub(super) fn global_norm(_context: &ParsingContext, node: &NodeProto) -> Built {
    // A float in the first version.
    let degree = int(node, "p").filter(|it| *it != 0).or(float(node, "p").filter(|it| *it != 0.0).map(|it| it as i64));
    let degree = i32::try_from(degree.unwrap_or(2)).ok().filter(|it| *it > 0);
    let degree = degree.ok_or_else(|| format_err!("{} has a degree that is not positive", label(node)))?;
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| -> TractResult<_> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        ensure!(rank > 2, "images of rank {rank}");
        model.wire_node(prefix, Fold { axes: (2..rank).collect(), taken: Taken::Norm(degree) }, inputs)
    };
    Ok((wired("GlobalLpPool", &[], wire), vec![]))
}
