//! Functions that overflow, or are another function, in the form that tract gives them.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, TypedModel, tvec},
    tract_core::ops::{
        binary::TypedBinOp,
        cast::{cast, wire_cast},
        change_axes::wire_rank_broadcast,
        logic::{Iff, comp_lt},
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{DimLike, Expansion, TractErrorContext, ensure, format_err},
        ops::{
            activations::{Elu, Selu},
            math,
            nn::{GlobalAvgPool, LayerHardmax},
        },
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, int, label, text},
    axes::resolve_axis,
    double::Double,
    log_softmax::LogSoftmax,
    reductions::{Fold, Taken},
    wired::{Chain, alike, of_tract, wired},
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

/// The approximation by a hyperbolic tangent, which is near -1 where the answer is near 0: by the sigmoid of twice as much, nothing is
/// lost there.
pub(super) fn gelu(context: &ParsingContext, node: &NodeProto) -> Built {
    if text(node, "approximate") == Some("tanh") {
        return Ok((of_numbers(Double::Gelu, "Gelu"), vec![]));
    }
    Ok((precise("Gelu", of_tract(context, node)?, Double::ExactGelu), vec![]))
}

pub(super) fn elu(_context: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = float(node, "alpha").unwrap_or(1.0);
    Ok((precise("Elu", Box::new(Elu(alpha)), Double::Elu(alpha.into())), vec![]))
}

/// Its usual constants have fewer digits in the first version.
pub(super) fn selu(context: &ParsingContext, node: &NodeProto) -> Built {
    let usual = if context.onnx_operator_set_version < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
    let (alpha, gamma) = (float(node, "alpha").unwrap_or(usual.0), float(node, "gamma").unwrap_or(usual.1));
    let function = Double::Selu(alpha.into(), gamma.into());
    Ok((precise("Selu", Box::new(Selu(alpha, gamma)), function), vec![]))
}

/// Returns what tract wires for numbers of single precision, and the function itself for others: of half precision, every step of
/// tract's is rounded.
fn precise(name: &'static str, single: Box<dyn Expansion>, function: Double) -> Box<dyn InferenceOp> {
    alike(name, move |prefix, model, inputs| {
        if model.outlet_fact(inputs[0])?.datum_type == DatumType::F32 {
            return single.wire(prefix, model, inputs);
        }
        model.wire_node(prefix, function, inputs)
    })
}

/// The exponent may be of another type than the base, whose type the power has; tract answers in that of both.
pub(super) fn power() -> Box<dyn InferenceOp> {
    wired("Pow", &[], |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "{} inputs where there should be 2", inputs.len());
        let [base, exponent] = [inputs[0], inputs[1]].map(|it| model.outlet_fact(it).map(|it| it.datum_type));
        let (base, exponent) = (base?, exponent?);
        let common = if base.is_integer() == exponent.is_integer() {
            let common = base.common_super_type(exponent);
            common.with_context(|| format!("{base:?} and {exponent:?} have no type in common"))?
        } else {
            DatumType::F64
        };
        let inputs = wire_rank_broadcast(prefix, model, inputs)?;
        let inputs = wire_cast(prefix, model, &inputs, common)?;
        if common == base {
            return model.wire_node(prefix, math::pow(), &inputs);
        }
        let power = model.wire_node(format!("{prefix}.pow"), math::pow(), &inputs)?;
        model.wire_node(prefix, cast(base), &power)
    })
}

/// Nothing has no largest number, for which tract looks all the same. Before version 13, all axes from one on are taken together.
pub(super) fn hardmax(context: &ParsingContext, node: &NodeProto) -> Built {
    let are_together = context.onnx_operator_set_version < 13;
    let axis = int(node, "axis").unwrap_or(if are_together { 1 } else { -1 });
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let fact = model.outlet_fact(inputs[0])?;
        if fact.shape.iter().any(|it| it.to_usize().is_ok_and(|it| it == 0)) {
            return Ok(inputs.into());
        }
        let axis = resolve_axis(axis, fact.rank())?;
        LayerHardmax::new(axis.try_into()?, are_together).wire(prefix, model, inputs)
    };
    Ok((alike("Hardmax", wire), vec![]))
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

/// The remainder with the sign of the divisor, also where it is 0; tract has that zero by the dividend. With `fmod`, it is the dividend's anyway.
pub(super) fn modulo(context: &ParsingContext, node: &NodeProto) -> Built {
    if int(node, "fmod") == Some(1) {
        let of_tract = tract_onnx::onnx().op_register.0.get("Mod").copied().context("there is no `Mod`")?;
        return of_tract(context, node);
    }
    Ok((wired("Mod", &[], wire_modulo), vec![]))
}

fn wire_modulo(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "{} inputs where there should be 2", inputs.len());
    let [a, b] = [inputs[0], inputs[1]].map(|it| model.outlet_fact(it).map(|it| it.datum_type));
    let (a, b) = (a?, b?);
    let dtype = a.common_super_type(b).with_context(|| format!("{a:?} and {b:?} have no type in common"))?;
    let inputs = wire_rank_broadcast(prefix, model, inputs)?;
    let inputs = wire_cast(prefix, model, &inputs, dtype)?;
    if dtype.is_unsigned() || dtype == DatumType::TDim {
        return model.wire_node(prefix, math::rem(), &inputs);
    }
    let divisor = inputs[1];
    let mut chain = Chain::new(prefix, model);
    let zero = chain.number(0.0, divisor)?;
    let remainder = chain.add(math::rem(), &inputs)?;
    let shifted = chain.add(math::add(), &[remainder, divisor])?;
    let up = chain.add(math::abs(), &[remainder])?;
    let down = chain.add(math::neg(), &[up])?;
    let mut is_less = |left, right| chain.add(TypedBinOp(comp_lt(), None), &[left, right]);
    let (is_below, is_above, is_negative) =
        (is_less(remainder, zero)?, is_less(zero, remainder)?, is_less(divisor, zero)?);
    let of_positive = chain.add(Iff, &[is_below, shifted, up])?;
    let of_negative = chain.add(Iff, &[is_above, shifted, down])?;
    Ok(tvec!(chain.add(Iff, &[is_negative, of_negative, of_positive])?))
}
