//! Operators on numbers: activations, normalization, products.
//!
//! tract softens all axes but the first together, ignores the dilations of `Conv2D`, and takes the sign of a remainder from the dividend.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedModel, tensor0, tvec},
    tract_core::ops::{
        binary::TypedBinOp,
        cast::cast,
        change_axes::wire_with_rank_broadcast,
        einsum::EinSum,
        logic::{comp_lt, comp_ne},
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{AxesMapping, TypedOp, bail, ensure, expand},
        ops::{
            activations::{Elu, LeakyRelu, Selu},
            binary::BinIntoHir,
            cnn::Conv,
            element_wise::ElementWiseIntoHir,
            identity::Identity,
            logic, math,
            matmul::MatMulInference,
            nn::{DataFormat, LayerSoftmax},
        },
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    ops::nn::{data_format, fused_batch_norm::fused_batch_norm, padding, strides},
    tfpb::tensorflow::NodeDef,
};

use crate::tract::{
    double::Double,
    ops::{log_softmax_along, of_numbers},
    wired::{several, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

/// The constants of `tf.nn.selu`, from Klambauer et al., "Self-Normalizing Neural Networks" (2017).
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("Erf", |_, _| Ok(math::erf().into_hir()));
    register.insert("Exp", |_, _| Ok(math::exp().into_hir()));
    register.insert("Floor", |_, _| Ok(math::floor().into_hir()));
    register.insert("Reciprocal", |_, _| Ok(math::recip().into_hir()));
    register.insert("Round", |_, _| Ok(math::round_half_to_even().into_hir()));
    register.insert("Sign", |_, _| Ok(math::sign().into_hir()));
    register.insert("Sqrt", |_, _| Ok(math::sqrt().into_hir()));
    register.insert("Square", |_, _| Ok(math::square().into_hir()));
    register.insert("LogicalNot", |_, _| Ok(logic::not().into_hir()));
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
    register.insert("Erfc", |_, _| Ok(wired("Erfc", &[], erfc)));
    register.insert("FloorDiv", |_, _| Ok(wired("FloorDiv", &[], floor_div)));
    register.insert("FloorMod", |_, _| Ok(wired("FloorMod", &[], floor_mod)));
    register.insert("SquaredDifference", |_, _| Ok(wired("SquaredDifference", &[], squared_difference)));

    for op in ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"] {
        register.insert(op, batch_mat_mul);
    }
    register.insert("Conv2D", conv_2d);
    register.insert("Einsum", einsum);
    register.insert("FusedBatchNormV2", fused_batch_norm);
    register.insert("FusedBatchNormV3", fused_batch_norm);
}

/// Wires operators one after the other.
pub(super) struct Chain<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    n: usize,
}

impl<'a> Chain<'a> {
    pub(super) fn new(prefix: &'a str, model: &'a mut TypedModel) -> Self {
        Self { prefix, model, n: 0 }
    }

    pub(super) fn add(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.n += 1;
        Ok(wire_with_rank_broadcast(format!("{}.{}", self.prefix, self.n), self.model, op, inputs)?[0])
    }

    /// Adds a number in the type of `like`.
    pub(super) fn number(&mut self, value: f32, like: OutletId) -> TractResult<OutletId> {
        self.n += 1;
        let dtype = self.model.outlet_fact(like)?.datum_type;
        let value: Tensor = tensor0(value).cast_to_dt(dtype)?.into_owned();
        self.model.add_const(format!("{}.{}", self.prefix, self.n), value)
    }
}

fn erfc(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let one = chain.number(1.0, x)?;
    let erf = chain.add(math::erf(), &[x])?;
    Ok(tvec!(chain.add(math::sub(), &[one, erf])?))
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

/// The remainder of integers with the sign of the dividend, and 1 where it is not 0 and its sign is not the divisor's, else 0.
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

/// The remainder with the sign of the divisor: of floats, `((a % b) + b) % b`, in which the sum of integers may overflow.
fn floor_mod(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let dtype = model.outlet_fact(a)?.datum_type;
    let mut chain = Chain::new(prefix, model);
    if dtype.is_integer() {
        let (remainder, is_beyond) = remainder(&mut chain, dtype, a, b)?;
        let more = chain.add(math::mul(), &[is_beyond, b])?;
        return Ok(tvec!(chain.add(math::add(), &[remainder, more])?));
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

fn conv_2d(_context: &ParsingContext, node: &NodeDef) -> Built {
    let (strides, format) = (strides(node)?, data_format(node)?);
    let dilations = node.get_attr_opt_list_int::<usize>("dilations")?.unwrap_or_else(|| vec![1; 4]);
    ensure!(dilations.len() == 4, "node `{}` (Conv2D) has {} dilations", node.name, dilations.len());
    let spatial = if format == DataFormat::NHWC { 1..3 } else { 2..4 };
    let conv = Conv::default().hwio().padding(padding(node)?);
    let conv = conv.strides(strides[spatial.clone()].into()).dilations(dilations[spatial].into());
    Ok(expand(if format == DataFormat::NHWC { conv.nhwc() } else { conv }))
}

fn einsum(_context: &ParsingContext, node: &NodeDef) -> Built {
    let equation = node.get_attr_str("equation")?;
    ensure!(!equation.contains("..."), "node `{}` (Einsum) has an ellipsis", node.name);
    let axes: AxesMapping = equation.replace(' ', "").parse()?;
    Ok(wired("Einsum", &[], move |prefix, model, inputs| {
        ensure!(inputs.len() == axes.input_count(), "Einsum has {} inputs", inputs.len());
        let operating_dt: DatumType = model.outlet_fact(inputs[0])?.datum_type;
        model.wire_node(prefix, EinSum { axes: axes.clone(), operating_dt, q_params: None }, inputs)
    }))
}
