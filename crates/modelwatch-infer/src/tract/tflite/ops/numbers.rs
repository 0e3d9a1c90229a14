//! Operators on numbers: activations, arithmetic, comparisons, products, reductions.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, tensor0, tensor1, tvec},
    tract_core::ops::{
        binary::{BinMiniOp, TypedBinOp},
        cast::cast,
        change_axes::AxisOp,
        einsum::EinSum,
        element_wise::ElementWiseOp,
        logic::{self, Iff},
        math,
        nn::{Softmax, hard_swish, leaky_relu, sigmoid},
    },
    tract_hir::internal::{TDim, ToDim, TractErrorContext, bail, ensure},
};
use tract_tensorflow::tfpb::tensorflow::DataType;
use tract_tflite::tflite::{BuiltinOperator as Op, FullyConnectedOptionsWeightsFormat, TensorType};

use super::{Call, Known, Wires, given, number, ours, tract};
use crate::tract::{
    axes::{constant_integers, resolve_axes},
    reductions::{Fold, Taken},
    tflite::{constants, scales::are_scaled},
    wired::Chain,
};

#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    tract(Op::ABS, |c| unary(c, math::abs())),
    tract(Op::CEIL, |c| unary(c, math::ceil())),
    tract(Op::COS, |c| unary(c, math::cos())),
    tract(Op::EXP, |c| unary(c, math::exp())),
    tract(Op::FLOOR, |c| unary(c, math::floor())),
    tract(Op::HARD_SWISH, |c| unary(c, hard_swish())),
    tract(Op::LOG, |c| unary(c, math::ln())),
    tract(Op::LOGICAL_NOT, |c| unary(c, logic::not())),
    tract(Op::LOGISTIC, |c| unary(c, sigmoid())),
    tract(Op::NEG, |c| unary(c, math::neg())),
    tract(Op::ROUND, |c| unary(c, math::round_half_to_even())),
    tract(Op::RSQRT, |c| unary(c, math::rsqrt())),
    tract(Op::SIGN, |c| unary(c, math::sign())),
    tract(Op::SIN, |c| unary(c, math::sin())),
    tract(Op::SQRT, |c| unary(c, math::sqrt())),
    tract(Op::SQUARE, |c| unary(c, math::square())),
    tract(Op::TANH, |c| unary(c, math::tanh())),
    tract(Op::LEAKY_RELU, |c| {
        let options = given(c.node.builtin_options_as_leaky_relu_options())?;
        unary(c, leaky_relu(options.alpha()))
    }),
    ours(Op::ELU, |c| c.same("Elu", vec![])),
    ours(Op::GELU, gelu),
    ours(Op::PRELU, prelu),
    tract(Op::RELU, |c| clipped(c, Some(0.0), None)),
    tract(Op::RELU6, |c| clipped(c, Some(0.0), Some(6.0))),
    ours(Op::RELU_0_TO_1, |c| clipped(c, Some(0.0), Some(1.0))),
    ours(Op::RELU_N1_TO_1, |c| clipped(c, Some(-1.0), Some(1.0))),
    tract(Op::SOFTMAX, softmax),
    ours(Op::LOG_SOFTMAX, |c| c.same("LogSoftmax", vec![])),
    ours(Op::L2_NORMALIZATION, normalize),
    ours(Op::CAST, convert),
    ours(Op::QUANTIZE, |c| Ok(tvec!(c.input(0)?))),
    ours(Op::DEQUANTIZE, dequantize),
    ours(Op::FAKE_QUANT, fake_quant),

    tract(Op::ADD, |c| {
        let end = c.node.builtin_options_as_add_options().map(|it| it.fused_activation_function());
        let wires = c.plain::<2>(math::add())?;
        c.fused(wires, end.unwrap_or_default())
    }),
    tract(Op::SUB, |c| {
        let end = c.node.builtin_options_as_sub_options().map(|it| it.fused_activation_function());
        let wires = c.plain::<2>(math::sub())?;
        c.fused(wires, end.unwrap_or_default())
    }),
    tract(Op::MUL, |c| {
        let end = c.node.builtin_options_as_mul_options().map(|it| it.fused_activation_function());
        let wires = c.plain::<2>(math::mul())?;
        c.fused(wires, end.unwrap_or_default())
    }),
    tract(Op::DIV, |c| {
        let end = c.node.builtin_options_as_div_options().map(|it| it.fused_activation_function());
        let wires = c.plain::<2>(math::div())?;
        c.fused(wires, end.unwrap_or_default())
    }),
    ours(Op::ADD_N, add_all),
    tract(Op::MAXIMUM, |c| c.plain::<2>(math::max())),
    tract(Op::MINIMUM, |c| c.plain::<2>(math::min())),
    tract(Op::POW, power),
    ours(Op::FLOOR_DIV, |c| c.same("FloorDiv", vec![])),
    ours(Op::FLOOR_MOD, |c| c.same("FloorMod", vec![])),
    ours(Op::SQUARED_DIFFERENCE, |c| c.same("SquaredDifference", vec![])),
    tract(Op::EQUAL, |c| compare(c, logic::comp_eq())),
    tract(Op::NOT_EQUAL, |c| compare(c, logic::comp_ne())),
    tract(Op::LESS, |c| compare(c, logic::comp_lt())),
    tract(Op::LESS_EQUAL, |c| compare(c, logic::comp_lte())),
    tract(Op::GREATER, |c| compare(c, logic::comp_gt())),
    tract(Op::GREATER_EQUAL, |c| compare(c, logic::comp_gte())),
    tract(Op::LOGICAL_AND, |c| c.plain::<2>(logic::and())),
    tract(Op::LOGICAL_OR, |c| c.plain::<2>(logic::or())),
    tract(Op::SELECT_V2, |c| c.plain::<3>(Iff)),
    ours(Op::SELECT, |c| c.same("Select", vec![])),

    tract(Op::FULLY_CONNECTED, dense),
    ours(Op::BATCH_MATMUL, |c| {
        let options = given(c.node.builtin_options_as_batch_mat_mul_options())?;
        ensure!(!options.asymmetric_quantize_inputs(), "it has asymmetric_quantize_inputs");
        c.same("BatchMatMulV2", vec![("adj_x", options.adj_x().into()), ("adj_y", options.adj_y().into())])
    }),
    ours(Op::CUMSUM, |c| {
        let options = c.node.builtin_options_as_cumsum_options();
        let (exclusive, reverse) = options.map_or((false, false), |it| (it.exclusive(), it.reverse()));
        c.same("Cumsum", vec![("exclusive", exclusive.into()), ("reverse", reverse.into())])
    }),
    ours(Op::MEAN, |c| reduce(c, "Mean")),
    ours(Op::SUM, |c| reduce(c, "Sum")),
    ours(Op::REDUCE_PROD, |c| reduce(c, "Prod")),
    ours(Op::REDUCE_MAX, |c| reduce(c, "Max")),
    ours(Op::REDUCE_MIN, |c| reduce(c, "Min")),
    ours(Op::REDUCE_ANY, |c| reduce(c, "Any")),
    ours(Op::REDUCE_ALL, |c| reduce(c, "All")),
    ours(Op::ARG_MAX, |c| {
        let dtype = c.node.builtin_options_as_arg_max_options().map(|it| it.output_type());
        place(c, "ArgMax", dtype)
    }),
    ours(Op::ARG_MIN, |c| {
        let dtype = c.node.builtin_options_as_arg_min_options().map(|it| it.output_type());
        place(c, "ArgMin", dtype)
    }),
];

