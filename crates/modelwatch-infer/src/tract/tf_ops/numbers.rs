//! Operators on numbers: activations, normalization, products.
//!
//! tract softens all axes but the first together, ignores the dilations of `Conv2D`, and takes the sign of a remainder from the dividend.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedModel, tensor0, tvec},
    tract_core::ops::{change_axes::wire_with_rank_broadcast, einsum::EinSum},
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
            nn::{DataFormat, LayerLogSoftmax, LayerSoftmax},
        },
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    ops::nn::{data_format, fused_batch_norm::fused_batch_norm, padding, strides},
    tfpb::tensorflow::NodeDef,
};

use super::wired::{several, wired};

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
    register.insert("LogSoftmax", |_, _| Ok(expand(LayerLogSoftmax::new(-1, false))));
    register.insert("Selu", |_, _| Ok(expand(Selu(SELU_ALPHA, SELU_SCALE))));
    register.insert("Softmax", |_, _| Ok(expand(LayerSoftmax::new(-1, false))));
    register.insert("Softplus", |_, _| Ok(wired("Softplus", &[], softplus)));
    register.insert("Erfc", |_, _| Ok(wired("Erfc", &[], erfc)));
    register.insert("FloorMod", |_, _| Ok(wired("FloorMod", &[], floor_mod)));
    register.insert("SquaredDifference", |_, _| Ok(wired("SquaredDifference", &[], squared_difference)));

    register.insert("BatchMatMulV2", batch_mat_mul);
    register.insert("Conv2D", conv_2d);
    register.insert("Einsum", einsum);
    register.insert("FusedBatchNormV2", fused_batch_norm);
    register.insert("FusedBatchNormV3", fused_batch_norm);
}

/// Wires operators one after the other.
struct Chain<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    n: usize,
}

impl<'a> Chain<'a> {
    fn new(prefix: &'a str, model: &'a mut TypedModel) -> Self {
        Self { prefix, model, n: 0 }
    }

    fn add(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.n += 1;
        Ok(wire_with_rank_broadcast(format!("{}.{}", self.prefix, self.n), self.model, op, inputs)?[0])
    }

    /// Adds a number in the type of `like`.
    fn number(&mut self, value: f32, like: OutletId) -> TractResult<OutletId> {
        self.n += 1;
        let dtype = self.model.outlet_fact(like)?.datum_type;
        let value: Tensor = tensor0(value).cast_to_dt(dtype)?.into_owned();
        self.model.add_const(format!("{}.{}", self.prefix, self.n), value)
    }
}

/// `ln(1 + e^x)` as `max(x, 0) + ln(1 + e^-|x|)`, which does not overflow.
fn softplus(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let (zero, one) = (chain.number(0.0, x)?, chain.number(1.0, x)?);
    let positive = chain.add(math::max(), &[x, zero])?;
    let magnitude = chain.add(math::abs(), &[x])?;
    let negative = chain.add(math::neg(), &[magnitude])?;
    let exponential = chain.add(math::exp(), &[negative])?;
    let sum = chain.add(math::add(), &[exponential, one])?;
    let logarithm = chain.add(math::ln(), &[sum])?;
    Ok(tvec!(chain.add(math::add(), &[positive, logarithm])?))
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

/// The remainder with the sign of the divisor: `((a % b) + b) % b`.
fn floor_mod(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = arguments(inputs)?;
    let mut chain = Chain::new(prefix, model);
    let remainder = chain.add(math::rem(), &[a, b])?;
    let shifted = chain.add(math::add(), &[remainder, b])?;
    Ok(tvec!(chain.add(math::rem(), &[shifted, b])?))
}

fn arguments<const N: usize>(inputs: &[OutletId]) -> TractResult<[OutletId; N]> {
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
