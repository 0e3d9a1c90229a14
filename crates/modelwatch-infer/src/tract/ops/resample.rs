//! `Resize` in the modes in which a place depends on how long an axis becomes.
//!
//! tract takes the product of its length and the scale for that, which may be another number, and the place before the first number for
//! the only one that is left. Where the product is not whole, ONNX's own test cases take it as well, and ONNX Runtime the length.

use tract_onnx::{
    pb::NodeProto,
    prelude::{
        IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, TractResult, TypedFact, TypedModel,
        tract_ndarray::ArrayD, tvec,
    },
    tract_core::ops::nn::resize::{
        AxisPlan, Interpolator, cubic_weights, linear_weights, plan_axis, resample_axis, window_size,
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, ToDim, TractErrorContext, TypedOp, as_op, bail, ensure, op_as_typed_op,
        op_out_of_plan,
    },
};

use super::{Built, resize::lengths};
use crate::tract::{
    attributes::{float, int, ints, text},
    axes::resolve_axis,
    guard::RefusedOperator,
    limits::MAX_ELEMENTS,
    wired::wired,
};

/// Where a number of what is made is in what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Transform {
    AlignCorners,
    Crop,
    PytorchHalfPixel,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Nearest {
    Floor,
    Ceil,
    PreferFloor,
    PreferCeil,
}

/// An axis that is made longer or shorter.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Along {
    axis: usize,
    len: usize,
    scale: f32,
    /// The part that is taken of it, in shares.
    part: [f32; 2],
}

#[derive(Clone, Debug, PartialEq)]
struct Resample {
    transform: Transform,
    interpolator: Interpolator,
    nearest: Nearest,
    antialias: bool,
    cubic: f32,
    exclude_outside: bool,
    extrapolated: f32,
    axes: Vec<Along>,
}

impl Eq for Resample {}

/// Returns the operator, if the node's mode is one of these.
pub(super) fn parse(node: &NodeProto) -> Option<Built> {
    let transform = match text(node, "coordinate_transformation_mode")? {
        "align_corners" => Transform::AlignCorners,
        "tf_crop_and_resize" => Transform::Crop,
        "pytorch_half_pixel" => Transform::PytorchHalfPixel,
        _ => return None,
    };
    Some(build(node, transform))
}

fn build(node: &NodeProto, transform: Transform) -> Built {
    let op = Resample {
        transform,
        interpolator: Interpolator::parse(text(node, "mode").unwrap_or("nearest"))?,
        nearest: match text(node, "nearest_mode").unwrap_or("round_prefer_floor") {
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            "round_prefer_floor" => Nearest::PreferFloor,
            "round_prefer_ceil" => Nearest::PreferCeil,
            other => bail!("nearest_mode {other:?} is not known"),
        },
        antialias: int(node, "antialias").is_some_and(|it| it != 0),
        cubic: float(node, "cubic_coeff_a").unwrap_or(-0.75),
        exclude_outside: int(node, "exclude_outside").is_some_and(|it| it != 0),
        extrapolated: float(node, "extrapolation_value").unwrap_or(0.0),
        axes: Vec::new(),
    };
    let node = node.clone();
    let constants: Vec<isize> = (1..4).filter_map(|it| Some(place(&node, it)? as isize)).collect();
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let axes = axes(&node, model, inputs, transform)?;
        model.wire_node(prefix, Resample { axes, ..op.clone() }, &inputs[..1])
    };
    Ok((wired("Resize", &constants, wire), vec![]))
}

/// Returns where an input of the node is among those that there are.
fn place(node: &NodeProto, idx: usize) -> Option<usize> {
    node.input.get(idx).filter(|it| !it.is_empty())?;
    Some(node.input[..idx].iter().filter(|it| !it.is_empty()).count())
}

