//! Operators that tract has nothing for.
//!
//! Deliberately not here: `Where`, of which there are as many places as the data says; that is no batch of rows.

use std::ops::Add;

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, Tensor, TractResult, TypedFact,
        TypedModel,
        tract_ndarray::{ArrayD, Axis, Zip},
        tvec,
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{
            EvalContext, EvalOp, Op, StaticName, ToDim, TractErrorContext, TypedOp, as_op, bail, ensure,
            op_as_typed_op, op_out_of_plan,
        },
    },
};
use tract_tensorflow::{model::TfOpRegister, tfpb::tensorflow::NodeDef};

use super::{
    arrays::{check_size, one},
    int,
    numbers::arguments,
};
use crate::tract::{
    axes::{constant_integers, resolve_axis},
    wired::{Chain, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("Atan2", |_, _| Ok(wired("Atan2", &[], arc)));
    register.insert("IsFinite", |_, _| Ok(unary(Own::IsFinite)));
    register.insert("IsInf", |_, _| Ok(unary(Own::IsInfinite)));
    register.insert("IsNan", |_, _| Ok(unary(Own::IsNan)));
    register.insert("LRN", |_, node| normalized(node));
    register.insert("MatrixBandPart", |_, _| Ok(wired("MatrixBandPart", &[1, 2], band)));
    register.insert("ReverseSequence", |_, node| reversed(node));
    register.insert("ScatterNd", |_, _| Ok(wired("ScatterNd", &[2], scattered)));
}

fn unary(op: Own) -> Box<dyn InferenceOp> {
    wired(op.name(), &[], move |prefix, model, inputs| {
        let [x] = arguments(inputs)?;
        model.wire_node(prefix, op.clone(), &[x])
    })
}

fn arc(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [y, x] = arguments(inputs)?;
    Ok(tvec!(Chain::new(prefix, model).add(Own::Arc, &[y, x])?))
}

fn normalized(node: &NodeDef) -> Built {
    let number = |name: &str, default: f32| TractResult::Ok(node.get_attr_opt_float(name)?.unwrap_or(default));
    let radius = usize::try_from(int(node, "depth_radius").unwrap_or(5))?;
    let op = Own::Normalized {
        radius,
        bias: number("bias", 1.0)?,
        alpha: number("alpha", 1.0)?,
        beta: number("beta", 0.5)?,
    };
    Ok(unary(op))
}

fn band(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x, below, above] = arguments(inputs)?;
    let rank = model.outlet_fact(x)?.rank();
    ensure!(rank >= 2, "a band of a tensor of rank {rank}");
    let op = Own::Band { below: one(model, below)?, above: one(model, above)? };
    model.wire_node(prefix, op, &[x])
}

fn reversed(node: &NodeDef) -> Built {
    let along = int(node, "seq_dim").context("there is no `seq_dim`")?;
    let batch = int(node, "batch_dim").unwrap_or(0);
    Ok(wired("ReverseSequence", &[], move |prefix, model, inputs| {
        let [x, lengths] = arguments(inputs)?;
        let rank = model.outlet_fact(x)?.rank();
        let op = Own::Reversed { along: resolve_axis(along, rank)?, batch: resolve_axis(batch, rank)? };
        model.wire_node(prefix, op, &[x, lengths])
    }))
}

fn scattered(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [places, numbers, shape] = arguments(inputs)?;
    let shape = constant_integers(model, shape)?;
    let shape: Vec<usize> = shape.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    check_size(prefix, model, numbers, shape.iter().map(ToDim::to_dim))?;
    model.wire_node(prefix, Own::Scattered { shape }, &[places, numbers])
}

#[derive(Clone, Debug, PartialEq)]
enum Own {
    /// The angle of a point, whose second coordinate comes first.
    Arc,
    /// What is no farther from the diagonal; a negative distance has no end.
    Band {
        below: i64,
        above: i64,
    },
    IsFinite,
    IsInfinite,
    IsNan,
    /// Numbers along the last axis over a power of the sum of the squares around them.
    Normalized {
        radius: usize,
        bias: f32,
        alpha: f32,
        beta: f32,
    },
    /// As many from the beginning of an axis as are said for each place of another, last first.
    Reversed {
        along: usize,
        batch: usize,
    },
    /// 0 but at some places, to which numbers are added.
    Scattered {
        shape: Vec<usize>,
    },
}

impl Eq for Own {}