fn unary(c: &mut Call<'_, '_>, op: ElementWiseOp) -> Wires {
    c.plain::<1>(op)
}

fn compare(c: &mut Call<'_, '_>, op: Box<dyn BinMiniOp>) -> Wires {
    c.plain::<2>(TypedBinOp(op, None))
}

/// Wires a number no less than one and no more than another.
pub(super) fn cut(
    chain: &mut Chain<'_>,
    mut wire: OutletId,
    least: Option<f32>,
    most: Option<f32>,
) -> TractResult<OutletId> {
    if let Some(least) = least {
        let least = chain.number(least, wire)?;
        wire = chain.add(math::max(), &[wire, least])?;
    }
    if let Some(most) = most {
        let most = chain.number(most, wire)?;
        wire = chain.add(math::min(), &[wire, most])?;
    }
    Ok(wire)
}

fn clipped(c: &mut Call<'_, '_>, least: Option<f32>, most: Option<f32>) -> Wires {
    let [x] = c.arguments()?;
    Ok(tvec!(cut(&mut c.chain(), x, least, most)?))
}

/// The number times the share of a normal distribution below it, or what Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016),
/// take for it.
fn gelu(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let is_approximate = c.node.builtin_options_as_gelu_options().is_some_and(|it| it.approximate());
    let mut chain = c.chain();
    let (half, one) = (chain.number(0.5, x)?, chain.number(1.0, x)?);
    let curve = if is_approximate {
        let (root, share) = (chain.number((2.0 / PI).sqrt(), x)?, chain.number(0.044_715, x)?);
        let square = chain.add(math::mul(), &[x, x])?;
        let small = chain.add(math::mul(), &[square, share])?;
        let factor = chain.add(math::add(), &[small, one])?;
        let inner = chain.add(math::mul(), &[x, factor])?;
        let inner = chain.add(math::mul(), &[inner, root])?;
        chain.add(math::tanh(), &[inner])?
    } else {
        let root = chain.number(FRAC_1_SQRT_2, x)?;
        let inner = chain.add(math::mul(), &[x, root])?;
        chain.add(math::erf(), &[inner])?
    };
    let above = chain.add(math::add(), &[curve, one])?;
    let share = chain.add(math::mul(), &[above, half])?;
    Ok(tvec!(chain.add(math::mul(), &[x, share])?))
}

