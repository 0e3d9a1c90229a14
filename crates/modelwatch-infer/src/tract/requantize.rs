//! Makes the sums of quantized convolutions integers of eight bits in single precision, where the last integers stand for all that is
//! beyond. tract adds the zero point to integers of 32 bits, which go around.
//!
//! Those of ONNX alone: a TFLite model of such integers is run on the numbers that they stand for.

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

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{DatumExt, IntoRunnable, IntoTValue, QParams, Tensor, tensor1, tvec},
        tract_core::ops::{
            cnn::{KernelFormat, PaddingSpec, PoolSpec},
            nn::DataFormat,
        },
    };

    use super::*;

    /// A convolution of two channels by one weight each, whose scales are 0.01 and 0.5, on two pixels.
    fn answers(data_format: DataFormat, datum_type: DatumType) -> Vec<i8> {
        let shape: &[usize] = if data_format.c_is_last() { &[1, 2, 1, 2] } else { &[1, 2, 2, 1] };
        let weights: &[usize] = &[2, 1, 1, 1];
        // By channel: 100 and 0, -3 and 100.
        let numbers: [i8; 4] = if data_format.c_is_last() { [100, -3, 0, 100] } else { [100, 0, -3, 100] };
        let mut model = TypedModel::default();
        let x = model.add_source("x", i8::fact(shape)).unwrap();
        let w = model.add_source("w", i8::fact(weights)).unwrap();
        let constants = [
            tensor1(&[0_i32, 0]),
            tensor0(0_i32),
            tensor0(1.0_f32),
            tensor0(0_i32),
            tensor1(&[0.01_f32, 0.5]),
            tensor1(&[-20_i32]),
            tensor0(1e-9_f32),
        ];
        let mut inputs = vec![x, w];
        for (idx, it) in constants.into_iter().enumerate() {
            inputs.push(model.add_const(format!("constant {idx}"), it).unwrap());
        }
        let pool_spec = PoolSpec {
            data_format,
            kernel_shape: tvec![1, 1],
            padding: PaddingSpec::Valid,
            dilations: None,
            strides: None,
            input_channels: 2,
            output_channels: 2,
        };
        let op = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 2, q_params: Some(datum_type) };
        let y = model.wire_node("y", op, &inputs).unwrap();
        model.select_output_outlets(&y).unwrap();
        requantize(&mut model).unwrap();
        let [x, w] = [(shape, &numbers[..]), (weights, &[100, 1])].map(|it| Tensor::from_shape(it.0, it.1).unwrap());
        let y = model.into_runnable().unwrap().run(tvec!(x.into_tvalue(), w.into_tvalue())).unwrap().remove(0);
        assert_eq!(y.datum_type(), datum_type);
        y.try_as_plain_ram().unwrap().as_bytes().iter().map(|it| it.cast_signed()).collect()
    }

    #[test]
    fn every_channel_has_its_own_scale_wherever_it_is() {
        let quantized = DatumType::QI8(QParams::ZpScale { zero_point: -20, scale: 1e-9 });
        for datum_type in [DatumType::I8, quantized] {
            assert_eq!(answers(DataFormat::NCHW, datum_type), [127, -20, -128, 127]);
            assert_eq!(answers(DataFormat::NHWC, datum_type), [127, -128, -20, 127]);
        }
    }
}
