//! Makes the sums of quantized convolutions integers of eight bits in single precision, where the last integers stand for all that is
//! beyond. tract adds the zero point to integers of 32 bits, which go around.

use tract_onnx::{
    prelude::{Datum, DatumType, TractResult, TypedModel, tensor0},
    tract_core::{
        model::TypedModelPatch,
        ops::{
            cast::cast,
            change_axes::{AxisOp, wire_with_rank_broadcast},
            cnn::Conv,
            math::{add, div, max, min, mul, round_half_to_even},
        },
    },
    tract_hir::internal::{SpecialOps, TypedNode},
};

use super::kernels::rewrite;

/// Rewrites the quantized convolutions of a graph.
pub(super) fn requantize(model: &mut TypedModel) -> TractResult<()> {
    rewrite(model, &convolution)?;
    Ok(())
}

/// A convolution whose inputs are the image, the weights, the bias, and the zero points and scales of image, weights and output.
fn convolution(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let (Some(op), &[_, _, _, _, scale_of_x, _, scale, zero_of_y, scale_of_y]) = (node.op_as::<Conv>(), &*node.inputs)
    else {
        return Ok(None);
    };
    let bounds = match op.q_params {
        Some(DatumType::U8) => [0.0_f32, 255.0],
        Some(DatumType::I8) => [-128.0, 127.0],
        _ => return Ok(None),
    };
    let name = &node.name;
    let mut patch = TypedModelPatch::default();
    let mut inputs = patch.taps(model, &node.inputs)?;
    let [scale_of_x, scale, zero_of_y, scale_of_y] =
        [scale_of_x, scale, zero_of_y, scale_of_y].map(|it| patch.tap_model(model, it));
    let mut factor = scale?;
    for (what, op, other) in [("unit", mul(), scale_of_x?), ("factor", div(), scale_of_y?)] {
        factor = wire_with_rank_broadcast(format!("{name}.{what}"), &mut patch, op, &[factor, other])?[0];
    }
    if patch.outlet_fact(factor)?.rank() == 1 && !op.pool_spec.data_format.c_is_last() {
        for axis in 0..op.pool_spec.rank() {
            factor = patch.wire_node(format!("{name}.factor.{axis}"), AxisOp::Add(1), &[factor])?[0];
        }
    }
    let one = patch.add_const(format!("{name}.one"), tensor0(1.0_f32))?;
    let zero = patch.add_const(format!("{name}.zero"), tensor0(0_i32))?;
    for (input, outlet) in [(4, one), (6, one), (7, zero), (8, one)] {
        inputs[input] = outlet;
    }
    let sums = Conv { q_params: Some(DatumType::I32), ..op.clone() };
    let mut wire = patch.wire_node(format!("{name}.sums"), sums, &inputs)?[0];
    wire = patch.wire_node(format!("{name}.numbers"), cast(f32::datum_type()), &[wire])?[0];
    let zero_of_y = patch.wire_node(format!("{name}.zero_of_y"), cast(f32::datum_type()), &[zero_of_y?])?[0];
    let [least, most] = bounds.map(tensor0);
    let least = patch.add_const(format!("{name}.least"), least)?;
    let most = patch.add_const(format!("{name}.most"), most)?;
    wire = wire_with_rank_broadcast(format!("{name}.scaled"), &mut patch, mul(), &[wire, factor])?[0];
    wire = patch.wire_node(format!("{name}.rounded"), round_half_to_even(), &[wire])?[0];
    for (what, op, other) in [("moved", add(), zero_of_y), ("at_least", max(), least), ("at_most", min(), most)] {
        wire = wire_with_rank_broadcast(format!("{name}.{what}"), &mut patch, op, &[wire, other])?[0];
    }
    let output = patch.wire_node(name, cast(node.outputs[0].fact.datum_type), &[wire])?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}