fn numbers(node: &NodeProto, idx: usize, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Vec<f32>>> {
    let Some(input) = place(node, idx).and_then(|it| inputs.get(it)) else { return Ok(None) };
    let tensor = model.outlet_fact(*input)?.konst.clone().context("what it is resized to must be a constant")?;
    let numbers: Vec<f32> = tensor.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect();
    // Where the other one is given.
    Ok(Some(numbers).filter(|it| !it.is_empty()))
}

/// Returns the axes that are resized.
fn axes(node: &NodeProto, model: &TypedModel, inputs: &[OutletId], transform: Transform) -> TractResult<Vec<Along>> {
    let is_cut = transform == Transform::Crop;
    let lengths = lengths(model, inputs[0])?;
    let axes = match ints(node, "axes") {
        [] => (0..lengths.len()).collect(),
        given => given.iter().map(|it| resolve_axis(*it, lengths.len())).collect::<TractResult<Vec<_>>>()?,
    };
    let scales = numbers(node, 2, model, inputs)?;
    let is_by_scales = scales.is_some();
    let wanted = scales.or(numbers(node, 3, model, inputs)?).context("neither scales nor sizes are given")?;
    let parts = if is_cut { numbers(node, 1, model, inputs)?.context("`roi` is missing")? } else { Vec::new() };
    let n = axes.len();
    ensure!(wanted.len() == n && (!is_cut || parts.len() == 2 * n), "the operands do not fit {n} axes");
    let ratios = || axes.iter().zip(&wanted).map(|(axis, it)| it / lengths[*axis] as f32);
    let shared = match text(node, "keep_aspect_ratio_policy").filter(|_| !is_by_scales) {
        Some("not_larger") => Some(ratios().fold(f32::INFINITY, f32::min)),
        Some("not_smaller") => Some(ratios().fold(0.0, f32::max)),
        _ => None,
    };
    let mut res = Vec::new();
    for (idx, (&axis, &wanted)) in axes.iter().zip(&wanted).enumerate() {
        let len_in = lengths[axis] as f32;
        let (scale, len) = match shared {
            Some(it) => (it, (it * len_in + 0.5) as usize),
            None if is_by_scales => (wanted, (wanted * len_in) as usize),
            None => (wanted / len_in, wanted as usize),
        };
        ensure!(
            lengths[axis] > 0 && scale > 0.0 && scale.is_finite() && len as u64 <= MAX_ELEMENTS,
            "axis {axis} is resized from {len_in} to {len}"
        );
        let is_whole = scale * len_in == len as f32 || (shared.is_none() && !is_by_scales);
        if !is_whole && transform != Transform::PytorchHalfPixel {
            let why = format!(
                "axis {axis} becomes {} long, for which ONNX Runtime and ONNX's own cases have other places; give whole sizes",
                scale * len_in
            );
            return Err(RefusedOperator::of(node, &why).into());
        }
        let part = if is_cut { [parts[idx], parts[n + idx]] } else { [0.0, 1.0] };
        if scale != 1.0 {
            res.push(Along { axis, len, scale, part });
        } else if part != [0.0, 1.0] {
            let why = format!("axis {axis} is cut and keeps its length, where ONNX Runtime does not cut it");
            return Err(RefusedOperator::of(node, &why).into());
        }
    }
    Ok(res)
}

impl Resample {
    fn plan(&self, along: &Along, len_in: usize) -> AxisPlan {
        let Along { len, scale, part: [start, end], .. } = *along;
        let (last, made) = (len_in as f32 - 1.0, len as f32);
        let place = |it: usize| {
            let it = it as f32;
            match self.transform {
                Transform::AlignCorners if len > 1 => Some(it * last / (made - 1.0)),
                Transform::PytorchHalfPixel if len > 1 => Some((it + 0.5) / scale - 0.5),
                Transform::AlignCorners | Transform::PytorchHalfPixel => Some(0.0),
                Transform::Crop => {
                    let place = if len > 1 {
                        start * last + (it * (end - start) * last) / (made - 1.0)
                    } else {
                        0.5 * (start + end) * last
                    };
                    (0.0..=last).contains(&place).then_some(place)
                }
            }
        };
        let weights = |at: f32, weights: &mut [f32]| match self.interpolator {
            Interpolator::Linear => linear_weights(at, scale, self.antialias, weights),
            Interpolator::Cubic => cubic_weights(at, scale, self.cubic, self.antialias, weights),
            Interpolator::Nearest => {
                let takes_next = at == 1.0
                    || match self.nearest {
                        Nearest::Floor => false,
                        Nearest::Ceil => true,
                        Nearest::PreferFloor => at > 0.5,
                        Nearest::PreferCeil => at >= 0.5,
                    };
                weights.copy_from_slice(if takes_next { &[0.0, 1.0] } else { &[1.0, 0.0] });
            }
        };
        let window = window_size(&self.interpolator, self.antialias, scale);
        plan_axis(len_in, len, window, self.exclude_outside, place, weights)
    }
}

impl Op for Resample {
    fn name(&self) -> StaticName {
        "Resize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Resample {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let dtype = inputs[0].datum_type();
        let mut shape = inputs[0].shape().to_vec();
        let mut numbers: Vec<f32> = inputs[0].cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect();
        for along in &self.axes {
            let plan = self.plan(along, shape[along.axis]);
            let mut made = vec![0.0; numbers.len() / shape[along.axis] * along.len];
            resample_axis(&numbers, &shape, along.axis, &plan, self.extrapolated, &mut made);
            numbers = made;
            shape[along.axis] = along.len;
        }
        let made = ArrayD::from_shape_vec(shape, numbers)?.into_tensor();
        Ok(tvec!(made.cast_to_dt(dtype)?.into_owned().into_tvalue()))
    }
}

impl TypedOp for Resample {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        for along in &self.axes {
            shape[along.axis] = along.len.to_dim();
        }
        Ok(tvec!(TypedFact::dt_shape(inputs[0].datum_type, shape)))
    }

    as_op!();
}
