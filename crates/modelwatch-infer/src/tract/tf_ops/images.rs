//! Operators that make images larger or smaller, or move numbers between their axes and channels.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, TypedModel, tensor1, tvec},
    tract_core::ops::{
        change_axes::AxisOp,
        nn::{CoordTransformer, Interpolator, Nearest, Resize},
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{ToDim, TractErrorContext, ensure},
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    tfpb::tensorflow::NodeDef,
};

use super::int;
use crate::tract::{axes::constant_integers, wired::wired};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("ResizeBilinear", resize);
    register.insert("ResizeNearestNeighbor", resize);
    register.insert("DepthToSpace", |_, node| blocks(node, true));
    register.insert("SpaceToDepth", |_, node| blocks(node, false));
}

/// Lays the channels of a pixel out as a block of pixels, or the other way around; channels are last.
fn blocks(node: &NodeDef, to_space: bool) -> Built {
    /// Far above what is used; its square is a number of channels.
    const MAX: usize = 1 << 10;
    let size = usize::try_from(int(node, "block_size").unwrap_or(0)).ok().filter(|it| (1..=MAX).contains(it));
    let size = size.with_context(|| format!("node `{}` ({}) has blocks of another size", node.name, node.op))?;
    Ok(wired(node.op.clone(), &[], move |prefix, model, inputs| {
        ensure!(inputs.len() == 1, "blocks are made of {} inputs", inputs.len());
        let fact = model.outlet_fact(inputs[0])?.clone();
        ensure!(fact.rank() == 4, "an image of rank {}", fact.rank());
        let dims = fact.shape.as_concrete().context("the shape of the images is not known")?;
        let (height, width, channels) = (dims[1], dims[2], dims[3]);
        let fits = if to_space {
            [channels.is_multiple_of(size * size); 2]
        } else {
            [height, width].map(|it| it.is_multiple_of(size))
        };
        ensure!(fits == [true; 2], "{dims:?} does not come out even in blocks of {size}");
        let split = |axis: usize, from: &[usize], to: &[usize]| {
            let [from, to] = [from, to].map(|it| it.iter().map(|it| it.to_dim()).collect());
            AxisOp::Reshape(axis, from, to)
        };
        let steps = if to_space {
            [
                split(3, &[channels], &[size, size, channels / (size * size)]),
                AxisOp::Move(3, 2),
                split(1, &[height, size], &[height * size]),
                split(2, &[width, size], &[width * size]),
            ]
        } else {
            [
                split(1, &[height], &[height / size, size]),
                split(3, &[width], &[width / size, size]),
                AxisOp::Move(2, 3),
                split(3, &[size, size, channels], &[size * size * channels]),
            ]
        };
        let mut wire = tvec!(inputs[0]);
        for (idx, step) in steps.into_iter().enumerate() {
            wire = model.wire_node(format!("{prefix}.{idx}"), step, &wire)?;
        }
        Ok(wire)
    }))
}

/// Of images with their channels last.
fn resize(_context: &ParsingContext, node: &NodeDef) -> Built {
    let flag = |name: &str| Ok::<_, tract_onnx::prelude::TractError>(node.get_attr_opt_bool(name)?.unwrap_or(false));
    let (aligned, halves) = (flag("align_corners")?, flag("half_pixel_centers")?);
    ensure!(!(aligned && halves), "node `{}` ({}) aligns both corners and centers", node.name, node.op);
    let is_nearest = node.op == "ResizeNearestNeighbor";
    let op = Resize {
        coord_transformer: match (aligned, halves) {
            (true, _) => CoordTransformer::AlignCorners,
            (_, true) if is_nearest => CoordTransformer::TfHalfPixelForNn,
            (_, true) => CoordTransformer::HalfPixel,
            _ => CoordTransformer::Asymmetric,
        },
        interpolator: if is_nearest { Interpolator::Nearest } else { Interpolator::Linear },
        nearest: if aligned { Nearest::RoundPreferCeil } else { Nearest::Floor },
        optional_scales_input: None,
        optional_sizes_input: Some(1),
    };
    Ok(wired(node.op.clone(), &[1], move |prefix, model, inputs| wire(prefix, model, inputs, op.clone())))
}

fn wire(prefix: &str, model: &mut TypedModel, inputs: &[OutletId], op: Resize) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "a resize has {} inputs", inputs.len());
    let fact = model.outlet_fact(inputs[0])?.clone();
    // tract computes in single precision.
    ensure!(matches!(fact.datum_type, DatumType::F16 | DatumType::F32), "images of {:?}", fact.datum_type);
    let dims = fact.shape.as_concrete().context("the shape of the images is not known")?;
    let sizes = constant_integers(model, inputs[1])?;
    ensure!(dims.len() == 4 && sizes.len() == 2 && sizes.iter().all(|it| *it > 0), "images of {dims:?} to {sizes:?}");
    let sizes = [dims[0] as i64, sizes[0], sizes[1], dims[3] as i64];
    let sizes = model.add_const(format!("{prefix}.sizes"), tensor1(&sizes))?;
    model.wire_node(prefix, op, &[inputs[0], sizes])
}
