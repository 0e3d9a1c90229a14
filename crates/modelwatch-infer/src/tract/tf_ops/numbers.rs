//! Operators on numbers: activations, normalization, products.
//!
//! tract softens all axes but the first together, and takes the sign of a remainder from the dividend.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, TypedModel, tvec},
    tract_core::ops::{
        array::CumSum,
        binary::TypedBinOp,
        cast::cast,
        einsum::EinSum,
        logic::{Iff, comp_lt, comp_ne},
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{AxesMapping, TDim, TractErrorContext, bail, ensure, expand},
        ops::{
            activations::{Elu, LeakyRelu, Selu},
            binary::BinIntoHir,
            element_wise::ElementWiseIntoHir,
            identity::Identity,
            logic, math,
            matmul::MatMulInference,
            nn::LayerSoftmax,
        },
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    ops::nn::fused_batch_norm::fused_batch_norm,
    tfpb::tensorflow::NodeDef,
};

use super::{arrays::one, int};
use crate::tract::{
    axes::resolve_axis,
    double::Double,
    ops::{log_softmax_along, of_numbers},
    wired::{Chain, several, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

/// The constants of `tf.nn.selu`, from Klambauer et al., "Self-Normalizing Neural Networks" (2017).
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("Acos", |_, _| Ok(math::acos().into_hir()));
    register.insert("Acosh", |_, _| Ok(math::acosh().into_hir()));
    register.insert("Asin", |_, _| Ok(math::asin().into_hir()));
    register.insert("Asinh", |_, _| Ok(math::asinh().into_hir()));
    register.insert("Atan", |_, _| Ok(math::atan().into_hir()));
    register.insert("Atanh", |_, _| Ok(math::atanh().into_hir()));
    register.insert("Cos", |_, _| Ok(math::cos().into_hir()));
    register.insert("Cosh", |_, _| Ok(math::cosh().into_hir()));
    register.insert("Erf", |_, _| Ok(math::erf().into_hir()));
    register.insert("Exp", |_, _| Ok(math::exp().into_hir()));
    register.insert("Floor", |_, _| Ok(math::floor().into_hir()));
    register.insert("Reciprocal", |_, _| Ok(math::recip().into_hir()));
    register.insert("Rint", |_, _| Ok(math::round_half_to_even().into_hir()));
    register.insert("Round", |_, _| Ok(math::round_half_to_even().into_hir()));
    register.insert("Sign", |_, _| Ok(math::sign().into_hir()));
    register.insert("Sin", |_, _| Ok(math::sin().into_hir()));
    register.insert("Sinh", |_, _| Ok(math::sinh().into_hir()));
    register.insert("Sqrt", |_, _| Ok(math::sqrt().into_hir()));
    register.insert("Square", |_, _| Ok(math::square().into_hir()));
    register.insert("Tan", |_, _| Ok(math::tan().into_hir()));
    register.insert("LogicalNot", |_, _| Ok(logic::not().into_hir()));
    register.insert("LogicalXor", |_, _| Ok(logic::Xor.into_hir()));
    register.insert("NotEqual", |_, _| Ok(logic::CompNE.into_hir()));

    for op in ["CheckNumerics", "EnsureShape", "PreventGradient", "Snapshot", "StopGradient"] {
        register.insert(op, |_, _| Ok(Box::new(Identity)));
    }
    register.insert("IdentityN", |_, node| {
        let n = node.input.iter().filter(|it| !it.starts_with('^')).count();
        Ok(several("IdentityN", n, &[], |_, _, inputs| Ok(inputs.into())))
    });

    register.insert("Elu", |_, _| Ok(expand(Elu(1.0))));
    register.insert("LeakyRelu", |_, node| Ok(expand(LeakyRelu(node.get_attr_opt_float("alpha")?.unwrap_or(0.2)))));
    register.insert("LogSoftmax", |_, _| Ok(log_softmax_along(-1, false)));
    register.insert("Selu", |_, _| Ok(expand(Selu(SELU_ALPHA, SELU_SCALE))));
    register.insert("Softmax", |_, _| Ok(expand(LayerSoftmax::new(-1, false))));
    register.insert("Expm1", |_, _| Ok(of_numbers(Double::Expm1, "Expm1")));
    register.insert("Log1p", |_, _| Ok(of_numbers(Double::Log1p, "Log1p")));
    register.insert("Softplus", |_, _| Ok(of_numbers(Double::Softplus, "Softplus")));
    register.insert("ClipByValue", |_, _| Ok(wired("ClipByValue", &[], clip)));
    register.insert("Cumsum", |_, node| running_sum(node));
    register.insert("Erfc", |_, _| Ok(of_numbers(Double::Erfc, "Erfc")));
    register.insert("FakeQuantWithMinMaxVars", |_, node| quantized_and_back(node));
    register.insert("FloorDiv", |_, _| Ok(wired("FloorDiv", &[], floor_div)));
    register.insert("FloorMod", |_, _| Ok(wired("FloorMod", &[], floor_mod)));
    register.insert("Softsign", |_, _| Ok(wired("Softsign", &[], softsign)));
    register.insert("SquaredDifference", |_, _| Ok(wired("SquaredDifference", &[], squared_difference)));

    for op in ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"] {
        register.insert(op, batch_mat_mul);
    }
    register.insert("Einsum", einsum);
    register.insert("FusedBatchNormV2", fused_batch_norm);
    register.insert("FusedBatchNormV3", fused_batch_norm);
}

