//! Operators that make images larger or smaller.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, TypedModel, tensor1},
    tract_core::ops::nn::{CoordTransformer, Interpolator, Nearest, Resize},
    tract_hir::{
        infer::InferenceOp,
        internal::{TractErrorContext, ensure},
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    tfpb::tensorflow::NodeDef,
};

use crate::tract::{axes::constant_integers, wired::wired};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("ResizeBilinear", resize);
    register.insert("ResizeNearestNeighbor", resize);
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
