//! `Resize` to the nearest number, where tract takes another one than ONNX Runtime: in version 10, which has no modes, and where a place is
//! just between two numbers and a scale of single precision puts it beside the middle.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, SpecialOps, TVec, TractResult, TypedModel, tensor1, tvec},
    tract_core::ops::array::Gather,
    tract_hir::internal::{DimLike, TractErrorContext, ensure},
};

use super::{Built, resample};
use crate::tract::{
    attributes::{ints, text},
    axes::{constant_integers, resolve_axis},
    limits::MAX_ELEMENTS,
    wired::wired,
};

pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let is = |name: &str, default: &str, wanted: &str| text(node, name).unwrap_or(default) == wanted;
    let is_nearest = is("mode", "nearest", "nearest");
    if is_nearest && context.onnx_operator_set_version == 10 {
        return Ok((wired("Resize", &[1], by_scales), vec![]));
    }
    let has_sizes = node.input.get(3).is_some_and(|it| !it.is_empty());
    let has_ties = is_nearest
        && is("nearest_mode", "round_prefer_floor", "round_prefer_ceil")
        && is("coordinate_transformation_mode", "half_pixel", "asymmetric")
        && is("keep_aspect_ratio_policy", "stretch", "stretch");
    if has_sizes && has_ties {
        let axes = ints(node, "axes").to_vec();
        let wire =
            move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| by_sizes(&axes, prefix, model, inputs);
        return Ok((wired("Resize", &[-1], wire), vec![]));
    }
    if context.onnx_operator_set_version > 10
        && let Some(it) = resample::parse(node)
    {
        return it;
    }
    let of_tract = tract_onnx::onnx().op_register.0.get("Resize").copied().context("there is no `Resize`")?;
    of_tract(context, node)
}

/// Version 10 takes the number before a place of what is enlarged, and that behind it of what is made smaller.
fn by_scales(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "{} inputs where there should be 2", inputs.len());
    let scales = model.outlet_fact(inputs[1])?.konst.clone().context("the scales must be a constant")?;
    let scales = scales.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect::<Vec<_>>();
    let lengths = lengths(model, inputs[0])?;
    ensure!(scales.len() == lengths.len(), "{} scales for {} axes", scales.len(), lengths.len());
    let mut res = inputs[0];
    for (axis, (&len, &scale)) in lengths.iter().zip(&scales).enumerate() {
        ensure!(scale > 0.0 && scale.is_finite(), "the scale {scale} of axis {axis} is no positive number");
        let place = |it: usize| {
            let at = it as f32 / scale;
            if scale < 1.0 { at.ceil() as usize } else { at as usize }
        };
        if scale != 1.0 {
            res = picked(prefix, model, res, (axis, len), (len as f32 * scale) as usize, place)?;
        }
    }
    Ok(tvec!(res))
}

/// Places are counted in integers. Just between two numbers, the one behind is taken.
fn by_sizes(axes: &[i64], prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let sizes = constant_integers(model, *inputs.last().context("there are no sizes")?)?;
    let lengths = lengths(model, inputs[0])?;
    let axes = match axes {
        [] => (0..lengths.len()).collect(),
        _ => axes.iter().map(|it| resolve_axis(*it, lengths.len())).collect::<TractResult<Vec<_>>>()?,
    };
    ensure!(sizes.len() == axes.len(), "{} sizes for {} axes", sizes.len(), axes.len());
    let mut res = inputs[0];
    for (&axis, &size) in axes.iter().zip(&sizes) {
        let (len, size) = (lengths[axis], usize::try_from(size)?);
        if len != size {
            res = picked(prefix, model, res, (axis, len), size, |it| (2 * it * len + size) / (2 * size))?;
        }
    }
    Ok(tvec!(res))
}

pub(super) fn lengths(model: &TypedModel, image: OutletId) -> TractResult<Vec<usize>> {
    model.outlet_fact(image)?.shape.iter().map(|it| Ok(it.to_usize()?)).collect()
}

/// Takes, along an axis of this length, what is at `size` places, and the last number for what is behind it.
fn picked(
    prefix: &str,
    model: &mut TypedModel,
    image: OutletId,
    (axis, len): (usize, usize),
    size: usize,
    place: impl Fn(usize) -> usize,
) -> TractResult<OutletId> {
    ensure!(len > 0 && len.max(size) as u64 <= MAX_ELEMENTS, "axis {axis} is resized from {len} to {size}");
    let places: Vec<i64> = (0..size).map(|it| place(it).min(len - 1) as i64).collect();
    let places = model.add_const(format!("{prefix}.places_{axis}"), tensor1(&places))?;
    Ok(model.wire_node(format!("{prefix}.axis_{axis}"), Gather::new(axis), &[image, places])?[0])
}