fn squared_difference(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let difference = chain.add(math::sub(), &[a, b])?;
    Ok(tvec!(chain.add(math::mul(), &[difference, difference])?))
}

/// The quotient, rounded down.
fn floor_div(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let dtype = model.outlet_fact(a)?.datum_type;
    if dtype.is_integer() {
        let mut chain = Chain::new(prefix, model);
        let quotient = chain.add(math::div(), &[a, b])?;
        let (_, is_beyond) = remainder(&mut chain, dtype, a, b)?;
        return Ok(tvec!(chain.add(math::sub(), &[quotient, is_beyond])?));
    }
    if !dtype.is_float() {
        let remainder = floor_mod(&format!("{prefix}.remainder"), model, inputs)?[0];
        let mut chain = Chain::new(prefix, model);
        let multiple = chain.add(math::sub(), &[a, remainder])?;
        return Ok(tvec!(chain.add(math::div(), &[multiple, b])?));
    }
    let mut chain = Chain::new(prefix, model);
    let quotient = chain.add(math::div(), &[a, b])?;
    Ok(tvec!(chain.add(math::floor(), &[quotient])?))
}

/// The remainder with the sign of the dividend, and 1 where it is not 0 and its sign is not the divisor's, else 0.
fn remainder(chain: &mut Chain<'_>, dtype: DatumType, a: OutletId, b: OutletId) -> TractResult<(OutletId, OutletId)> {
    let remainder = chain.add(math::rem(), &[a, b])?;
    let zero = chain.number(0.0, a)?;
    let mut number_of = |op: TypedBinOp, x: OutletId| -> TractResult<OutletId> {
        let flag = chain.add(op, &[x, zero])?;
        chain.add(cast(dtype), &[flag])
    };
    let is_left = number_of(TypedBinOp(comp_ne(), None), remainder)?;
    let is_negative = number_of(TypedBinOp(comp_lt(), None), remainder)?;
    let by_negative = number_of(TypedBinOp(comp_lt(), None), b)?;
    let differ = chain.add(math::sub(), &[is_negative, by_negative])?;
    let differ = chain.add(math::mul(), &[differ, differ])?;
    Ok((remainder, chain.add(math::mul(), &[differ, is_left])?))
}