/// What is negative is multiplied by a slope.
fn prelu(c: &mut Call<'_, '_>) -> Wires {
    let [x, slope] = c.arguments()?;
    let mut chain = c.chain();
    let zero = chain.number(0.0, x)?;
    let is_kept = chain.add(TypedBinOp(logic::comp_gte(), None), &[x, zero])?;
    let sloped = chain.add(math::mul(), &[x, slope])?;
    Ok(tvec!(chain.add(Iff, &[is_kept, x, sloped])?))
}

fn softmax(c: &mut Call<'_, '_>) -> Wires {
    let [mut x] = c.arguments()?;
    let beta = c.node.builtin_options_as_softmax_options().map_or(1.0, |it| it.beta());
    ensure!(beta.is_finite(), "its beta is {beta}");
    let last = c.model.outlet_fact(x)?.rank().checked_sub(1).context("a number alone has no axis")?;
    if beta != 1.0 {
        let mut chain = c.chain();
        let beta = chain.number(beta, x)?;
        x = chain.add(math::mul(), &[x, beta])?;
    }
    c.model.wire_node(c.prefix, Softmax { axes: tvec!(last), ..Softmax::default() }, &[x])
}

/// The numbers along the last axis over the root of the sum of their squares.
fn normalize(c: &mut Call<'_, '_>) -> Wires {
    /// The least that is divided by, in TFLite's kernel.
    const LEAST: f32 = 1e-6;
    let [x] = c.arguments()?;
    let end = c.node.builtin_options_as_l2_norm_options().map(|it| it.fused_activation_function());
    let last = c.model.outlet_fact(x)?.rank().checked_sub(1).context("a number alone has no axis")?;
    let mut chain = c.chain();
    let norm = chain.add(Fold { axes: vec![last], taken: Taken::Norm(2) }, &[x])?;
    let norm = cut(&mut chain, norm, Some(LEAST), None)?;
    let wire = chain.add(math::div(), &[x, norm])?;
    c.fused(tvec!(wire), end.unwrap_or_default())
}

fn convert(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let ends = [c.node.inputs(), c.node.outputs()].map(|it| c.view.tensor(it.filter(|it| !it.is_empty())?.get(0)));
    let [Some(from), Some(to)] = ends else { bail!("it has no input or no output") };
    ensure!(!are_scaled(from) && !are_scaled(to), "it casts integers that stand for numbers");
    let to = constants::datum_type(to).context("it casts to an unsupported type")?;
    c.model.wire_node(c.prefix, cast(to), &[x])
}

/// Numbers that were integers or of half precision; a constant stays one.
fn dequantize(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let fact = c.model.outlet_fact(x)?.clone();
    match fact.datum_type {
        DatumType::F32 => Ok(tvec!(x)),
        DatumType::F16 => match fact.konst {
            Some(it) => {
                let numbers = it.cast_to_dt(DatumType::F32)?.into_owned();
                Ok(tvec!(c.model.add_const(c.prefix, numbers)?))
            }
            None => c.model.wire_node(c.prefix, cast(DatumType::F32), &[x]),
        },
        other => bail!("it is given {other:?}, which stands for no numbers"),
    }
}

fn fake_quant(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let options = given(c.node.builtin_options_as_fake_quant_options())?;
    let bounds = [("min", options.min()), ("max", options.max())]
        .map(|(name, it)| c.model.add_const(format!("{}.{name}", c.prefix), tensor0(it)));
    let [least, most] = bounds;
    let attributes = vec![("num_bits", number(options.num_bits())), ("narrow_range", options.narrow_range().into())];
    c.tensorflow("FakeQuantWithMinMaxVars", attributes, &[x, least?, most?])
}