/// Does the same with tensors of any type that the operators have: integers as the widest, and other numbers in double precision.
macro_rules! with_elements {
    ($tensor:expr, $function:expr) => {
        match $tensor.datum_type() {
            it if it.is_float() => $function(elements::<f64>($tensor)?)?.into_tensor().cast_to_dt(it)?.into_owned(),
            DatumType::Bool => $function(elements::<bool>($tensor)?)?.into_tensor(),
            it if it.is_integer() => $function(elements::<i64>($tensor)?)?.into_tensor().cast_to_dt(it)?.into_owned(),
            other => bail!("numbers of {other:?} are not supported"),
        }
    };
}

impl Own {
    fn run(&self, x: &Tensor, second: Option<&Tensor>) -> TractResult<Tensor> {
        let second = || second.context("there is no second input");
        let flags = |is: fn(&f64) -> bool| Ok(elements::<f64>(x)?.map(is).into_tensor());
        let res = match *self {
            Self::IsFinite => return flags(|it| it.is_finite()),
            Self::IsInfinite => return flags(|it| it.is_infinite()),
            Self::IsNan => return flags(|it| it.is_nan()),
            Self::Arc => angles(&elements(x)?, &elements(second()?)?)?,
            Self::Normalized { radius, bias, alpha, beta } => {
                let [bias, alpha, beta] = [bias, alpha, beta].map(f64::from);
                over_neighbors(elements(x)?, radius, |sum| (bias + alpha * sum).powf(beta))
            }
            Self::Band { below, above } => {
                return Ok(with_elements!(x, |it| TractResult::Ok(in_band(it, below, above))));
            }
            Self::Reversed { along, batch } => {
                let lengths = lengths(second()?, x.shape()[batch], x.shape()[along])?;
                return Ok(with_elements!(x, |it| TractResult::Ok(turned(&it, &lengths, along, batch))));
            }
            Self::Scattered { ref shape } => {
                let places = elements::<i64>(x)?;
                let numbers = second()?;
                ensure!(numbers.datum_type() != DatumType::Bool, "flags are not added");
                let dtype = numbers.datum_type();
                let sums = if dtype.is_float() {
                    put::<f64>(&places, &elements(numbers)?, shape)?
                } else {
                    put::<i64>(&places, &elements(numbers)?, shape)?
                };
                return Ok(sums.cast_to_dt(dtype)?.into_owned());
            }
        };
        Ok(res.into_tensor().cast_to_dt(x.datum_type())?.into_owned())
    }
}

fn elements<T: Datum>(tensor: &Tensor) -> TractResult<ArrayD<T>> {
    tensor.cast_to::<T>()?.into_owned().into_plain_array::<T>()
}

fn angles(y: &ArrayD<f64>, x: &ArrayD<f64>) -> TractResult<ArrayD<f64>> {
    let shape = broadcast(y.shape(), x.shape())?;
    let [y, x] = [y, x].map(|it| it.broadcast(&*shape).context("the shapes do not fit"));
    Ok(Zip::from(&y?).and(&x?).map_collect(|y, x| y.atan2(*x)))
}

/// Returns the shape of what is made of two tensors of one rank.
fn broadcast(a: &[usize], b: &[usize]) -> TractResult<Vec<usize>> {
    ensure!(a.len() == b.len(), "the ranks are {} and {}", a.len(), b.len());
    let one = |(&a, &b): (&usize, &usize)| match (a, b) {
        (1, it) | (it, 1) => Ok(it),
        (a, b) if a == b => Ok(a),
        (a, b) => bail!("axes of {a} and {b} do not fit"),
    };
    a.iter().zip(b).map(one).collect()
}

/// Divides each number by what comes of the sum of the squares around it along the last axis.
fn over_neighbors(mut numbers: ArrayD<f64>, radius: usize, of: impl Fn(f64) -> f64) -> ArrayD<f64> {
    let last = Axis(numbers.ndim().saturating_sub(1));
    for mut lane in numbers.lanes_mut(last) {
        let given = lane.to_vec();
        for (idx, it) in lane.iter_mut().enumerate() {
            let end = idx.saturating_add(radius).saturating_add(1).min(given.len());
            *it /= of(given[idx.saturating_sub(radius)..end].iter().map(|it| it * it).sum());
        }
    }
    numbers
}