/// The remainder with the sign of the divisor. The divisor is added only where the signs differ: next to a large one, the remainder has
/// few digits.
fn floor_mod(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let dtype = model.outlet_fact(a)?.datum_type;
    let mut chain = Chain::new(prefix, model);
    if dtype.is_integer() {
        let (remainder, is_beyond) = remainder(&mut chain, dtype, a, b)?;
        let more = chain.add(math::mul(), &[is_beyond, b])?;
        return Ok(tvec!(chain.add(math::add(), &[remainder, more])?));
    }
    if dtype.is_float() {
        let (remainder, is_beyond) = remainder(&mut chain, dtype, a, b)?;
        let shifted = chain.add(math::add(), &[remainder, b])?;
        let zero = chain.number(0.0, a)?;
        let is_beyond = chain.add(TypedBinOp(comp_ne(), None), &[is_beyond, zero])?;
        return Ok(tvec!(chain.add(Iff, &[is_beyond, shifted, remainder])?));
    }
    let remainder = chain.add(math::rem(), &[a, b])?;
    let shifted = chain.add(math::add(), &[remainder, b])?;
    Ok(tvec!(chain.add(math::rem(), &[shifted, b])?))
}

pub(super) fn arguments<const N: usize>(inputs: &[OutletId]) -> TractResult<[OutletId; N]> {
    match inputs.try_into() {
        Ok(it) => Ok(it),
        Err(_) => bail!("{} inputs where there should be {N}", inputs.len()),
    }
}

fn batch_mat_mul(_context: &ParsingContext, node: &NodeDef) -> Built {
    let flag = |name: &str| Ok::<_, tract_onnx::prelude::TractError>(node.get_attr_opt_bool(name)?.unwrap_or(false));
    let product = MatMulInference::default().with_a_trans(flag("adj_x")?).with_b_trans(flag("adj_y")?);
    Ok(expand(product))
}

fn einsum(_context: &ParsingContext, node: &NodeDef) -> Built {
    let equation = node.get_attr_str("equation")?.replace(' ', "");
    Ok(wired("Einsum", &[], move |prefix, model, inputs| {
        let shapes: Vec<TVec<TDim>> =
            inputs.iter().map(|it| Ok(model.outlet_fact(*it)?.shape.to_tvec())).collect::<TractResult<_>>()?;
        let axes: AxesMapping = spelled_out(&equation, &shapes)?.parse()?;
        ensure!(inputs.len() == axes.input_count(), "Einsum has {} inputs", inputs.len());
        let operating_dt: DatumType = model.outlet_fact(inputs[0])?.datum_type;
        model.wire_node(prefix, EinSum { axes, operating_dt, q_params: None }, inputs)
    }))
}

/// Returns an equation with letters for the axes that an ellipsis stands for.
fn spelled_out(equation: &str, shapes: &[TVec<TDim>]) -> TractResult<String> {
    const ELLIPSIS: &str = "...";
    if !equation.contains(ELLIPSIS) {
        return Ok(equation.to_owned());
    }
    let (inputs, output) = equation.split_once("->").context("the equation has no output")?;
    let terms: Vec<&str> = inputs.split(',').collect();
    ensure!(terms.len() == shapes.len(), "Einsum has {} inputs", shapes.len());
    let letters: Vec<char> = ('A'..='Z').filter(|it| !equation.contains(*it)).collect();
    let mut dims: Vec<Option<TDim>> = Vec::new();
    let mut res = Vec::new();
    for (term, shape) in terms.iter().zip(shapes) {
        let Some((before, after)) = term.split_once(ELLIPSIS) else {
            res.push((*term).to_owned());
            continue;
        };
        let n = shape.len().checked_sub(before.len() + after.len());
        let n = n.with_context(|| format!("`{term}` has more axes than {shape:?}"))?;
        ensure!(n <= letters.len(), "an ellipsis stands for {n} axes");
        dims.resize(dims.len().max(n), None);
        // The last axes of one are those of the others.
        for (at, dim) in shape[before.len()..before.len() + n].iter().rev().enumerate() {
            let known = dims[at].get_or_insert_with(|| dim.clone());
            ensure!(known == dim, "axes of {known} and {dim} under an ellipsis are not the same");
        }
        let own: String = letters[..n].iter().rev().collect();
        res.push(format!("{before}{own}{after}"));
    }
    let all: String = letters[..dims.len()].iter().rev().collect();
    Ok(format!("{}->{}", res.join(","), output.replacen(ELLIPSIS, &all, 1)))
}

