//! Operators of two inputs as they were before version 7: the axes of the second are those of the first from `axis` on.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, SpecialOps, TVec, TractResult, TypedModel},
    tract_core::ops::change_axes::AxisOp,
    tract_hir::internal::{DimLike, TractErrorContext, ensure},
};

use super::{Built, functions::power};
use crate::tract::{
    attributes::{int, label},
    axes::resolve_axis,
    wired::{expansion, of_tract, wired},
};

pub(super) const OPERATORS: [&str; 12] =
    ["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "PRelu", "Pow", "Sub", "Xor"];

/// Before this version, axes are not only counted from the end.
pub(in crate::tract) const COUNTED_FROM_THE_END: i64 = 7;

pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let op = if node.op_type == "Pow" { expansion(&*power()).context("it is one")? } else { of_tract(context, node)? };
    let is_early = context.onnx_operator_set_version < COUNTED_FROM_THE_END;
    let is_slope = node.op_type == "PRelu";
    let axis = if is_slope { Some(1) } else { int(node, "axis").filter(|_| int(node, "broadcast") == Some(1)) };
    let Some(axis) = axis.filter(|_| is_early) else {
        return Ok((Box::new(op), vec![]));
    };
    let label = label(node);
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| -> TractResult<_> {
        ensure!(inputs.len() == 2, "{label} has {} inputs where there should be 2", inputs.len());
        let fact = model.outlet_fact(inputs[1])?;
        // A slope is one for all, or that of a channel.
        let is_one = fact.shape.volume().to_usize().is_ok_and(|it| it == 1);
        if is_slope && (is_one || fact.rank() != 1 || model.outlet_fact(inputs[0])?.rank() == 1) {
            return op.wire(prefix, model, inputs);
        }
        let second = aligned(prefix, model, inputs, axis).with_context(|| label.clone())?;
        op.wire(prefix, model, &[inputs[0], second])
    };
    Ok((wired(node.op_type.clone(), &[], wire), vec![]))
}

/// Returns the second input with an axis for each that the first has behind those they share.
fn aligned(prefix: &str, model: &mut TypedModel, inputs: &[OutletId], axis: i64) -> TractResult<OutletId> {
    let [first, second] = [inputs[0], inputs[1]].map(|it| model.outlet_fact(it).map(|it| it.rank()));
    let (first, second) = (first?, second?);
    let end = resolve_axis(axis, first)? + second;
    ensure!(end <= first, "{second} axes from axis {axis} on are more than there are of {first}");
    let mut res = TVec::from_slice(&inputs[1..]);
    for rank in second..second + first - end {
        res = model.wire_node(format!("{prefix}.axis_{rank}"), AxisOp::Add(rank), &res)?;
    }
    Ok(res[0])
}