/// Puts 0 where a matrix is farther from its diagonal.
fn in_band<T: Datum + Default>(mut matrices: ArrayD<T>, below: i64, above: i64) -> ArrayD<T> {
    let rank = matrices.ndim();
    for (at, it) in matrices.indexed_iter_mut() {
        let distance = at[rank - 1] as i64 - at[rank - 2] as i64;
        let is_within = (below < 0 || -distance <= below) && (above < 0 || distance <= above);
        if !is_within {
            *it = T::default();
        }
    }
    matrices
}

/// Returns how many are turned around of each of `n` sequences.
fn lengths(of: &Tensor, n: usize, longest: usize) -> TractResult<Vec<usize>> {
    let lengths = elements::<i64>(of)?;
    ensure!(lengths.len() == n, "there are {} lengths for {n} sequences", lengths.len());
    let one = |it: &i64| usize::try_from(*it).ok().filter(|it| *it <= longest);
    lengths.iter().map(|it| one(it).with_context(|| format!("a length of {it} in a sequence of {longest}"))).collect()
}

fn turned<T: Datum>(sequences: &ArrayD<T>, lengths: &[usize], along: usize, batch: usize) -> ArrayD<T> {
    ArrayD::from_shape_fn(sequences.raw_dim(), |at| {
        let length = lengths[at[batch]];
        let mut from = at;
        if from[along] < length {
            from[along] = length - 1 - from[along];
        }
        sequences[&from].clone()
    })
}

/// Adds numbers to 0 at places, each of which is the beginning of an index.
fn put<T: Datum + Copy + Default + Add<Output = T>>(
    places: &ArrayD<i64>,
    numbers: &ArrayD<T>,
    shape: &[usize],
) -> TractResult<Tensor> {
    let depth = places.shape().last().copied().context("the places have no axis")?;
    ensure!(depth <= shape.len(), "places of {depth} numbers in a tensor of rank {}", shape.len());
    let n_each: usize = shape[depth..].iter().product();
    let n_places = places.len().checked_div(depth).unwrap_or(0);
    ensure!(numbers.len() == n_places * n_each, "{} numbers for {n_places} places of {n_each} each", numbers.len());
    let mut res = vec![T::default(); shape.iter().product()];
    let (places, numbers): (Vec<i64>, Vec<T>) = (places.iter().copied().collect(), numbers.iter().copied().collect());
    for (at, numbers) in places.chunks(depth.max(1)).zip(numbers.chunks(n_each.max(1))) {
        let mut start = 0;
        for (&it, &size) in at.iter().zip(shape) {
            let it = usize::try_from(it).ok().filter(|it| *it < size);
            start = start * size + it.with_context(|| format!("the index {at:?} is outside of {shape:?}"))?;
        }
        for (sum, it) in res[start * n_each..].iter_mut().zip(numbers) {
            *sum = *sum + *it;
        }
    }
    Tensor::from_shape(shape, &res)
}

impl Op for Own {
    fn name(&self) -> StaticName {
        match self {
            Self::Arc => "Atan2",
            Self::Band { .. } => "MatrixBandPart",
            Self::IsFinite => "IsFinite",
            Self::IsInfinite => "IsInf",
            Self::IsNan => "IsNan",
            Self::Normalized { .. } => "LRN",
            Self::Reversed { .. } => "ReverseSequence",
            Self::Scattered { .. } => "ScatterNd",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Own {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (first, second) = (inputs.first().context("there is no input")?, inputs.get(1));
        Ok(tvec!(self.run(first, second.map(|it| &**it))?.into_tvalue()))
    }
}

impl TypedOp for Own {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let fact = |it: &TypedFact| TypedFact::dt_shape(it.datum_type, it.shape.clone());
        let first = inputs.first().context("there is no input")?;
        Ok(tvec!(match self {
            Self::IsFinite | Self::IsInfinite | Self::IsNan => {
                TypedFact::dt_shape(DatumType::Bool, first.shape.clone())
            }
            Self::Scattered { shape } => {
                TypedFact::dt_shape(inputs.get(1).context("there is no second input")?.datum_type, &**shape)
            }
            Self::Arc => {
                let shapes: Vec<_> = inputs.iter().map(|it| &it.shape).collect();
                let shape = tract_onnx::tract_core::broadcast::multi_broadcast(&shapes)?;
                TypedFact::dt_shape(first.datum_type, shape)
            }
            Self::Band { .. } | Self::Normalized { .. } | Self::Reversed { .. } => fact(first),
        }))
    }

    as_op!();
}