/// The number over 1 more than its magnitude.
fn softsign(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let one = chain.number(1.0, x)?;
    let magnitude = chain.add(math::abs(), &[x])?;
    let sum = chain.add(math::add(), &[magnitude, one])?;
    Ok(tvec!(chain.add(math::div(), &[x, sum])?))
}

/// A number no less than one and no more than another.
fn clip(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x, least, most] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let above = chain.add(math::max(), &[x, least])?;
    Ok(tvec!(chain.add(math::min(), &[above, most])?))
}

/// The nearest of so many numbers between two bounds that one of them is 0, to which the bounds are moved.
fn quantized_and_back(node: &NodeDef) -> Built {
    let n_bits = int(node, "num_bits").unwrap_or(8);
    ensure!((2..=16).contains(&n_bits), "node `{}` ({}) has {n_bits} bits", node.name, node.op);
    let most = ((1_i32 << n_bits) - 1) as f32;
    let least = if node.get_attr_opt_bool("narrow_range")?.unwrap_or(false) { 1.0 } else { 0.0 };
    Ok(wired("FakeQuantWithMinMaxVars", &[1, 2], move |prefix, model, inputs| {
        let [x, from, to] = arguments(inputs)?;
        let (from, to) = (single(model, from)?, single(model, to)?);
        let scale = (to - from) / (most - least);
        ensure!(scale > 0.0 && scale.is_finite(), "numbers between {from} and {to} are wanted");
        let zero_point = (least - from / scale).round().clamp(least, most);
        let mut chain = Chain::new(prefix, model);
        let start = chain.number((least - zero_point) * scale, x)?;
        let end = chain.number((most - zero_point) * scale, x)?;
        let scale = chain.number(scale, x)?;
        let half = chain.number(0.5, x)?;
        let above = chain.add(math::max(), &[x, start])?;
        let within = chain.add(math::min(), &[above, end])?;
        let shifted = chain.add(math::sub(), &[within, start])?;
        let steps = chain.add(math::div(), &[shifted, scale])?;
        let up = chain.add(math::add(), &[steps, half])?;
        let whole = chain.add(math::floor(), &[up])?;
        let scaled = chain.add(math::mul(), &[whole, scale])?;
        Ok(tvec!(chain.add(math::add(), &[scaled, start])?))
    }))
}

/// Returns a constant that is one number.
fn single(model: &TypedModel, outlet: OutletId) -> TractResult<f32> {
    let constant = model.outlet_fact(outlet)?.konst.as_ref().context("a bound must be a constant")?;
    ensure!(constant.len() == 1, "a bound of {} numbers", constant.len());
    constant.cast_to_scalar::<f32>()
}

/// Running sums along an axis.
fn running_sum(node: &NodeDef) -> Built {
    let flag = |name: &str| Ok::<_, tract_onnx::prelude::TractError>(node.get_attr_opt_bool(name)?.unwrap_or(false));
    let (exclusive, reverse) = (flag("exclusive")?, flag("reverse")?);
    Ok(wired("Cumsum", &[1], move |prefix, model, inputs| {
        let [x, axis] = arguments(inputs)?;
        let axis = resolve_axis(one(model, axis)?, model.outlet_fact(x)?.rank())?;
        model.wire_node(prefix, CumSum { axis, exclusive, reverse }, &[x])
    }))
}