fn add_all(c: &mut Call<'_, '_>) -> Wires {
    let all = c.every()?;
    let (first, rest) = all.split_first().context("it adds nothing")?;
    let mut chain = c.chain();
    let sum = rest.iter().try_fold(*first, |sum, it| chain.add(math::add(), &[sum, *it]))?;
    Ok(tvec!(sum))
}

/// Negative powers of integers, which TFLite refuses as it runs, are none.
fn power(c: &mut Call<'_, '_>) -> Wires {
    let [base, _] = c.arguments()?;
    let dtype = c.model.outlet_fact(base)?.datum_type;
    ensure!(dtype.is_float(), "it is of {dtype:?}");
    c.plain::<2>(math::pow())
}

/// The product of rows and the weights of each output.
fn dense(c: &mut Call<'_, '_>) -> Wires {
    let (x, weights) = (c.input(0)?, c.input(1)?);
    let options = given(c.node.builtin_options_as_fully_connected_options())?;
    ensure!(options.weights_format() == FullyConnectedOptionsWeightsFormat::DEFAULT, "its weights are shuffled");
    ensure!(!options.asymmetric_quantize_inputs(), "it has asymmetric_quantize_inputs");
    let (fact, weights_fact) = (c.model.outlet_fact(x)?.clone(), c.model.outlet_fact(weights)?.clone());
    ensure!(
        fact.datum_type == DatumType::F32 && weights_fact.datum_type == DatumType::F32,
        "it multiplies {:?} with {:?}",
        fact.datum_type,
        weights_fact.datum_type
    );
    let dims = fact.shape.as_concrete().context("the shape of its input is not known")?.to_vec();
    let &[n_out, n_in] = weights_fact.shape.as_concrete().context("the shape of its weights is not known")? else {
        bail!("its weights have the rank {}", weights_fact.rank());
    };
    let n: usize = dims.iter().product();
    ensure!(n_in > 0 && n.is_multiple_of(n_in), "its weights are for rows of {n_in}, and it is given {dims:?}");
    let keeps = options.keep_num_dims();
    ensure!(!keeps || dims.last() == Some(&n_in), "its weights are for rows of {n_in}, and it is given {dims:?}");
    let lengths = |dims: &[usize]| dims.iter().map(|it| it.to_dim()).collect::<TVec<TDim>>();
    let prefix = c.prefix;
    let mut rows = x;
    if dims.len() != 2 || dims[1] != n_in {
        let op = AxisOp::Reshape(0, lengths(&dims), lengths(&[n / n_in, n_in]));
        rows = c.model.wire_node(format!("{prefix}.rows"), op, &[rows])?[0];
    }
    let op = EinSum { axes: "BI,OI->BO".parse()?, q_params: None, operating_dt: DatumType::F32 };
    let mut wires = c.model.wire_node(prefix, op, &[rows, weights])?;
    if let Some(bias) = c.optional(2) {
        let rank = c.model.outlet_fact(bias)?.rank();
        ensure!(rank == 1, "its bias has the rank {rank}");
        let bias = c.model.wire_node(format!("{prefix}.bias_rank"), AxisOp::Add(0), &[bias])?[0];
        wires = c.model.wire_node(format!("{prefix}.bias"), math::add(), &[wires[0], bias])?;
    }
    if keeps && dims.len() != 2 {
        let mut shape = dims[..dims.len() - 1].to_vec();
        shape.push(n_out);
        let op = AxisOp::Reshape(0, lengths(&[n / n_in, n_out]), lengths(&shape));
        wires = c.model.wire_node(format!("{prefix}.unfolded"), op, &wires)?;
    }
    c.fused(wires, options.fused_activation_function())
}

/// The axes may be a number alone.
fn reduce(c: &mut Call<'_, '_>, op: &str) -> Wires {
    let keeps = c.node.builtin_options_as_reducer_options().is_some_and(|it| it.keep_dims());
    let [x, axes] = c.arguments()?;
    let rank = c.model.outlet_fact(x)?.rank();
    let axes = constant_integers(c.model, axes)?;
    let axes: Vec<i64> = resolve_axes(&axes, rank)?.into_iter().map(|it| it as i64).collect();
    let axes = c.model.add_const(format!("{}.axes", c.prefix), tensor1(&axes))?;
    c.tensorflow(op, vec![("keep_dims", keeps.into())], &[x, axes])
}

fn place(c: &mut Call<'_, '_>, op: &str, dtype: Option<TensorType>) -> Wires {
    let dtype = if dtype == Some(TensorType::INT32) { DataType::DtInt32 } else { DataType::DtInt64 };
    c.same(op, vec![("output_type", dtype.into())])
}
